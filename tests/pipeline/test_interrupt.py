"""An interrupt ends an explanation at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import helpers
import pytest

SECOND = 1.0
AFTER = 1.0  # seconds of CPU into the explanation: past its first passes, in the rounds of nodes


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the CPU time of another process is read from /proc")
def test_an_interrupt_is_heard_within_a_second():
    paths = os.pathsep.join([str(Path(helpers.__file__).parents[1]), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.interrupted"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with process:
        try:
            assert process.stdout.readline() == "started\n"
            started = cpu_seconds(process.pid)
            while (sent := cpu_seconds(process.pid)) < started + AFTER:
                assert process.poll() is None, "it ended by itself"
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            heard = float(process.stdout.readline())
        finally:
            process.kill()
    assert heard - sent < SECOND
