"""Calls at random: every public function with good values of its arguments, and values that nearly are."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from calig_fast import Explainer, Fusion, Method, explain
from calig_fast.methods.registry import methods, register_method
from calig_fast.monitor import Monitor, Probe
from helpers.fuzz_values import Values, fails, plain
from helpers.real_models import seeded
from helpers.synthetic import REVIEW, of_texts, read
from helpers.tiny_models import PICTURE, SIZES, Linear, ids, pixels

Pools = dict[str, Values]


@dataclass(frozen=True)
class Surface:
    """One function that is called.

    Args:
        name: of it.
        call: takes the arguments by name.
        good: for each argument values that it takes.
        near: for each argument values that are nearly right; not all are wrong.
        always: arguments that are never left out.
        weight: how often it is drawn.
        fixed: arguments that take good and nearly right values alone.
        natural: its errors are Python's own, and need not name an argument.
    """

    name: str
    call: Callable[..., Any]
    good: Pools
    near: Pools = field(default_factory=dict)
    always: tuple[str, ...] = ()
    weight: int = 1
    natural: bool = False
    fixed: tuple[str, ...] = ()


@functools.cache
def text_model() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {**SIZES, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    return seeded(BertForSequenceClassification(BertConfig(**sizes)), seed=3)


@functools.cache
def image_model() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {**PICTURE, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    return seeded(ViTForImageClassification(ViTConfig(**sizes)), seed=3)


@functools.cache
def linear_model() -> Any:
    return seeded(Linear(), seed=3)


MODELS: dict[str, Callable[[], nn.Module]] = {"text": text_model, "image": image_model, "linear": linear_model}


@functools.cache
def found(kind: str = "text") -> Any:
    """An explanation to index, show and measure."""
    if kind == "text":
        return explain(text_model(), ids(6, 4), n_steps=1)
    if kind == "image":
        return explain(image_model(), pixels(2), n_steps=1, return_maps=True)
    if kind == "all":
        return explain(text_model(), ids(6, 4), n_steps=1, target="all")
    if kind == "words":
        return of_texts([read(REVIEW[:60]), read("two words")], layers=2)
    return found("text")[0]


EXPLANATIONS: Values = {kind: functools.partial(found, kind) for kind in ("text", "image", "all", "words", "single")}
OWN_METHOD = Method("own", "none", None, lambda s: (s.product.sum(1), s.product))
OPTIONS: Pools = {
    "target": {**plain(None, 0, 3, "all", [1, 2]), "tensor": lambda: torch.tensor([1, 0])},
    "baselines": {
        **plain(None, "zero_embedding", "zeros", 0, ["zero_embedding", "zeros"]),
        "embedding": lambda: torch.zeros(16),
        "several": lambda: (0, torch.zeros(16)),
    },
    "method": {
        **plain(*methods()),
        "Fusion": lambda: Fusion(sign="split"),
        "Method": lambda: OWN_METHOD,
    },
    "output": {
        **plain("logit", "prob", "log_prob"),
        "function": lambda: lambda out: logits(out)[:, 0],
        "function of rows": lambda: lambda out, rows: logits(out)[:, 0] * (rows + 1),
    },
    "layers": {**plain(None, [0], [0, 1], 1, -1, range(2), (1,)), "array": lambda: np.array([0, 1])},
    "n_steps": {**plain(None, 1, 3, 8), "np": lambda: np.int64(4)},
    "quadrature": plain("auto", "gausslegendre", "corrected_trapezoid", "riemann_left", "riemann_trapezoid"),
    "tolerance": {**plain(2e-2, 0.5, 1), "np": lambda: np.float32(0.1)},
    "certify": plain("layers", "scores"),
    "guarantee": plain("layers", "scores", "top-k"),
    "k": plain(1, 3, 10**6),
    "lam": plain(None, 0, 0.5, 1),
    "dtype": plain(None, torch.float32, torch.float64, torch.bfloat16),
    "memory_budget": plain(None, 2**20, 2**26),
    "engine": plain("auto", "autograd", "native"),
    "backend": plain("auto", "torch", "cpu"),
    "progress": {**plain(None, False), "function": lambda: lambda done, total: None},
    "return_maps": plain(False, True),
    "long_texts": plain("cut", "windows"),
    "stride": plain(None, 0, 3),
}
NEAR: Pools = {
    "target": plain(4, -1, [0], [[0, 1], [2, 3]], [[0, 1], [2]], "sport", (0, 1), [0, 1, 2], ["0"]),
    "baselines": {
        **plain("mask", "blur", "black", 99, -1, [0, 0], 0.5),
        "ids": lambda: torch.zeros(6, dtype=torch.int64),
        "few ids": lambda: torch.zeros(5, dtype=torch.int64),
        "nan": lambda: torch.full((16,), torch.nan),
        "half": lambda: torch.zeros(16, dtype=torch.float16),
        "complex": lambda: torch.zeros(16, dtype=torch.complex64),
        "bools": lambda: torch.zeros(6, dtype=torch.bool),
        "array": lambda: np.zeros(16, dtype=np.float32),
        "pixels": lambda: pixels(1),
        "meta": lambda: torch.zeros(16, device="meta"),
    },
    "method": {**plain("lime", "CALIG", ["calig"], ("ig",)), "class": lambda: Fusion, "partial": lambda: {"lam": 0.5}},
    "output": {
        **plain("margin", ["logit"], "Logit", "contrast"),
        "number": lambda: lambda out: 1.0,
        "matrix": lambda: lambda out: logits(out),
        "scalar": lambda: lambda out: logits(out).sum(),
        "none": lambda: lambda out: None,
        "detached": lambda: lambda out: logits(out)[:, 0].detach(),
        "ints": lambda: lambda out: logits(out).argmax(1),
        "nan": lambda: lambda out: logits(out)[:, 0] * torch.nan,
        "inf": lambda: lambda out: logits(out)[:, 0] / 0,
        "complex": lambda: lambda out: logits(out)[:, 0] * 1j,
        "double": lambda: lambda out: logits(out)[:, 0].double(),
        "list": lambda: lambda out: list(logits(out)[:, 0]),
        "array": lambda: lambda out: logits(out)[:, 0].detach().numpy(),
        "fails": lambda: fails,
        "no argument": lambda: lambda: 0,
        "keyword only": lambda: lambda *, out: logits(out)[:, 0],
        "module": lambda: nn.Identity(),
        "constant": lambda: lambda out: torch.zeros(len(logits(out))),
        "leaf": lambda: lambda out: torch.zeros(len(logits(out)), requires_grad=True),
    },
    "layers": plain(
        [7], [], [0, 0], [True], [0, "x"], "bert.encoder.layer", ["bert"], "nowhere", [-5], [[0]], [0.0], ""
    ),
    "n_steps": plain(0, -3, 2.0, 10**6, 10**9, True),
    "quadrature": plain("simpson", "AUTO", ["auto"], ("auto",)),
    "tolerance": plain(0, -1e-3, None, "0.01", [0.01]),
    "certify": plain("tokens", [], None, ("scores",), True),
    "guarantee": plain("tokens", [], ("scores",), True, 1),
    "k": plain(0, -1, 2.5, "3", [], True, 10**30),
    "lam": plain("0.5", 1.2, -0.1, [0.5], True),
    "dtype": plain(torch.int8, "float32", torch.complex64, float, "bfloat16", [torch.float32]),
    "memory_budget": plain(100, "1 GB", 2.0**20, True, 2**80, 1e9),
    "engine": plain("eager", {}, ["native"], None, "reference"),
    "backend": plain("opencl", {}, ["torch"], None, "cuda", "triton"),
    "progress": {**plain(1, "yes"), "no argument": lambda: lambda: None, "fails": lambda: fails},
    "return_maps": plain("yes", 2, None, []),
    "long_texts": plain("slide", "WINDOWS", None, True, ["windows"], 0),
    "stride": plain(-1, 2.0, "3", True, 10**9, 2**80),
    "inputs": {
        **plain(None, 3.5, "a text", [], [[1, 5, 2]], ["a", 2], {}),
        "labels alone": lambda: {"labels": torch.tensor([1])},
        "pixels": lambda: pixels(1),
        "too long": lambda: ids(41),
        "range": lambda: torch.tensor([[1, 99, 2]]),
        "no mask": lambda: {**ids(5), "attention_mask": torch.ones(1, 4)},
        "objects": lambda: {"input_ids": "abc"},
    },
    "processor": {"len": lambda: len, "fails": lambda: fails, "empty": lambda: object()},
    "encoder": plain("bert.encoder", ["bert.encoder.layer.0"]),
}
TEXTS: Values = {"ids": lambda: ids(6, 4), "one": lambda: ids(5), "tensor": lambda: ids(6)["input_ids"]}
IMAGES: Values = {"two": lambda: pixels(2), "one": lambda: pixels(1), "alone": lambda: pixels(1)[0]}


def logits(out: Any) -> Any:
    """The logits of a model's output, also where it is them."""
    return getattr(out, "logits", out)


