"""Everything that needs a GPU, in one command of at most nine minutes, without a network.

python -m benchmarks.gpu                     all parts, in order of value; results in build/gpu, or in $OUT
python -m benchmarks.gpu --rehearse          the same in small on a CPU, without a CUDA call
python -m benchmarks.gpu --rehearse --plant smoke=fail --plant ops=hang --most 20
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import run, table


def main() -> None:
    """Run all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the results; of a part, the file of its lines")
    parser.add_argument("--rehearse", action="store_true", help="run everything small on a CPU")
    parser.add_argument("--plant", action="append", default=[], metavar="PART=fail|hang", help="instead of its work")
    parser.add_argument("--most", type=int, default=run.SECONDS, help="seconds that no part may exceed")
    parser.add_argument("--seconds", type=int, default=run.SECONDS, help="of all parts")
    parser.add_argument("--jobs", type=int, default=12, help="processes of pytest")
    options, more = parser.parse_known_args()
    if "--part" in more:
        if "table" in more:
            table.write(options.out)
            return
        from . import part

        part.main()
        return
    if more:
        parser.error(f"unknown: {' '.join(more)}")
    if not options.rehearse and not run.has_gpu():
        print("no GPU that torch can use: nothing was run, nothing written")
        return
    planted = dict(each.split("=") for each in options.plant)
    out = options.out or Path(os.environ.get("OUT", run.ROOT / "build" / "gpu"))
    run.everything(
        run.Settings(out.resolve(), options.rehearse, planted, options.most, options.seconds, jobs=options.jobs)
    )


if __name__ == "__main__":
    sys.exit(main())
