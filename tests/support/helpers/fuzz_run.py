"""Calls with arguments drawn at random: which end in an error that names no argument, hang, or change a model.

python -m helpers.fuzz_run --count 20000 --seed 0        all, and a table of what is wrong
python -m helpers.fuzz_run --seed 0 --only 1234          one call again, with its traceback
"""

import argparse
import contextlib
import copy
import faulthandler
import io
import os
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers.fuzz_calls import EXPLAIN, MONITOR, Surface
from helpers.fuzz_captum import CAPTUM, WATCHED
from helpers.fuzz_command import COMMAND
from helpers.fuzz_extensions import EXTENSIONS
from helpers.fuzz_metrics import METRICS
from helpers.fuzz_model_calls import MODELS
from helpers.fuzz_objects import ANY
from helpers.fuzz_results import RESULT_FILES, RESULTS
from helpers.fuzz_values import OwnError

SURFACES = (
    *EXPLAIN,
    *MODELS,
    *EXTENSIONS,
    *RESULTS,
    *RESULT_FILES,
    *MONITOR,
    *METRICS,
    *CAPTUM,
    *COMMAND,
)
SECONDS = 10
MEMORY = 12 * 2**30  # bytes of address space more than at the start
SYNONYMS = {
    "target",
    "path",
    "length",
    "explainer",
    "values",
    "tokenizer",
    "model",
    "inputs",
    "index",
    "layers",
    "output",
    "engine",
    "backend",
    "blocks",
    "encoder",
    "method",
    "baselines",
    "processor",
    "family",
    "attributions",
    "names",
}


class Hang(BaseException):
    """A call took too long."""


@dataclass(frozen=True)
class Drawn:
    """A call that was drawn: the surface, and the names of its values."""

    surface: Surface
    values: dict[str, str]
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.surface.name} {self.values}"


@dataclass(frozen=True)
class Wrong:
    """A call that went wrong: its number, and how."""

    number: int
    drawn: Drawn
    error: str
    kind: str


def draw(seed: int, number: int, surfaces: Sequence[Surface] = SURFACES) -> Drawn:
    """The call of a number: mostly one argument of it is odd, sometimes none or two."""
    dice = random.Random(f"{seed}:{number}")
    surface = dice.choices(surfaces, [s.weight for s in surfaces])[0]
    names = [n for n in surface.good if n in surface.always or dice.random() < 0.15]
    odd = set(dice.sample(sorted(surface.good), min(len(surface.good), dice.choices((0, 1, 2), (1, 7, 2))[0])))
    values, arguments = {}, {}
    for name in dict.fromkeys([*names, *sorted(odd)]):
        pool = surface.good[name]
        if name in odd:
            near = surface.near.get(name)
            pool = near if near and dice.random() < 0.4 else pool if name in surface.fixed else ANY
        values[name] = dice.choice(sorted(pool))
        arguments[name] = pool[values[name]]()
    return Drawn(surface, values, arguments)


def judged(drawn: Drawn) -> tuple[str, str]:
    """The fault of a call, "" where there is none, and the error."""
    names = {*drawn.surface.good, *SYNONYMS, drawn.surface.name.removeprefix("a.")}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            drawn.surface.call(**drawn.arguments)
    except (OwnError, torch.OutOfMemoryError):
        return "", ""
    except Hang:
        return "hangs", _place(sys.exc_info()[2])
    except Exception as error:
        if isinstance(error, OSError) or drawn.surface.natural or _of_the_caller(error) or _is_clear(error, names):
            return "", ""
        return f"{type(error).__name__}: {str(error)[:100]}", _place(error.__traceback__)
    return "", ""


def _is_clear(error: Exception, names: set[str]) -> bool:
    """Return True where an error names an argument, or the file that was read."""
    if not isinstance(error, ValueError | TypeError | IndexError):
        return False
    text = str(error)
    begins = re.match(r"([\w.]+)[: \[]", text)
    of_file = re.match(r"[^:]*\.(safetensors|json): ", text) is not None
    return of_file or (len(text) > 20 and begins is not None and begins.group(1) in names)


