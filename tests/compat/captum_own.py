"""Captum's own unit tests, from a checkout of its repository, with the three classes replaced by ours.

    python tests/compat/captum_own.py DIR

They are in none of its distributions on PyPI (looked at: 0.4.1 to 0.9.0), so somebody has to bring them; nothing of them is kept here.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
CLASSES = (
    "attr/test_integrated_gradients_basic.py",
    "attr/test_integrated_gradients_classification.py",
    "attr/layer/test_layer_integrated_gradients.py",
    "attr/layer/test_layer_conductance.py",
)
USERS = (  # of these, tests that use one of the classes among others
    "attr/test_jit.py",
    "attr/test_targets.py",
    "attr/test_input_layer_wrapper.py",
    "metrics/test_infidelity.py",
    "metrics/test_sensitivity.py",
)


def run(checkout: Path, files: tuple[str, ...]) -> dict[str, str]:
    """What became of each test: "passed", "skipped", or the first line of its error."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "captum_swap", "-p", "no:cacheprovider", "-c", "/dev/null"]
            + [f"--rootdir={checkout}", f"--junitxml={report}", *(str(checkout / "tests" / f) for f in files)],
            cwd=checkout,
            env={**_environment(), "PYTHONPATH": f"{HERE}:{HERE.parent.parent}:{checkout}/none"},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        cases = ElementTree.parse(report).iter("testcase")
        return {f"{c.get('classname')}.{c.get('name')}": _outcome(c) for c in cases}


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def _outcome(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag in {"failure", "error"}:
            return (child.get("message") or child.tag).splitlines()[0]
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def main() -> None:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "tests" / CLASSES[0]).is_file():
        sys.exit(
            f"usage: python {sys.argv[0]} DIR, a checkout of github.com/pytorch/captum (it holds tests/{CLASSES[0]})"
        )
    checkout = Path(sys.argv[1]).resolve()
    failed = False
    for title, files in (("tests of the three classes", CLASSES), ("tests of what uses them", USERS)):
        found = run(checkout, files)
        passed = sum(outcome == "passed" for outcome in found.values())
        print(f"{title}: {passed} of {len(found)} passed")
        for name, outcome in found.items():
            if outcome != "passed":
                print(f"  {name}: {outcome}")
        failed |= passed < len(found) and files is CLASSES
    sys.exit(failed)


if __name__ == "__main__":
    main()
