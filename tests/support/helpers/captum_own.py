"""Captum's own unit tests, from a checkout of its repository, with the three classes replaced by ours.

    python tests/support/helpers/captum_own.py DIR

Its source distributions (0.4.1 to 0.9.0 were looked at) hold none of them, so somebody has to bring the repository.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1]
CLASSES = (
    "attr/test_integrated_gradients_basic.py",
    "attr/test_integrated_gradients_classification.py",
    "attr/layer/test_layer_integrated_gradients.py",
    "attr/layer/test_layer_conductance.py",
)
USERS = (
    "attr/test_jit.py",
    "attr/test_targets.py",
    "attr/test_input_layer_wrapper.py",
    "metrics/test_infidelity.py",
    "metrics/test_sensitivity.py",
)


def run(checkout: Path, files: tuple[str, ...]) -> dict[str, str]:
    """Return the result of each test: "passed", "skipped", or the first line of its error."""
    paths = [str(checkout / "tests" / name) for name in files]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = [
            "-q",
            "-p",
            "helpers.captum_swap",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            f"--rootdir={checkout}",
        ]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *paths],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        cases = ElementTree.parse(report).iter("testcase")
        return {f"{case.get('classname')}.{case.get('name')}": _outcome(case) for case in cases}


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
            f"expected a checkout of Captum's repository, a folder that holds tests/{CLASSES[0]}; got {sys.argv[1:]}"
        )
    checkout, failed = Path(sys.argv[1]).resolve(), False
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
