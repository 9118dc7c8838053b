"""Child processes that always end with us, even if we are killed.

A shell between us and the child holds the other end of a pipe, which the kernel closes even after
`kill -9`. The shell then stops the child.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

TETHER = """
exec 3<&0
signal=$1; shift
"$@" 3<&- & child=$!
{ read -r _; kill -"$signal" "$child"; } <&3 & reader=$!
wait "$child"; code=$?
kill "$reader" 2>/dev/null
wait "$reader"
exit "$code"
"""


@dataclass(frozen=True)
class Tethered:
    """A running child. Stop it with `stop`; it also stops when this process ends."""

    name: str
    shell: "subprocess.Popen[bytes]"

    @property
    def ended(self) -> bool:
        return self.shell.poll() is not None

    @property
    def exit_code(self) -> int | None:
        return self.shell.poll()

    def stop(self, patience: float) -> None:
        """Asks it to stop; after `patience` seconds kills it with all its children."""
        family = _descendants(self.shell.pid)
        try:
            self.shell.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()  # left by a child that did not stop its own children


def start(
    name: str,
    command: Sequence[str],
    *,
    stop_signal: str = "TERM",
    environ: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    folder: Path | None = None,
    account: str | None = None,
) -> Tethered:
    shell = subprocess.Popen(
        ["/bin/sh", "-c", TETHER, name, stop_signal, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=environ,
        user=account,
        start_new_session=True,  # Ctrl-C reaches only us; we stop the children in order
    )
    return Tethered(name, shell)


def alive(process: psutil.Process) -> bool:
    """Whether it is still running, and not just a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []
