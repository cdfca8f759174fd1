"""Tables of pandas, Arrow and Parquet hold what the records hold, at any size; a missing package is named."""

import errno
import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.exported import exported
from helpers.synthetic import of_texts

from calig_fast import Text, Word
from calig_fast._utils import files

CASES = exported()
ROOT = Path(__file__).parents[2]


def plain(rows):
    """Rows that can be compared: nan and a missing number are one."""
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def tables():
    found = []
    for name, a in CASES.items():
        for by in ("token", "word", "sentence"):
            try:
                found.append(pytest.param(a.by(by), id=f"{name}, {by}"))
            except ValueError:
                continue
    return found


@pytest.mark.parametrize("table", tables())
def test_arrow_and_parquet_are_the_records(table, tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    records = plain(table.to_records())
    made = table.to_arrow()
    assert plain(made.to_pylist()) == records
    assert made.schema.metadata[b"schema_version"] == b"1"
    file = tmp_path / "a.parquet"
    assert table.to_parquet(file) == file
    kept = parquet.read_table(file)
    assert kept.schema.equals(made.schema, check_metadata=True)
    assert plain(kept.to_pylist()) == records
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("table", tables())
def test_pandas_is_the_records(table):
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert frame.attrs["schema_version"] == 1
    rows = [{k: None if pandas.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records")]
    assert rows == plain(table.to_records())
    assert str(frame["score"].dtype) == "float64"
    assert str(frame["position"].dtype) == "Int64"
    assert str(frame["converged"].dtype) == "boolean"


def test_an_attribution_is_its_tokens():
    a = CASES["texts"]
    assert plain(a.to_records()) == plain(a.by("token").to_records())


def test_a_file_that_cannot_be_written_keeps_the_old_one(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    file = tmp_path / "a.parquet"
    CASES["texts"].to_parquet(file)
    before = file.read_bytes()

    def full(handle, data):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(files, "_pour", full)
    with pytest.raises(OSError, match="no space left") as found:
        CASES["scripts"].to_parquet(file)
    assert found.value.filename == str(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("path", "kind"), [("", ValueError), (3, TypeError), (b"a", TypeError)])
def test_a_path_that_is_none(path, kind):
    with pytest.raises(kind, match="path: expected the name of a file"):
        CASES["texts"].to_parquet(path)


@pytest.mark.parametrize(
    ("package", "method", "extra"),
    [
        ("pandas", "to_pandas", "tables"),
        ("pyarrow", "to_arrow", "tables"),
        ("pyarrow", "to_parquet", "tables"),
        ("shap", "to_shap", "shap"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, method, extra, monkeypatch, tmp_path):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(package), *sys.meta_path])
    arguments = (tmp_path / "a.parquet",) if method == "to_parquet" else ()
    a = CASES["nothing integrated"].by("token") if method != "to_shap" else CASES["one"]
    with pytest.raises(ImportError, match=re.escape(f"pip install 'calig_fast[{extra}]'")) as found:
        getattr(a, method)(*arguments)
    assert found.value.name.partition(".")[0] == package
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{extra} = \[(.*)\]$", project, re.MULTILINE)
    assert f'"{package}>=' in line
    assert not list(tmp_path.iterdir())


class _Missing:
    """A finder that finds no module of one package."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return


def test_the_optional_packages_are_not_loaded_before_they_are_needed():
    source = "import calig_fast, sys; print(sorted({'pandas', 'pyarrow', 'shap'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_hundred_thousand_tokens():
    n = 100_000
    words = tuple(Word("a", (t,), 2 * t, 2 * t + 1) for t in range(n))
    text = Text(("a",) * n, words, "a " * n)
    a = of_texts([text], layers=1, special=torch.zeros(1, n, dtype=torch.bool))
    rows = a.to_records()
    assert len(rows) == n
    assert rows[-1]["score"] == float(a.scores[0, -1])
    assert len(a.by("sentence").units[0]) == 1
    assert len(a.top(3)[0]) == 3
    assert len(repr(a)) < 1000
    if importlib.util.find_spec("pyarrow"):
        assert a.to_arrow().num_rows == n
