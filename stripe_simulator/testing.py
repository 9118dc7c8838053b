"""Runs the simulator as a process for tests, and fills in its pages."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

START_DEADLINE = 30.0
TIMEOUT = 20.0
Fields = dict[str, Any]


class StripeHandle:
    """A running simulator."""

    def __init__(self, url: str) -> None:
        self.url = url

    def act(self, name: str, **asked: object) -> Any:
        answer = requests.post(f"{self.url}/_simulator/{name}", json=asked, timeout=10)
        answer.raise_for_status()
        return answer.json()["done"]

    def everything(self) -> Fields:
        found: Fields = requests.get(f"{self.url}/_simulator/objects", timeout=10).json()
        return found

    def all(self, account: str, kind: str) -> list[Fields]:
        """Oldest first."""
        things = self.everything()["objects"].get(account, {}).values()
        return [thing for thing in things if thing["object"] == kind]

    def events(self, account: str) -> list[Fields]:
        return self.all(account, "event")

    def pay(self, page: str, **fields: str) -> requests.Response:
        """Fills in the hosted page, without following the redirect back to us."""
        return requests.post(
            page, data={"card": "4242424242424242", **fields}, timeout=10, allow_redirects=False
        )

    def send_transfer(self, page: str, account: str = "000123456789") -> requests.Response:
        fields = {"account": account, "routing": "110000000"}
        return requests.post(page, data=fields, timeout=10, allow_redirects=False)

    def await_quiet(self) -> None:
        """Waits until all events are delivered."""
        deadline = time.monotonic() + TIMEOUT
        while self.everything()["delivering"]:
            assert time.monotonic() < deadline, "events are still under way"
            time.sleep(0.02)


@contextmanager
def running_stripe(environ: Mapping[str, str] = os.environ) -> Iterator[StripeHandle]:
    """A simulator on a free port. Sends no events until it is given an endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "stripe_simulator", f"--port={port}", "--ach-seconds=400000"]
    process = subprocess.Popen(command, env=dict(environ))  # noqa: S603
    handle = StripeHandle(f"http://127.0.0.1:{port}")
    try:
        _await(handle, process)
        yield handle
    finally:
        process.terminate()
        process.wait(10)


def _await(handle: StripeHandle, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_DEADLINE
    while True:
        try:
            requests.get(handle.url, timeout=1)
            return
        except requests.ConnectionError:
            assert process.poll() is None, "the simulator ended by itself"
            assert time.monotonic() < deadline, "the simulator doesn't answer"
            time.sleep(0.05)
