"""Explanations of neighbours: the noise, its size and its seed."""

import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast.metrics.near import NearInputs


def words(model, inputs, target, processor):
    """Scores that say where the embeddings are."""
    return inputs["inputs_embeds"].sum(2)


def test_the_range_of_a_text_is_that_of_its_real_tokens():
    model, call = tiny("bert"), ids(9, 6)
    ranges = NearInputs(model, call, words, 0, None).ranges()
    embedded = model.bert.embeddings.word_embeddings(call["input_ids"]).detach()
    wanted = [row[:n].amax() - row[:n].amin() for row, n in zip(embedded, (9, 6), strict=True)]
    torch.testing.assert_close(ranges, torch.stack(wanted))


def test_the_range_of_a_picture_is_that_of_its_pixels():
    x = pixels(2)
    ranges = NearInputs(tiny("vit"), x, lambda model, x, target, processor: torch.ones(2, 3), 0, None).ranges()
    torch.testing.assert_close(ranges, x.flatten(1).amax(1) - x.flatten(1).amin(1))


def test_each_input_has_noise_of_its_size_whatever_the_batch():
    near = NearInputs(tiny("bert"), ids(9, 6), words, 0, None)
    scores, ranked = near.explained(5)
    assert ranked.shape == scores.shape == (2, 9)
    options = {"samples": 4, "normal": True, "seed": 3}
    moved = near.moved(torch.tensor([1.0, 2.0]), batch_size=3, **options)
    assert moved.shape == (2, 4, 9)
    step = moved - scores[:, None]
    assert bool((step[1, :, 6:] == 0).all())  # padding
    torch.testing.assert_close(near.moved(torch.tensor([1.0, 2.0]), batch_size=64, **options), moved)
    doubled = near.moved(torch.tensor([2.0, 2.0]), batch_size=3, **options) - scores[:, None]
    torch.testing.assert_close(doubled[0], 2 * step[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(doubled[1], step[1], rtol=1e-4, atol=1e-5)
