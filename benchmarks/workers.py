"""Contestants run as processes of their own, one at a time, and speak with the benchmark in lines.

A worker says `ready` when it has imported and connected, begins when it is told something, and
ends when its standard input does: it cannot outlive the benchmark.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from development.stack import ROOT

READY = "ready"
STOP_WITHIN = 20.0  # seconds


class WorkerFailed(Exception):
    """A contestant ended before it was told to."""


class Worker:
    """The benchmark's side."""

    def __init__(self, module: str, *arguments: str, environ: Mapping[str, str]) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environ},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **words: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)

    def hear(self) -> str:
        """The worker's next line. Raises WorkerFailed when there is none to come."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"{self.module} ended with {self._process.wait()}")
        return line.strip()

    def assert_alive(self) -> None:
        if self._process.poll() is not None:
            raise WorkerFailed(f"{self.module} ended with {self._process.returncode}")

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def running_worker(module: str, *arguments: str, **environ: str) -> Iterator[Worker]:
    """A worker that has said that it is ready."""
    worker = Worker(module, *arguments, environ=environ)
    try:
        while worker.hear() != READY:
            pass
        yield worker
    finally:
        worker.stop()


# --- The worker's side --------------------------------------------------------------------------


def told() -> Iterator[dict[str, object]]:
    """What the benchmark says, until it is done with us."""
    print(READY, flush=True)
    for line in sys.stdin:
        words: dict[str, object] = json.loads(line)
        yield words


def ready_and_told() -> dict[str, object]:
    """Says that we are ready and waits for the word to begin."""
    return next(told())


def end_with_the_benchmark() -> None:
    """For workers whose own loop never returns: they end, at once, when the benchmark is done."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
