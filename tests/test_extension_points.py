"""Extensions from outside the package: an encoder, a family, a method, a backend, by call and by entry point."""

import pytest
import torch
from torch import nn

import calig_fast
from calig_fast import Backend, Encoder, Family, Method, explain, ops
from calig_fast.methods import registry
from calig_fast.model import families
from calig_fast.ops import backend

IDS = torch.tensor([[5, 9, 12, 7]])


class Unknown(nn.Module):
    """A classifier that no family of the package knows."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(60, 24)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(24, 3, 40, batch_first=True, dropout=0.0) for _ in range(2)
        )
        self.head = nn.Linear(24, 3)

    def forward(self, input_ids):
        x = self.words(input_ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Unknown().eval()


PLACES = Encoder(family="mine", modality="text", blocks=("blocks.0", "blocks.1"))


def test_an_encoder_is_taken_as_it_is(model):
    named = explain(model, IDS, baselines=0, method="layer_ig", layers="blocks")
    given = explain(model, IDS, baselines=0, method="layer_ig", encoder=PLACES)
    assert torch.equal(named.scores, given.scores)
    assert given.settings.family == "mine"


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        ("blocks", TypeError, "encoder: expected an Encoder, got str"),
        (Encoder("mine", "text", ("blocks.7",)), ValueError, r"encoder: its blocks \['blocks.7'\] are not modules"),
        (Encoder("mine", "text", ()), ValueError, "encoder: its blocks"),
    ],
)
def test_an_encoder_of_another_model_is_refused(model, encoder, error, message):
    with pytest.raises(error, match=message):
        explain(model, IDS, encoder=encoder)


def test_a_registered_family_is_found(model):
    assert explain(model, IDS, baselines=0, method="layer_ig").settings["family"] == "unknown"
    calig_fast.register_family(Family("mine", lambda module, prefix: PLACES if isinstance(module, Unknown) else None))
    a = explain(model, IDS, baselines=0, method="layer_ig")
    assert a.settings["family"] == "mine"
    assert "mine" in families.names()


def test_a_registered_method_is_known_by_its_name_and_as_an_object(model):
    def read(signals):
        return signals.relevance.mean(1), signals.relevance

    mine = Method("layer_mean", "layer", None, read)
    options = {"baselines": 0, "layers": "blocks"}
    a = explain(model, IDS, method=mine, **options)
    torch.testing.assert_close(a.scores, a.layer_scores.mean(1))
    with pytest.raises(ValueError, match="'layer_mean' is not one of"):
        explain(model, IDS, method="layer_mean", **options)
    assert calig_fast.register_method(mine) is mine
    assert torch.equal(explain(model, IDS, method="layer_mean", **options).scores, a.scores)


def test_a_registered_backend_runs_and_auto_takes_it_by_its_priority(monkeypatch):
    x = torch.randn(3, 8)
    args = (torch.randn(3, 8), x, x.mean(1, keepdim=True), torch.ones(3, 1))
    monkeypatch.delenv("CALIG_FAST_BACKEND", raising=False)
    before = ops.resolve("auto", x)
    plain = Backend("mine", -1, lambda: None, module=lambda package: f"{package}.pytorch")
    calig_fast.register_backend(plain)
    assert ops.resolve("auto", x) == before
    assert ops.resolve("mine", x) == "mine"
    assert torch.equal(ops.norm_backward(*args, backend="mine"), ops.norm_backward(*args, backend="torch"))
    calig_fast.register_backend(Backend("first", 99, lambda: None, module=plain.module))
    assert ops.resolve("auto", x) == "first"
    calig_fast.register_backend(Backend("absent", 100, lambda: "no such machine", module=plain.module))
    assert ops.resolve("auto", x) == "first"
    with pytest.raises(RuntimeError, match="'absent' cannot run: no such machine"):
        ops.norm_backward(*args, backend="absent")


def test_a_backend_registered_anew_takes_the_place_of_the_first(monkeypatch):
    monkeypatch.delenv("CALIG_FAST_BACKEND", raising=False)
    x = torch.randn(3, 8)
    for reason, folder in (("no such machine", "{}.pytorch"), (None, "{}.pytorch"), (None, "no.such.module")):
        calig_fast.register_backend(Backend("again", -2, lambda reason=reason: reason, folder.format))
        there = folder == "{}.pytorch"
        assert ops.backends()["again"] == (reason if there else "no kernels in this release")
    assert ops.resolve("again", x) != "again"


def scored(read):
    return lambda: explain(Unknown().eval(), IDS, baselines=0, method=Method("own", "none", None, read))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Method("", "none", None, len), "name: expected the name of the method"),
        (lambda: Method("own", "path", None, len), "integral: expected one of"),
        (lambda: Method("own", "none", "grad", len), "maps: expected one of"),
        (lambda: Method("own", "none", None, lambda: None), "read: expected a function of the signals"),
        (lambda: Method("own", "none", None, len, fusion="split"), "fusion: expected None or a Fusion"),
        (scored(lambda s: None), "method: the read of .* must return two tensors of real numbers"),
        (scored(lambda s: (s.product.sum(1).tolist(), s.product)), "method: .* two tensors of real numbers"),
        (scored(lambda s: (s.product, s.product)), "method: .* must return scores"),
        (lambda: Family("", len), "name: expected the name of the family"),
        (lambda: Family("own", lambda module: None), "encoder: expected a function of a module and its dotted name"),
        (lambda: Family("own", lambda module, prefix: None, 3), "refusal: expected a function of a module"),
        (lambda: Backend(["own"], 0, lambda: None), "name: expected the name of the backend"),
        (lambda: Backend("own", "high", lambda: None), "priority: expected an int"),
        (lambda: Backend("own", 0, "yes"), "available: expected a function without arguments"),
        (lambda: Backend("own", 0, lambda: None, "module"), "module: expected None or a function"),
    ],
)
def test_parts_of_another_kind_are_named(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    ("encoder", "refusal", "words"),
    [
        (lambda module, prefix: "blocks", lambda module: None, "encoder: that of the family .* must return an Encoder"),
        (lambda module, prefix: Encoder("own", "text", ("nowhere",)), lambda module: None, "encoder: its blocks"),
        (lambda module, prefix: None, lambda module: 3, "refusal: that of the family .* must return a text or None"),
    ],
)
def test_families_that_return_something_else_are_named(encoder, refusal, words, monkeypatch):
    monkeypatch.setattr(families, "_registered", {})
    calig_fast.register_family(Family("own", encoder, refusal))
    with pytest.raises((TypeError, ValueError), match=words):
        explain(Unknown().eval(), IDS, baselines=0)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((lambda: False,), "available: that of the backend .* must return the reason"),
        ((lambda: None, lambda package: 3), "module: that of the backend .* must return a module's name or None"),
        ((lambda: None, lambda package: "os"), "module: that of the backend .* names os, which has no function"),
    ],
)
def test_backends_that_return_something_else_are_named(parts, words, monkeypatch):
    monkeypatch.delenv("CALIG_FAST_BACKEND", raising=False)
    monkeypatch.setattr(backend, "_registered", {})
    try:
        calig_fast.register_backend(Backend("odd", -3, *parts))
        with pytest.raises((TypeError, ValueError), match=words):
            ops.resolve("odd", torch.randn(3, 8))
    finally:
        backend.known.cache_clear()


@pytest.mark.parametrize(
    ("register", "value", "taken"),
    [
        (calig_fast.register_method, Method("calig", "none", None, lambda s: (s.product[:, 0], s.product)), "method"),
        (calig_fast.register_family, Family("bert", lambda module, prefix: None), "family"),
        (calig_fast.register_backend, Backend("cpu", 1, lambda: None), "backend"),
    ],
)
def test_names_of_the_package_stay_its_own_and_other_objects_are_refused(register, value, taken):
    with pytest.raises(ValueError, match=f"{taken}: .* of calig_fast; choose another name"):
        register(value)
    with pytest.raises(TypeError, match=f"{taken}: expected a"):
        register("calig")


def test_an_entry_point_is_loaded_and_a_broken_one_warned_of(monkeypatch):
    class Entry:
        def __init__(self, name, value):
            self.name, self.value = name, "package:" + name
            self._found = value

        def load(self):
            if isinstance(self._found, Exception):
                raise self._found
            return self._found

    mine = Method("from_a_package", "none", None, lambda s: (s.product[:, 0], s.product))
    entries = [Entry("good", mine), Entry("broken", ImportError("no module")), Entry("strange", 3)]
    monkeypatch.setattr("calig_fast._utils.entry_points.entry_points", lambda group: entries)
    registry._installed.cache_clear()
    try:
        with pytest.warns(UserWarning, match="broken of package:broken cannot be loaded|strange is a int"):
            assert registry.methods()["from_a_package"] is mine
    finally:
        monkeypatch.undo()
        registry._installed.cache_clear()
    assert "from_a_package" not in registry.methods()
