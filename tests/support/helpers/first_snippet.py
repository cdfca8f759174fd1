"""Runs the first Python block of a README in the installed package: `python first_snippet.py README.md`."""

import re
import sys
import tempfile
import time
from pathlib import Path


def main(readme: str) -> None:
    """Run it, and print the seconds it took."""
    code = re.search(r"^```python\n(.*?)^```", Path(readme).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if code is None:
        raise SystemExit(f"{readme}: no Python block")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        exec(compile(code[1].replace("why.html", f"{folder}/why.html"), readme, "exec"), {})
        if Path(folder, "why.html").stat().st_size < 10_000:
            raise SystemExit("why.html is empty")
    print(f"{time.perf_counter() - begun:.1f} s with the imports")


if __name__ == "__main__":
    main(sys.argv[1])
