"""Models of every kind, some of which cannot be explained."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from helpers.fuzz_calls import text_model
from helpers.fuzz_values import OwnError
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, SIZES, VOCABULARY, Residual, pixels

FEW = {**SIZES, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
SEEN = {**PICTURE, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}


class Small(nn.Module):
    """A text classifier of two blocks whose forward is made from its parts `embed`, `pass_on` and `answer`."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList([Residual(width, width, bias=False) for _ in range(2)])
        self.head = nn.Linear(width, 3)

    def logits(self, input_ids: Tensor) -> Tensor:
        h = self.words(input_ids)
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(1))

    def forward(self, input_ids: Tensor) -> Any:
        return self.logits(input_ids)


def _answering(change: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    """A maker of a model that returns something made of its logits."""

    class Answering(Small):
        def forward(self, input_ids: Tensor) -> Any:
            return change(self.logits(input_ids))

    return lambda: Answering()


def _called(forward: Any) -> Callable[[], nn.Module]:
    """A maker of a model with another forward."""
    return lambda: type("Called", (Small,), {"forward": forward})()


def _fail(error: type[BaseException]) -> Callable[[Tensor], Any]:
    def fail(_: Tensor) -> Any:
        raise error("of the model's own")

    return fail


ANSWERS: dict[str, Callable[[Tensor], Any]] = {
    "None": lambda z: None,
    "a text": lambda z: "positive",
    "an int": lambda z: int(z.argmax()),
    "a list": lambda z: z.tolist(),
    "an empty dict": lambda z: {},
    "a dict without tensors": lambda z: {"logits": "a"},
    "a dict of None": lambda z: {"logits": None},
    "a dict": lambda z: {"logits": z},
    "a dict of two": lambda z: {"a": z, "b": z[:, :1]},
    "an empty tuple": lambda z: (),
    "a tuple": lambda z: (z, z),
    "a loss and logits": lambda z: (z.sum(), z),
    "0-dim": lambda z: z.sum(),
    "a vector": lambda z: z[:, 0],
    "three axes": lambda z: z[:, None].expand(-1, 4, -1),
    "transposed": lambda z: z.T,
    "one row less": lambda z: z[1:],
    "one row": lambda z: z[:1],
    "one row more": lambda z: torch.cat([z, z[:1]]),
    "no classes": lambda z: z[:, :0],
    "complex": lambda z: z * 1j,
    "bools": lambda z: z > 0,
    "ints": lambda z: z.argmax(1),
    "halves": lambda z: z.half(),
    "doubles": lambda z: z.double(),
    "nan": lambda z: z * torch.nan,
    "inf": lambda z: z / 0,
    "detached": lambda z: z.detach(),
    "an array": lambda z: z.detach().numpy(),
    "sparse": lambda z: z.to_sparse(),
    "nested": lambda z: torch.nested.nested_tensor(list(z)),
    "a generator": lambda z: (row for row in z),
    "a module": lambda z: nn.Identity(),
    "rounded": lambda z: z.round(),
    "noise": lambda z: z + torch.rand_like(z),
    "constant": lambda z: torch.zeros_like(z, requires_grad=True),
    "probabilities": lambda z: z.softmax(1),
    "RuntimeError": _fail(RuntimeError),
    "KeyError": _fail(KeyError),
    "own error": _fail(OwnError),
    "StopIteration": _fail(StopIteration),
    "assertion": _fail(AssertionError),
    "MemoryError": _fail(MemoryError),
}


def _several_calls(self: Any, input_ids: Tensor) -> Tensor:
    return sum(self.logits(rows) for rows in (input_ids for _ in range(2)))


def _over_a_generator(self: Any, input_ids: Tensor) -> Tensor:
    return torch.stack([self.logits(row[None])[0] for row in (r for r in input_ids)])


def _in_inference_mode(self: Any, input_ids: Tensor) -> Tensor:
    with torch.inference_mode():
        return self.logits(input_ids)


def _counts(self: Any, input_ids: Tensor) -> Tensor:
    self.count = getattr(self, "count", 0) + 1
    return self.logits(input_ids) * self.count


def _changes_input(self: Any, input_ids: Tensor) -> Tensor:
    return self.logits(input_ids.clamp_(max=9))


FORWARDS: dict[str, Any] = {
    "no arguments": lambda self: self.logits(torch.zeros(1, 3, dtype=torch.int64)),
    "*args": lambda self, *args: self.logits(args[0]),
    "**kwargs": lambda self, **kwargs: self.logits(kwargs["input_ids"]),
    "*args, **kwargs": lambda self, *args, **kwargs: self.logits(args[0] if args else kwargs["input_ids"]),
    "keyword-only": lambda self, *, input_ids: self.logits(input_ids),
    "two needed": lambda self, input_ids, other: self.logits(input_ids) + other.sum(),
    "another default": lambda self, a=None, b=3: self.logits(b if a is None else a),
    "a mask": lambda self, x, mask=None: self.logits(x),
    "a mapping": lambda self, batch: self.logits(batch["input_ids"]),
    "twice": _several_calls,
    "generator": _over_a_generator,
    "inference mode": _in_inference_mode,
    "counts": _counts,
    "changes its input": _changes_input,
    "no blocks": lambda self, input_ids: self.head(self.words(input_ids).mean(1)),
    "one block": lambda self, input_ids: self.head(self.blocks[0](self.words(input_ids)).mean(1)),
    "words alone": lambda self, input_ids: self.words(input_ids),
    "not integers": lambda self, x: self.head(self.blocks[1](self.blocks[0](x)).mean(1)),
    "a float": lambda self, input_ids: self.logits(input_ids) * float(self.head.weight.sum()),
}


class NoParameters(nn.Module):
    """A model without parameters."""

    def forward(self, input_ids: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(input_ids, VOCABULARY).float().mean(1)


class Attended(nn.Module):
    """A text classifier of PyTorch's own encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        padding = None if attention_mask is None else attention_mask == 0
        return self.head(self.encoder(self.words(input_ids), src_key_padding_mask=padding)[:, 0])


class OddConfig(Small):
    """A model whose configuration holds nonsense."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type(
            "Config", (), {"id2label": 3, "label2id": [], "pad_token_id": "x", "num_labels": None, "problem_type": 1}
        )()


def _converted(change: Callable[[Any], Any], base: Callable[[], Any] = lambda: seeded(Small())) -> Callable[[], Any]:
    return lambda: change(copy.deepcopy(base()))


def _mixed(model: nn.Module) -> nn.Module:
    model.blocks[1].double()  # type: ignore[index,union-attr]
    return model


def _on_meta(model: nn.Module) -> nn.Module:
    model.head.to("meta")
    return model


def _quantised(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def _hooked(hook: Callable[..., Any]) -> Callable[[Any], Any]:
    def change(model: Any) -> Any:
        model.blocks[0].register_forward_hook(hook)
        return model

    return change


def _lora(model: nn.Module) -> Any:
    import peft

    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"]))


KINDS: dict[str, Callable[[], Any]] = {
    "float16": _converted(lambda m: m.half()),
    "bfloat16": _converted(lambda m: m.bfloat16()),
    "float64": _converted(lambda m: m.double()),
    "mixed dtypes": _converted(_mixed),
    "head on meta": _converted(_on_meta),
    "on meta": _converted(lambda m: m.to("meta")),
    "complex weights": _converted(lambda m: m.to(torch.complex64)),
    "quantised": _converted(_quantised),
    "DataParallel": _converted(nn.DataParallel),
    "traced": _converted(lambda m: torch.jit.trace(m, torch.ones(1, 4, dtype=torch.int64))),
    "scripted": _converted(torch.jit.script, lambda: nn.Sequential(nn.Embedding(60, 8), nn.Linear(8, 8))),
    "compiled": _converted(lambda m: torch.compile(m, backend="eager")),
    "exported": _converted(lambda m: torch.export.export(m, (torch.ones(1, 4, dtype=torch.int64),)).module()),
    "fx": _converted(torch.fx.symbolic_trace),
    "weight norm": _converted(lambda m: nn.utils.parametrizations.weight_norm(m.head) and m),
    "frozen": _converted(lambda m: m.requires_grad_(False)),
    "training": _converted(lambda m: m.train()),
    "nan weights": _converted(lambda m: m.head.weight.data.fill_(torch.nan) is not None and m),
    "hook of None": _converted(_hooked(lambda m, a, o: None)),
    "hook of a tuple": _converted(_hooked(lambda m, a, o: (o,))),
    "hook that raises": _converted(_hooked(lambda m, a, o: _fail(RuntimeError)(o))),
    "forward replaced": _converted(lambda m: setattr(m, "forward", lambda input_ids: input_ids) or m),
    "no parameters": NoParameters,
    "encoder layers": lambda: seeded(Attended()),
    "odd config": OddConfig,
    "sequential": lambda: nn.Sequential(nn.Embedding(60, 8), Residual(8, 8), Residual(8, 8), nn.Linear(8, 3)),
    "empty": nn.Module,
    "identity": nn.Identity,
    "a list": lambda: nn.ModuleList([nn.Linear(2, 2)]),
    "linear": lambda: nn.Linear(4, 2),
    "embedding": lambda: nn.Embedding(60, 4),
    "LSTM": lambda: nn.LSTM(4, 4),
    "bare BERT": lambda: text_model().bert,
    "BERT's blocks": lambda: text_model().bert.encoder,
    "LoRA": _converted(_lora, text_model),
    "BERT in halves": _converted(lambda m: m.bfloat16(), text_model),
    "BERT in float64": _converted(lambda m: m.double(), text_model),
    "BERT without blocks": _converted(lambda m: setattr(m.bert.encoder, "layer", nn.ModuleList()) or m, text_model),
    "BERT with None for a block": _converted(
        lambda m: m.bert.encoder.layer._modules.update({"1": None}) or m, text_model
    ),
    "Llama": lambda: _library("Llama"),
    "GPT2": lambda: _library("GPT2", n_embd=16, n_layer=2, n_head=2, n_positions=40),
    "T5": lambda: _library("T5", d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0),
    "DistilBert": lambda: _library("DistilBert", dim=16, n_layers=2, n_heads=2, hidden_dim=16),
    "tokens": lambda: _library("Bert", "TokenClassification"),
    "question": lambda: _library("Bert", "QuestionAnswering", num_labels=2),
    "masked words": lambda: _library("Bert", "MaskedLM"),
}


def _library(name: str, task: str = "SequenceClassification", **sizes: Any) -> Any:
    import transformers

    model = "ForQuestionAnswering" if task == "QuestionAnswering" else f"For{task}"
    config = getattr(transformers, f"{name}Config")(**{**FEW, **sizes, "eos_token_id": 2})
    return seeded(getattr(transformers, f"{name}{model}")(config), seed=3)


def _timm(name: str, **sizes: Any) -> Any:
    import timm

    return seeded(timm.create_model(name, num_classes=4, **sizes), seed=3)


class Convolved(nn.Module):
    """An image classifier of plain convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


def _vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return seeded(ViTForImageClassification(ViTConfig(**SEEN)), seed=3)


PICTURES: dict[str, Callable[[], Any]] = {
    "ViT": _vit,
    "timm ViT": lambda: _timm("vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=2),
    "timm ConvNeXt": lambda: _timm("convnext_atto", patch_size=2, depths=(1, 1, 2, 1), dims=(8, 8, 16, 16)),
    "timm Swin": lambda: _timm(
        "swin_tiny_patch4_window7_224", img_size=16, window_size=2, depths=(2, 2), num_heads=(2, 2), embed_dim=16
    ),
    "convolved": lambda: seeded(Convolved()),
    "ViT in halves": _converted(lambda m: m.half(), _vit),
    "grey ViT": lambda: _timm("vit_tiny_patch16_224", img_size=16, patch_size=4, in_chans=1, embed_dim=24, depth=2),
    "ViT in DataParallel": _converted(nn.DataParallel, _vit),
    "traced": _converted(lambda m: torch.jit.trace(m, pixels(1)), lambda: seeded(Convolved())),
    "on meta": _converted(lambda m: m.to("meta"), Convolved),
    "flat": lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 4)),
    "a residual net": lambda: _timm("resnet10t"),
}

MADE: dict[str, Callable[[], Any]] = {
    **KINDS,
    **{f"answers {name}": _answering(change) for name, change in ANSWERS.items()},
    **{f"takes {name}": _called(forward) for name, forward in FORWARDS.items()},
}
