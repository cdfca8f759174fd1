"""Rivals that are no presets: Beyond Intuition, IDGI, occlusion, KernelSHAP in about the time of calig, and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faithfulness import decompx, libragrad, token_tm
from benchmarks.faithfulness.signals import eager
from benchmarks.faithfulness.task import Case, Task
from calig_fast.inputs.perturbed_outputs import perturbation_runner

STEPS = 20  # nodes of the paths, as in the authors' code
LEAST = 1e-4  # in the place of an alpha of 0, where the gradient of alpha A is read as that of A over alpha
NODES = 9  # of a path of calig: the two ends and what 8 intervals have between them
A_PASS = 3  # forward passes that one node of a path costs: it goes forward, and back at about twice the price
VALUES = (".value", ".v_proj")


def rivals(task: Task, case: Case, target: int) -> Iterator[tuple[str, Tensor]]:
    """The name and scores [1,T] of every rival that is defined for the model."""
    yield "beyond_intuition", beyond_intuition(task, case, target)
    yield "idgi", idgi(task, case, target)
    yield "occlusion", occlusion(task, case, target)
    yield "kernel_shap", kernel_shap(task, case, target, passes(task.model.config.num_hidden_layers))
    fullgrad, plus = libragrad.libragrad(task, case, target)
    yield "libra_fullgrad", fullgrad
    yield "libra_fullgrad_plus", plus
    if decompx.takes(task):
        yield "decompx", decompx.decompx(task, case, target)
    if token_tm.takes(task):
        yield "token_tm", token_tm.token_tm(task, case, target)


def beyond_intuition(task: Task, case: Case, target: int) -> Tensor:
    """Beyond Intuition (Chen et al. 2023), head-wise, the last block alone, as its authors run it on BERT.

    s = w (.) R[0], R = I + sum_h I_h A_h with I_h the mean of |A_h^T dF/dA_h| over its entries, over their sum, and w
    row 0 of the mean over heads of max(0, mean over alpha of dF/d(alpha A)), alpha from 0 to 1 in the last block; the
    first token's own score is 0.
    """
    model = eager(task)
    weights, slope = _last_map(model, case.call, target, 1.0)
    of_heads = (weights.transpose(1, 2) @ slope).abs().mean((1, 2))
    attention = torch.einsum("h,htu->tu", of_heads / of_heads.sum(), weights)
    alphas = torch.linspace(0, 1, STEPS).clamp_min(LEAST).tolist()
    total = torch.stack([_last_map(model, case.call, target, alpha)[1] for alpha in alphas]).mean(0)
    first = torch.eye(len(attention))[0] + attention[0]
    scores = total.clamp_min(0).mean(0)[0] * first
    scores[0] = 0
    return scores[None]


def _last_map(model: nn.Module, call: dict[str, Tensor], target: int, alpha: float) -> tuple[Tensor, Tensor]:
    """A of the last block [H,T,U], and dF/d(alpha A) where alpha A stands in its place.

    alpha A V is A (alpha V), so the values are scaled, and the gradient to A is alpha times the one wanted.
    """
    values = [m for name, m in model.named_modules() if name.endswith(VALUES)][-1]
    hook = values.register_forward_hook(lambda _, __, out: alpha * out)
    try:
        with torch.enable_grad(), _wanting_gradients(model):
            out = model(**call, output_attentions=True)
            last = out.attentions[-1]
            (slope,) = torch.autograd.grad(out.logits[0, target], last)
    finally:
        hook.remove()
    return last[0].detach(), slope[0] / alpha


@contextmanager
def _wanting_gradients(module: nn.Module) -> Iterator[None]:
    """The weights in the graph, so that attention maps have gradients."""
    module.requires_grad_(True)
    try:
        yield
    finally:
        module.requires_grad_(False)


def idgi(task: Task, case: Case, target: int) -> Tensor:
    """IDGI (Yang et al. 2023): sum_j g_j (.) g_j / <g_j, g_j> (F(x_{j+1}) - F(x_j)) on the path of IG.

    The path of Captum's IG: word embeddings against those of the reference, or pixels. Summed over the width of each
    token or the pixels of each patch.
    """
    values, points = path(task, case)
    slopes, outputs = [], []
    for k in range(STEPS + 1):
        point = points(k / STEPS).requires_grad_(True)
        with torch.enable_grad():
            output = values(point)[0, target]
        outputs.append(output.detach())
        slopes.append(torch.autograd.grad(output, point)[0][0].double())
    integral = torch.zeros_like(slopes[0])
    for k in range(STEPS):
        g = slopes[k]
        integral += g * g / (g * g).sum().clamp_min(1e-300) * (outputs[k + 1] - outputs[k]).double()
    return of_tokens(task, integral).float()


def path(task: Task, case: Case) -> tuple[Callable[[Tensor], Tensor], Callable[[float], Tensor]]:
    """The logits of a point of the straight path from the task's reference to the input, and its points."""
    if task.kind == "image":
        start, end = task.reference(case), case.call["pixel_values"]
        return lambda x: task.model(pixel_values=x).logits, lambda a: (start + a * (end - start)).detach()
    words = task.model.get_input_embeddings()
    with torch.no_grad():
        start, end = words(task.reference(case)), words(case.call["input_ids"])
    rest = {name: value for name, value in case.call.items() if name != "input_ids"}
    return lambda x: task.model(inputs_embeds=x, **rest).logits, lambda a: (start + a * (end - start)).detach()


