"""PgBouncer in transaction mode, between the app and a PostgreSQL of this machine."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

from development import processes
from development.stack import free_port

PATH = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
START_DEADLINE = 20.0  # seconds
STOP_DEADLINE = 10.0


@contextmanager
def running_pooler(database_url: str, folder: Path) -> Iterator[str]:
    """Runs a pooler in front of this database; yields its address."""
    if PATH is None:
        raise FileNotFoundError("pgbouncer is not installed: apt-get install pgbouncer")
    folder.mkdir()
    port, target = free_port(), make_url(database_url)
    config = folder / "pgbouncer.ini"
    config.write_text(f"""
[databases]
* = host={target.query["host"]} user={target.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
ignore_startup_parameters = options
""")
    # It refuses to run as root, and must reach the server's socket, so it runs as that socket's
    # owner.
    owner = Path(str(target.query["host"])).owner()
    account = owner if os.geteuid() == 0 else None
    with (folder / "log").open("wb") as log:
        tethered = processes.start(
            "pgbouncer", [PATH, str(config)], output=log, folder=Path("/"), account=account
        )
    address = target.set(host="127.0.0.1", port=port, query={})
    try:
        _await(address.render_as_string(hide_password=False), folder / "log")
        yield address.render_as_string(hide_password=False)
    finally:
        tethered.stop(STOP_DEADLINE)


def _await(url: str, log: Path) -> None:
    address = make_url(url)
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(
                user=address.username, dbname=address.database, host=address.host, port=address.port
            ).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"PgBouncer does not answer:\n{log.read_text()[-2000:]}")
