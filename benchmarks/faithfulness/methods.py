"""The methods that are compared, and the variants that the ablation tries."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.faithfulness import rivals
from benchmarks.faithfulness.calibrated import calibrated, check_apart
from benchmarks.faithfulness.signals import Signals, explainer, heads, integrated_slopes, read
from benchmarks.faithfulness.task import Case, Task
from calig_fast import Fusion
from calig_fast.methods.candidates import BLEND, BLEND_OF_IMAGES

RIVALS = (
    *("beyond_intuition", "idgi", "occlusion", "kernel_shap", "libra_fullgrad", "libra_fullgrad_plus"),
    *("decompx", "token_tm"),
)
PRESETS = ("rollout", "chefer", "attcat", "attention_gradient", "gradient_x_input")
METHODS = (
    "calig",
    "calig_paper",
    "blend",
    "calibrated",
    "layer_ig_mean",
    "ig",
    "captum_ig",
    "gim",
    *PRESETS,
    *RIVALS,
    "random",
)
CAPTUM_STEPS = 20


def compared(task: Task, case: Case) -> Iterator[tuple[str, int, Tensor]]:
    """Every method's name, target and scores [1,T] of an input; IG and the layers' mean use calig's integrals."""
    chosen = explainer(task)(case.call)
    target = int(chosen.target)
    yield "calig", target, chosen.scores
    yield "calig_paper", target, explainer(task, method="calig-paper")(case.call, target=target).scores
    blend = BLEND_OF_IMAGES if task.kind == "image" else BLEND
    yield "blend", target, explainer(task, method=blend)(case.call, target=target).scores
    ours, choice = calibrated(task)
    check_apart(choice, task, case)
    yield "calibrated", target, ours(case.call, target=target).scores
    yield "layer_ig_mean", target, chosen.layer_scores.mean(1).float()
    yield "ig", target, chosen.layer_scores[:, 0].float()
    yield "captum_ig", target, captum_ig(task, case, target)
    yield "gim", target, explainer(task, method="gradient_x_input", rules="gim")(case.call, target=target).scores
    for name in PRESETS:
        yield name, target, explainer(task, method=name)(case.call, target=target).scores
    for name, scores in rivals.rivals(task, case, target):
        yield name, target, scores
    seed = zlib.crc32(b"".join(v.numpy().tobytes() for v in case.call.values()))
    yield "random", target, torch.rand(chosen.scores.shape, generator=torch.Generator().manual_seed(seed))


def captum_ig(task: Task, case: Case, target: int) -> Tensor:
    """Captum's Integrated Gradients of embeddings or pixels at 20 nodes, by itself: its own reference and hooks.

    Text: LayerIntegratedGradients at the word embeddings, PAD in the place of content; images: pixels against their
    mean, summed over each patch.
    """
    from captum.attr import IntegratedGradients, LayerIntegratedGradients

    if task.kind == "image":
        pixels = case.call["pixel_values"]
        attributions = IntegratedGradients(lambda x: task.model(pixel_values=x).logits).attribute(
            pixels, task.reference(case), target, n_steps=CAPTUM_STEPS
        )
        patch = task.model.config.patch_size
        cells = torch.nn.functional.avg_pool2d(attributions.sum(1, keepdim=True), patch) * patch**2
        return torch.nn.functional.pad(cells.flatten(1), (1, 0)).float()
    ids, mask = case.call["input_ids"], case.call["attention_mask"]
    ig = LayerIntegratedGradients(
        lambda x, m: task.model(input_ids=x, attention_mask=m).logits, task.model.get_input_embeddings()
    )
    attributions = ig.attribute(
        ids, task.reference(case), target, (mask,), n_steps=CAPTUM_STEPS, internal_batch_size=10
    )
    return attributions.sum(-1).detach().float()


def fusions() -> dict[str, Fusion]:
    """The variants that are options of `Fusion`, each one step away from a starting point."""
    start, split = Fusion(), Fusion(sign="split")
    variants = {f"lam {lam:g}": replace(start, lam=lam) for lam in (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)}
    variants |= {f"split, lam {lam:g}": replace(split, lam=lam) for lam in (0.5, 0.8, 0.97)}
    variants["positive"] = replace(start, sign="positive")
    for scale in ("max", "sum"):
        for lam in (0.5, 0.9):
            variants[f"relevance by {scale}, lam {lam:g}"] = replace(start, relevance_scale=scale, lam=lam)
    variants["attention by max"] = replace(start, attention_scale="max")
    variants |= {f"residual {w:g}": replace(start, residual=w) for w in (0.0, 0.25, 0.5, 2.0, 4.0)}
    variants["rows not normalised"] = replace(start, normalise=False)
    return variants


