"""Results kept in files, shown and compared: paths of every kind, and results of every kind."""

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calig_fast import Attribution, compare
from helpers.fuzz_calls import EXPLANATIONS, Pools, Surface, found
from helpers.fuzz_objects import Raising
from helpers.fuzz_values import Values, plain


def _of(method: str, attribution: Any, **arguments: Any) -> Any:
    return getattr(attribution, method)(**arguments)


INDEX = plain(0, 1, -1, [0], [1, 0], [True, False], slice(0, 1), slice(None), range(2))
NEAR_INDEX = plain(
    2, -3, 0.0, [2], [True], [], "0", None, (0, 1), [0.0], [[0]], slice(5, 9), slice(None, None, -1), ...
)
PLOT: Pools = {"index": plain(0, 1, -1), "percentile": plain(99.0, 50, 100), "opacity": plain(0.8, 0, 1)}
NEAR_PLOT: Pools = {"index": plain(2, -3, 0.0, "0", None), "percentile": plain(0, 101, "99"), "opacity": plain(2, -1)}


UNITS: Values = plain("token", "word", "sentence", "patch", [], [(0, 1)], [[(0, 1)], [(0, 2)]], [[], []])
NEAR_EXPORT: Pools = {
    "by": plain(
        "", "letter", None, 3, True, [0, 1], [(0,)], [(1, 0)], [(0, 1), (0, 2)], [("0", "1")], {"a": 1}, b"word"
    ),
    "how": plain("", "median", None, 3, ["sum"]),
    "k": plain(0, -1, 1.0, "1", None, True, 10**30),
    "layers": plain(0, "0", [9], ["0"], [None], [True], {0: 1}, b"a"),
}


def _result(method: str, weight: int, always: tuple[str, ...] = (), **good: Values) -> Surface:
    near = {**NEAR_PLOT, **NEAR_EXPORT, "layer": plain(2, -3, 0.0, "0"), "path": plain("no/where/x.html", ".")}
    pools = {"attribution": EXPLANATIONS, **good}
    call = functools.partial(_of, method)
    return Surface(f"a.{method}", call, pools, near, ("attribution", *always), weight, fixed=("attribution",))


USES: dict[str, Callable[[Any], Any]] = {
    "tensor[a]": lambda a: torch.arange(3)[a],
    "array[a]": lambda a: np.arange(3)[a],
    "list[a]": lambda a: [1, 2][a],
    "asarray": np.asarray,
    "array of": lambda a: np.array([a, a]),
    "as_tensor": torch.as_tensor,
    "tensor of": lambda a: torch.tensor([a]),
    "len": len,
    "list": list,
    "float": float,
    "bool": bool,
    "in": lambda a: 0 in a,
    "tensor in": lambda a: torch.zeros(1) in a,
    "==": lambda a: a == torch.zeros(2),
    "tensor ==": lambda a: torch.zeros(2) == a,
    "+": lambda a: torch.zeros(2) + a,
    "array +": lambda a: np.zeros(2) + a,
    "set": lambda a: torch.zeros(2).index_put((a,), torch.zeros(1)),
    "setitem": lambda a: np.zeros(2).__setitem__(a, 1),
    "stack": lambda a: torch.stack(a),
    "reversed": lambda a: list(reversed(a)),
    "unpack": lambda a: [*a],
    "hash": hash,
    "repr": lambda a: len(repr(a)),
    "key": lambda a: {}[a],
}


def _used(attribution: Any, use: str) -> Any:
    return USES[use](attribution)


def _compared(attributions: Any, names: Any = None) -> Any:
    return compare(attributions, names)


def _compared_plot(**arguments: Any) -> Any:
    return compare([found("text"), found("text")]).plot(**arguments)


