"""Modules by their names, and names of modules."""

from helpers.tiny_models import Linear

from calig_fast.model.encoder import Encoder, children, name_of


def test_children_of_a_list():
    model = Linear()
    assert children(model, "blocks") == ("blocks.0", "blocks.1")
    assert children(model, "layers") == ()


def test_names():
    model = Linear()
    assert name_of(model, model.blocks[1]) == "blocks.1"
    assert name_of(model, Linear()) is None
    assert name_of(model, None) is None


def test_what_a_family_need_not_tell():
    found = Encoder("layers", "text", ("blocks.0",))
    assert (found.embedding, found.read, found.stem, found.prefix) == (None, None, None, 0)
