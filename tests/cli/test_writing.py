"""The answer goes to a file or standard output, all else to standard error."""

import json
import math

import pytest

from calig_fast.cli.writing import STDOUT, folders_exist, one_to_stdout, write_html, write_json, write_picture

DOCUMENT = {"a": [1.5, math.nan, (math.inf, "é")], "b": {"c": None}}
PLAIN = {"a": [1.5, None, [None, "é"]], "b": {"c": None}}


def test_json_to_standard_output_alone(capsys):
    write_json(DOCUMENT, STDOUT)
    told = capsys.readouterr()
    assert json.loads(told.out) == PLAIN
    assert told.err == ""


def test_files_are_told_on_standard_error(tmp_path, capsys):
    write_json(DOCUMENT, tmp_path / "a.json")
    write_html("<p>é</p>", tmp_path / "a.html")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == PLAIN
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "<p>é</p>"
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"wrote {tmp_path / 'a.json'}\nwrote {tmp_path / 'a.html'}\n"


def test_a_page_to_standard_output_alone(capsysbinary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_html("<p>é \ud83d</p>", STDOUT)
    told = capsysbinary.readouterr()
    assert told.out == "<p>é \\ud83d</p>".encode()
    assert told.err == b""
    assert list(tmp_path.iterdir()) == []


def test_standard_output_holds_one_thing(tmp_path):
    assert not one_to_stdout(None, None)
    assert not one_to_stdout(tmp_path / "a", None)
    assert one_to_stdout(STDOUT, tmp_path / "a")
    assert one_to_stdout(None, STDOUT)
    with pytest.raises(ValueError, match="--html: standard output takes --json already"):
        one_to_stdout(STDOUT, STDOUT)


def test_files_that_cannot_be_written(tmp_path):
    folders_exist(None, STDOUT, tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="make it first"):
        folders_exist(tmp_path / "a.json", tmp_path / "none" / "a.json")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        folders_exist(tmp_path)
    with pytest.raises(ValueError, match="two options name this file"):
        folders_exist(tmp_path / "a", None, tmp_path / ".." / tmp_path.name / "a", tmp_path / "b")


def test_a_picture(tmp_path):
    from matplotlib.figure import Figure
    from PIL import Image

    write_picture(Figure(figsize=(2, 1)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (300, 150)
