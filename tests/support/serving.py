"""The app under gunicorn, as production runs it, and patience for what other processes do."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from development import processes
from development.processes import Tethered
from development.stack import ROOT, free_port

PATIENCE = 60.0  # seconds; the machine may be busy with other tests


@dataclass(frozen=True)
class Served:
    url: str
    process: Tethered
    log: Path

    @property
    def master(self) -> psutil.Process:
        """The process that a platform would send TERM to."""
        children = psutil.Process(self.process.shell.pid).children()
        return next(one for one in children if "gunicorn" in " ".join(one.cmdline()))

    def workers(self) -> list[psutil.Process]:
        return self.master.children()

    def log_lines(self, containing: str) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if containing in line]

    def terminate(self) -> int:
        """TERM, as at every deploy. Returns the exit code."""
        self.master.send_signal(signal.SIGTERM)
        return self.process.shell.wait(PATIENCE)


@contextmanager
def serving(environ: Mapping[str, str], folder: Path, *options: str) -> Iterator[Served]:
    """`gunicorn app:app` with these options, ready to answer."""
    port = free_port()
    log = folder / f"gunicorn-{port}.log"
    with log.open("wb") as output:
        tethered = processes.start(
            "app",
            [sys.executable, "-m", "gunicorn", "app:app", f"--bind=127.0.0.1:{port}", *options],
            environ={**os.environ, **environ, "BASE_URL": f"http://127.0.0.1:{port}"},
            output=output,
            folder=ROOT,
        )
    served = Served(f"http://127.0.0.1:{port}", tethered, log)
    try:
        eventually(lambda: _answers(served), lambda: log.read_text(errors="replace")[-3000:])
        yield served
    finally:
        tethered.stop(PATIENCE)
    odd = [
        line
        for line in not_json(log.read_text(errors="replace").splitlines())
        if line != "Terminated"  # said by the shell that the server is tethered to
    ]
    assert odd == [], odd


def not_json(lines: Iterable[str]) -> list[str]:
    """The lines that are not one JSON object each."""

    def is_object(line: str) -> bool:
        try:
            return isinstance(json.loads(line), dict)
        except ValueError:
            return False

    return [line for line in lines if not is_object(line)]


def eventually(
    holds: Callable[[], object], otherwise: Callable[[], object] = lambda: "it never held"
) -> None:
    """Looks again and again until it holds: another process is at work."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def _answers(served: Served) -> bool:
    assert not served.process.ended, served.log.read_text(errors="replace")[-3000:]
    try:
        return requests.get(f"{served.url}/sign-in", timeout=5).status_code == 200
    except requests.RequestException:
        return False
