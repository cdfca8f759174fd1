"""Every kind of corpus gives its inputs with their ids, and a bad row as an item with its error."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from helpers import corpora
from PIL import Image

from calig_fast.corpus.columns import Columns
from calig_fast.corpus.items import Picture
from calig_fast.corpus.sources import opened

PAIR = Columns("text", "other", "key")


def items(inputs, columns=None):
    return list(opened(inputs, columns or Columns()).items())


def told(inputs, columns=None):
    return [(item.id, item.value) for item in items(inputs, columns)]


def test_a_text_a_line_split_at_line_feeds_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\x0btwo\xe2\x80\xa8three\rfour\r\n\nlast \xff\nzero \x00")
    found = items(path)
    assert [item.id for item in found] == [0, 1, 2, 3]
    assert found[0].value == "one\x0btwo\u2028three\rfour"
    assert (found[1].value, found[1].error) == ("", "")
    assert "0xff, is not UTF-8" in found[2].error
    assert "zero byte" in found[3].error
    assert opened(path, Columns()).count() == 4
    path.write_bytes("wide".encode("utf-16"))
    with pytest.raises(ValueError, match="UTF-16"):
        items(path)


def test_a_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'key,text,other\nx,"two\nlines, quoted",b\ny,only\nz,"' + b"long " * 40_000 + b'",c\nw,\xff,d\nv,a,b,c\n'
    )
    found = items(path, PAIR)
    assert found[0].value == ("two\nlines, quoted", "b")
    assert [item.id for item in found] == ["x", "y", "z", "w", "row 4"]
    assert [bool(item.error) for item in found] == [False, True, False, True, True]
    assert told(path, Columns("other"))[0] == (0, "b")
    with pytest.raises(ValueError, match='column: the inputs have no column "words"; there are key, text, other'):
        items(path, Columns("words"))
    with pytest.raises(ValueError, match="id_column: the inputs have no column"):
        items(path, Columns(id="nowhere"))
    path.write_text("text,key,text\na,x,b\n")
    assert told(path, Columns("key")) == [(0, "x")]
    with pytest.raises(ValueError, match='column: 2 columns are named "text"; rename all but one'):
        items(path)


@pytest.mark.parametrize(
    ("name", "content", "say"),
    [
        ("a.parquet", b"", r"a\.parquet is no Parquet file"),
        ("a.parquet", b"PAR1xxxx", r"a\.parquet is no Parquet file"),
        ("a.csv", b"", 'column: the inputs have no column "text"; there is none'),
        ("a.csv", b"text;key\na;b\n", "there are text;key"),
        ("a.tar", b"", r"a\.tar is no tar"),
    ],
)
def test_files_without_content_or_of_another_kind(tmp_path, name, content, say):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=say):
        items(tmp_path / name)


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": "a\nb", "key": 7}), "{broken", "[1]", json.dumps({"text": None, "key": 8}), ""]
    path.write_text("\n".join([*rows, json.dumps({"text": 3.5, "key": 9}), json.dumps({"key": 10})]))
    found = items(path, Columns(id="key"))
    assert [item.id for item in found] == ["7", "row 1", "row 2", "8", "9", "10"]
    assert found[0].value == "a\nb"
    assert all(item.error for item in found[1:])
    assert "no JSON" in found[1].error
    with pytest.raises(ValueError, match="no column"):
        items(path, Columns("words"))


def test_parquet_and_saved_data_sets(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(content, "png")
    image = {"bytes": content.getvalue(), "path": "a.png"}
    table = arrow.table({"text": ["a", None, "c"], "key": [3, 4, 5], "image": [image] * 3})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert told(tmp_path / "a.parquet", Columns(id="key")) == [("3", "a"), ("4", None), ("5", "c")]
    assert opened(tmp_path / "a.parquet", Columns()).count() == 3
    folder = tmp_path / "saved"
    folder.mkdir()
    with arrow.OSFile(str(folder / "data-0.arrow"), "wb") as file, arrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    assert told(folder) == [(0, "a"), (1, None), (2, "c")]
    (picture, *_) = items(folder, Columns("image"))
    assert isinstance(picture.value, Picture)
    assert picture.value.decoded().size == (4, 4)
    (folder / "data-0.arrow").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"data-0\.arrow cannot be read"):
        items(folder)
    (tmp_path / "b.parquet").write_bytes(b"torn")
    with pytest.raises(ValueError, match="no Parquet file"):
        items(tmp_path / "b.parquet")


def test_a_data_set_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"text": ["a", "b"], "key": ["x", "y"]})
    assert told(made, Columns(id="key")) == [("x", "a"), ("y", "b")]
    made.save_to_disk(tmp_path / "saved")
    assert told(tmp_path / "saved") == [(0, "a"), (1, "b")]
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "splits")
    with pytest.raises(ValueError, match=r"several splits; .*: train"):
        items(tmp_path / "splits")


def test_a_folder_of_pictures(tmp_path):
    corpora.picture_folder(tmp_path, 4)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.JPG").write_bytes(b"")
    found = items(tmp_path)
    assert [item.id for item in found] == ["0001.png", "0002.png", "broken.JPG", "below/0000.png", "below/0003.png"]
    assert opened(tmp_path, Columns()).count() == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        items(tmp_path / "empty")


def test_a_webdataset(tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(content, "png")
    members = {
        "a/1.png": content.getvalue(),
        "a/1.cls": b"3",
        "a/2.txt": b"some words",
        "a/3.json": b'{"text": "of json"}',
        "a/4.cls": b"1",
        "a/5.json": b"{",
    }
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = items(tmp_path / "a.tar")
    assert [item.id for item in found] == ["a/1", "a/2", "a/3", "a/4", "a/5"]
    assert found[0].value.decoded().size == (4, 4)
    assert [item.value for item in found[1:3]] == ["some words", "of json"]
    assert all(item.error for item in found[3:])
    (tmp_path / "b.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match="no tar"):
        items(tmp_path / "b.tar")


def test_iterables_and_tables():
    pandas = pytest.importorskip("pandas")
    rows = [{"text": "a", "other": "b", "key": "x"}, {"text": "c", "other": None, "key": "y"}]
    assert told(rows, PAIR) == [("x", ("a", "b")), ("y", ("c", None))]
    assert told(pandas.DataFrame(rows), Columns(id="key")) == [("x", "a"), ("y", "c")]
    assert told(iter(["a", ("b", "c")])) == [(0, "a"), (1, ("b", "c"))]
    ids = {"input_ids": torch.tensor([1, 2])}
    assert items([ids])[0].value is ids
    assert opened(["a"], Columns()).again
    assert not opened(iter(["a"]), Columns()).again

    def failing():
        yield "a"
        raise OSError("the network is gone")

    with pytest.raises(ValueError, match="reading them fails after 1, with OSError: the network is gone"):
        items(failing())


@pytest.mark.parametrize("given", [b"bytes", 3, {"text": "a"}, {"a", "b"}, None])
def test_what_has_no_inputs(given):
    with pytest.raises(TypeError, match="inputs: expected the name of a file"):
        opened(given, Columns())


def test_files_of_other_kinds(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        opened("a text in place of a file", Columns())
    (tmp_path / "a.docx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected one of \.txt"):
        opened(tmp_path / "a.docx", Columns())
    (tmp_path / "a.txt").write_bytes(b"a")
    with pytest.raises(ValueError, match=r"a \.txt file has no columns"):
        opened(tmp_path / "a.txt", Columns(id="key"))
