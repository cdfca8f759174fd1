"""Texts from files: a line ends at a line feed alone, and what cannot be read is named with its line and byte."""

import io
import sys

import pytest
from PIL import Image

from calig_fast.cli.reading import STDIN, lines, pictures, whole


def written(folder, content):
    (folder / "texts.txt").write_bytes(content)
    return folder / "texts.txt"


def test_lines_end_at_a_line_feed_alone(tmp_path):
    text = "one\x0btwo\x0cthree\x1cfour\x85five\u2028six\u2029seven\reight"
    found, bad = lines(written(tmp_path, f"{text}\r\n\n second \n".encode()))
    assert [line.text for line in found] == [text, " second "]
    assert [line.place.rpartition(", ")[2] for line in found] == ["line 1", "line 3"]
    assert bad == 0


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfone\ntwo")
    assert [line.text for line in lines(path)[0]] == ["one", "two"]
    assert whole(path) == "one\ntwo"


def test_a_line_that_is_no_utf8_is_told_and_the_rest_goes_on(tmp_path, capsys):
    found, bad = lines(written(tmp_path, b"one\ntr\xe8s\nthree\n\xff\n"))
    assert [line.text for line in found] == ["one", "three"]
    assert bad == 2
    told = capsys.readouterr().err.splitlines()
    assert "line 2: byte 3, 0xe8, is not UTF-8" in told[0]
    assert "line 4: byte 1, 0xff, is not UTF-8" in told[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"one\nt\x00wo", "binary, with a zero byte in line 2 at byte 2"),
        ("one".encode("utf-16"), "UTF-16"),
        (b"\n \n", "no line holds a text"),
        (b"\xff", "no line holds a text, and others cannot be read"),
    ],
)
def test_a_file_of_no_texts(tmp_path, content, words):
    with pytest.raises(ValueError, match=words) as caught:
        lines(written(tmp_path, content))
    assert "texts.txt" in str(caught.value)


def test_files_that_are_none(tmp_path):
    for read, option in ((whole, "--file"), (lines, "--lines")):
        with pytest.raises(ValueError, match=rf"{option} .*nowhere: there is no such file"):
            read(tmp_path / "nowhere")
        with pytest.raises(ValueError, match=rf"{option} .*: it is a folder"):
            read(tmp_path)


def test_one_text_keeps_its_line_ends(tmp_path):
    assert whole(written(tmp_path, b"one\r\ntwo\n\n")) == "one\r\ntwo\n\n"
    with pytest.raises(ValueError, match="line 2: byte 1, 0xfe"):
        whole(written(tmp_path, b"one\n\xfe"))


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\u2028\nb".encode()), encoding="ascii"))
    assert [line.text for line in lines(STDIN)[0]] == ["é\u2028", "b"]


def test_a_table_is_hinted_at(tmp_path, capsys):
    (tmp_path / "a.CSV").write_text("id,text\n1,one\n")
    assert len(lines(tmp_path / "a.CSV")[0]) == 2
    told = capsys.readouterr().err
    assert told.startswith("hint: ")
    assert "every line is one text" in told


def test_pictures_are_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert pictures([tmp_path / "a.png"])[0].size == (4, 4)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    for name, words in (("b.png", "no picture that can be read"), ("c.png", "no such file"), (".", "no picture")):
        with pytest.raises(ValueError, match=rf"--image .*: .*{words}"):
            pictures([tmp_path / name])
