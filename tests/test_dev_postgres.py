"""The PostgreSQL that development and tests bring along."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg2
import pytest

from development.postgres import PostgresFailed, running_postgres
from development.processes import alive

OWNER = """
import sys, time
from pathlib import Path
from development.postgres import running_postgres

with running_postgres(Path(sys.argv[1]), throwaway=True) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


def test_it_keeps_its_data_between_starts(open_folder: Path) -> None:
    for statement in ("CREATE TABLE kept AS SELECT 42 AS answer", "SELECT answer FROM kept"):
        with running_postgres(open_folder / "data", throwaway=True) as server:
            connection = psycopg2.connect(_dsn(server.url()))
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
            connection.close()
    assert rows == [(42,)]


def test_a_folder_too_deep_for_a_socket_works(open_folder: Path) -> None:
    deep = open_folder.joinpath(*["a-folder-with-a-long-name"] * 6)
    with running_postgres(deep, throwaway=True) as server:
        psycopg2.connect(_dsn(server.url())).close()
        elsewhere = server.socket_folder
    assert elsewhere != deep
    assert not elsewhere.exists()


def test_it_ends_with_its_owner_even_when_that_is_killed(open_folder: Path) -> None:
    owner = _owner(open_folder / "data")
    assert owner.stdout
    server = psutil.Process(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    server.wait(10)


def test_a_server_left_over_from_a_killed_owner_is_replaced(open_folder: Path) -> None:
    owner = _owner(open_folder / "data")
    assert owner.stdout
    leftover = psutil.Process(int(owner.stdout.readline()))
    psutil.Process(leftover.ppid()).kill()  # the shell, which would have stopped it
    owner.kill()
    owner.communicate()
    with running_postgres(open_folder / "data", throwaway=True) as server:
        assert server.pid != leftover.pid
        psycopg2.connect(_dsn(server.url())).close()
    assert not alive(leftover)


def test_a_server_that_cannot_start_says_what_its_log_says(open_folder: Path) -> None:
    with running_postgres(open_folder / "data", throwaway=True):
        pass
    with (open_folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with (
        pytest.raises(PostgresFailed, match="no_such_setting"),
        running_postgres(open_folder / "data"),
    ):
        pass


def _owner(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )


def _dsn(url: str) -> str:
    return url.replace("postgresql+psycopg2", "postgresql")
