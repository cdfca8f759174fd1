"""Tests lie as the package does: a module has a test file of its name, or a reason in CONTRIBUTING.md."""

import importlib.util
import re
from fnmatch import fnmatchcase
from pathlib import Path

import helpers
import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TITLE = "## Modules without a test file of their own"
MODULES = sorted(
    path.relative_to(ROOT / "calig_fast").with_suffix("").as_posix()
    for path in (ROOT / "calig_fast").rglob("*.py")
    if path.stem != "__init__"
)


def told() -> dict[str, tuple[str, list[str]]]:
    """Of every row its modules (a pattern), why, and the test files."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"{TITLE}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\S+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    return {name: (why, re.findall(r"`(\S+)`", files)) for name, why, files in rows}


def place_of(module: str) -> Path:
    """Return the path of a module's tests."""
    *rooms, name = module.split("/")
    return TESTS.joinpath(*rooms, f"test_{name.lstrip('_')}.py")


WITHOUT = [module for module in MODULES if not place_of(module).is_file()]


def matches(module: str, pattern: str) -> bool:
    """Return True if a pattern matches a module: `*` stands for one name."""
    names, patterns = module.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def test_every_module_has_a_test_file_or_a_reason():
    assert [module for module in WITHOUT if not any(matches(module, pattern) for pattern in told())] == []


def test_every_reason_is_needed_and_names_tests_there_are():
    rows = told()
    assert [pattern for pattern in rows if not any(matches(module, pattern) for module in WITHOUT)] == []
    for pattern, (why, files) in rows.items():
        assert why.strip(), pattern
        assert files, pattern
        assert [file for file in files if not (ROOT / file).is_file()] == [], pattern


def test_folders_of_tests_hide_no_package():
    assert [path for path in TESTS.rglob("__init__.py") if path.parent != TESTS / "support" / "helpers"] == []
    assert Path(helpers.__file__).parent == TESTS / "support" / "helpers"
    for name in ("captum", "benchmarks", "tools"):
        found = importlib.util.find_spec(name)
        if found is None:
            assert name == "captum"
            continue
        assert found.origin is not None, f"{name} is a folder without __init__.py"
        assert TESTS not in Path(found.origin).parents


def test_captum_is_captum():
    captum = pytest.importorskip("captum")
    assert captum.__version__


def test_rooms_are_few_and_form_no_cycle():
    """Numbers of rooms and of arrows that no change should raise without need; the layers are in pyproject.toml."""
    pytest.importorskip("grimp")
    from helpers.rooms import cycles, plan

    rooms, arrows = plan()
    assert len(rooms) <= 31
    assert len(arrows) <= 97
    assert cycles(rooms, arrows) == set()
    assert cycles({"a", "b", "c"}, {("a", "b"), ("b", "a"), ("b", "c")}) == {"a", "b"}


def test_metrics_import_of_inputs_and_model_only_what_perturbs():
    """Their other contracts are in pyproject.toml, which can forbid a module, and not all but a few."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("calig_fast", cache_dir=None)
    rooms = ("inputs", "model")
    imported = {
        module.removeprefix("calig_fast.")
        for metric in graph.find_descendants("calig_fast.metrics")
        for module in graph.find_modules_directly_imported_by(metric)
        if module.split(".")[1:2] and module.split(".")[1] in rooms
    }
    perturbing = {"inputs.rankings", "inputs.rows", "inputs.target", "model.random_weights"}
    assert {module for module in imported if not module.startswith("inputs.perturbed_")} <= perturbing
    assert imported >= perturbing


def test_no_file_is_long():
    kinds = {".py", ".cpp", ".h", ".cu", ".cuh", ".j2", ".js", ".css"}
    rooms = ("calig_fast", "csrc", "tools", "benchmarks", "tests")
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in kinds]
    assert len(files) > 400
    assert [path.name for path in files if len(path.read_text().splitlines()) > 400] == []
