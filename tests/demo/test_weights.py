"""The shipped weights: small, of stated origin, and refused where they do not fit."""

from pathlib import Path

import pytest

from calig_fast import demo
from calig_fast.demo import weights


def test_the_shipped_weights_are_small_and_their_origin_is_stated():
    files = sorted(weights.DATA.glob("*.safetensors"))
    assert {f.stem for f in files} == set(demo.NAMES)
    assert sum(f.stat().st_size for f in files) < 4_000_000
    table = (weights.DATA.parent / "WEIGHTS.md").read_text(encoding="utf-8")
    root = Path(demo.__file__).parents[2]
    for name in demo.NAMES:
        made = weights.metadata(name)
        assert f"{float(made['accuracy']):.1%}" in table.replace(" %", "%")
        assert made["script"] in table
        assert (root / made["script"]).is_file() or not (root / "examples").is_dir()


def test_weights_that_do_not_fit_are_refused():
    from transformers import ViTForImageClassification

    from calig_fast.demo import fashion

    state = weights.read("fashion")
    state.pop("classifier.weight")
    with pytest.raises(ValueError, match=r"do not fit ViTForImageClassification: classifier\.weight"):
        weights.build(ViTForImageClassification, fashion.config(), state)
