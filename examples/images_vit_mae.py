"""The decisive patches of a picture, for a ViT that was pre-trained by masking (MAE), then fine-tuned.

    python examples/images_vit_mae.py                                       the demo: clothes of Fashion-MNIST
    python examples/images_vit_mae.py --model DIR --image A.png B.png       a ViTForImageClassification of yours

A ViT-MAE as it is pre-trained has no classes; load its checkpoint as ViTForImageClassification(num_labels=...),
fine-tune that, and save it with its image processor. Writes a page, and a figure of every picture. The patches are then
replaced in the order of their scores, most relevant first and least relevant first: where the scores are right the two
curves part.
"""

import argparse
from pathlib import Path
from typing import Any

from calig_fast import Explainer, demo, metrics


def load(folder: Path | None, images: list[Path], count: int) -> tuple[Any, Any, list[Any]]:
    """Model, processor and pictures."""
    if (folder is None) == bool(images):
        raise SystemExit("give both --model and --image, or neither for the demo")
    if folder is None:
        d = demo.load("fashion", count)
        return d.model, d.processor, [sample.input for sample in d.samples]
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    pictures = [Image.open(path).convert("RGB") for path in images]
    return AutoModelForImageClassification.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder), pictures


def main() -> None:
    """Explain, draw, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path, nargs="+", default=[])
    parser.add_argument("--count", type=int, default=6, help="pictures of the demo")
    parser.add_argument("--out", type=Path, default=Path("images"))
    options = parser.parse_args()
    model, processor, pictures = load(options.model, options.image, options.count)
    a = Explainer(model, processor)(pictures, progress=True)
    options.out.mkdir(parents=True, exist_ok=True)
    a.to_html(options.out / "pictures.html")
    for i in range(len(a)):
        a.plot(i).savefig(options.out / f"{i}.png", dpi=120)
        print(i, a.label(i), a.statement(i))
    for order in ("positive", "negative"):
        curve = metrics.perturbation_auc(model, pictures, a, processor=processor, order=order)
        print(f"{order} perturbation, area under the accuracy: {curve.mean():.2f}")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
