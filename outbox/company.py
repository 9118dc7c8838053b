"""The interface between the engine and the company that it sends to.

The engine stores, fences and settles. The company decides what a request looks like and what an
answer means: `app.py` passes the poller a `Company` made by `quickbooks.delivery`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import APPLIES_CREDIT, WAS_TAKEN_OFF, Operation
from models.sales import Record
from outbox.pace import Limits


@dataclass(frozen=True)
class Remote:
    """The object in the company that a record is linked to."""

    id: str
    version: str  # SyncToken
    number: str | None = None
    total: str | None = None
    stale: bool = False  # the version may be outdated: read before writing
    voided: bool = False
    # what the invoice can still be paid there, or what of the payment is credit there, if known
    balance: str | None = None


@dataclass(frozen=True)
class Doubt:
    """A request with an unknown effect."""

    request: int
    intent: str  # create | update | void
    document: str | None  # what it would have created; None if it was not stored
    # it may be sent again with its id: it is recent, was sent once, and of this entry alone
    is_repeatable: bool = False
    age: timedelta | None = None  # since it was stored; None if that was pruned


@dataclass(frozen=True)
class Known:
    """What is stored about a record's counterpart, for this record alone."""

    remote: Remote | None = None
    sent_values: Json | None = None  # the snapshot that was last acknowledged …
    sent_document: str | None = None  # … and the document made from it; None if it was only linked
    declined_values: Json | None = None  # a snapshot that a person decided not to send
    seen: str | None = None  # the object in QuickBooks' last answer
    doubts: tuple[Doubt, ...] = ()
    decision: Json = field(default_factory=dict)

    @property
    def may_be_made(self) -> bool:
        """Whether an unanswered create may have made a counterpart."""
        return any(doubt.intent == "create" for doubt in self.doubts)


@dataclass(frozen=True)
class Due:
    """An entry that may be sent now, as `compose` sees it."""

    entry_id: int
    record: Record
    operation: Operation
    payload: Json
    checks: bool = False  # requeued: read the counterpart, write only differences
    looks_first: bool = False  # may already have arrived: look it up by its mark before creating
    known: Known = Known()
    knowledge: Json = field(default_factory=dict)

    @property
    def is_own_check(self) -> bool:
        """Whether no user asked for it. The record is in QuickBooks even if the check fails."""
        return APPLIES_CREDIT in self.knowledge or WAS_TAKEN_OFF in self.knowledge


@dataclass(frozen=True)
class Item:
    """One entry's part of a request."""

    entry_id: int
    intent: str  # create | update | void | read | look_up: what the request does for the entry
    document: str | None = None  # for a write: the whole document in QuickBooks afterwards
    # what it may change: until its outcome is known, no other request may
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Draft:
    """A request about to be stored. The engine adds the request id to `query`.

    `path` is relative to the company's base address, e.g. "invoice". Items are in the order of
    their bIds "0", "1", …; a draft with two or more writing items is a batch.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: str | None
    items: Sequence[Item]
    is_batch: bool = False

    @property
    def claims(self) -> frozenset[str]:
        """What it may change, so that no concurrent request changes it."""
        return frozenset[str]().union(*(item.claims for item in self.items))


@dataclass(frozen=True)
class Sent:
    """A stored dispatch, as `send` and `read` see it. Each item is sent byte for byte each time."""

    id: int
    lane_id: int
    request_id: str
    method: str
    path: str
    query: str  # encoded, including the request id
    body: str | None
    items: Sequence[Item]
    due: Mapping[int, Due]  # by entry id
    sends: int = 1
    is_repeat: bool = False  # it, or a look-up for it, was sent before
    looks_up: bool = False  # asks what happened to the items of dispatch `id`; not stored itself
    sign_in: int = 0  # the number of the company's sign-in, because a hold is about one of them
    claims: frozenset[str] = frozenset()
    outages: int = 0  # of the lane in a row, when it was sent
    goes_alone: bool = False  # no other request of the lane is sent at the same time
    leaves_more: bool = True  # when it was stored, more than its entries were due


class Problem(StrEnum):
    """Why there is no usable HTTP answer."""

    NOT_SENT = "not_sent"  # connection refused, no address: QuickBooks never received it
    UNANSWERED = "unanswered"  # timeout, reset, cut: QuickBooks may have executed it
    SIGNED_OUT = "signed_out"  # no usable access token, and none can be obtained
    TOKENS_UNAVAILABLE = "tokens_unavailable"  # the token endpoint is down; nothing was sent


@dataclass(frozen=True)
class Answer:
    """The response. `body` is complete and may contain secrets: only redacted parts are stored."""

    status: int | None = None
    body: str = ""
    trace_id: str | None = None
    retry_after: timedelta | None = None
    problem: Problem | None = None


# In a fault's `about`: a person who skips the entry declines its change, so that later changes of
# the record start from it.
DECLINES_WHEN_SKIPPED = "declines_when_skipped"

# In a fault's `about`, when no answer came: it was looked for since, and is not there.
WAS_LOOKED_FOR = "was_looked_for"


@dataclass(frozen=True)
class Fault:
    """An error to explain to a person. Its sentence is made when it is shown."""

    code: str  # QuickBooks' code, or one of ours such as "no_name"
    # Values for its sentence, and DECLINES_WHEN_SKIPPED.
    about: Json = field(default_factory=dict)
    field: str | None = None  # the field on our form that fixes it
    detail: str = ""  # QuickBooks' message, redacted


@dataclass(frozen=True)
class Observed:
    """A counterpart as it was found in the company. `remote` is None when it was deleted there."""

    record: Record
    remote_id: str
    remote: Remote | None
    seen: str | None = None
    differs: bool | None = None  # from what we sent; None if that was not compared


# --- Outcomes of an item ----------------------------------------------------------------------


@dataclass(frozen=True)
class Synced:
    """It is in QuickBooks as we want it. `remote` is None only if nothing had to be sent
    ("nothing").

    `document` is what QuickBooks has of ours now; None if the record was only linked. `seen` is the
    object in the answer. `applied` is what a payment took of its invoice's balance, in dollars;
    below zero, what its void gave back. `if_taken` is asked of a person if the object turns out to
    be another record's.
    """

    remote: Remote | None
    note: str | None = None  # how the link was made, if not by a plain write
    document: str | None = None
    seen: str | None = field(default=None, compare=False)
    applied: str | None = field(default=None, compare=False)
    if_taken: Fault | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Learned:
    """Not done yet, but something was learned: sent again at once, in a new dispatch.

    `remote` creates or refreshes the link; `knowledge` is merged into the entry's. A true
    `knowledge["checked"]` ends the check of a requeued entry: the next request writes. A true
    `knowledge["found"]`, for a looked-up item, means that it is in QuickBooks.
    """

    knowledge: Json = field(default_factory=dict)
    remote: Remote | None = None
    note: str | None = None  # how it was found to exist
    document: str | None = None  # found in QuickBooks: what an earlier request of ours created
    seen: str | None = field(default=None, compare=False)
    if_taken: Fault | None = field(default=None, compare=False)  # as in `Synced`
    ends_doubts: bool = False  # it was looked up by every mark
    repeats: int | None = None  # … and this request is sent again instead, byte for byte
    observed: tuple[Observed, ...] = ()  # what was read of other records


@dataclass(frozen=True)
class Later:
    """Nothing failed and nothing was asked: checked again after this delay. Costs no attempt.
    `knowledge` is merged into the entry's."""

    after: timedelta
    knowledge: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """A definite refusal that may be temporary. Costs one of the entry's attempts."""

    fault: Fault


