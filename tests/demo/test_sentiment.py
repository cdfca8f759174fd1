"""Low-rank changes of the weights, and ratings that are not in their archive."""

import pytest
import torch

from calig_fast.demo import sentiment


def test_low_rank_changes_are_added_to_the_weights():
    base = {"w": torch.eye(3), "other": torch.ones(2)}
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [0.0], [-1.0]])
    merged = sentiment.merge(base, {"w.A": a, "w.B": b, "head": torch.zeros(1)})
    want = torch.tensor([[2.0, 2.0, 3.0], [0.0, 1.0, 0.0], [-1.0, -2.0, -2.0]])
    assert torch.equal(merged["w"], want)
    assert set(merged) == {"w", "head"}


def test_an_archive_without_the_ratings_is_named(monkeypatch, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / sentiment.ARCHIVE, "w:gz"):
        pass
    monkeypatch.setenv("CALIG_FAST_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="delete it and download it again"):
        sentiment.split()
