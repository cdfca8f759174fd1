"""The command, typed with options and files of every kind."""

import copy
import functools
import tempfile
from pathlib import Path
from typing import Any

import torch

from calig_fast._utils.arguments import shown
from helpers.fuzz_calls import SIZES, Surface, image_model
from helpers.fuzz_objects import Raising
from helpers.fuzz_values import Values, plain
from helpers.real_models import minilm_tokenizer, seeded
from helpers.typed import run


@functools.cache
def folder() -> Path:
    """A folder of saved classifiers and of files, good ones and others."""
    from PIL import Image
    from transformers import BertConfig, BertForSequenceClassification, ViTImageProcessor

    made = Path(tempfile.mkdtemp(prefix="fuzz_"))
    sizes = {**SIZES, "vocab_size": 30522, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2}
    seeded(BertForSequenceClassification(BertConfig(**sizes, id2label={0: "bad", 1: "good"}))).save_pretrained(
        made / "texts"
    )
    minilm_tokenizer().save_pretrained(made / "texts")
    copy.deepcopy(image_model()).save_pretrained(made / "pictures")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(made / "pictures")
    noise = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(made / "noise.png")
    (made / "good.txt").write_text("A dull film\nA fine\u2028cast\x0band\x85more\n", encoding="utf-8")
    (made / "empty.txt").write_text("\n \n")
    (made / "latin.txt").write_bytes("one\ntrès\n".encode("latin-1"))
    (made / "binary.bin").write_bytes(bytes(range(256)) * 4)
    (made / "nul.txt").write_bytes(b"a\x00b\n")
    (made / "bom.txt").write_bytes(b"\xef\xbb\xbfA dull film\n")
    (made / "wide.txt").write_bytes("A dull film\n".encode("utf-16"))
    (made / "table.csv").write_text("id,text\n1,A dull film\n2,A fine cast\n")
    (made / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    return made


FILES = ("good.txt", "empty.txt", "latin.txt", "binary.bin", "nul.txt", "bom.txt", "wide.txt", "table.csv", "noise.png")
STRANGE = plain(
    "", " ", "x", "0", "-1", "nan", "inf", "1e400", "9" * 400, "-", "--", "\u2028", "a\nb", "é", "[]", "None", "0.5"
)
STRANGE_FILES: Values = {**plain(*FILES, "broken.png", "nowhere.txt", ".", "texts"), **STRANGE}


def typed(command: str, kind: str = "texts", **options: str) -> None:
    """Type a command in the folder of files; raise what its one line of error should not be."""
    options = {
        name: shown(value) if isinstance(value, Raising | list | dict) else str(value)
        for name, value in options.items()
    }
    words: list[Any] = [command, "--model", options.pop("model", kind)]
    given = {"text": "A dull film"} if kind == "texts" else {"image": "noise.png"}
    inputs = {"text", "file", "lines", "image", "pair"}
    for name, value in {**({} if inputs & set(options) else given), **options}.items():
        read = name in {"file", "lines", "image"} and value != "-"
        words += [f"--{name}", folder() / value if read else value]
    words[2] = folder() / words[2]
    found = run(*words, stdin="a line\nanother\n")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    if found.exit_code not in {0, 1, 2}:
        raise AssertionError(f"exit code {found.exit_code}")
    errors = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    if found.exit_code == 2 and not errors:
        raise AssertionError(f"exit code 2 and no line of error: {found.output[-200:]}")


INPUTS = {
    "texts": {"text": plain("A dull film"), "file": plain("good.txt"), "lines": plain("good.txt")},
    "pictures": {"image": plain("noise.png")},
}
COMMAND = [
    Surface(
        f"calig explain, {kind}",
        functools.partial(typed, "explain", kind),
        {
            "model": plain(kind),
            **INPUTS[kind],
            "target": plain("0", "all"),
            "method": plain("calig", "rollout"),
            "baselines": plain("pad" if kind == "texts" else "blur"),
            "tolerance": plain("0.1"),
            "certify": plain("scores"),
            "device": plain("cpu"),
            "html": plain("page.html"),
            "json": plain("-", "x.json"),
            "save": plain("saved"),
        },
        dict.fromkeys(("model", "text", "file", "lines", "image", "html", "json", "save"), STRANGE_FILES)
        | dict.fromkeys(("target", "method", "baselines", "tolerance", "certify", "device"), STRANGE),
        weight=2,
    )
    for kind in ("texts", "pictures")
]
