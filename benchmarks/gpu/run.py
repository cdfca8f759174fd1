"""The parts of a run on a GPU: a process each, with a limit of its own. A part that fails or hangs ends no other part.

This module imports neither torch nor the package: they may be what fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 535  # of all parts; a command on a rented machine often ends after ten minutes
LEAST = 15  # seconds; a part that has fewer left is left out
GRACE = 5  # seconds from the request to end until the kill
CARRIED = "carried"  # wheels and a compiled module that travel beside the sources
NO_GPU = 3  # exit code
TAIL = 12  # lines of a part's log in the summary

HAS_GPU = f"import torch; raise SystemExit(0 if torch.cuda.is_available() else {NO_GPU})"
LOADS = """
from calig_fast.ops.build_info import build_info
found = build_info()
print(found)
raise SystemExit(bool(found.compiled) or {cuda} and bool(not found.cuda or found.backends["cuda"]))
"""
VERSIONS = """
import importlib.metadata, os, platform, shutil, subprocess
print(platform.python_version(), os.cpu_count(), "cores")
for name in ("torch", "triton", "numpy", "transformers", "timm", "captum", "pytest", "pytest-xdist", "cmake", "ninja"):
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "is not installed")
for tool in ("nvidia-smi", "nvcc", "compute-sanitizer", "ncu"):
    where = shutil.which(tool)
    print(tool, where)
    if where:
        command = [where] if tool == "nvidia-smi" else [where, "--version"]
        print(subprocess.run(command, capture_output=True, text=True).stdout)
"""
METRICS = (
    "gpu__time_duration.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
)
PLANTED = {"fail": ("-c", "raise SystemExit('planted')"), "hang": ("-c", "import time; time.sleep(3600)")}


@dataclass(frozen=True)
class Part:
    """One process.

    Args:
        name: of the part.
        seconds: its limit.
        command: the program and its arguments.
        environment: variables for it.
        folder: where it runs.
    """

    name: str
    seconds: int
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path = ROOT


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Args:
        out: folder of the results.
        rehearsal: run everything small on a CPU.
        planted: "fail" or "hang" by the name of a part, which does so instead of its work.
        most: seconds that no part may exceed.
        seconds: of all parts.
        jobs: processes of pytest.
    """

    out: Path
    rehearsal: bool = False
    planted: dict[str, str] = field(default_factory=dict)
    most: int = SECONDS
    seconds: int = SECONDS
    jobs: int = 12


