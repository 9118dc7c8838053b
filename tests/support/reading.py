"""A page's snapshot is for reading only: see `db.one_snapshot`."""

import re

from flask import Flask
from sqlalchemy import event

_WRITES = re.compile(
    r"^\s*(INSERT|UPDATE|DELETE)\b|\b(INSERT INTO|DELETE FROM)\b|\bUPDATE \w+( AS \w+)?\s+SET\b"
    r"|\bFOR (UPDATE|NO KEY UPDATE|SHARE|KEY SHARE)\b"
)


def refuse_writes(app: Flask) -> None:
    """Makes any page fail that writes or locks a row in its snapshot."""

    def look(_connection: object, _cursor: object, statement: str, *_told: object) -> None:
        assert not _WRITES.search(statement), f"a page writes: {statement}"

    reading = app.extensions["dunahub"].snapshots.kw["bind"]
    event.listen(reading, "before_cursor_execute", look)