def _explained(model: Any = None, kind: str = "text", **arguments: Any) -> Any:
    return explain(MODELS[kind]() if model is None else model, **arguments)


def _own_model(**arguments: Any) -> Any:
    return explain(linear_model(), **{"layers": "blocks", "method": "layer_ig", "baselines": 0, **arguments})


def _later(inputs: Any, **options: Any) -> Any:
    return Explainer(text_model())(inputs, **options)


def _image_options() -> Pools:
    return {**OPTIONS, "baselines": {**plain(None, "blur", "mean", "zeros", 0.0), "pixels": lambda: pixels(1)}}


EXPLAIN = [
    Surface("explain(text)", _explained, {"inputs": TEXTS, **OPTIONS}, NEAR, ("inputs",), 60),
    Surface(
        "explain(image)",
        functools.partial(_explained, kind="image"),
        {"inputs": IMAGES, **_image_options()},
        NEAR,
        ("inputs",),
        20,
    ),
    Surface(
        "explain(own model)",
        _own_model,
        {"inputs": {"ids": lambda: ids(5)["input_ids"]}, **OPTIONS},
        NEAR,
        ("inputs",),
        8,
    ),
    Surface(
        "explain(model)", _explained, {"model": {"text": text_model}, "inputs": TEXTS}, NEAR, ("model", "inputs"), 3
    ),
    Surface("Explainer()(...)", _later, {"inputs": TEXTS, **OPTIONS}, NEAR, ("inputs",), 15),
    Surface(
        "Fusion",
        Fusion,
        {
            "lam": plain(0.5, 0, 1),
            "relevance_scale": plain("max_t", "sum"),
            "attention_scale": plain("max", "none"),
            "residual": plain(1.0, 0),
            "normalise": plain(True, False),
            "sign": plain("signed", "split"),
        },
        weight=4,
    ),
    Surface("register_method", register_method, {"method": {"own": lambda: OWN_METHOD}}, always=("method",)),
]


