"""No module but `_utils/files.py` writes files: there they are written whole."""

import ast
from pathlib import Path

import pytest

import calig_fast

WRITES = {
    "write_text", "write_bytes", "savefig", "save_file", "serialize_file", "dump", "NamedTemporaryFile", "mkstemp",
    "tofile", "savetxt", "savez", "touch", "copyfile", "to_csv", "write_table",
}  # fmt: skip
OPENS = {"open", "fdopen", "FileIO"}


def writing_calls(source):
    """Names of calls that write a file: those of `WRITES`, and an `open` whose mode is not known to read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        given = [*node.args, *(k.value for k in node.keywords if k.arg in ("mode", "flags"))]
        strings = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        modes = [s for s in strings if set(s) <= set("rwaxbt+") and s]
        opens = name in OPENS and (owner == "os" or any(set(m) & set("wax+") for m in modes))
        owned = owner in ("torch", "np", "numpy") and name == "save"
        if name in WRITES or opens or owned or (owner in ("os", "shutil") and name in ("replace", "rename", "move")):
            found.append(f"{name}, line {node.lineno}")
    return found


def test_no_other_module_writes_files():
    package = Path(calig_fast.__file__).parent
    allowed = {
        "_utils/files.py": None,
        "cli/writing.py": {"savefig"},
        "views/shown_figure.py": {"savefig"},
        "results/tables.py": {"write_table"},
        "corpus/tables.py": {"write_table"},
        "corpus/shipping.py": {"save", "fdopen"},
    }  # in memory
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package).as_posix()
        found = writing_calls(path.read_text(encoding="utf-8"))
        may = allowed.get(where, set())
        assert may is None or [call for call in found if call.split(",")[0] not in may] == [], where
    assert writing_calls((package / "_utils" / "files.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    ['open(path, "w")', 'p.open("ab")', 'p.open(mode="r+")', "p.write_text(t)", "os.open(p, 3)", "torch.save(a, p)"],
)
def test_ways_of_writing_are_seen(source):
    assert writing_calls(source)
    assert not writing_calls('open(path)\np.open("rb")\nImage.open(path)\nfiles.write(p, t)')
