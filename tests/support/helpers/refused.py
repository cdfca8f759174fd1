"""Models, tokenizers and calls that `explain` refuses, for the page of errors."""

import copy
import importlib
import sys
from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

from calig_fast import Explainer, explain, ops
from helpers.tiny_models import SIZES, Linear, ids, pixels, tiny

X = ids(7)
P = pixels(1)


class Words:
    """A tokenizer that makes one token a word, class and separator token around."""

    all_special_ids, unk_token_id, pad_token_id, model_max_length = (1, 2), None, 0, 40

    def __call__(self, first, second=None, **options):
        from transformers import BatchEncoding

        rows = [[1, *(5 + len(w) % 50 for w in text.split()), 2] for text in first]
        if options.get("truncation"):
            rows = [row[: options["max_length"]] for row in rows]
        if "return_tensors" not in options:
            return {"input_ids": rows}
        longest = max(map(len, rows))
        table = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return BatchEncoding({"input_ids": table, "attention_mask": (table != 0).long()})

    def convert_ids_to_tokens(self, values):
        return [str(v) for v in values]


def poisoned():
    model = copy.deepcopy(tiny("bert"))
    with torch.no_grad():
        model.classifier.bias[0] = float("nan")
    return model


def quantised():
    return torch.ao.quantization.quantize_dynamic(copy.deepcopy(tiny("bert")), {nn.Linear}, torch.qint8)


def packing():
    model = copy.deepcopy(tiny("bert"))
    model.classifier.support_avx512bf16_for_cpu = True  # as the layers of bitsandbytes are marked
    return model


def offloaded():
    """A model as accelerate leaves it between two calls where it offloads weights."""
    model = copy.deepcopy(tiny("bert"))
    model.classifier.to("meta")._hf_hook = SimpleNamespace(offload=True)
    return model


def alike():
    model = copy.deepcopy(tiny("bert"))
    model.config.id2label = dict.fromkeys(range(4), "x")
    return model


def regression():
    model = copy.deepcopy(tiny("bert"))
    model.config.problem_type = "regression"
    return model


class SentenceTransformer(nn.Sequential):
    """Known by its name."""


class ZeroShot:
    """As a pipeline of transformers."""

    task, tokenizer, model = "zero-shot-classification", Words(), nn.Linear(2, 2)


class Segments(Words):
    """Tells the texts of a pair apart."""

    def __call__(self, first, second=None, **options):
        found = super().__call__(first, second, **options)
        if "return_tensors" in options:
            found["token_type_ids"] = torch.ones_like(found["input_ids"])
        return found


class Needing(Linear):
    """Has a second argument without a default."""

    def forward(self, input_ids, factor):
        return super().forward(input_ids) * factor


class FullyShardedDataParallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.module = nn.Linear(2, 2)


def altered():
    """A BERT with a second block that computes something else than its original class."""
    model = copy.deepcopy(tiny("bert"))
    layer = model.bert.encoder.layer[1]
    kind = type(layer)
    layer.__class__ = type(
        "Odd", (kind,), {"forward": lambda self, *args, **more: 1.1 * kind.forward(self, *args, **more)}
    )
    return model


def long_bert():
    """A BERT that reads 2,000 tokens."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(**{**SIZES, "hidden_size": 96, "intermediate_size": 384, "max_position_embeddings": 2000})
    ).eval()


def left_padded():
    call = ids(6)
    wide = {"input_ids": torch.cat([torch.zeros(1, 2, dtype=torch.int64), call["input_ids"]], 1)}
    return {**wide, "attention_mask": (wide["input_ids"] != 0).long()}


class NoWords(nn.Module):
    """Reads embeddings: there is no word embedding for a baseline."""

    def __init__(self):
        super().__init__()
        self.stack = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.unused = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, inputs_embeds):
        h = inputs_embeds
        for block in self.stack:
            h = block(h)
        return h.sum(1)


class Merging(Linear):
    """Halves its tokens between its blocks."""

    def forward(self, input_ids):
        h = self.words(input_ids)
        return self.head(self.blocks[1](self.blocks[0](h)[:, ::2]).sum(1))


class Shorter(Linear):
    """Drops the last token."""

    def forward(self, input_ids):
        h = self.words(input_ids)[:, :-1]
        for block in self.blocks:
            h = block(h)
        return self.head(h.sum(1))


class Listless(nn.Module):
    """A bag of words without blocks."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(60, 8), nn.Linear(8, 3)

    def forward(self, input_ids):
        return self.head(self.words(input_ids).mean(1))