ROWS: Values = {
    "two": lambda: [found("text"), found("text")],
    "dict": lambda: {"a": found("image"), "b": found("image")},
}
RESULTS = [
    Surface(
        "a[index]",
        lambda attribution, index: attribution[index],
        {"attribution": EXPLANATIONS, "index": INDEX},
        {"index": NEAR_INDEX},
        ("attribution", "index"),
        25,
        fixed=("attribution",),
    ),
    Surface(
        "use of a",
        _used,
        {"attribution": EXPLANATIONS, "use": plain(*USES)},
        {"attribution": {"compare": lambda: compare([found("text")])}, "use": plain(*USES)},
        ("attribution", "use"),
        10,
        natural=True,
        fixed=("attribution", "use"),
    ),
    _result("word_scores", 6, index=PLOT["index"], layer=plain(None, 0, 1)),
    _result("patch_scores", 4, index=PLOT["index"], layer=plain(None, 0, 1)),
    _result("label", 3, index=PLOT["index"]),
    _result("by", 6, ("by",), by=UNITS, how=plain("sum", "mean", "max", "absmax")),
    _result("top", 3, k=plain(1, 3, 100)),
    _result("to_records", 3, layers=plain(None, [], [0], [-1], (0, 1))),
    Surface(
        "Attribution.from_json",
        Attribution.from_json,
        {"source": {"json": lambda: found("text").to_json()}},
        {
            "source": plain(
                "", "{", "[]", "{}", "no/such", b"", b"{", 3, None, True, [], '{"a": NaN}', "\ud800", "{" * 9999
            )
        },
        ("source",),
        3,
    ),
    _result("statement", 3, index=PLOT["index"]),
    _result("block", 2, ("layer",), layer=plain(0, 1)),
    _result("to", 2, ("device",), device={**plain("cpu"), "device": lambda: torch.device("cpu")}),
    _result("to_html", 2, path=plain(None, "page.html")),
    _result("plot", 2, **PLOT),
    _result("plot_layers", 2, index=PLOT["index"], percentile=PLOT["percentile"]),
    Surface(
        "compare",
        _compared,
        {"attributions": ROWS, "names": plain(None, ["a", "b"])},
        {
            "attributions": {
                "one": found,
                "mixed": lambda: [found("text"), found("image")],
                "single": lambda: [found("single")],
            },
            "names": plain("ab", ["a"], [1, 2], ["a", "a"], {"a": 1, "b": 2}),
        },
        ("attributions",),
        6,
    ),
    Surface("compare(...).plot", _compared_plot, PLOT, NEAR_PLOT, weight=1),
]


def _folder() -> Path:
    made = Path("folder")
    made.mkdir(exist_ok=True)
    return made


def _locked() -> Path:
    made = Path("locked")
    made.mkdir(exist_ok=True)
    made.chmod(0o500)
    return made / "a"


def _link(to: str) -> Path:
    made = Path(f"link to {to.replace('/', '_')}")
    if not made.is_symlink():
        made.symlink_to(to)
    return made


def _file(name: str, data: bytes) -> Path:
    made = Path(name)
    made.write_bytes(data)
    return made


@functools.cache
def _saved() -> bytes:
    return found("text").save(Path("kept")).read_bytes()


