"""A call for each error that the views raise of their own."""

from functools import cache

from calig_fast import compare, explain
from helpers.tiny_models import ids, pixels, tiny


@cache
def text():
    return explain(tiny("bert"), ids(7), method="attention_gradient")


@cache
def image():
    return explain(tiny("vit"), pixels(1), method="attention_gradient")


def without_layers():
    a = text()
    bare = {name: getattr(a, name)[:, :0] for name in ("layer_scores", "gap", "convergence_delta", "error", "n_steps")}
    return type(a)(**{**vars(a), **bare, "layer_converged": a.layer_converged[:, :0]})


VIEW_CASES = [
    (TypeError, lambda: compare(text())),
    (TypeError, lambda: compare([text(), "ig"])),
    (ValueError, lambda: compare([])),
    (ValueError, lambda: compare([text(), image()])),
    (ValueError, lambda: compare([text(), text()[[0, 0]]])),
    (ValueError, lambda: compare({"one": text()}, names=["one"])),
    (ValueError, lambda: compare([text()], names=["one", "two"])),
    (ValueError, lambda: without_layers().plot_layers()),
    (ValueError, lambda: text().plot(percentile=0)),
    (ValueError, lambda: compare([text()]).plot(percentile=101)),
    (ValueError, lambda: image().plot(opacity=2)),
    (IndexError, lambda: text().plot(1)),
    (IndexError, lambda: text()["0"]),
    (TypeError, lambda: text().statement("0")),
    (IndexError, lambda: text().block(9)),
    (TypeError, lambda: text().to_html(3)),
    (TypeError, lambda: text().to(3)),
    (TypeError, lambda: compare([text()], names=[1])),
]
