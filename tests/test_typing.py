"""The types reach the caller: a misspelt option is an error of the type checker, and nothing else is."""

import pytest

CODE = """
import torch
from torch import nn
from calig_fast import Attribution, Explainer, explain

def use(model: nn.Module, ids: torch.Tensor) -> Attribution:
    Explainer(model, tolerance=0.1)(ids, lam=0.5)
    Explainer(model, tolerence=0.1)
    return explain(model, ids, None, target=1)
"""


def test_a_misspelt_option_is_a_type_error(tmp_path):
    api = pytest.importorskip("mypy.api")
    path = tmp_path / "caller.py"
    path.write_text(CODE)
    told, errors, code = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(path)])
    assert (errors, code) == ("", 1)
    assert [line for line in told.splitlines() if ": error:" in line] == [told.splitlines()[0]], told
    assert 'caller.py:8: error: Unexpected keyword argument "tolerence" for "Explainer"' in told
