"""The file of an attribution: whole after any kill, fault or full disk, and refused where it is not what was saved."""

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch
from helpers.looks import attribution
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from calig_fast import Attribution, Text, Word
from calig_fast.results import schema, storage

SUPPORT = Path(__file__).parents[1] / "support"
KILLS = os.environ.get("CALIG_FAST_KILLS", "12")


@cache
def kept(word="good", sign=1.0):
    return attribution(f"a {word} film", [0.5 * sign, 2.0 * sign, -0.25 * sign])


def same(a, b):
    return all(
        torch.equal(x, y) and x.dtype == y.dtype if isinstance(x, torch.Tensor) else x == y
        for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in fields(Attribution))
    )


def refused(path, *kinds):
    """The error of loading: of a kind that a caller knows, naming the file."""
    with pytest.raises(kinds or (ValueError, OSError)) as caught:
        Attribution.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def header_of(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def of(header, rest):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def test_it_is_a_safetensors_file_that_others_read(tmp_path):
    a = kept()
    file = a.save(tmp_path / "a")
    found = load_file(file)
    assert set(found) == {n for n in schema.TENSORS if getattr(a, n) is not None} | {"texts"}
    torch.testing.assert_close(found["layer_scores"], a.layer_scores, rtol=0, atol=0)
    assert json.loads(bytes(found["texts"].tolist()))[0]["text"] == "a good film"
    with safe_open(file, framework="pt") as content:
        about = content.metadata()
    assert (about["kind"], about["format"]) == ("calig_fast.attribution", "2")
    assert json.loads(about["record"])["labels"] == ["bad", "<b>good</b>"]
    assert len(about["sha256"]) == 64


def test_texts_of_any_letters(tmp_path):
    text = Text(("[CLS]", "é", "\ud83d", '"\u2028', "[SEP]"), (Word("é\0\n", (1,)),), "\ud83d שלום 🎉")
    a = replace(kept(), texts=(text,))
    assert same(Attribution.load(a.save(tmp_path / "a")), a)


def test_more_texts_than_metadata_can_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_MOST_HEADER", 3000)
    a = kept()[[0] * 100]
    assert same(Attribution.load(a.save(tmp_path / "a")), a)
    with pytest.raises(ValueError, match=r"settings, labels: .* bytes of them"):
        replace(a, labels=("a" * 3000,)).save(tmp_path / "a")
    assert same(Attribution.load(tmp_path / "a"), a)


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    a = kept()
    file = a.save(tmp_path / "a")
    for wrong, say in (
        ({"scores": a.scores.double()}, r"scores: expected float32 \[B,T\], got float64 \[1,5\]"),
        ({"gap": a.gap[:, :1]}, r"gap: expected float32 \[1,2\], got float32 \[1,1\]"),
        ({"texts": a.texts * 2}, "texts: expected 1"),
        ({"settings": {"mine": torch.ones(1)}}, "settings: expected numbers"),
        ({"settings": {"mine": {1, 2}}}, "settings: expected numbers"),
    ):
        with pytest.raises((ValueError, TypeError), match=say):
            replace(a, **wrong).save(file)
    assert same(Attribution.load(file), a)


def test_saving_on_a_full_disk_at_every_write(tmp_path):
    old, new = kept(), kept("dull", -1.0)
    file = old.save(tmp_path / "kept")
    real, size = os.write, new.save(tmp_path / "size").stat().st_size
    for room in (*range(0, size, 41), size - 1):
        left = [room]

        def some(handle, data, left=left):
            count = min(len(data), left[0])
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= count
            return real(handle, data[:count])

        with mock.patch.object(os, "write", some), pytest.raises(OSError, match="No space left") as caught:
            new.save(file)
        assert caught.value.filename == str(file)
        assert same(Attribution.load(file), old)
    assert sorted(os.listdir(tmp_path)) == ["kept.safetensors", "size.safetensors"]


def test_kills_leave_the_old_file_or_the_new_one(tmp_path):
    """CALIG_FAST_KILLS sets how many."""
    paths = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "helpers.killed", str(tmp_path), KILLS, "0"]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    told = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert told["kills"] == int(KILLS)
    assert told["faults"] == []


