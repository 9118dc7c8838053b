"""Contestants run as separate processes, one at a time, and exchange lines with the benchmark.

A worker prints `ready` when it has imported and connected, starts when it receives a line, and ends
when its standard input closes, so it cannot outlive the benchmark. Its own output is kept and shown
if it fails.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from development.stack import ROOT
from models.base import Json

WORDS = "BENCHMARK_WORDS"  # file descriptor for the worker's lines, separate from its output
STOP_WITHIN = 20.0  # seconds


class WorkerFailed(Exception):
    """A contestant ended too early."""


class Worker:
    """The benchmark's side of a worker."""

    def __init__(self, command: tuple[str, ...], environ: dict[str, str], log: Path) -> None:
        self.name = " ".join(command)
        self.log = log
        hears, speaks = os.pipe()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[speaks],
                text=True,
                cwd=ROOT,
                env={**os.environ, **environ, WORDS: str(speaks)},
            )
        os.close(speaks)
        self._words = os.fdopen(hears)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **words: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)

    def hear(self) -> Json:
        """The worker's next line. Raises WorkerFailed if it has ended."""
        line = self._words.readline()
        if not line:
            self._process.wait()
            self.assert_alive()
        words: Json = json.loads(line)
        return words

    def assert_alive(self) -> None:
        if self._process.poll() is not None:
            told = self.log.read_text(errors="replace")[-3000:]
            raise WorkerFailed(f"{self.name} ended with {self._process.returncode}:\n{told}")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()


@contextmanager
def running_worker(*command: str, **environ: str) -> Iterator[Worker]:
    """A worker that is ready: `running_worker("benchmarks.ours", "nothing", DATABASE_URL=…)`."""
    with tempfile.TemporaryDirectory(prefix="dunahub-benchmark-") as folder:
        worker = Worker(command, environ, Path(folder) / "log")
        try:
            worker.hear()
            yield worker
        finally:
            worker.stop()


# --- The worker's side --------------------------------------------------------------------------


def say(**words: object) -> None:
    os.write(int(os.environ[WORDS]), json.dumps(words).encode() + b"\n")


def told() -> Iterator[Json]:
    """Reports ready, then yields lines from the benchmark until it closes."""
    say(ready=True)
    for line in sys.stdin:
        words: Json = json.loads(line)
        yield words


def ready_and_told() -> Json:
    """Reports ready and waits for the start signal."""
    return next(told())


def end_with_the_benchmark() -> None:
    """For workers whose own loop never returns: ends them at once when the benchmark is done."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
