"""The command `calig`: explain a saved model's decision, see the demonstration, ask what is installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from safetensors import SafetensorError

from .texts import has_vocabulary

app = typer.Typer(
    help="Explain what a transformer classifier decided, with an error bound.",
    no_args_is_help=True,
    add_completion=False,
)
PACKAGES = ("torch", "transformers", "timm", "captum", "matplotlib", "triton")
DEMOS = {"topics": 1, "sentiment": 2, "fashion": 4}


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """What the user did wrong as one line and exit code 2; everything else as it comes."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        typer.secho("error:", fg="red", err=True, nl=False)
        typer.echo(f" {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error


@app.command()
def explain(
    model: Annotated[Path, typer.Option(help="Folder of a saved Hugging Face classifier.")],
    text: Annotated[list[str] | None, typer.Option(help="A text; may be given several times.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file whose whole content is one text.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="An image file; may be given several times.")] = None,
    target: Annotated[int | None, typer.Option(help="Class to explain; the predicted one when left out.")] = None,
    method: Annotated[
        str, typer.Option(help="calig, ig, layer_ig, conductance, rollout, chefer, attcat, ...")
    ] = "calig",
    baselines: Annotated[str | None, typer.Option(help="Reference: pad, mask, unk, ... or blur, mean, black.")] = None,
    tolerance: Annotated[float, typer.Option(help="Relative error of the layer scores to reach.")] = 2e-2,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Save the attribution here (.json and .safetensors).")] = None,
) -> None:
    """Explain a decision of a saved model: words or patches by signed relevance, layer by layer."""
    from .explain import Explainer
    from .views.terminal import render

    with _plain_errors():
        texts = [*(text or []), *([file.read_text(encoding="utf-8")] if file else [])]
        if bool(texts) == bool(image):
            raise ValueError("give --text or --file, or else --image")
        if not model.is_dir():
            raise ValueError(f"--model {model}: no such folder; it must hold a saved Hugging Face classifier")
        loaded, processor = _load(model, bool(image))
        explainer = Explainer(loaded, processor, method=method, baselines=baselines, tolerance=tolerance)
        maps = html is not None and explainer.settings.resolved.fusion is not None  # the page shows them on a click
        inputs = texts or [_picture(path) for path in image or []]
        found = explainer(inputs, target=target, progress=True, return_maps=maps)
        render(found)
        if html:
            found.to_html(html)
            typer.echo(f"wrote {html}")
        if json:
            for path in replace(found, maps=None).save(json):
                typer.echo(f"wrote {path}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pages and pictures.")] = Path("demo"),
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(DEMOS)}; all when left out.")] = None,
) -> None:
    """Explain real inputs: a news article, movie sentences, and pictures of clothes."""
    from .demo import load
    from .explain import Explainer
    from .views.terminal import render

    console = Console()
    with _plain_errors():
        out.mkdir(parents=True, exist_ok=True)
        for name in only or DEMOS:
            console.rule(f"[bold]{name}")
            shown = load(name, count=DEMOS.get(name, 1))
            samples = [sample.input for sample in shown.samples]
            found = Explainer(shown.model, shown.processor)(samples, progress=True, return_maps=True)
            render(found, console)
            found.to_html(out / f"{name}.html")
            found.plot().savefig(out / f"{name}.png", dpi=150)
            found.plot_layers().savefig(out / f"{name}_layers.png", dpi=150)
            console.print(f"wrote {out / name}.html, {name}.png, {name}_layers.png\n", highlight=False)


@app.command()
def doctor() -> None:
    """Say what is installed, which backends run, and why the others do not."""
    from .build import build_info

    typer.echo(str(build_info()))
    typer.echo("packages:")
    for name in PACKAGES:
        try:
            typer.echo(f"  {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            typer.echo(f"  {name} not installed")


def _load(folder: Path, image: bool) -> tuple[Any, Any]:
    """A saved classifier and its tokenizer or image processor, from disk alone.

    Raises:
        ValueError: the folder holds no such model, only a part of its weights, or a tokenizer without a vocabulary.
        ImportError: transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ImportError('loading a saved model needs transformers: pip install "calig_fast[models]"')
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    reports: Any = transformers.logging  # what it reports is checked below, and told in one line
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    kinds = ("AutoModelForImageClassification", "AutoImageProcessor")
    if not image:
        kinds = ("AutoModelForSequenceClassification", "AutoTokenizer")
    try:
        model, told = getattr(transformers, kinds[0]).from_pretrained(folder, output_loading_info=True)
        processor = getattr(transformers, kinds[1]).from_pretrained(folder)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"--model {folder}: its weights cannot be read ({error})") from error
    if told["missing_keys"]:
        raise ValueError(
            f"--model {folder}: its weights lack {', '.join(sorted(told['missing_keys']))}, so it is no trained "
            f"{type(model).__name__}; save the classifier itself"
        )
    if not image and not has_vocabulary(processor):
        raise ValueError(f"--model {folder}: it holds no tokenizer; save the model's own there with save_pretrained")
    return model, processor


def _picture(path: Path) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")
