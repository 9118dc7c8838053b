"""python -m development.way: the functions that a lead passes from the lease to settled.

Drains one lead into the simulator, on a database of its own, and counts which functions of this
project ran, and in how many files. Functions of the simulator do not count: it is another process.
"""

import os
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import select

from config import Config
from db import make_engine, make_sessions
from development.database import migrate
from development.desk import Desk
from development.postgres import throwaway_postgres
from development.seed import seed_once
from models.accounts import User
from models.outbox import State
from models.sales import RecordType
from outbox.capture import attach
from outbox.poller import drain_lane
from quickbooks.delivery import QuickBooks
from simulator.testing import SimulatorHandle, running_simulator

ROOT = Path(__file__).parent.parent
AIM = "80 functions in 14 files"

Function = tuple[str, str, int]  # file, name, line


def main() -> None:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the simulator speaks plain http on loopback
    with throwaway_postgres() as server, running_simulator() as simulator:
        passed = functions_of_a_lead(server.url(), simulator)
    for file, count in sorted(Counter(file for file, _name, _line in passed).items()):
        names = ", ".join(name for other, name, _line in sorted(passed) if other == file)
        print(f"{count:4}  {file}: {names}")
    files = {file for file, _name, _line in passed}
    print(f"{len(passed)} functions in {len(files)} files; the aim is {AIM}")


def functions_of_a_lead(database_url: str, simulator: SimulatorHandle) -> set[Function]:
    migrate(database_url)
    seed_once(database_url)
    config = Config.from_environ(
        {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "for a count only, so it may be known",
            "TOKEN_KEYS": Fernet.generate_key().decode(),
            "QUICKBOOKS_ENVIRONMENT": "simulator",
            "SIMULATOR_URL": simulator.url,
            "BASE_URL": "http://127.0.0.1:5000",
        }
    )
    engine = make_engine(database_url)
    sessions = make_sessions(engine)
    attach(sessions, wake=None)
    with sessions() as session:
        owner = session.scalars(select(User).where(User.email == "carla@oakhvac.example")).one()
        desk = Desk(sessions, config, simulator, session, owner)
        desk.connect()
        desk.lead("Ann Archer")
        desk.drain()  # what is read once a connection, and not once a lead
        bob = desk.lead("Bob Baker")
        desk.commit()
        entry = desk.entry_of(RecordType.LEAD, bob.id)
        lane_id = desk.connection.lane_id
        session.rollback()
        company = QuickBooks(sessions, config)
        with _Watching() as watching:
            drain_lane(sessions, company, lane_id, config, threading.Event())
        session.refresh(entry)
        assert entry.state == State.SYNCED
    engine.dispose()
    return watching.passed


class _Watching:
    """Notes each function of the project that is called, in this thread and in new ones."""

    def __init__(self) -> None:
        self.passed: set[Function] = set()

    def __enter__(self) -> "_Watching":
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<"):  # parts of a function: <lambda>, …
            return
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts and path != Path(__file__):
            self.passed.add((str(path.relative_to(ROOT)), code.co_qualname, code.co_firstlineno))


if __name__ == "__main__":
    main()