def _of_the_caller(error: Exception) -> bool:
    """Return True where a function of the caller's raised it, which we called."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [i for i, f in enumerate(frames) if "calig_fast/" in f.filename and "/tests/" not in f.filename]
    next_one = frames[ours[-1] + 1 :][:1] if ours else []
    return any(f.filename.endswith(("fuzz_calls.py", "fuzz_extensions.py")) for f in next_one)


def _place(trace: Any) -> str:
    """The last lines of ours that were running."""
    ours = [f for f in traceback.extract_tb(trace) if "calig_fast" in f.filename and "tests" not in f.filename]
    return " < ".join(f"{f.filename.rsplit('calig_fast/', 1)[-1]}:{f.lineno}" for f in reversed(ours[-3:]))


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise Hang after so many seconds; where even that does not help, the process ends."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(6 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


class State:
    """The models as they were, and what is global."""

    def __init__(self) -> None:
        self.models = {name: make() for name, make in WATCHED.items()}
        self.before = {name: copy.deepcopy(model.state_dict()) for name, model in self.models.items()}
        self.told = {name: self._told(model) for name, model in self.models.items()}
        self.world = self._world()

    def changes(self) -> str:
        """The part that is other than it was, "" where there is none."""
        for name, model in self.models.items():
            now = model.state_dict()
            if any(not torch.equal(value, now[key]) for key, value in self.before[name].items()):
                return f"the weights of {name} changed"
            if (told := self._told(model)) != self.told[name]:
                return f"{name} changed: {[a for a, b in zip(told, self.told[name], strict=True) if a != b]}"
        return "" if self._world() == self.world else f"global state: {self._world()}"

    @staticmethod
    def _told(model: nn.Module) -> list[Any]:
        config = getattr(model, "config", None)
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        return [
            "" if config is None else config.to_json_string(),
            *[(n, m.training, *[len(getattr(m, h)) for h in hooks]) for n, m in model.named_modules()],
            *[(n, sorted(vars(m))) for n, m in model.named_modules()],
            *[(n, p.requires_grad, p.grad is None) for n, p in model.named_parameters()],
        ]

    @staticmethod
    def _world() -> tuple[Any, ...]:
        return torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_inference_mode_enabled()


def run(count: int, seed: int, surfaces: Sequence[Surface] = SURFACES, first: int = 0) -> list[Wrong]:
    """Draw and make `count` calls, in a folder that is thrown away; what went wrong."""
    wrong: list[Wrong] = []
    here = os.getcwd()
    state = State()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            for number in range(first, first + count):
                drawn = draw(seed, number, surfaces)
                with alarm(SECONDS):
                    kind, place = judged(drawn)
                if kind:
                    wrong.append(Wrong(number, drawn, kind, place))
                if changes := state.changes():
                    wrong.append(Wrong(number, drawn, changes, "state"))
                    state = State()
        finally:
            os.chdir(here)
    return wrong


def _kind(error: str) -> str:
    return re.sub(r"0x[0-9a-f]+|\d+", "#", error)


def limit_memory() -> None:
    """A call that asks for too much fails, and takes nothing else with it."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", type=int)
    options.add_argument("--surface", default="")
    told = options.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    surfaces = [s for s in SURFACES if re.search(told.surface, s.name)]
    torch.set_num_threads(1)
    if told.only is not None:
        drawn = draw(told.seed, told.only, surfaces)
        print(drawn)
        print(drawn.surface.call(**drawn.arguments))
        return
    limit_memory()
    wrong = run(told.count, told.seed, surfaces)
    kinds = Counter((_kind(w.error)[:90], w.kind) for w in wrong)
    for (error, place), times in kinds.most_common():
        example = next(w for w in wrong if _kind(w.error)[:90] == error and w.kind == place)
        print(f"{times:5d}  {error}\n       {place}\n       --only {example.number}: {example.drawn}")
    print(f"{len(wrong)} of {told.count} calls end otherwise than they should ({100 * len(wrong) / told.count:.1f} %)")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