@dataclass(frozen=True)
class Rejected:
    """Only a person can fix this. `ends_decision`: their decision cannot be carried out."""

    fault: Fault
    ends_decision: bool = False


@dataclass(frozen=True)
class Waiting:
    """Cannot be sent before this record is in QuickBooks."""

    for_record: Record


@dataclass(frozen=True)
class Unneeded:
    """Nothing has to be sent: a void of something never sent. It and
    what it undid are superseded."""


@dataclass(frozen=True)
class Declined:
    """Looked up and not found, and not sent, because a person decided so in the meantime."""


Outcome = Synced | Learned | Later | Retry | Rejected | Waiting | Unneeded | Declined


# --- The company's own trouble ----------------------------------------------------------------


@dataclass(frozen=True)
class Pause:
    """Nothing is sent to this company for a while; entries keep their attempts."""

    reason: str  # throttled | outage
    for_: timedelta | None = None  # None: the engine's own back-off for outages


@dataclass(frozen=True)
class Hold:
    """Nothing is sent to this company until a person acts.

    Unless it is `certain`, the next write, sent alone after a pause, must confirm it first.
    """

    reason: str  # signed_out | access_lost | plan_lapsed | company_reset
    certain: bool = False


@dataclass(frozen=True)
class Reading:
    """What an answer means. Items without an outcome stay open: the same dispatch is sent again.

    `taken` is False if QuickBooks definitely did not execute the request (a limit, a refused
    connection): it may be sent again as soon as the lane may send. Otherwise a repeat waits for
    RESEND_AFTER, because QuickBooks may still be working on it. `is_silent` means that the effect
    is unknown, and also whether the request or the company is the cause. The company is blamed only
    if another request got no answer either. `unsure` holds faults of items that stay open.
    `kept_answer` is stored with the dispatch: redacted, and only if it was not a plain success.
    """

    outcomes: Mapping[int, Outcome] = field(default_factory=dict)  # by entry id
    trouble: Pause | Hold | None = None
    taken: bool = True
    is_silent: bool = False
    unsure: Mapping[int, Fault] = field(default_factory=dict)  # by entry id
    kept_answer: str | None = None


@dataclass(frozen=True)
class Composition:
    """What to do next with the entries of a wave.

    Entries in neither the draft nor `verdicts` are left for the next wave (two creates with one
    name, a read that must come first).
    """

    draft: Draft | None
    verdicts: Mapping[int, Outcome] = field(default_factory=dict)  # settled without a request


class Company(Protocol):
    """The company that the engine sends to. `compose` and `read` are pure; only `send` does I/O."""

    @property
    def limits(self) -> Limits:
        """How fast, and with how many entries at a time, it may be called."""
        ...

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        """What `compose` needs besides entries and links: the company's
        settings for these records."""
        ...

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        """Makes one request for some of these entries: one type, one entry per record.

        `links` holds the links of the entries' records and of all they need. `taken` holds the
        claims of requests in progress: an entry that conflicts with one is left for later.
        """
        ...

    def part_of(self, body: str, positions: Sequence[int]) -> str:
        """The body of a request with several items, with only these. Each stays as it was sent, and
        the company recognizes it by itself."""
        ...

    def send(self, sent: Sent) -> Answer:
        """Sends it and waits, at most CALL_DEADLINE. Never raises for network errors."""
        ...

    def read(self, sent: Sent, answer: Answer) -> Reading:
        """Returns what the answer means for each item. Never raises for a strange answer."""
        ...
