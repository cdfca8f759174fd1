"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand


class TwoTexts(NamedTuple):
    """The two texts after --pair."""

    first: str
    second: str


class Command(TyperCommand):
    """A command that may have --pair, which takes two values; typer has no way to say so of a repeated option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            if parameter.name == "pair":
                parameter.nargs = 2


def names(given: str | None) -> str | list[str] | None:
    """A name, or several with commas between them."""
    return given.split(",") if given and "," in given else given


METHODS = (
    *("calig", "calig-paper", "ig", "layer_ig", "conductance", "rollout", "chefer", "attcat"),
    *("attention_gradient", "gradient_x_input"),
)
Model = Annotated[
    Path,
    typer.Option(
        help="Folder of a saved classifier: Hugging Face, or timm with its config.json; or the id of a model in the "
        "hub's cache."
    ),
]
Text = Annotated[list[str] | None, typer.Option(help="A text; may be given several times.")]
Pair = Annotated[
    list[TwoTexts] | None,
    typer.Option(
        parser=TwoTexts._make,
        metavar="TEXT TEXT",
        help="Two texts that the model reads together, as premise and hypothesis; may be given several times.",
    ),
]
File = Annotated[
    list[Path] | None,
    typer.Option(help="A file whose whole content is one text, - for standard input; may be given several times."),
]
Lines = Annotated[
    Path | None,
    typer.Option(help="A file with a text on every line, - for standard input; a bad line is told and left out."),
]
Image = Annotated[list[Path] | None, typer.Option(help="An image file; may be given several times.")]
Target = Annotated[
    str | None, typer.Option(help="Class to explain, by number or name, or all; the predicted one when left out.")
]
Method = Annotated[
    str,
    typer.Option(
        help="calig, ig, layer_ig, conductance, rollout, chefer, attcat, ...", autocompletion=lambda: list(METHODS)
    ),
]
LongTexts = Annotated[
    str, typer.Option(help="A text longer than the model reads: cut, or windows, which explains all of it.")
]
Stride = Annotated[
    int | None, typer.Option(help="Tokens that a window shares with the one before it; a quarter when left out.")
]
Corpus = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A .txt (a text a line), .csv, .jsonl, .parquet or .tar file, a folder of images, or a saved Hugging "
        "Face data set.",
    ),
]
Column = Annotated[str, typer.Option(help="Column of the text or the picture.")]
PairColumn = Annotated[str | None, typer.Option(help="Column of the second text of a pair.")]
Baselines = Annotated[
    str | None,
    typer.Option(
        callback=names,
        help="Baseline: pad, mask, unk, ... or blur, blur:4, mean, black; the mean over several, as in pad,mask.",
    ),
]
Tolerance = Annotated[float, typer.Option(help="Relative error of the layer scores to reach.")]
Guarantee = Annotated[
    str,
    typer.Option("--guarantee", "--certify", help="What meets the tolerance: layers; scores, which is faster; top-k."),
]
Dtype = Annotated[str | None, typer.Option(help="float32, float64, bfloat16, float16.")]
MemoryBudget = Annotated[int | None, typer.Option(help="Bytes of a batch of path points.")]
Engine = Annotated[str, typer.Option(help="auto, native or autograd.")]
Device = Annotated[str | None, typer.Option(help="Where the model runs, as PyTorch says it: cpu, cuda, cuda:1.")]
By = Annotated[
    str | None,
    typer.Option(help="Show the scores of each token, word, sentence or patch; words and patches when left out."),
]
Html = Annotated[
    Path | None, typer.Option(help="Write a self-contained page here; - is standard output, and nothing else.")
]
Json = Annotated[
    Path | None, typer.Option(help="Write the numbers as JSON here; - is standard output, and nothing else.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
