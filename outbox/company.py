"""What the engine and the company at the other end say to each other.

The engine stores, fences and settles. What a request looks like and what an answer means is the
company's to say: `app.py` hands the poller a `Company` made by `quickbooks.delivery`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from sqlalchemy.orm import Session

from models.base import Json
from models.outbox import Operation
from models.sales import Record
from outbox.pace import Limits


@dataclass(frozen=True)
class Remote:
    """The object in the company that a record is known to be."""

    id: str
    version: str  # SyncToken
    number: str | None = None
    total: str | None = None
    stale: bool = False  # the version may be old: read before writing
    voided: bool = False
    balance: str | None = None  # what an invoice still takes there, where known


@dataclass(frozen=True)
class Doubt:
    """A request that may have had an effect of which nobody heard."""

    request: int
    intent: str  # create | update | void
    document: str | None  # what it would have made; None where it was not stored


@dataclass(frozen=True)
class Known:
    """What is stored of a record's counterpart, of this record alone."""

    remote: Remote | None = None
    sent_values: Json | None = None  # the snapshot that was acknowledged last …
    sent_document: str | None = None  # … as it was rendered then; None when it was only linked
    declined_values: Json | None = None  # a snapshot that a person decided not to send
    seen: str | None = None  # the object in QuickBooks' last answer
    doubts: tuple[Doubt, ...] = ()
    decision: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """An entry that may go out now, as `compose` sees it."""

    entry_id: int
    record: Record
    operation: Operation
    payload: Json
    checks: bool = False  # requeued: read the counterpart, write only what differs
    looks_first: bool = False  # may have arrived already: look by mark before creating
    known: Known = Known()
    knowledge: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One entry's part in a request."""

    entry_id: int
    intent: str  # create | update | void | read | look_up: what the request does for the entry
    document: str | None = None  # of a write: the whole document that stands there once it is done


@dataclass(frozen=True)
class Draft:
    """A request about to be stored. `query` lacks only the request id, which the engine draws.

    `path` is below the company's base address, e.g. "invoice". Items stand in the order of their
    bIds "0", "1", …; a draft of two or more writing items is a batch.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: str | None
    items: Sequence[Item]
    is_batch: bool = False
    claims: frozenset[str] = frozenset()  # what it may change, so that no other does meanwhile


@dataclass(frozen=True)
class Sent:
    """A stored dispatch, as `send` and `read` see it. Sent byte for byte, each time."""

    id: int
    lane_id: int
    request_id: str
    method: str
    path: str
    query: str  # encoded, with the request id in it
    body: str | None
    items: Sequence[Item]
    due: Mapping[int, Due]  # by entry id
    sends: int = 1
    is_repeat: bool = False  # it, or a look-up for it, went out before
    looks_up: bool = False  # asks what became of the items of dispatch `id`; is itself not stored
    sign_in: int = 0  # of how many the company had: a hold is about one of them
    claims: frozenset[str] = frozenset()
    goes_alone: bool = False  # nothing of the lane goes beside it


class Problem(StrEnum):
    """Why there is no usable HTTP answer."""

    NOT_SENT = "not_sent"  # connection refused, no address: QuickBooks never saw it
    UNANSWERED = "unanswered"  # time-out, reset, cut: QuickBooks may have done it
    SIGNED_OUT = "signed_out"  # no usable access token, and none to be had
    TOKENS_UNAVAILABLE = "tokens_unavailable"  # the token endpoint has an outage; nothing was sent


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is whole and secret-bearing: only redacted parts are ever stored."""

    status: int | None = None
    body: str = ""
    trace_id: str | None = None
    retry_after: timedelta | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Fault:
    """An error to be explained to a person. The sentence is made when it is shown."""

    code: str  # QuickBooks' code, or a word of ours such as "no_name"
    about: Json = field(default_factory=dict)  # names its sentence uses
    field: str | None = None  # the field on our form that mends it
    detail: str = ""  # QuickBooks' own words, redacted


# --- What an item came to ---------------------------------------------------------------------


