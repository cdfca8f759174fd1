"""The answer goes to a file or standard output, all else to standard error."""

import json
import math

import pytest

from calig_fast.cli.writing import STDOUT, folders_exist, write_html, write_json

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


def test_folders_that_are_not_there(tmp_path):
    folders_exist(None, STDOUT, tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="make it first"):
        folders_exist(tmp_path / "a.json", tmp_path / "none" / "a.json")
