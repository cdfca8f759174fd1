"""Make the fashion demo: pre-train a small ViT by masking (MAE), then fine-tune it on Fashion-MNIST.

    apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb fashion
    python examples/train_fashion.py --data fashion/usr/share/datasets/fashion-mnist

Writes the weights and the sheet of test images into `calig_fast/demo/data`, and prints the measured accuracy.
"""

import argparse
import gzip
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)
from training import accuracy, versions
from transformers import ViTForImageClassification, ViTMAEConfig, ViTMAEForPreTraining

from calig_fast.demo import fashion, weights

PER_CLASS = 12


def read_idx(file: Path) -> np.ndarray:
    """The uint8 array of a gzipped idx file: a header of one big-endian size per axis, then the values."""
    raw = gzip.decompress(file.read_bytes())
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def normalise(images: np.ndarray) -> Tensor:
    """uint8 [N,28,28] -> float32 [N,1,28,28], as the demo's image processor does it."""
    return (torch.from_numpy(images.copy()).unsqueeze(1).float() / 255 - fashion.MEAN) / fashion.STD


def batches(images: Tensor, size: int, steps: int, generator: torch.Generator):
    """Yield (step, rows, pixels) from fresh permutations; every second image, at random, is mirrored."""
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < size:
            order = torch.randperm(len(images), generator=generator)
        rows, order = order[:size], order[size:]
        pixels = images[rows]
        mirror = torch.rand(size, generator=generator) < 0.5
        pixels[mirror] = pixels[mirror].flip(-1)
        yield step, rows, pixels


def train(model: nn.Module, images: Tensor, labels: Tensor | None, *, peak: float, steps: int, size: int, seed: int):
    """AdamW under a cosine with warm-up: the masked reconstruction loss without labels, cross-entropy with them."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min((k + 1) / 50, 0.5 * (1 + math.cos(math.pi * k / steps)))
    )
    begun, recent = time.time(), 0.0
    model.train()
    for step, rows, pixels in batches(images, size, steps, torch.Generator().manual_seed(seed)):
        out = model(pixel_values=pixels)
        loss = out.loss if labels is None else F.cross_entropy(out.logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent += loss.item()
        if (step + 1) % 100 == 0:
            print(f"  step {step + 1}/{steps}  loss {recent / 100:.4f}  {time.time() - begun:.0f} s", flush=True)
            recent = 0.0
    model.eval()


def sine_positions(side: int, width: int) -> Tensor:
    """[1, 1 + side * side, width]: sines and cosines of column and row for each patch, zeros for the class token."""
    rates = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side).unsqueeze(1) * rates
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    patches = torch.cat([axis.repeat(side, 1), axis.repeat_interleave(side, dim=0)], dim=1)
    return torch.cat([torch.zeros(1, width), patches]).unsqueeze(0)


def masked_autoencoder() -> ViTMAEForPreTraining:
    """A fresh ViT-MAE of the demo's sizes with a small decoder."""
    decoder = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = ViTMAEConfig(**fashion.SIZES, **{f"decoder_{name}": value for name, value in decoder.items()})
    model = ViTMAEForPreTraining(config)
    # Transformers 5.23 leaves both tables at zero in a model that is not loaded from a file: nothing is learned then.
    with torch.no_grad():
        for table in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
            table.copy_(sine_positions(fashion.SIDE // config.patch_size, table.shape[-1]))
    nn.init.normal_(model.vit.embeddings.cls_token, std=config.initializer_range)
    nn.init.normal_(model.decoder.mask_token, std=config.initializer_range)
    return model


def sheet(images: np.ndarray, labels: np.ndarray) -> Image.Image:
    """The first test images of each class, one class a row."""
    rows = [np.concatenate(list(images[labels == c][:PER_CLASS]), axis=1) for c in range(len(fashion.LABELS))]
    return Image.fromarray(np.concatenate(rows, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the four gzipped idx files")
    parser.add_argument("--pretrain", type=int, default=800, help="steps of 256 images by masking")
    parser.add_argument("--finetune", type=int, default=2000, help="steps of 128 images with labels")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    train_images = normalise(read_idx(options.data / "train-images-idx3-ubyte.gz"))
    train_labels = torch.from_numpy(read_idx(options.data / "train-labels-idx1-ubyte.gz").astype(np.int64))
    raw_images = read_idx(options.data / "t10k-images-idx3-ubyte.gz")
    raw_labels = read_idx(options.data / "t10k-labels-idx1-ubyte.gz")
    test_images, test_labels = normalise(raw_images), torch.from_numpy(raw_labels.astype(np.int64))

    masked = masked_autoencoder()
    print(f"pre-training by masking {masked.config.mask_ratio:.0%} of the patches", flush=True)
    train(masked, train_images, None, peak=2e-3, steps=options.pretrain, size=256, seed=1)

    model = ViTForImageClassification(fashion.config())
    model.vit.load_state_dict(masked.vit.state_dict())
    print("fine-tuning", flush=True)
    train(model, train_images, train_labels, peak=1.5e-3, steps=options.finetune, size=128, seed=2)

    def logits(part: ViTForImageClassification) -> Tensor:
        with torch.inference_mode():
            return torch.cat([part(pixel_values=chunk).logits for chunk in test_images.split(500)])

    full = accuracy(logits(model), test_labels)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        state = load_file(Path(folder) / "model.safetensors")
    made = {
        "base": "none: trained from scratch, by masking first",
        "data": "Fashion-MNIST (Debian dataset-fashion-mnist), MIT",
        "train": str(len(train_labels)),
        "test": str(len(test_labels)),
        "accuracy": "to be measured",
        "script": "examples/train_fashion.py",
        "steps": f"{options.pretrain} masked, {options.finetune} labelled",
        **versions(),
    }
    weights.write(fashion.NAME, state, made)
    stored = weights.build(ViTForImageClassification, fashion.config(), weights.read(fashion.NAME))
    made["accuracy"] = f"{accuracy(logits(stored), test_labels):.4f}"
    weights.write(fashion.NAME, state, made)
    sheet(raw_images, raw_labels).save(fashion.SHEET, optimize=True)
    print(f"test accuracy on {len(test_labels)} images: {full:.4f} in float32, {made['accuracy']} as stored (float16)")


if __name__ == "__main__":
    main()