class Runner:
    """Runs parts and writes about each of them.

    Args:
        settings: the settings.
        logs: folder of the parts' outputs.
    """

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings, self.logs, self._began = settings, logs, time.monotonic()
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """Seconds left of the run."""
        return int(self.settings.seconds - (time.monotonic() - self._began))

    def take(self, part: Part) -> bool:
        """Run one part to its end or its limit, and return True if it ended well."""
        planted = self.settings.planted.get(part.name)
        if planted is not None:
            part = replace(part, command=(sys.executable, *PLANTED[planted]))
        limit, began = min(part.seconds, self.left, self.settings.most), time.monotonic()
        least = min(LEAST, part.seconds, self.settings.most)
        try:
            code = self._run(part, limit) if limit >= least else None
            fault = "" if code is not None else "left out"
        except Exception as error:
            code, fault = -1, f"{type(error).__name__}: {error}"
        self._tell(part, code, fault, time.monotonic() - began)
        return code == 0

    def together(self, *parts: Part) -> None:
        """Run parts at the same time."""
        threads = [threading.Thread(target=self.take, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, part: Part, limit: int) -> int:
        times = {"BEGAN": str(time.time()), "LIMIT": str(limit)}
        environment = {**os.environ, **self._environment(), **times, **part.environment}
        with self._log(part).open("wb") as log:
            process = subprocess.Popen(
                part.command, cwd=part.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            _end(process)
            return 124
        finally:
            with contextlib.suppress(ProcessLookupError):  # processes that it started and left
                os.killpg(process.pid, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        paths = (ROOT, ROOT / "tests" / "support", self.logs / "site")
        return {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "TRITON_CACHE_DIR": str(self.logs / "triton"),
            "PATH": os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/cuda/bin")),
            "CALIG_GPU_REHEARSAL": str(int(self.settings.rehearsal)),
        }

    def _log(self, part: Part) -> Path:
        return self.logs / f"{part.name}.log"

    def _tell(self, part: Part, code: int | None, fault: str, seconds: float) -> None:
        row = {"part": part.name, "name": "whole", "rc": code, "seconds": round(seconds, 1)}
        row |= {"fault": fault} if fault and code is not None else {}
        said = f"== {part.name}: rc {code} {fault}, {seconds:.0f} s, {self.left} s left"
        log = self._log(part)
        tail = log.read_text(errors="replace").splitlines()[-TAIL:] if log.exists() else []
        with self._lock:
            _say(said)
            with (self.settings.out / "results.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            with (self.settings.out / "summary.txt").open("a") as file:
                file.write("\n".join([said, *tail, ""]))


def _say(text: str) -> None:
    """Print; a terminal that is gone ends nothing."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and those that it started to end, then kill them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _tests(out: Path, name: str, settings: Settings, *arguments: str) -> tuple[str, ...]:
    """A run of pytest that goes on after failures."""
    extra: list[str] = []
    if importlib.util.find_spec("xdist"):
        extra += ["-n", str(settings.jobs)]
    if importlib.util.find_spec("pytest_timeout"):
        extra += ["--timeout", "60"]
    return _python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *extra, "--junitxml", str(out / f"{name}.xml"), *arguments
    )


def parts(settings: Settings, logs: Path) -> dict[str, Part]:
    """Every part by its name, in order of value."""
    out, rehearsal = settings.out, settings.rehearsal

    def ours(name: str, seconds: int, *arguments: str, results: Path | None = None, **environment: str) -> Part:
        command = _python("-m", "benchmarks.gpu", "--part", name.partition(":")[0], "--out")
        where = str(results or out / "results.jsonl")
        return Part(name, seconds, (*command, where, *arguments), environment)

    def sanitizer(tool: str) -> Part:
        one = ours("sanitized", 90, results=logs / f"{tool}.jsonl")
        options = ("--tool", tool, "--error-exitcode", "9", "--print-limit", "20", "--launch-timeout", "0")
        around = () if rehearsal else ("compute-sanitizer", *options)
        # an access beyond a tensor would lie within a block of the caching allocator
        return Part(tool, 90, (*around, *one.command), {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})

    profiler = ("ncu", "--clock-control", "none", "--csv", "--page", "raw", "--metrics", ",".join(METRICS))
    kernels = ours("kernels", 60, results=logs / "ncu.jsonl")
    wheels = [str(path) for path in sorted((ROOT / CARRIED).glob("*.whl"))]
    install = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target", str(logs / "site"))
    of_ops = ("-k", "torch and norm" if rehearsal else "cuda or triton", "tests/ops/test_values.py")
    of_explain = ["tests/test_gpu.py", "tests/metrics/test_gpu.py"]
    of_explain += ["tests/engines/native/test_cuda_graphs.py", "tests/engines/native/test_path_batch.py"]
    of_explain += ["-k", "bert and torch"] if rehearsal else []
    # from another folder: setuptools before 77 cannot read pyproject.toml
    build = _python(str(ROOT / "setup.py"), "build_ext", "--build-lib", str(ROOT))
    architecture = {"CALIG_CUDA_ARCH": _architecture(), "MAX_JOBS": os.environ.get("MAX_JOBS", str(os.cpu_count()))}
    one_thread = {"OMP_NUM_THREADS": "1"}
    every = (
        Part("machine", 30, _python("-c", VERSIONS)),
        *((Part("wheels", 30, _python(*install, *wheels)),) if wheels else ()),
        Part("load", 60, _python("-c", LOADS.format(cuda=not rehearsal))),
        Part("build", 150, build, architecture, logs),
        ours("ceilings", 60),
        ours("smoke", 80),
        ours("explain", 130),
        ours("ops", 80),
        Part("op_tests", 110, _tests(out, "op_tests", settings, *of_ops), one_thread),
        Part(
            "explain_tests",
            80,
            _tests(out, "explain_tests", settings, *of_explain),
            {**one_thread, **({"CALIG_FAST_TEST_DEVICE": "cpu"} if rehearsal else {})},
        ),
        ours("trace", 45, "--to", str(out / "trace.json.gz")),
        *map(sanitizer, ("memcheck", "racecheck", "initcheck", "synccheck")),
        Part("ncu", 60, (*(() if rehearsal else profiler), *kernels.command)),
        ours("table", 20),
    )
    return {part.name: part for part in every}


def _architecture() -> str:
    """The card's compute capability as nvcc names it; that of an H100 where it is not known."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        capabilities = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        capabilities = []
    return capabilities[0].replace(".", "") if capabilities and capabilities[0].replace(".", "").isdigit() else "90"


def everything(settings: Settings) -> None:
    """Run all parts; write results.jsonl, summary.txt, table.txt, choice.json, trace, two junit files and logs.tgz."""
    settings.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        runner, by_name = Runner(settings, logs), parts(settings, logs)
        for name in ("machine", "wheels"):
            if name in by_name:
                runner.take(by_name[name])
        _compiled(runner, by_name)
        for name in ("smoke", "explain", "ops", "op_tests", "explain_tests", "trace"):
            runner.take(by_name[name])
        runner.together(*(by_name[tool] for tool in ("memcheck", "racecheck", "initcheck", "synccheck")))
        runner.take(by_name["ncu"])
        # the page is made whatever time is left
        runner.settings = replace(settings, seconds=settings.seconds + by_name["table"].seconds)
        runner.take(by_name["table"])
        page = logs / "table.log"
        _say(page.read_text(errors="replace") if page.exists() else "no table")
        with tarfile.open(settings.out / "logs.tgz", "w:gz") as archive:
            for path in sorted([*logs.glob("*.log"), *logs.glob("*.jsonl")]):
                archive.add(path, path.name)


def _compiled(runner: Runner, by_name: dict[str, Part]) -> None:
    """The compiled module: the one beside the package, the carried one, or a new one, built beside `ceilings`."""
    load = by_name["load"]
    ready = runner.take(load)
    if not ready:
        for module in (ROOT / CARRIED).glob("_C.*.so"):
            shutil.copy(module, ROOT / "calig_fast" / module.name)
            ready = ready or runner.take(replace(load, name="load_carried"))
    if ready:
        runner.take(by_name["ceilings"])
        return
    runner.together(by_name["build"], by_name["ceilings"])
    runner.take(replace(load, name="load_built"))


def has_gpu() -> bool:
    """Return False if PyTorch says that it has no GPU; a PyTorch that fails or hangs is seen in the parts."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run([sys.executable, "-c", HAS_GPU], capture_output=True, timeout=60).returncode != NO_GPU
    return True
