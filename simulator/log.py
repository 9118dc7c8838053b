"""The append-only log in `--data DIR`: changes are in the file before the answer is sent.

A line is a JSON array of changes that belong together. A line cut off by a crash loses a whole
request, whose answer nobody received, never half of one. `os.write` passes the line to the
operating system, where it survives a `kill -9` (not a power cut; this is a simulator).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import orjson

from simulator.documents import Json, dump_json

Change = list[object]


class Log:
    """The log. Without a directory it stores nothing."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / "simulator.log" if directory else None
        self._file = -1
        self._pending: list[Change] = []
        if directory:
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def is_kept(self) -> bool:
        return self._path is not None

    def read(self) -> Iterable[list[Json]]:
        """Every change ever written, oldest first."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # the crash interrupted this line
                changes: list[list[Json]] = json.loads(line, parse_float=Decimal)
                yield from changes

    def start_over(self, changes: Iterable[Change]) -> None:
        """Replaces the log by a shorter one with the same result."""
        self._pending.clear()
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            for change in changes:
                file.write(dump_json([change]) + b"\n")
        fresh.replace(self._path)
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *change: object) -> None:
        if self._path is not None:
            self._pending.append(list(change))

    def commit(self) -> None:
        if self._pending:
            line = dump_json(self._pending) + b"\n"
            self._pending.clear()
            while line:
                line = line[os.write(self._file, line) :]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def as_fragment(body: bytes) -> orjson.Fragment:
    """Logs text that is already JSON without encoding it again."""
    return orjson.Fragment(body)
