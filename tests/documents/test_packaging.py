"""Recipes say what pyproject.toml says, extras name what they hold, and a source archive holds the tests."""

import re
import subprocess
import sys
import tarfile

import pytest
from helpers.documents import ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def names(wanted):
    """Names of packages without versions and extras."""
    return {re.match(r"[\w-]+", one)[0].lower() for one in wanted}


def test_all_holds_every_extra_of_users():
    (whole,) = EXTRAS["all"]
    held = set(re.search(r"\[(.*)\]", whole)[1].split(","))
    assert held <= EXTRAS.keys()
    every = set().union(*(names(EXTRAS[extra]) for extra in held))
    work = {"all", "demo", "test", "dev", "docs"}
    assert set().union(*(names(v) for k, v in EXTRAS.items() if k not in work)) == every


def test_every_extra_is_in_the_docs():
    page = (ROOT / "docs/packaging.md").read_text(encoding="utf-8")
    assert {extra for extra in EXTRAS if f"[{extra}]" not in page} == set()


def test_the_conda_recipe_follows_the_project():
    recipe = (ROOT / "conda/meta.yaml").read_text(encoding="utf-8")
    assert f'version: "{PROJECT["project"]["version"]}"' in recipe
    run = recipe.split("  run:\n")[1].split("\n\n")[0]
    listed = names(line.strip("- ") for line in run.splitlines() if "{{" not in line) | {"torch"}
    assert listed == names(PROJECT["project"]["dependencies"]) | {"python"}
    build = recipe.split("  build:\n")[1].split("  run:\n")[0]
    for package in names(PROJECT["build-system"]["requires"]):
        assert f"- {package}" in build


def test_the_wheels_are_built_for_the_pythons_that_are_claimed():
    claimed = re.findall(r"Python :: (3)\.(\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["tool"]["cibuildwheel"]["build"].split() == [f"cp{a}{b}-*" for a, b in claimed]


def test_a_source_archive_holds_sources_and_tests(tmp_path):
    pytest.importorskip("setuptools")
    code = "from setuptools.build_meta import build_sdist; import sys; print(build_sdist(sys.argv[1]))"
    made = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = (
        "tests/conftest.py",
        "tests/support/helpers/synthetic.py",
        "csrc/module.cpp",
        "constraints.txt",
        "README.md",
    )
    assert {name for name in needed if name not in held} == set()
    assert "tests/views/test_pages.py" in held
    assert not [name for name in held if name.endswith((".so", ".pyc"))]