def flipped(content, place, rng):
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def swapped(content, place, rng):
    other, made = rng.randrange(len(content) - 8), bytearray(content)
    made[place : place + 8], made[other : other + 8] = content[other : other + 8], content[place : place + 8]
    return bytes(made)


def promised(content, place, rng):
    size = rng.choice((0, 1, 7, len(content), 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1))
    return size.to_bytes(8, "little") + content[8:]


def numbered(content, place, rng):
    header, rest = header_of(content)
    text = json.dumps(header)
    found = rng.choice(list(re.finditer(r"(?<![\w.])\d+(?![\w.])", text)))
    other = rng.choice(("0", "-1", "1.5", "null", '"x"', "[]", str(2**64), "9" * 5000))
    text = text[: found.start()] + other + text[found.end() :]
    return len(text).to_bytes(8, "little") + text.encode() + rest


def redescribed(content, place, rng):
    """Another dtype or shape of a tensor, or two tensors under each other's name."""
    header, rest = header_of(content)
    a, b = rng.sample([name for name in header if name != "__metadata__"], 2)
    kind, shape = rng.randrange(3), header[a]["shape"]
    if kind == 0:
        header[a], header[b] = header[b], header[a]
    elif kind == 1:
        header[a]["dtype"] = rng.choice(
            ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F4", "XX")
        )
    else:
        header[a]["shape"] = rng.choice((shape[::-1], [*shape, 1], [], [0], [2**62, 2**62]))
    return of(header, rest)


def renamed(content, place, rng):
    """A name that is missing, or is another."""
    header, rest = header_of(content)
    names = [name for name in header if name != "__metadata__"]
    where = rng.choice((header, header["__metadata__"], header[rng.choice(names)]))
    key = rng.choice(sorted(where))
    found = where.pop(key)
    if rng.random() < 0.7:
        where[rng.choice((key + "s", rng.choice(names), "texts", "__metadata__"))] = found
    return of(header, rest)


