"""Encoders that families know, the functions that wrap them, and comparison with Captum."""

import copy
from functools import cache

import captum.attr as captums
import torch
from torch import nn

from calig_fast import captum as ours
from calig_fast.model import families
from helpers.tiny_models import tiny
from helpers.toys import alike

STEPS = 4


@cache
def model_of(kind, dtype=torch.float32):
    return copy.deepcopy(tiny(kind)).to(dtype)


def blocks_of(model):
    return [model.get_submodule(name) for name in families.find(model).blocks]


def embeddings_of(model):
    """Return the module that computes the hidden state of the first block, or the first part of it."""
    return next(m for n, m in model.named_modules() if n.endswith(("embeddings", "patch_embed")))


def is_basic(model):
    """Return True if the blocks compute what Captum's native classes know."""
    read = families.find(model).block
    return all(read(block).basic for block in blocks_of(model))


def words_of(model):
    return model.get_input_embeddings()


def text(model):
    return lambda i, mask=None: model(i, attention_mask=mask).logits


def vectors(model):
    return lambda e, mask=None: model(inputs_embeds=e, attention_mask=mask).logits


def image(model):
    return lambda x: getattr(model(x), "logits", None) if hasattr(model, "config") else model(x)


def compare(name, forward, args, layer=(), native=True, **options):
    options = {"target": [1, 2], "n_steps": STEPS, "return_convergence_delta": True, **options}
    mine = getattr(ours, name)(forward, *layer)
    found = mine.attribute(args, **options)
    alike(found, getattr(captums, name)(forward, *layer).attribute(args, **options))
    assert (mine.engine == "native") is native, mine.not_native
    assert bool(mine.not_native) is not native
    return mine


class Wrapper(nn.Module):
    """A head of the caller's own over a backbone: the mean of all real tokens, then a softmax."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.out = backbone, nn.Linear(24, 4)

    def forward(self, ids, mask):
        hidden = self.backbone(ids, attention_mask=mask).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.softmax(self.out(mean), -1)
