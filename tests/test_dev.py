"""bin/dev: one command, clear sentences, nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests
from sqlalchemy import text

from db import make_engine
from development.browser import Browser
from development.processes import alive
from development.stack import ROOT, free_port
from models.passwords import DEMO_PASSWORD
from tests.support.serving import PATIENCE, eventually

SECOND_START = 30.0  # seconds, on a busy machine


class Dev:
    """A running bin/dev. (Not the script itself, which first looks after .venv.)"""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.port, self.simulator_port = free_port(), free_port()
        ours = {
            "PORT": str(self.port),
            "SIMULATOR_PORT": str(self.simulator_port),
            "STRIPE_PORT": str(free_port()),  # the next one may be taken
            "DATA_DIR": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "development.dev"],
            cwd=ROOT,
            env={**_without_ours(os.environ), **ours, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def await_welcome(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if "Ctrl-C" in line:
                return
        pytest.fail(f"bin/dev ended: {self.process.communicate()}")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def said(self) -> str:
        """What it said when it ended."""
        _out, said = self.process.communicate(timeout=PATIENCE)
        return said

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


StartDev = Callable[..., Dev]


@pytest.fixture
def start_dev(open_folder: Path) -> Iterator[StartDev]:
    with ExitStack() as life:

        def start(folder: Path = open_folder / "var", **environ: str) -> Dev:
            dev = Dev(folder, **environ)
            life.callback(dev.end)
            return dev

        yield start


def test_it_serves_both_and_leaves_nothing_behind(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.await_welcome()
    assert requests.get(f"http://127.0.0.1:{dev.port}/sign-in", timeout=10).ok
    assert requests.get(f"http://127.0.0.1:{dev.simulator_port}/", timeout=10).ok
    family = dev.family()
    assert dev.end() == 0
    assert not list(filter(alive, family))


def test_letters_are_kept_as_files(start_dev: StartDev, open_folder: Path) -> None:
    dev = start_dev()
    dev.await_welcome()
    browser = Browser(f"http://127.0.0.1:{dev.port}")
    browser.open("/forgotten")
    browser.submit({"email": "ana@rivera.example"})
    browser.close()
    mail = open_folder / "var" / "mail"

    def letters() -> list[str]:
        return [one.read_text() for one in mail.glob("*.txt")]

    link = f"http://127.0.0.1:{dev.port}/password/"
    eventually(lambda: any(link in letter for letter in letters()), letters)
    assert any(letter.startswith("To: ana@rivera.example\n") for letter in letters())


def test_the_second_start_is_quick_and_keeps_the_data(
    start_dev: StartDev, open_folder: Path
) -> None:
    first = start_dev()
    first.await_welcome()
    secrets = (open_folder / "var" / "secrets.json").read_text()
    first.end(signal.SIGINT)
    started_at = time.monotonic()
    start_dev().await_welcome()
    assert time.monotonic() - started_at < SECOND_START
    assert (open_folder / "var" / "secrets.json").read_text() == secrets
    assert (open_folder / "var" / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_two_copies_run_side_by_side_in_one_browser(start_dev: StartDev, open_folder: Path) -> None:
    copies = [start_dev(open_folder / name) for name in ("one", "two")]
    browser = Browser("http://127.0.0.1")
    for copy in copies:
        copy.await_welcome()
        browser.open(f"http://127.0.0.1:{copy.port}/sign-in")
        browser.submit({"email": "ana@rivera.example", "password": DEMO_PASSWORD})
    for copy in copies:
        browser.open(f"http://127.0.0.1:{copy.port}/leads")
        assert "Maria Okafor" in browser.text
    browser.close()


def test_a_folder_in_use_is_refused(start_dev: StartDev) -> None:
    start_dev().await_welcome()
    assert "DATA_DIR" in start_dev().said()


@pytest.mark.parametrize("name", ["PORT", "SIMULATOR_PORT"])
def test_a_busy_port_names_its_variable(name: str, start_dev: StartDev) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        dev = start_dev(**{name: port})
        said = dev.said()
    assert dev.process.returncode == 1
    assert f"Port {port}" in said
    assert f"Set {name} " in said


def test_a_child_that_dies_ends_everything_with_a_sentence(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.await_welcome()
    family = dev.family()
    next(one for one in family if "simulator" in one.cmdline()).kill()
    said = dev.said()
    assert "The simulator ended by itself" in said
    assert dev.process.returncode == 1
    assert not list(filter(alive, family))


def test_nothing_survives_when_it_is_killed(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.await_welcome()
    family = dev.family()
    dev.end(signal.SIGKILL)
    eventually(lambda: not any(map(alive, family)), lambda: list(filter(alive, family)))


def test_it_refuses_a_database_with_foreign_tables(
    start_dev: StartDev, new_database: Callable[[str], str]
) -> None:
    url = new_database("template0")
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE wordpress_posts ()"))
    dev = start_dev(DATABASE_URL=url)
    assert "wordpress_posts" in dev.said()
    assert dev.process.returncode == 1
    with engine.connect() as connection:
        tables = connection.execute(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        )
        assert tables.scalars().all() == ["wordpress_posts"]
    engine.dispose()


def test_a_bad_value_is_told_before_anything_starts(start_dev: StartDev) -> None:
    dev = start_dev(LEASE="1")
    assert "LEASE" in dev.said()
    assert dev.process.returncode == 1


def test_intuits_own_companies_are_never_seeded_or_called_over_plain_http(
    start_dev: StartDev, database_url: str
) -> None:
    dev = start_dev(
        DATABASE_URL=database_url,
        QUICKBOOKS_ENVIRONMENT="sandbox",
        QUICKBOOKS_CLIENT_ID="an-app",
        QUICKBOOKS_CLIENT_SECRET="its-secret",
        BASE_URL="http://localhost:5000",
    )
    dev.await_welcome()
    assert not [one for one in dev.family() if "simulator" in one.cmdline()]
    engine = make_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM users")).scalar() == 0
    engine.dispose()


def _without_ours(environ: "os._Environ[str]") -> dict[str, str]:
    """The tests set the insecure-transport switch for themselves; bin/dev must do so itself."""
    return {name: value for name, value in environ.items() if name != "OAUTHLIB_INSECURE_TRANSPORT"}
