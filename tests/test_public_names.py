"""The public names of `import calig_fast`: the names of `__all__`, each at its first use, with types."""

import subprocess
import sys
from importlib.resources import files

import pytest

import calig_fast

ROOMS = ("bench", "captum", "corpus", "demo", "metrics", "monitor", "ops", "views")


def test_dir_lists_what_is_public():
    shown = {name for name in dir(calig_fast) if not name.startswith("__")}
    assert shown == {name for name in calig_fast.__all__ if not name.startswith("__")}
    assert len(set(calig_fast.__all__)) == len(calig_fast.__all__)
    for name in calig_fast.__all__:
        assert getattr(calig_fast, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_there_in_a_fresh_process(room):
    code = f"import calig_fast; assert calig_fast.{room}.__name__ == 'calig_fast.{room}'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_star_gives_all_of_them_and_nothing_else():
    names: dict[str, object] = {}
    exec("from calig_fast import *", names)
    assert set(names) - {"__builtins__"} == set(calig_fast.__all__)


def test_a_name_there_is_not():
    with pytest.raises(AttributeError, match="has no attribute 'heatmap'"):
        _ = calig_fast.heatmap


def test_it_ships_its_types():
    assert (files(calig_fast) / "py.typed").is_file()
