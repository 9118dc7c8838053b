"""All requests since the start, for tests that check what a client sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_ENTRIES = 200_000  # so that a long load run doesn't exhaust memory


@dataclass(slots=True)
class Entry:
    method: str
    path: str
    query: str
    body: bytes
    realm: str
    tid: str
    requestid: str
    arrived_at: float
    answered_at: float | None = None
    status: int | None = None  # None: no answer was sent (yet)
    reads: int = 0  # number of metered reads
    replayed: bool = False
    fault: str = ""  # the fault applied by a rule
    # What was done, also if the answer was lost; kept if `Journal.keeps_answers`.
    answer: bytes | None = None

    def answered(self, status: int, at: float) -> None:
        self.status = status
        self.answered_at = at

    def as_document(self) -> dict[str, object]:
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body.decode("utf-8", "replace"),
            "status": self.status,
            "requestid": self.requestid or None,
            "tid": self.tid,
            "arrived_at": self.arrived_at,
            "answered_at": self.answered_at,
            "metered": self.reads > 0,
            "metered_reads": self.reads,
            "replayed": self.replayed,
            "realm": self.realm or None,
            "fault": self.fault or None,
            "answer": None if self.answer is None else self.answer.decode("utf-8", "replace"),
        }


class Journal:
    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self.keeps_answers = False

    def as_documents(self) -> list[dict[str, object]]:
        return [entry.as_document() for entry in self.entries]
