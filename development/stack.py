"""DunaHub on one machine: database, simulated QuickBooks, app."""

import fcntl
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from cryptography.fernet import Fernet

from config import Config
from development import month, processes
from development.database import migrate, refuse_foreign
from development.postgres import running_postgres
from development.processes import Tethered
from development.seed import seed_once

ROOT = Path(__file__).parent.parent
START_DEADLINE = 60.0  # seconds, on a busy machine
STOP_DEADLINE = 35.0  # longer than gunicorn gives its workers


class CannotStart(Exception):
    """Says in one sentence what prevents the start, and which variable changes it."""


@dataclass(frozen=True)
class Child:
    process: Tethered
    log: Path

    def log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def last_words(self) -> str:
        code = self.process.exit_code
        return f"The {self.process.name} ended by itself (code {code}).\n{self.log_end()}"


@dataclass(frozen=True)
class Stack:
    port: int
    simulator_port: int | None  # None: Intuit's QuickBooks is configured
    stripe_port: int | None  # None: Stripe itself, or no payments
    children: tuple[Child, ...]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator_url(self) -> str | None:
        return f"http://127.0.0.1:{self.simulator_port}" if self.simulator_port else None

    @property
    def stripe_url(self) -> str | None:
        return f"http://127.0.0.1:{self.stripe_port}" if self.stripe_port else None

    def ended_child(self) -> Child | None:
        return _ended(self.children)


@contextmanager
def running_stack(
    data: Path,
    port: int,
    simulator_port: int,
    stripe_port: int,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Stack]:
    """Starts everything needed with its data in `data`; at the end stops it all, the app first."""
    simulated = (environ.get("QUICKBOOKS_ENVIRONMENT") or "simulator") == "simulator"
    _refuse_busy_port("PORT", port)
    if simulated:
        _refuse_busy_port("SIMULATOR_PORT", simulator_port)
    # With the person's own key it is Stripe itself, otherwise a simulator on this machine.
    simulates_stripe = simulated and not environ.get("STRIPE_SECRET_KEY")
    if simulates_stripe:
        _refuse_busy_port("STRIPE_PORT", stripe_port)
    with ExitStack() as life:
        life.enter_context(_sole_use_of(data))
        database_url = environ.get("DATABASE_URL")
        if database_url:
            refuse_foreign(database_url)
        else:
            database_url = life.enter_context(running_postgres(data / "postgres")).url()
        settings = _settings(data, port, simulator_port, database_url, environ)
        if simulates_stripe:
            settings |= _stripe_settings(data, stripe_port)
        Config.from_environ(settings)  # reports a bad value here, instead of in a child that dies
        migrate(database_url)
        children = []
        if simulated:
            is_new = seed_once(database_url, with_a_month=True)
            command = ["simulator", f"--port={simulator_port}", f"--data={data / 'simulator'}"]
            children.append(life.enter_context(_running("simulator", command, settings, data)))
            _await(simulator_port, children)
            if is_new:
                month.add_there(f"http://127.0.0.1:{simulator_port}")
        if simulates_stripe:
            command = [
                "stripe_simulator",
                f"--port={stripe_port}",
                f"--data={data / 'stripe' / 'books.json'}",
                f"--webhook=http://127.0.0.1:{port}/webhooks/stripe",
            ]
            children.append(life.enter_context(_running("stripe", command, settings, data)))
            _await(stripe_port, children)
        command = ["gunicorn", "app:app", f"--bind=127.0.0.1:{port}"]
        children.append(life.enter_context(_running("app", command, settings, data)))
        _await(port, children)
        yield Stack(
            port,
            simulator_port if simulated else None,
            stripe_port if simulates_stripe else None,
            tuple(children),
        )


def _settings(
    data: Path, port: int, simulator_port: int, database_url: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Environment of the app and the simulator: what the person set, and defaults for the rest."""
    environment = environ.get("QUICKBOOKS_ENVIRONMENT") or "simulator"
    simulated = environment == "simulator"
    return {
        **_secrets(data / "secrets.json"),
        # Intuit only allows a test app to return to plain http under the name localhost.
        "BASE_URL": f"http://{'127.0.0.1' if simulated else 'localhost'}:{port}",
        "SIMULATOR_URL": f"http://127.0.0.1:{simulator_port}",
        "PYTHONUNBUFFERED": "1",
        **environ,
        "QUICKBOOKS_ENVIRONMENT": environment,
        "DATABASE_URL": database_url,
    }


def _stripe_settings(data: Path, port: int) -> dict[str, str]:
    path = data / "stripe-secrets.json"
    if not path.exists():
        fresh = {
            "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_urlsafe(24)}",
            # Secrets of the platform's endpoint, and of the one for connected accounts.
            "STRIPE_WEBHOOK_SECRET": ",".join(
                f"whsec_{secrets.token_urlsafe(24)}" for _ in range(2)
            ),
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(fresh, file, indent=2)
    stored: dict[str, str] = json.loads(path.read_text())
    return stored | {"STRIPE_API_BASE": f"http://127.0.0.1:{port}"}


@contextmanager
def _running(
    name: str, module: list[str], settings: Mapping[str, str], data: Path
) -> Iterator[Child]:
    log = data / f"{name}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", *module]
        tethered = processes.start(name, command, environ=settings, output=output, folder=ROOT)
    try:
        yield Child(tethered, log)
    finally:
        tethered.stop(STOP_DEADLINE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refuse_busy_port(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the servers
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise CannotStart(
                f"Port {port} cannot be used ({problem.strerror}). "
                f"Set {name} to another one: {name}={port + 10} bin/dev"
            ) from problem


@contextmanager
def _sole_use_of(data: Path) -> Iterator[None]:
    data.mkdir(parents=True, exist_ok=True)
    with (data / ".in-use").open("w") as lock:
        try:
            # released by the kernel, however we end
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise CannotStart(
                f"Another copy is running on {data}. Give this one its own folder: "
                "DATA_DIR=var2 PORT=5010 SIMULATOR_PORT=5011 bin/dev"
            ) from problem
        yield


def _secrets(path: Path) -> dict[str, str]:
    """Random keys for this machine, created once, so that sessions and tokens survive a restart."""
    if not path.exists():
        fresh = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "TOKEN_KEYS": Fernet.generate_key().decode(),
            "PAYMENTS_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(fresh, file, indent=2)
    stored: dict[str, str] = json.loads(path.read_text())
    return stored


def _await(port: int, children: Sequence[Child]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if ended := _ended(children):
            raise CannotStart(ended.last_words())
        with (
            suppress(OSError, HTTPException),
            closing(HTTPConnection("127.0.0.1", port, 5)) as call,
        ):
            call.request("GET", "/")
            if call.getresponse().status < 500:
                return
        time.sleep(0.05)
    raise CannotStart(f"Nothing answers on port {port} after {START_DEADLINE:.0f} seconds.")


def _ended(children: Sequence[Child]) -> Child | None:
    return next((child for child in children if child.process.ended), None)