MUTATIONS = {
    "cut": lambda content, place, rng: content[:place],
    "one bit": flipped,
    "one bit of the header": lambda content, place, rng: flipped(content, place // 2, rng),
    "more bytes": lambda content, place, rng: content[:place] + rng.randbytes(rng.randrange(1, 9)) + content[place:],
    "fewer bytes": lambda content, place, rng: content[:place] + content[place + rng.randrange(1, 9) :],
    "zeros": lambda content, place, rng: content[:place] + bytes(len(content) - place),
    "swapped bytes": swapped,
    "length of the header": promised,
    "a number": numbered,
    "a tensor": redescribed,
    "a name": renamed,
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_file_that_was_changed_is_refused_or_the_same(kind, tmp_path):
    a, rng = kept(), random.Random(kind)
    file = a.save(tmp_path / "a")
    content, errors = file.read_bytes(), []
    for _ in range(60):
        file.write_bytes(MUTATIONS[kind](content, rng.randrange(len(content)), rng))
        try:
            assert same(Attribution.load(file), a)
        except (ValueError, OSError) as error:
            errors.append(str(error))
    assert [error for error in errors if not error.startswith(str(file))] == []
    assert len(errors) > 30


def test_every_length_and_files_of_another_kind(tmp_path):
    file = kept().save(tmp_path / "a")
    content = file.read_bytes()
    for size in range(0, len(content), 7):
        file.write_bytes(content[:size])
        assert "damaged" in refused(file)
    for other in (b"", b"\0" * 8, b"PK\x03\x04 a zip", b'{"format": 1}', "é".encode("utf-16") * 40, bytes(10_000)):
        file.write_bytes(other)
        assert "no safetensors file" in refused(file)
    save_file({"weight": torch.ones(2)}, file)
    assert "no attribution: its metadata holds none" in refused(file)
    save_file({"weight": torch.ones(2)}, file, metadata={"format": "pt"})
    assert "no attribution" in refused(file)


def test_a_header_that_promises_more_than_there_is(tmp_path):
    file = tmp_path / "a.safetensors"
    with file.open("wb") as writing:
        writing.write((99_999_999).to_bytes(8, "little") + b"{")
        writing.truncate(1 << 32)  # a hole: takes no room
    assert "no safetensors file" in refused(file)


def signed_anew(content, change):
    """A file whose tensors and record were changed, with the digest of what it holds now."""
    header, rest = header_of(content)
    about = header.pop("__metadata__")
    tensors = {
        name: torch.frombuffer(bytearray(rest[slice(*one["data_offsets"])]), dtype=kind).reshape(one["shape"])
        for name, one in header.items()
        for kind, dtype in storage._DTYPES.items()
        if dtype == one["dtype"]
    }
    change(tensors, about)
    return b"".join(storage._safetensors(tensors, {**about, "sha256": storage._digest(about, tensors)}))


@pytest.mark.parametrize(
    ("change", "say"),
    [
        (
            lambda tensors, about: about.update(format="3"),
            "not an attribution of format 2 but of '3'; load it with the",
        ),
        (lambda tensors, about: about.update(kind="weights"), "no attribution"),
        (lambda tensors, about: about.update(record="[]"), "its record is no object"),
        (lambda tensors, about: about.update(record="{"), "its record is no JSON"),
        (lambda tensors, about: about.update(record="[" * 100_000), "its record is no JSON"),
        (lambda tensors, about: about.update(record="{}"), "record: lacks grid"),
        (lambda tensors, about: tensors.pop("gap"), "tensors: lacks gap"),
        (lambda tensors, about: tensors.update(gap=tensors["gap"][:, :1]), "gap: expected"),
        (lambda tensors, about: tensors.update(more=tensors["gap"]), "tensors: holds 'more'"),
        (
            lambda tensors, about: tensors.update(texts=torch.full((5,), 255, dtype=torch.uint8)),
            "its record is no JSON",
        ),
        (
            lambda tensors, about: tensors.update(texts=torch.tensor([*b"[[]]"], dtype=torch.uint8)),
            "record: texts: exp",
        ),
    ],
)
def test_what_a_digest_cannot_show(change, say, tmp_path):
    file = kept().save(tmp_path / "a")
    content = file.read_bytes()
    file.write_bytes(signed_anew(content, lambda tensors, about: None))
    assert same(Attribution.load(file), kept())
    file.write_bytes(signed_anew(content, change))
    assert say in refused(file, ValueError)


def test_paths_where_there_is_no_file_to_read(tmp_path, monkeypatch):
    a = kept()
    refused(tmp_path / "none.safetensors", FileNotFoundError)
    refused(tmp_path / "none" / "a.safetensors", FileNotFoundError)
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "folder.safetensors", IsADirectoryError)
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "a pipe or a device" in refused(tmp_path / "pipe.safetensors", ValueError)
    file = a.save(tmp_path / "a")
    (tmp_path / "b.safetensors").symlink_to(file)
    assert same(Attribution.load(tmp_path / "b"), a)
    file.unlink()
    refused(tmp_path / "b.safetensors", FileNotFoundError)
    refused(tmp_path / "b.safetensors" / "c.safetensors", OSError)
    for name in (3, None, b"a"):
        for call in (Attribution.load, a.save):
            with pytest.raises(TypeError, match="path: expected the name of a file"):
                call(name)
    for name in ("", ".", "a\0b"):
        for call in (Attribution.load, a.save):
            with pytest.raises(ValueError, match="path: expected the name of a file"):
                call(name)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        a.save(tmp_path / "none" / "a")
    a.save(file)

    def forbidden(self, *args, **more):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", forbidden)  # as for anyone but the root of a system
    refused(file, PermissionError)


def pair_of(a, stem):
    """As releases wrote it before a file held both."""
    rest = schema.plain({f.name: getattr(a, f.name) for f in fields(a)})
    rest |= {name: None for name in schema.OPTIONAL if getattr(a, name) is None}
    if not rest["single"]:
        del rest["single"]
    stem.with_name(stem.name + ".json").write_text(json.dumps({"format": 1, **rest}), encoding="utf-8")
    tensors = {f.name: v for f in fields(a) if isinstance(v := getattr(a, f.name), torch.Tensor)}
    save_file(tensors, stem.with_name(stem.name + ".safetensors"))


def test_pairs_of_earlier_releases_are_read_with_a_warning(tmp_path):
    a = kept()
    for one in (a, a[0], replace(a, target=None)):
        pair_of(one, tmp_path / "a.b")
        for name in ("a.b", "a.b.json", "a.b.safetensors"):
            with pytest.warns(UserWarning, match="a pair of files of an earlier release") as told:
                assert same(Attribution.load(tmp_path / name), one)
            assert told[0].filename == __file__
    a.save(tmp_path / "a.b")
    assert same(Attribution.load(tmp_path / "a.b"), a)  # the old record lies there still, and is not read
    assert (tmp_path / "a.b.json").is_file()


def test_a_pair_that_an_earlier_release_wrote(tmp_path):
    """Its own files, not what this test believes it wrote."""
    shutil.copytree(SUPPORT / "pairs", tmp_path / "pairs")
    with pytest.warns(UserWarning, match="save it again"):
        a = Attribution.load(tmp_path / "pairs" / "words")
    assert [w.text for w in a.texts[0].words] == ["café", "שלום", "🎉"]
    assert (a.texts[0].truncated, a.method, a.settings.tolerance) == (3, "layer_ig", 0.02)
    assert a.scores.tolist()[0][:2] == pytest.approx(
        load_file(SUPPORT / "pairs" / "words.safetensors")["scores"][0, :2]
    )
    a.save(tmp_path / "pairs" / "words")
    assert same(Attribution.load(tmp_path / "pairs" / "words"), a)


@pytest.mark.filterwarnings("ignore:.*a pair of files")
def test_pairs_that_do_not_belong_together_or_are_damaged(tmp_path):
    a, other = kept(), attribution("a longer text than that", [1.0] * 5)
    pair_of(a, tmp_path / "a")
    pair_of(other, tmp_path / "b")
    shutil.copy(tmp_path / "b.safetensors", tmp_path / "c.safetensors")
    shutil.copy(tmp_path / "a.json", tmp_path / "c.json")
    assert "tokens, as the mask has" in refused(tmp_path / "c.safetensors", ValueError)
    (tmp_path / "c.json").unlink()
    assert "no c.json lies beside it" in refused(tmp_path / "c.safetensors", ValueError)
    (tmp_path / "b.safetensors").unlink()
    refused(tmp_path / "b.safetensors", FileNotFoundError)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    document = json.loads(text)
    wrong = [{**document, "format": 2}, {**document, "scores": 1}, {**document, "maps": 1}, [document], 3, None]
    wrong += [
        {name: v for name, v in document.items() if name != lost} for lost in document if document[lost] is not None
    ]
    contents = [json.dumps(one).encode() for one in wrong]
    contents += [text[:size].encode() for size in range(0, len(text) - 1, 11)]
    contents += [b"\xff\xfe", b"[" * 100_000, b'{"format": 1' + b"0" * 5000 + b"}"]
    for content in contents:
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/a.")):
            Attribution.load(tmp_path / "a")
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    tensors = load_file(tmp_path / "a.safetensors")
    for name in tensors:
        for changed in (tensors[name].to(torch.float16), tensors[name][None]):
            save_file({**tensors, name: changed.contiguous()}, tmp_path / "a.safetensors")
            assert f"{name}: expected" in refused(tmp_path / "a.safetensors", ValueError)