class Named:
    """A path of a class of its own."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def __fspath__(self) -> Any:
        return self.name


PATHS: Values = {
    **plain("a", "a.safetensors", "a.json", "ä ö", "a.b.c", ".hidden", "-", "a b\tc", "a\nb", "%s", "~", "nul"),
    **plain("", ".", "..", "/", "no/where", "a/", "a\x00b", "\ud800", "n" * 300, "n/" * 3000, " ", "//", "a/../b"),
    **plain("/dev/full", "/proc/self/mem", "/proc/self/fd/99", "/dev/null", "/sys/a", "a" * 250),
    **plain(3, b"a", None, [], 1.5, True),
    "Path": lambda: Path("a"),
    "folder": _folder,
    "folder's file": lambda: _folder() / "a",
    "locked": _locked,
    "link": lambda: _link("a.safetensors"),
    "link to nowhere": lambda: _link("no/where"),
    "link to itself": lambda: _link("link to link"),
    "class": lambda: Named("a"),
    "class of bytes": lambda: Named(b"a"),
    "class of int": lambda: Named(3),
    "raises": Raising,
}
FILES: Values = {
    **PATHS,
    "good": lambda: _file("good.safetensors", _saved()),
    "cut": lambda: _file("cut.safetensors", _saved()[:-7]),
    "half": lambda: _file("half.safetensors", _saved()[: len(_saved()) // 2]),
    "changed": lambda: _file("changed.safetensors", _saved()[:-9] + bytes(9)),
    "longer": lambda: _file("longer.safetensors", _saved() + b"\0"),
    "empty": lambda: _file("empty.safetensors", b""),
    "huge header": lambda: _file("huge.safetensors", b"\xff" * 40),
    "text": lambda: _file("text.safetensors", b"not a file of tensors, but a text of some length"),
    "json": lambda: _file("only.json", b"{}"),
    "random": lambda: _file("random.safetensors", bytes(range(256)) * 40),
    "no header": lambda: _file("none.safetensors", (2).to_bytes(8, "little") + b"{}"),
    "deep": lambda: _file("deep.safetensors", (60_000).to_bytes(8, "little") + b"[" * 60_000),
    "pickle": lambda: _file("p.safetensors", pickle.dumps({"a": 1})),
}


def _written(attribution: Any, path: Any) -> Any:
    return Attribution.load(attribution.save(path))


def _html(attribution: Any, path: Any) -> Any:
    return attribution.to_html(path)


def _spoilt(at: int, value: int) -> Any:
    """A file of which one byte is another."""
    data = bytearray(_saved())
    data[at % len(data)] = value
    return Attribution.load(_file("spoilt.safetensors", bytes(data)))


def _ways(attribution: Any, way: str) -> Any:
    return {
        "numpy": lambda a: a.numpy(),
        "deepcopy": copy.deepcopy,
        "copy": copy.copy,
        "pickle": lambda a: pickle.loads(pickle.dumps(a)),
        "repr": repr,
        "html": lambda a: a.to_html(),
        "terminal": lambda a: (a._repr_html_(), str(a)),
        "json": lambda a: Attribution.from_json(a.to_json()),
        "tables": lambda a: [t.to_records() for t in (a, a.by("token"))],
        "plot": lambda a: a.plot(),
        "layers": lambda a: a.plot_layers(),
        "words": lambda a: a.words,
        "probabilities": lambda a: a.probabilities,
        "reasons": lambda a: a.reasons,
        "converged": lambda a: a.converged,
        "rows": lambda a: [a[i] for i in range(a.batch)],
        "none": lambda a: a[:0].to_html(),
        "none, saved": lambda a: Attribution.load(a[:0].save("none")),
        "none, plotted": lambda a: a[:0].plot(),
        "none, compared": lambda a: compare([a[:0], a[:0]]),
    }[way](attribution)


WAYS = (
    "numpy",
    "deepcopy",
    "copy",
    "pickle",
    "repr",
    "html",
    "terminal",
    "json",
    "tables",
    "plot",
    "layers",
    "words",
    "probabilities",
)
MORE_WAYS = ("reasons", "converged", "rows", "none", "none, saved", "none, plotted", "none, compared")
ALL: Values = {**EXPLANATIONS, "row": lambda: found("text")[1], "rows": lambda: found("text")[[1, 0]]}


def _compared(attributions: Any, way: str, path: Any = None, **options: Any) -> Any:
    made = compare(attributions)
    if way == "html":
        return made.to_html(path)
    if way == "plot":
        return made.plot(**options)
    return repr(made)


RESULT_FILES = [
    Surface(
        "a.save, load",
        _written,
        {"attribution": ALL, "path": plain("a", "b.safetensors")},
        {"path": PATHS},
        ("attribution", "path"),
        8,
        fixed=("attribution",),
    ),
    Surface("Attribution.load", Attribution.load, {"path": {"good": FILES["good"]}}, {"path": FILES}, ("path",), 6),
    Surface(
        "a.to_html(path)",
        _html,
        {"attribution": ALL, "path": plain("a.html", None)},
        {"path": PATHS},
        ("attribution", "path"),
        4,
        fixed=("attribution",),
    ),
    Surface(
        "load(a spoilt file)",
        _spoilt,
        {"at": plain(*range(0, 12_000, 37)), "value": plain(0, 34, 125, 255)},
        {},
        ("at", "value"),
        5,
        fixed=("at", "value"),
    ),
    Surface(
        "ways of a",
        _ways,
        {"attribution": ALL, "way": plain(*WAYS, *MORE_WAYS)},
        {},
        ("attribution", "way"),
        6,
        fixed=("attribution", "way"),
    ),
    Surface(
        "compare(...) shown",
        _compared,
        {
            "attributions": {"two": lambda: [found("text"), found("text")], "one": lambda: [found("image")]},
            "way": plain("html", "plot", "repr"),
            "path": plain(None, "c.html"),
            "index": PLOT["index"],
        },
        {
            "attributions": {
                "rows": lambda: [found("text"), found("text")[:1]],
                "targets": lambda: [found("text"), found("all")],
                "words": lambda: [found("words"), found("text")],
                "a generator": lambda: (found("text") for _ in range(2)),
                "a dict": lambda: {1: found("text"), None: found("text")},
                "none": lambda: [found("text")[:0]] * 2,
                "scores": lambda: [torch.zeros(2, 6)],
            },
            "path": PATHS,
        },
        ("attributions", "way"),
        6,
        fixed=("way",),
    ),
]
