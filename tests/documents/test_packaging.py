"""Recipes say what pyproject.toml says, extras name what they hold, and a source archive holds the tests."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from helpers.documents import ROOT

from tools.torches import RELEASES, wanted

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
    recipe = pytest.importorskip("yaml").safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["package"]["version"] == PROJECT["project"]["version"]
    needed = recipe["requirements"]
    plain = {kind: names(one for one in needed[kind] if "{{" not in one) for kind in needed}
    assert plain["run"] | {"torch"} == names(PROJECT["project"]["dependencies"]) | {"python"}
    assert 'pin_compatible("pytorch"' in str(needed["run"])
    assert names(PROJECT["build-system"]["requires"]) <= plain["build"] | plain["host"]
    (script,) = PROJECT["project"]["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(script)]


def test_rattler_build_reads_the_conda_recipe():
    rattler_build = pytest.importorskip("rattler_build")
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "conda/recipe.yaml")
    variants = rattler_build.VariantConfig.from_yaml("cxx_compiler: [gxx]\nc_stdlib: [sysroot]\npython: ['3.12.*']\n")
    (made,) = recipe.render(variants, rattler_build.RenderConfig())
    assert made.recipe.package.name == "calig_fast"
    assert len(made.recipe.requirements.run) == len(recipe.requirements.run)


def test_the_wheel_serves_the_oldest_torch_that_is_claimed():
    (claimed,) = (one for one in PROJECT["project"]["dependencies"] if one.startswith("torch"))
    assert RELEASES[0].startswith(claimed.removeprefix("torch>=") + ".")
    assert len({release.rpartition(".")[0] for release in RELEASES}) == len(RELEASES)
    tested = re.search(r"^TORCH .*?torch==(\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert tested[1] in RELEASES


def test_the_wheels_are_built_for_the_pythons_that_are_claimed():
    claimed = re.findall(r"Python :: (3)\.(\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["tool"]["cibuildwheel"]["build"].split() == [f"cp{a}{b}-*" for a, b in claimed]


def build(kind, folder, out, **environment):
    """A wheel or an sdist of a folder, by the backend that pip calls; returns its path."""
    code = f"from setuptools.build_meta import build_{kind}; import sys; build_{kind}(sys.argv[1])"
    given = {**os.environ, **environment}
    made = subprocess.run([sys.executable, "-c", code, out], cwd=folder, capture_output=True, text=True, env=given)
    assert made.returncode == 0, made.stderr[-2000:]
    (path,) = out.iterdir()
    return path


def test_a_source_archive_holds_sources_and_tests_and_builds_without_a_compiler(tmp_path):
    pytest.importorskip("setuptools")
    for name in ("sdist", "wheel"):
        (tmp_path / name).mkdir()
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path)
    needed = (
        "tests/conftest.py",
        "tests/support/helpers/synthetic.py",
        "csrc/module.cpp",
        "constraints.txt",
        "README.md",
        "calig_fast/demo/data/topics.safetensors",
        "tools/torches.py",
    )
    assert {name for name in needed if name not in held} == set()
    assert "tests/views/test_pages.py" in held
    assert not [name for name in held if name.endswith((".so", ".pyc"))]
    (source,) = tmp_path.glob("calig_fast-*")
    wheel = build("wheel", source, tmp_path / "wheel", CALIG_BUILD="0")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert "calig_fast/demo/data/tiny.safetensors" in held
    assert not [name for name in held if name.endswith(("topics.safetensors", "sentiment.safetensors", ".so"))]


def test_a_build_reads_headers_and_the_libraries_of_processors():
    assert wanted("torch/include/ATen/core/Tensor.h")
    assert wanted("torch/lib/libtorch_cpu.so")
    assert not wanted("torch/lib/libtorch_cuda.so")
    assert not wanted("torch/lib/libtorch_python.so")
