"""Results are written whole, and read again; lines that a kill cut are dropped."""

import json

from calig_fast.bench import record


def test_results_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "results.json"
    assert record.read(path) == {}
    record.write(path, {"rows": [1, 2.5], "machine": {"threads": 1}})
    assert record.read(path) == {"rows": [1, 2.5], "machine": {"threads": 1}}
    assert path.read_text() == '{\n "rows": [\n  1,\n  2.5\n ],\n "machine": {\n  "threads": 1\n }\n}\n'
    record.write(path, {})
    assert (record.read(path), list(tmp_path.iterdir())) == ({}, [path])


def test_pages_and_data_are_written_as_they_are(tmp_path):
    record.write(tmp_path / "page.md", "# é\n")
    record.write(tmp_path / "data", b"\x00\xff")
    assert (tmp_path / "page.md").read_bytes() == "# é\n".encode()
    assert (tmp_path / "data").read_bytes() == b"\x00\xff"


def test_a_line_that_was_cut_is_dropped(tmp_path):
    path = tmp_path / "rows.jsonl"
    record.append(path, [{"case": 0}, {"case": 1}])
    with path.open("a") as file:
        file.write('{"case": 2, "sco')
    record.append(path, [{"case": 3}])
    assert [json.loads(line)["case"] for line in path.read_text().splitlines()] == [0, 1, 3]
