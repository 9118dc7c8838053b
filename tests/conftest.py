"""One PostgreSQL for the whole run, a fresh database for every test, QuickBooks as a process."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from jinja2.bccache import Bucket, BytecodeCache
from playwright.sync_api import Browser, ViewportSize
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app import create_app
from config import Config
from db import Sessions, make_engine, make_sessions
from development import chromium
from development.database import migrate
from development.postgres import throwaway_postgres
from development.scenes import Stage
from development.showcase import Showcase, running_showcase
from models import passwords
from outbox.capture import attach
from simulator.testing import SimulatorHandle, running_simulator
from stripe_simulator.testing import StripeHandle, running_stripe
from tests.support import samples
from tests.support.house import House, Person, signed_in
from tests.support.reading import refuse_writes
from tests.support.serving import not_json, serving
from tests.support.situation import Situation, begin
from tests.support.till import Till, endpoints, served, stripe_environ

SERVER = "DUNAHUB_TEST_POSTGRES"  # how the workers learn of the server that the controller runs
TEMPLATE = "dunahub_template"
TOKEN_KEY = Fernet.generate_key().decode()
NOBODY = "http://127.0.0.1:9"  # where no simulator listens: a call there is refused at once

# A hash takes 50 ms at its real cost, and nearly every test signs in.
passwords.HASHER = passwords.CHEAP_HASHER
# How long one example takes says more about the machine than about the code.
settings.register_profile("dunahub", deadline=None)
settings.load_profile("dunahub")

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the simulator speaks plain http on loopback


# --- The run ------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also what costs minutes")
    parser.addoption("--no-browser", action="store_true", help="nothing that needs Chromium")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"SAMPLE_SEED={samples.SEED}")


def pytest_configure(config: pytest.Config) -> None:
    """The process that the person started runs the server; xdist's workers inherit its address."""
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.help:
        return
    life = ExitStack()
    config.add_cleanup(life.close)
    server = life.enter_context(throwaway_postgres())
    os.environ[SERVER] = server.url()
    _make_template(server.url())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what was not asked for. Left out, not skipped: in CI a skip is a failure."""
    unwanted = {"full"} - ({"full"} if config.option.full else set())
    unwanted |= {"browser"} if config.option.no_browser else set()
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _fails_when_skipped(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI runs everything: {report.longrepr}"
    return report


def _fails_when_logged_badly(report: pytest.TestReport) -> pytest.TestReport:
    """Whatever a test makes the app log is one JSON object a line."""
    lines = report.capstdout.splitlines() if report.when == "teardown" else []
    if bad := not_json(line for line in lines if line.startswith('{"')):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} logged a line that is no JSON: {bad[0]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _fails_when_logged_badly(_fails_when_skipped((yield)))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _fails_when_skipped((yield))


# --- Databases ----------------------------------------------------------------------------------


def _make_template(server_url: str) -> None:
    with _maintenance(server_url) as connection:
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    migrate(make_url(server_url).set(database=TEMPLATE).render_as_string(hide_password=False))


def _maintenance(server_url: str) -> Connection:
    return create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own account may enter, unlike pytest's, which are for us only."""
    folder = Path(tempfile.mkdtemp(prefix="dunahub-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _databases() -> Iterator[Callable[[str], str]]:
    """Makes databases from a template ("template0": an empty one), dropped in the end."""
    names: list[str] = []
    server = os.environ[SERVER]

    def make(template: str = TEMPLATE) -> str:
        name = "test_" + secrets.token_hex(6)
        with _maintenance(server) as connection:
            connection.execute(
                text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
            )
        names.append(name)
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield make
    with _maintenance(server) as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def new_database() -> Iterator[Callable[[str], str]]:
    with _databases() as make:
        yield make


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A database of this test's own, migrated and empty."""
    return new_database()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    """Sessions as the app makes them, capture attached. Nobody is woken: tests drain by hand."""
    sessions = make_sessions(engine)
    attach(sessions, wake=None)
    return sessions


@pytest.fixture
def session(sessions: Sessions) -> Iterator[Session]:
    with sessions() as session:
        yield session


# --- The app and QuickBooks ---------------------------------------------------------------------


@pytest.fixture
def environ(request: pytest.FixtureRequest, database_url: str) -> dict[str, str]:
    """As `bin/dev` would run, with short times. QuickBooks is there if the test asks for it."""
    simulated = "simulator" in request.fixturenames
    url = request.getfixturevalue("simulator").url if simulated else NOBODY
    environ = _environ(database_url, url)
    if "stripe" in request.fixturenames:
        environ |= stripe_environ(request.getfixturevalue("stripe"))
    return environ


def _environ(database_url: str, simulator_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": "a secret of the tests, long enough for anyone",
        "TOKEN_KEYS": TOKEN_KEY,
        "QUICKBOOKS_ENVIRONMENT": "simulator",
        "SIMULATOR_URL": simulator_url,
        "BASE_URL": "http://localhost",
        "CALL_DEADLINE": "2",
        "LEASE": "6",
        "RESEND_AFTER": "7",
        "POLL_INTERVAL": "0.2",
        "DRAINERS": "2",
    }


@pytest.fixture
def config(environ: dict[str, str]) -> Config:
    return Config.from_environ(environ)


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorHandle]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(simulator_process: SimulatorHandle) -> SimulatorHandle:
    """The simulated QuickBooks: empty books, no faults, its clock at now."""
    simulator_process.reset()
    return simulator_process


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[StripeHandle]:
    with running_stripe() as stripe:
        yield stripe


@pytest.fixture
def stripe(stripe_process: StripeHandle) -> StripeHandle:
    """The simulated Stripe: nobody is known there, and it tells nobody of anything."""
    stripe_process.act("reset")
    stripe_process.act("endpoints", endpoints=[])
    return stripe_process


@pytest.fixture
def till(app: Flask, session: Session, sessions: Sessions, stripe: StripeHandle) -> Iterator[Till]:
    with served(app) as url:
        stripe.act("endpoints", endpoints=endpoints(url))
        yield Till(app, session, sessions, stripe)


class _CompiledTemplates(BytecodeCache):
    """Every test has an app of its own; compiling a page's templates takes longer than the page."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


COMPILED_TEMPLATES = _CompiledTemplates()


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    app = create_app(config)
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    refuse_writes(app)
    yield app
    app.extensions["dunahub"].database.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def at(
    app: Flask, sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> Iterator[Situation]:
    """A firm and its owner at a browser. Not connected yet: what QuickBooks has is each test's."""
    with begin(app, sessions, config, session, simulator) as situation:
        yield situation


# --- Browsers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a file's tests. Not for longer: playwright keeps the thread's event loop."""
    with chromium.running_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def showcase() -> Iterator[Showcase]:
    """Firms in every state, served. Nothing may change what is stored there."""
    with (
        _databases() as make,
        running_simulator() as simulator,
        running_showcase(make(TEMPLATE), simulator) as showcase,
    ):
        yield showcase


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """DunaHub as it runs, and a QuickBooks, for all who only add firms and companies."""
    with _databases() as make, running_simulator() as simulator:
        environ = _environ(url := make(TEMPLATE), simulator.url) | {"PROXIES": "1"}
        engine = make_engine(url)
        sessions = make_sessions(engine)
        attach(sessions, wake=None)
        with serving(environ, tmp_path_factory.mktemp("house"), "--workers=1") as served:
            yield House(served.url, simulator, sessions)
        engine.dispose()


@pytest.fixture(params=samples.one_in(2, samples.WIDTHS))
def viewport(request: pytest.FixtureRequest) -> ViewportSize:
    size: ViewportSize = request.param
    return size


@pytest.fixture
def ana(browser: Browser, house: House, viewport: ViewportSize) -> Iterator[Person]:
    """A new firm's owner, signed in at a browser. Files without a browser have an Ana of theirs."""
    with signed_in(browser, house, viewport) as ana:
        yield ana


@pytest.fixture(scope="module")
def stage(browser: Browser, showcase: Showcase) -> Stage:
    return Stage(browser, showcase)