def cheap(signals: Signals) -> Iterator[tuple[str, Tensor]]:
    """Variants by the signals that are there."""
    for name, fusion in fusions().items():
        yield name, signals.fuse(fusion)
    depth = signals.relevance.shape[1]
    parts = {
        "first half": slice(0, (depth + 1) // 2),
        "last half": slice(depth // 2, None),
        "all but the last": slice(0, -1),
    }
    for name, part in parts.items():
        for lam in (0.8, 1.0):
            yield f"layers: {name}, lam {lam:g}", signals.fuse(Fusion(lam=lam), part)
    content = (signals.mask & ~signals.special).double()
    yield "readout: mean of content", signals.fuse(Fusion(), readout=content / content.sum(1, keepdim=True))
    yield (
        "readout: mean of all",
        signals.fuse(Fusion(), readout=signals.mask / signals.mask.sum(1, keepdim=True).double()),
    )
    yield "lam by concentration", _adaptive(signals, Fusion())
    yield "split, lam by concentration", _adaptive(signals, Fusion(sign="split"))
    for part in (0.5, 0.8):
        yield f"relevance carried down, {part:g} straight", carried(signals, part)
    yield "ig", signals.relevance[:, 0].float()
    yield "layer_ig_mean", signals.relevance.mean(1).float()
    sizes = signals.relevance.abs().sum(2, keepdim=True).clamp_min(1e-30)
    yield "layers' mean, each over its sum of |r|", (signals.relevance / sizes).mean(1).float()


def carried(signals: Signals, straight: float) -> Tensor:
    """Every layer's relevance, over its largest, carried down to the input through the blocks below it.

    c_l = straight c_{l+1} + (1 - straight) c_{l+1} P_l + r_l / max|r_l|, P_l the rows of |G_l| over their sums.
    """
    flow = signals.maps.abs() / signals.maps.abs().sum(-1, keepdim=True).clamp_min(1e-30)
    relevance = signals.relevance / signals.relevance.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    scores = torch.zeros_like(relevance[:, 0])
    for layer in reversed(range(relevance.shape[1])):
        below = (scores[:, None] @ flow[:, layer])[:, 0]
        scores = straight * scores + (1 - straight) * below + relevance[:, layer]
    return scores.float()


def _adaptive(signals: Signals, fusion: Fusion) -> Tensor:
    """A lam for each input, the more concentrated of the two signals weighing more.

    lam = H(G) / (H(r) + H(G)), the mean over layers; H the entropy over tokens of |r|, and of what they receive in |G|.
    """
    relevance = _entropy(signals.relevance.abs())
    attention = _entropy(signals.maps.abs().sum(2))
    lam = float((attention / (relevance + attention).clamp_min(1e-12)).mean())
    return signals.fuse(replace(fusion, lam=lam))


def _entropy(weights: Tensor) -> Tensor:
    p = weights / weights.sum(-1, keepdim=True).clamp_min(1e-30)
    return -(p * p.clamp_min(1e-30).log()).sum(-1)


def dear(task: Task, case: Case, signals: Signals) -> Iterator[tuple[str, Tensor]]:
    """Variants that ask the model again: other references, outputs, heads and paths."""
    others = ("mean", "black") if task.kind == "image" else ("mask", "zero_embedding")
    for reference in others:
        again = read(task, case, baselines=reference)
        yield f"reference {reference}, ig", again.relevance[:, 0].float()
        yield f"reference {reference}", again.fuse(Fusion())
    for output in ("log_prob", "prob", "contrast"):
        yield f"output {output}", read(task, case, output=output).fuse(Fusion())
    weights, slopes = heads(task, case, signals.target)
    reductions: dict[str, Callable[[Tensor], Tensor]] = {
        "mean of positive parts": lambda g: g.clamp_min(0).mean(1),
        "largest in size": lambda g: g.gather(1, g.abs().argmax(1, keepdim=True)).squeeze(1),
        "sum over size": lambda g: (g * g.abs()).sum(1) / g.abs().sum(1).clamp_min(1e-30),
    }
    for name, reduce in reductions.items():
        yield f"heads: {name}", replace(signals, maps=reduce(weights * slopes)[None]).fuse(Fusion())
    path = integrated_slopes(task, case, signals.target)
    for lam in (0.0, 0.8):
        yield (
            f"attention along the path, lam {lam:g}",
            replace(signals, maps=(weights * path).mean(1)[None]).fuse(Fusion(lam=lam)),
        )
