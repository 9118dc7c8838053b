"""The engine's interface to QuickBooks: composing, sending, and reading answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from http import HTTPStatus

from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Answer, Composition, Due, Problem, Reading, Remote, Sent
from outbox.pace import Limits, Pace
from prepared import prepared
from quickbooks import client, directory, facts, own_books, tokens
from quickbooks.composing import compose
from quickbooks.drafts import BATCH, part_of
from quickbooks.faults import faults_in, plain_words
from quickbooks.reading import read

# Just below Intuit's 500 calls a minute and 10 a second, and its 40 batches a minute: two at once
# and one every 1.56 s are 40 in 59.3 s, and the next may arrive 0.8 s early.
LIMITS = Limits(
    calls=Pace(timedelta(milliseconds=125), burst=2),
    batches=Pace(timedelta(milliseconds=1560), burst=2),
    wave=BATCH,
)

_MINOR = f"minorversion={client.MINOR_VERSION}"

# If the items of a batch count as calls, 500 a minute are 16 batches, one every 3.8 s.
LIMITS_BY_ITEM = Limits(
    calls=LIMITS.calls,
    batches=Pace(timedelta(milliseconds=3800) / BATCH, burst=BATCH),
    wave=BATCH,
    counts_items=True,
    least_batch=13,  # the cost of 1.6 s
)


class QuickBooks:
    """The `Company` that `app.py` passes to the poller."""

    limits = LIMITS

    def __init__(self, sessions: Sessions, config: Config) -> None:
        self.sessions = sessions
        self.config = config
        self.limits = LIMITS_BY_ITEM if config.counts_batch_items else LIMITS

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        """The company's settings for these records, and its customers
        that may match these leads."""
        statement, asked = _SETTINGS, {"lane": lane_id}
        if sees_leads := any(due.record.type == RecordType.LEAD for due in entries):
            statement, asked = _SETTINGS_AND_CUSTOMERS, directory.sought(lane_id, entries)
        row = session.execute(statement, asked).one_or_none()
        if row is None:
            return {"customers": None if sees_leads else []}
        self._stored[lane_id] = tokens.stored_in(row)
        was_read = row.customers_read_at is not None
        customers = directory.found_in(row.copied, row.sent) if sees_leads else []
        return {
            **facts.of_columns(row),
            "directory_was_read": was_read,
            "customers": customers if was_read or not sees_leads else None,
            "taken": directory.taken_of(session, lane_id, entries),
            "applied": own_books.applied(session, lane_id, entries),
        }

    @cached_property
    def _stored(self) -> dict[int, tokens.Stored]:
        """By lane: the sign-in as it was read with the settings. The next call uses it."""
        return {}

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        """One request for some of these entries, and verdicts on those that need none. Pure."""
        return compose(entries, links, settings, taken)

    def part_of(self, body: str, positions: Sequence[int]) -> str:
        """A batch with only these items. QuickBooks recognizes each by the request id and its bId
        (Intuit's API reference, Batch). Pure."""
        return part_of(body, positions)

    def send(self, sent: Sent) -> Answer:
        """Sends it byte for byte and waits; after a 401 repeats it with a renewed token. Never
        raises."""
        asked = client.Call(sent.method, sent.path, sent.query, sent.body)
        stored = self._stored.pop(sent.lane_id, None)
        return call_company(self.sessions, self.config, sent.lane_id, asked, stored)

    def read(self, sent: Sent, answer: Answer) -> Reading:
        """What the answer means for each entry, and for the company. Pure; never raises."""
        return read(sent, answer)


_SETTINGS_OF = """
    SELECT {columns}, connection.customers_read_at
    FROM quickbooks_connections AS connection
    LEFT JOIN quickbooks_tokens AS tokens ON tokens.connection_id = connection.id
    WHERE connection.lane_id = :lane
"""
_COLUMNS = f"{facts.COLUMNS}, {tokens.STORED}"
_SETTINGS = prepared("settings", _SETTINGS_OF.format(columns=_COLUMNS))
_SETTINGS_AND_CUSTOMERS = prepared(
    "settings_and_customers",
    _SETTINGS_OF.format(columns=f"{_COLUMNS}, {directory.CANDIDATES}"),
)


def call_company(
    sessions: Sessions,
    config: Config,
    lane_id: int,
    asked: client.Call,
    stored: tokens.Stored | None = None,
) -> Answer:
    """Calls a lane's company; after a 401 repeats the call with a renewed token. Never raises for
    network or sign-in errors, and has no transaction open while it waits."""
    deadline = time.monotonic() + config.call_deadline.total_seconds()
    try:
        access = tokens.access(sessions, config, lane_id, stored)
        answer = client.call(config, access.realm_id, access.token, asked, deadline)
        if not _is_signed_out(answer):
            return answer
        # Again with a fresh token: the first was refused, so nothing was executed.
        token = tokens.access_token(sessions, config, access.connection_id, refused=access.token)
        answer = client.call(config, access.realm_id, token, asked, deadline)
        if not _is_signed_out(answer):
            return answer
        # Is the whole sign-in refused, or only this request? A cheap read tells.
        probe = client.Call("GET", f"companyinfo/{access.realm_id}", _MINOR)
        probed = client.call(config, access.realm_id, token, probe, deadline)
        if probed.status == HTTPStatus.OK:
            return replace(answer, body=plain_words(answer.body))  # its codes don't apply here
        if _is_signed_out(probed):
            tokens.expire_refused(sessions, config, access.connection_id, token)
    except tokens.SignedOut:
        return Answer(problem=Problem.SIGNED_OUT)
    except tokens.TokensUnavailable:
        return Answer(problem=Problem.TOKENS_UNAVAILABLE)
    return answer


def _is_signed_out(answer: Answer) -> bool:
    if answer.status not in (401, 403):
        return False
    codes = {fault.code for fault in faults_in(answer.body)}
    if answer.status == 401:
        return "120" not in codes
    return "3100" in codes
