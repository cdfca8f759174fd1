"""Extensions from outside the package: an encoder, a family, a method, a backend, by call and by entry point."""

import pytest
import torch
from torch import nn

import calig_fast
from calig_fast import Backend, Encoder, Family, Method, explain, ops
from calig_fast.methods import registry
from calig_fast.model import families

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
