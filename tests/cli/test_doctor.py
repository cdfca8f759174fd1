"""`calig demo`, `calig doctor`, and the command as a module."""

import json
import subprocess
import sys

import torch
from helpers.typed import run

import calig_fast
from calig_fast.cli.doctor import PACKAGES


def test_doctor_says_what_is_installed_and_what_runs():
    found = run("doctor")
    assert found.exit_code == 0
    assert f"torch {torch.__version__.split('+')[0]}" in found.stdout
    for name in PACKAGES:
        assert f"  {name} " in found.stdout
    assert "backend torch" in found.stdout
    assert "instruction sets" in found.stdout


def test_as_a_module():
    found = subprocess.run([sys.executable, "-m", "calig_fast", "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    for command in ("explain", "demo", "doctor"):
        assert command in found.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "calig_fast", "explain", "--model", "/nowhere", "--text", "a"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.strip().splitlines()[-1].startswith("error: ")  # a warning may come first
    assert "no such folder" in wrong.stderr
    assert wrong.stdout == ""


def test_doctor_as_json():
    told = json.loads(run("doctor", "--json", "-").stdout)
    assert told["backends"]["torch"] is None
    assert told["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "bert" in told["families"]


def test_help_names_the_exit_codes_and_every_command():
    found = run("--help")
    assert found.exit_code == 0
    for word in ("explain", "compare", "bench", "demo", "doctor", "Exit codes"):
        assert word in found.stdout


def test_the_version():
    found = run("--version")
    assert found.exit_code == 0
    assert found.stdout == f"calig_fast {calig_fast.__version__}\n"
