"""The machine record of a result."""

import datetime
import importlib.metadata
import json
import platform

import torch

from calig_fast.bench import machine


def test_it_is_plain_values():
    found = machine.describe()
    assert json.loads(json.dumps(found)) == found
    datetime.date.fromisoformat(found["date"])
    assert found["python"] == platform.python_version()
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == importlib.metadata.version("torch")


def test_what_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no such package"))
    assert machine.describe()["no such package"] is None


def test_processors_of_one_name_are_told_apart(monkeypatch):
    lines = ["model name\t: Some Processor", "cpu family\t: 25", "model\t\t: 17"]
    monkeypatch.setattr(machine, "_lines", lambda path: lines)
    assert machine.describe()["processor"] == "Some Processor (family 25, model 17)"
    monkeypatch.setattr(machine, "_lines", lambda path: [])
    assert machine.describe()["processor"] == platform.processor()
