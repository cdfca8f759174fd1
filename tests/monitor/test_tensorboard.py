"""A summary writer shows the words of a look as text, and its patches over the picture."""

import copy

import numpy as np
import torch
from helpers.tiny_models import tiny

from calig_fast.monitor import Monitor, tensorboard
from calig_fast.views.colours import OPPOSE, SUPPORT


class Writer:
    """Keeps the images and texts of a SummaryWriter."""

    def __init__(self):
        self.images, self.texts = {}, {}

    def add_scalar(self, name, value, step):
        assert np.isfinite(value)

    def add_text(self, name, text, step):
        self.texts.setdefault(name, []).append((step, text))

    def add_image(self, name, image, step, dataformats):
        assert dataformats == "HWC"
        self.images.setdefault(name, []).append((step, image))


def test_words_are_a_table_in_which_nothing_is_markup():
    text = tensorboard.table(["good", "<script>", "a|b", "*"], np.array([0.5, -0.25, 0.125, 0.125]))
    assert text.splitlines() == [
        "| word | share |",
        "|---|---|",
        "| good | +50.0 % |",
        "| &#60;script&#62; | -25.0 % |",
        "| a&#124;b | +12.5 % |",
        "| &#42; | +12.5 % |",
    ]
    many = np.arange(1.0, 101.0)
    rows = tensorboard.table([f"w{i}" for i in range(100)], many).splitlines()[2:]
    assert [row.split()[1] for row in rows] == [f"w{i}" for i in range(70, 100)]


def test_patches_have_the_colour_of_their_sign_and_the_picture_below():
    picture = np.full((6, 4, 3), (10, 20, 30), dtype=np.uint8)
    image = tensorboard.coloured(np.array([[0.5, 0.0], [-0.5, 0.0]]), picture)
    assert image.shape == (6, 4, 3)
    assert image.dtype == np.uint8
    assert (image[:3, :2] == SUPPORT).all()
    assert (image[3:, :2] == OPPOSE).all()
    assert (image[:, 2:] == 20).all()
    plain = tensorboard.coloured(np.zeros((2, 3)), None)
    assert plain.shape == (2 * tensorboard.SIDE, 3 * tensorboard.SIDE, 3)
    assert (plain == 255).all()


def test_a_look_at_a_picture_writes_its_patches():
    model, writer = copy.deepcopy(tiny("vit")).train(), Writer()
    pixels = torch.rand(1, 3, model.config.image_size, model.config.image_size)
    monitor = Monitor(model, [{"pixel_values": pixels}], log=writer, overhead=1.0)
    monitor.step()
    monitor.look()
    assert [step for step, _ in writer.images["calig/probe 0/patches"]] == [1, 1]
    assert writer.texts == {}
    assert torch.as_tensor(writer.images["calig/probe 0/patches"][0][1]).shape[2] == 3