def of_tokens(task: Task, values: Tensor) -> Tensor:
    """Scores [1,T] from values of embeddings [T,D], or of pixels [C,H,W]; prefix tokens of images score 0."""
    if task.kind == "text":
        return values.sum(-1)[None]
    patch = task.model.config.patch_size
    cells = nn.functional.avg_pool2d(values.sum(0)[None, None], patch) * patch**2
    return nn.functional.pad(cells.flatten(1), (1, 0))


def occlusion(task: Task, case: Case, target: int) -> Tensor:
    """F(x) - F(x without token t), a removed token becoming PAD, a patch blurred."""
    runner, removable = _removing(task, case, target)
    places = removable.nonzero().flatten()
    sets = torch.zeros(len(places) + 1, len(removable), dtype=torch.bool)
    sets[torch.arange(len(places)) + 1, places] = True
    answers = runner.answers(sets[None])[0]
    scores = torch.zeros(1, len(removable))
    scores[0, places] = (answers[0] - answers[1:]).float()
    return scores


def passes(depth: int) -> int:
    """Forward passes that take as long as the paths of an explanation, each node through the blocks from its layer on.

    Args:
        depth: L, the blocks.
    """
    return A_PASS * NODES * (depth + 1) // 2


def kernel_shap(task: Task, case: Case, target: int, samples: int) -> Tensor:
    """KernelSHAP (Lundberg and Lee 2017) by Captum, a removed token becoming PAD, a patch blurred.

    Args:
        task, case, target: the model, its input and the class.
        samples: forward passes.
    """
    from captum.attr import KernelShap

    runner, removable = _removing(task, case, target)
    places = removable.nonzero().flatten()

    def forward(chosen: Tensor) -> Tensor:
        sets = torch.zeros(len(chosen), len(removable), dtype=torch.bool)
        sets[:, places] = chosen == 0
        return runner.answers(sets[None])[0]

    torch.manual_seed(0)
    shapley_values = KernelShap(forward).attribute(
        torch.ones(1, len(places)), baselines=0, n_samples=samples, perturbations_per_eval=32
    )
    scores = torch.zeros(1, len(removable))
    scores[0, places] = shapley_values[0].float()
    return scores


def _removing(task: Task, case: Case, target: int) -> tuple[Any, Tensor]:
    """Answers of the logit without sets of tokens, and the removable tokens [T]."""
    if task.kind == "image":
        config = task.model.config
        tokens, removal = (config.image_size // config.patch_size) ** 2 + 1, "blur"
    else:
        tokens, removal = case.call["input_ids"].shape[1], "pad"
    runner = perturbation_runner(
        task.model,
        case.call,
        torch.zeros(1, tokens),
        target,
        processor=task.processor,
        removal=removal,
        output="logit",
        batch_size=64,
    )
    return runner, runner.removable[0]
