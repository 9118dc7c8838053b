"""Two PostgreSQL servers behind one address: the second follows the first and can take over.

The address is a folder with the socket in it, and that folder a link: it leads to the primary, as a
host name or a proxy does elsewhere. Connections that were made before it was turned stay where they
lead to.
"""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

from development.postgres import FOLLOWED, Server, clone_postgres, running_postgres

DEADLINE = 60.0  # seconds for the standby to follow, and to have what the primary has
OLD_LIVES_ON = 5.0  # seconds that a former primary still answers, for reading only


class _Node:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Server | None = None
        self._life = ExitStack()

    def start(self) -> None:
        self.server = self._life.enter_context(
            running_postgres(self.folder, throwaway=True, settings=FOLLOWED)
        )

    def stop(self) -> None:
        self._life.close()

    def die(self) -> None:
        """At once: nothing is finished, nothing more is sent to whom it may concern."""
        assert self.server
        os.kill(self.server.pid, signal.SIGQUIT)
        self.stop()

    def ask(self, statement: str) -> object:
        """Its answer, also where it recovers just now from the death of one of its processes."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return self._ask(statement)
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _ask(self, statement: str) -> object:
        assert self.server
        connection = psycopg2.connect(
            user="postgres", dbname="postgres", host=str(self.server.socket_folder)
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone() if cursor.description else None
        finally:
            connection.close()
        return row[0] if row else None

    def set(self, name: str, value: str) -> None:
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")


class Pair:
    """A primary and its standby. `synchronous`: a commit is answered when both have it."""

    def __init__(self, folder: Path, *, synchronous: bool) -> None:
        self.folder, self.synchronous = folder, synchronous
        self.failovers = 0
        self._nodes = 0
        self.primary = self._next_node()
        self.standby: _Node | None = None

    def _next_node(self) -> _Node:
        self._nodes += 1
        return _Node(self.folder / f"server{self._nodes}")

    @property
    def url(self) -> str:
        assert self.primary.server
        host = {"host": str(self.folder / "address")}
        return (
            make_url(self.primary.server.url())
            .set(query=host)
            .render_as_string(hide_password=False)
        )

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.primary.start()
        self._lead_to(self.primary)
        self.follow()

    def stop(self) -> None:
        for node in (self.primary, self.standby):
            if node:
                node.stop()

    def restart(self) -> None:
        self.primary.stop()
        self.primary.start()
        self._lead_to(self.primary)

    def _lead_to(self, node: _Node) -> None:
        assert node.server
        new = self.folder / "address.new"
        new.symlink_to(node.server.socket_folder)
        new.replace(self.folder / "address")

    def follow(self) -> None:
        """A new standby of the primary. From then on commits wait for it, where they should."""
        assert self.primary.server
        standby = self._next_node()
        clone_postgres(self.primary.server, standby.folder)
        standby.start()
        self._await("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'")
        if self.synchronous:
            self.primary.set("synchronous_standby_names", "*")
            self._await("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'")
        self.standby = standby

    def _await(self, statement: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while self.primary.ask(statement) is not True:
            if time.monotonic() > deadline:
                raise TimeoutError(statement)
            time.sleep(0.1)

    # --- The standby takes over -------------------------------------------------------------------

    def catch_up(self) -> None:
        """Until the standby has all that the primary has now. After a restart of the primary it
        takes seconds (`wal_retrieve_retry_interval`) until it follows again."""
        assert self.standby
        saved = self.primary.ask("SELECT pg_current_wal_lsn()")
        deadline = time.monotonic() + DEADLINE
        while self.standby.ask(f"SELECT pg_last_wal_replay_lsn() >= '{saved}'") is not True:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the standby does not get to {saved}")
            time.sleep(0.05)

    def cut(self) -> None:
        """From now on the standby learns of nothing more."""
        assert self.standby
        self.standby.set("primary_conninfo", "")

    def fail_over(self) -> None:
        """The primary dies; what it alone had is gone."""
        self.primary.die()
        self._take_over()

    def switch_over(self) -> None:
        """The primary becomes read-only, the standby has all it has and takes over. Who is
        connected to the old one stays so for a while."""
        old = self.primary
        self.hand_over()
        time.sleep(OLD_LIVES_ON)
        old.die()

    def hand_over(self) -> None:
        """The same, and the old one lives on. Its end is the caller's."""
        self.primary.set("default_transaction_read_only", "on")
        self._await("SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication")
        self._take_over()

    def _take_over(self) -> None:
        assert self.standby
        self.primary, self.standby = self.standby, None
        self.primary.ask("SELECT pg_promote()")
        self.primary.set("synchronous_standby_names", "")
        self.primary.set("default_transaction_read_only", "off")
        self._lead_to(self.primary)
        self.failovers += 1