@dataclass(frozen=True)
class Synced:
    """It is there, as we wanted it. `remote` is None only where nothing had to go ("nothing").

    `document` is what of ours stands there now; None when the record was only linked. `seen` is
    the object in the answer. `applied` is what a new payment took of its invoice's balance, in
    dollars.
    """

    remote: Remote | None
    note: str | None = None  # how it came about, when not simply written
    document: str | None = None
    seen: str | None = field(default=None, compare=False)
    applied: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Learned:
    """Not done yet, but wiser: go again at once, by a new dispatch.

    `remote` refreshes or makes the link; `knowledge` is merged into the entry's. A true
    `knowledge["checked"]` ends the check of a requeued entry: the next request writes. A true
    `knowledge["found"]`, of an item that was looked up, says that it is there.
    """

    knowledge: Json = field(default_factory=dict)
    remote: Remote | None = None
    note: str | None = None  # how it came about that it is there
    document: str | None = None  # found there: what an earlier request of ours made
    seen: str | None = field(default=None, compare=False)
    ends_doubts: bool = False  # looked for by every mark


@dataclass(frozen=True)
class Later:
    """Nothing is wrong and nothing was asked: looked at again after this long. Spends nothing."""

    after: timedelta


@dataclass(frozen=True)
class Retry:
    """A definite no that may pass by itself. Spends one of the entry's attempts."""

    fault: Fault


@dataclass(frozen=True)
class Rejected:
    """Only a person can cure this. `ends_decision`: what they decided cannot be carried out."""

    fault: Fault
    ends_decision: bool = False


@dataclass(frozen=True)
class Waiting:
    """Cannot go before this record is there."""

    for_record: Record


@dataclass(frozen=True)
class Unneeded:
    """Nothing has to go out: a void of what was never sent. It and what it undid are superseded."""


@dataclass(frozen=True)
class Declined:
    """Looked for, not found, and not sent: a person decided so while nobody knew."""


Outcome = Synced | Learned | Later | Retry | Rejected | Waiting | Unneeded | Declined


# --- The company's own trouble ----------------------------------------------------------------


@dataclass(frozen=True)
class Pause:
    """Nothing of this company goes out for a while; entries keep their attempts."""

    reason: str  # throttled | outage
    for_: timedelta | None = None  # None: the engine's own back-off for outages


@dataclass(frozen=True)
class Hold:
    """Nothing of this company goes out until a person acts.

    Unless it is `certain`, the next write, alone and after a rest, must say the same first.
    """

    reason: str  # signed_out | access_lost | plan_lapsed | company_reset
    certain: bool = False


@dataclass(frozen=True)
class Reading:
    """What an answer says. Items without an outcome stay open: the same dispatch goes again.

    `taken` is False when QuickBooks definitely did not take the request (a limit, a refused
    connection): it may then go again as soon as the lane does. Otherwise a repeat waits for
    RESEND_AFTER, because QuickBooks may still be at work. `is_silent` says that nobody can tell
    what became of it, nor whose trouble that is: this request's own, or the company's. The trouble
    is then the company's only when another request had no answer either. `unsure` is what was said
    of items that stay open. `kept_answer` is stored with the dispatch: redacted, and only when it
    did not simply succeed.
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

    Entries neither in the draft nor in `verdicts` are left for the next wave (two creates with one
    name, a read that must come first).
    """

    draft: Draft | None
    verdicts: Mapping[int, Outcome] = field(default_factory=dict)  # settled without a request


class Company(Protocol):
    """The other end. `compose` and `read` are pure; `send` is the only one that does I/O."""

    @property
    def limits(self) -> Limits:
        """How fast, and how much at a time, it may be called."""
        ...

    def settings(self, session: Session, lane_id: int, entries: Sequence[Due]) -> Json:
        """How this company wants these records: what `compose` needs beside entry and links."""
        ...

    def compose(
        self,
        entries: Sequence[Due],
        links: Mapping[Record, Remote],
        settings: Json,
        taken: frozenset[str] = frozenset(),
    ) -> Composition:
        """Makes one request of some of these entries: one kind, one entry per record.

        `links` holds the links of the entries' records and of all they need. `taken` holds the
        claims of requests under way: an entry that meets one of them is left for later.
        """
        ...

    def send(self, sent: Sent) -> Answer:
        """Sends it and waits, at most CALL_DEADLINE. Never raises for trouble of the network."""
        ...

    def read(self, sent: Sent, answer: Answer) -> Reading:
        """Says what the answer means for each item. Never raises for a strange answer."""
        ...
