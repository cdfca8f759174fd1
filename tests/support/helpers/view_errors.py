"""A call for each error that the views raise of their own."""

from functools import cache

from calig_fast import Attribution, compare, explain, summary
from calig_fast.results.tables import needed
from helpers.exported import exported
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


def export(name):
    return exported()[name]


def removed_axes():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    ax.remove()
    return ax


EXPORT_CASES = [
    (ValueError, lambda: text().by("letter")),
    (ValueError, lambda: image().by("word")),
    (ValueError, lambda: text().by("patch")),
    (ValueError, lambda: export("words unknown").by("sentence")),
    (TypeError, lambda: text().by(3)),
    (ValueError, lambda: export("texts").by([[(0, 3)]])),
    (ValueError, lambda: text().by([(0, 3)])),
    (ValueError, lambda: export("one").by([(0, 99)])),
    (ValueError, lambda: export("one").by([(0, 3), (1, 4)])),
    (ValueError, lambda: text().by("word", "median")),
    (ValueError, lambda: text().top(0)),
    (TypeError, lambda: text().to_records(layers=3)),
    (IndexError, lambda: text().to_records(layers=[9])),
    (ImportError, lambda: needed("pandas.there_is_none", "tables", "to_pandas")),
    (ImportError, lambda: needed("shap.there_is_none", "shap", "to_shap")),
    (TypeError, lambda: Attribution.from_json(3)),
    (ValueError, lambda: Attribution.from_json("{")),
    (ValueError, lambda: Attribution.from_json("{}")),
    (TypeError, lambda: Attribution(**{**vars(text()), "settings": {"own": object()}}).to_json()),
]
VIEW_CASES = [
    *EXPORT_CASES,
    (TypeError, lambda: text().plot(ax=3)),
    (ValueError, lambda: text().plot(ax=removed_axes())),
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
    (TypeError, lambda: text().to_html(title=3)),
    (TypeError, lambda: summary("text")),
    (ValueError, lambda: summary([])),
    (ValueError, lambda: summary([text(), image()])),
    (ValueError, lambda: summary(text(), target="nothing")),
    (ValueError, lambda: summary(text()).plot("pie")),
]