class Hashed(Linear):
    """Looks its words up by a hash of their ids."""

    def forward(self, input_ids):
        return super().forward(input_ids * 7 % 60)


class Deaf(Linear):
    """Does not read its ids."""

    def forward(self, input_ids):
        return super().forward(torch.zeros_like(input_ids))


class Noisy(Linear):
    """Draws random numbers in its head."""

    def forward(self, input_ids):
        return super().forward(input_ids) + torch.rand(len(input_ids), 1)


class Folded(Linear):
    """Folds pairs of tokens into the axis of inputs before each block."""

    def forward(self, input_ids):
        h = self.words(torch.cat([input_ids, input_ids], 1)).unflatten(1, (-1, 2)).flatten(0, 1)
        for block in self.blocks:
            h = block(h)
        return self.head(h.unflatten(0, (len(input_ids), -1)).sum((1, 2)))


class Widthless(Linear):
    """Keeps its states on a grid, in blocks that do not tell the axis of width."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Tanh()) for _ in range(2))

    def forward(self, input_ids):
        h = self.words(input_ids)[:, :, None]
        for block in self.blocks:
            h = block(h)
        return self.head(h.sum((1, 2)))


class Pooling(Merging):
    """A block that halves its tokens itself."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.MaxPool1d(2), nn.MaxPool1d(2)])

    def forward(self, input_ids):
        h = self.words(input_ids)
        for block in self.blocks:
            h = block(h)
        return h.sum(1)


def encoder_decoder():
    """A model that says that it has a decoder, which reads the text too."""
    model = Linear()
    model.config = SimpleNamespace(is_encoder_decoder=True)
    return model


def two_heads():
    """A BERT whose answer is that of another one too."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = copy.deepcopy(tiny("bert")), copy.deepcopy(tiny("bert"))

        def forward(self, input_ids, attention_mask=None):
            return self.one(input_ids, attention_mask).logits + self.other(input_ids, attention_mask).logits

    return Both()


def moody():
    """A BERT that answers otherwise than its own modules do."""
    model = copy.deepcopy(tiny("bert"))

    def call(self, *args, **kwargs):
        out = nn.Module.__call__(self, *args, **kwargs)
        out.logits = out.logits + 1 if self is model else out.logits
        return out

    model.__class__ = type("Moody", (type(model),), {"__call__": call})
    return model


def failing():
    return {"input_ids": X["input_ids"], "token_type_ids": torch.full_like(X["input_ids"], 9)}


def replaced():
    model = copy.deepcopy(tiny("bert"))
    model.classifier.forward = lambda x: x
    return model


def token_model():
    from transformers import BertConfig, BertForTokenClassification

    from helpers.tiny_models import SIZES

    return BertForTokenClassification(BertConfig(**SIZES))


def autoencoder():
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return ViTMAEForPreTraining(
        ViTMAEConfig(**sizes, image_size=8, patch_size=4, decoder_hidden_size=16, decoder_num_hidden_layers=1)
    )


def bert(inputs=X, **options):
    return lambda: explain(tiny("bert"), inputs, **options)


def vit(inputs=P, **options):
    return lambda: explain(tiny("vit"), inputs, **options)


def biased(bias):
    return lambda: ops.attention_forward(torch.zeros(2, 3, 1, 4), torch.tensor([0, 2]), 2, 0.5, bias)


def text(inputs, **options):
    return lambda: Explainer(tiny("bert"), Words())(inputs, **options)


class Failing(Linear):
    """Fails at every input."""

    def forward(self, input_ids):
        raise RuntimeError("no head today")


def without(library, module):
    """Import a module as where the library is not installed."""
    hidden = dict.fromkeys((library, f"{library}.pytorch", f"pytorch_{library}"))
    with mock.patch.dict(sys.modules, hidden):
        sys.modules.pop(module, None)
        importlib.import_module(module)


def picture():
    from PIL import Image

    return Image.new("RGB", (16, 16))


def one_logit():
    from transformers import BertConfig, BertForSequenceClassification

    from helpers.tiny_models import SIZES

    return BertForSequenceClassification(BertConfig(**{**SIZES, "num_labels": 1}))