PROBES: Values = {
    "ids": lambda: ids(6, 4),
    "Probe": lambda: Probe(ids(5)),
    "list": lambda: [ids(5), Probe(ids(4), 1, "b")],
}


def _watched(step: Any = None, html: Any = None, **arguments: Any) -> Any:
    monitor = Monitor(text_model(), **arguments)
    monitor.step(step)
    monitor.look()
    monitor.html(html)
    monitor.close()
    return monitor.share


MONITOR = [
    Surface(
        "Monitor",
        _watched,
        {
            "probes": PROBES,
            "every": plain(1, 3),
            "overhead": plain(0.02, 1, 0.5),
            "log": {**plain(None, "looks.jsonl"), "function": lambda: lambda record: None},
            "page": plain(None, "looks.html"),
            "certify": plain(None, "layers", "scores"),
            "tolerance": plain(None),
            "strict": plain(True, False),
            "step": plain(None, 3),
            "html": plain(None, "m.html"),
            "method": OPTIONS["method"],
            "baselines": OPTIONS["baselines"],
            "layers": OPTIONS["layers"],
            "output": OPTIONS["output"],
        },
        {
            **NEAR,
            "probes": {
                **plain([], {}, "a text", [1], None, [[]], 3),
                "twice": lambda: [Probe(ids(5), name="a"), Probe(ids(5), name="a")],
                "several": lambda: Probe(ids(5, 4)),
            },
            "every": plain(0, 1.0, "1", True),
            "overhead": plain(0, 2, "0.1", True),
            "log": plain(3, "", "no/such/looks.jsonl", [None], [[None]], "."),
            "page": plain("", ".", 3, True),
            "strict": plain("yes", None),
            "step": plain(-1, 1.5, "3"),
            "html": plain("", ".", "no/where/x.html", 3),
        },
        ("probes",),
        12,
    ),
    Surface(
        "Probe",
        Probe,
        {
            "inputs": {**PROBES, **plain("a text", ("a", "b"))},
            "target": plain(None, 1, (0, 1)),
            "name": plain(None, "a"),
        },
        {"target": plain([0, 1], (0, 1, 2), "0", 1.0), "name": plain(3, "", [])},
        ("inputs",),
        3,
    ),
]
