"""What an answer proves: a table of status × words × operation × first send or repeat. Pure.

The rules of the table:

- Only a refusal that names a rule of *the document*, on a *first* send, is a definite no. An
  internal error of QuickBooks says nothing about what was done, and a repeat may be refused
  because the first send arrived.
- A 5xx status outranks the code in its body.
- An answer without the requested object is no answer, whatever its status.

Every cell is written down below; `tests/test_judge.py` checks all of them. `reading` turns these
verdicts into outcomes of entries.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.base import Json
from outbox.company import Answer, Problem
from quickbooks import matching
from quickbooks.catalogue import CATALOGUE, Class
from quickbooks.faults import RemoteFault, class_of


class Status(StrEnum):
    """How a call ended, before its body is read."""

    NOT_SENT = "not_sent"  # connection refused, no address: QuickBooks never received it
    NO_SIGN_IN = "no_sign_in"  # none available: the token endpoint is down; nothing was sent
    SIGNED_OUT = "signed_out"  # the sign-in has ended; nothing was sent
    UNANSWERED = "unanswered"  # timeout, reset, cut
    GOOD = "2xx"
    REFUSED = "4xx"  # all 4xx not listed below
    DOOR = "401/403"
    THROTTLED = "429"
    DOWN = "5xx"
    ODD = "odd"  # 1xx, 3xx, 408


class Said(StrEnum):
    """What an answer, or one item of a batch, says."""

    OBJECT = "object"  # what was requested: the object, or rows
    ANOTHER = "another"  # an object that is not the one we wrote, or one beside a fault
    NOTHING = "nothing"  # neither an object nor a fault: HTML, {}, cut off
    RULE = "rule"  # the document violates a rule, or conflicts with existing data
    INSIDE = "inside"  # an internal error of QuickBooks, or an unknown one
    THROTTLED = "throttled"
    BUSY = "busy"  # maintenance, wrong cluster
    SIGNED_OUT = "signed_out"
    ACCESS_LOST = "access_lost"
    PLAN_LAPSED = "plan_lapsed"
    COMPANY_RESET = "company_reset"


class Operation(StrEnum):
    """What the request, or one item of a batch, was meant to do."""

    CREATE = "create"
    UPDATE = "update"
    VOID = "void"
    ITEM = "item"  # one item of a batch, by its part of the answer
    BATCH = "batch"  # the batch as a whole
    QUERY = "query"


class Fate(StrEnum):
    """What happened to the request, or to one item of it."""

    SEEN = "seen"
    REFUSED = "refused"  # by a rule of the document: a definite no
    APART = "apart"  # a batch refused as a whole; sent one by one, we learn which item caused it
    FREED = "freed"  # rejected before any work, permanently for this request id
    NOT_TAKEN = "not_taken"  # rejected before any work; the same request may be sent again
    UNKNOWN = "unknown"  # it may have been executed


class Lane(StrEnum):
    """What the answer says about the company as a whole."""

    WORKS = "works"
    PERHAPS = "perhaps"  # this record's own problem, or the company's: other calls will tell
    THROTTLED = "throttled"
    DOWN = "down"
    SIGNED_OUT = "signed_out"
    ACCESS_LOST = "access_lost"
    PLAN_LAPSED = "plan_lapsed"
    COMPANY_RESET = "company_reset"


@dataclass(frozen=True)
class Verdict:
    """One cell of the table."""

    fate: Fate
    lane: Lane = Lane.WORKS


Cell = tuple[Status, Said, Operation, bool]  # the bool: whether it is a repeat

_SEEN = Verdict(Fate.SEEN)
_REFUSED = Verdict(Fate.REFUSED)
_APART = Verdict(Fate.APART)
_UNKNOWN = Verdict(Fate.UNKNOWN)  # the company works, but the effect is unknown
_PERHAPS = Verdict(Fate.UNKNOWN, Lane.PERHAPS)
_DOWN = Verdict(Fate.UNKNOWN, Lane.DOWN)

# Columns of a row: a single write and its repeat, an item of a batch and its repeat, a batch as a
# whole and its repeat, and a query, which changes nothing, so that a repeat is like a first.
_Row = tuple[Verdict, Verdict, Verdict, Verdict, Verdict, Verdict, Verdict]


def _all(verdict: Verdict) -> _Row:
    return (verdict,) * 7


def _turned_away(fate: Fate, lane: Lane) -> _Row:
    """Rejected by access control or a limit, before any work. A
    repeat leaves the first send as it was."""
    first, again = Verdict(fate, lane), Verdict(Fate.UNKNOWN, lane)
    return (first, again, first, again, first, again, again)


# 200 with a fault and 400 mean the same (Intuit's page *Error codes*); another 4xx may also report
# a rule of the document.
_ROWS_OF_FAULTS: dict[Said, _Row] = {
    Said.RULE: (_REFUSED, _UNKNOWN, _REFUSED, _UNKNOWN, _APART, _UNKNOWN, _REFUSED),
    Said.INSIDE: (_PERHAPS, _PERHAPS, _UNKNOWN, _UNKNOWN, _PERHAPS, _PERHAPS, _PERHAPS),
    Said.THROTTLED: _turned_away(Fate.FREED, Lane.THROTTLED),
    Said.BUSY: _all(_DOWN),
    Said.SIGNED_OUT: _turned_away(Fate.FREED, Lane.SIGNED_OUT),
    Said.ACCESS_LOST: _turned_away(Fate.FREED, Lane.ACCESS_LOST),
    Said.PLAN_LAPSED: _turned_away(Fate.FREED, Lane.PLAN_LAPSED),
    Said.COMPANY_RESET: _turned_away(Fate.FREED, Lane.COMPANY_RESET),
}

ROWS: dict[Status, dict[Said, _Row]] = {
    # Nothing was received, so there are no words.
    Status.NOT_SENT: dict.fromkeys(Said, _all(Verdict(Fate.NOT_TAKEN, Lane.DOWN))),
    Status.NO_SIGN_IN: dict.fromkeys(Said, _all(Verdict(Fate.NOT_TAKEN, Lane.DOWN))),
    Status.SIGNED_OUT: dict.fromkeys(Said, _all(Verdict(Fate.NOT_TAKEN, Lane.SIGNED_OUT))),
    Status.UNANSWERED: dict.fromkeys(Said, _all(_PERHAPS)),
    Status.GOOD: {
        Said.OBJECT: _all(_SEEN),
        Said.ANOTHER: _all(_UNKNOWN),
        Said.NOTHING: (_PERHAPS, _PERHAPS, _UNKNOWN, _UNKNOWN, _PERHAPS, _PERHAPS, _PERHAPS),
        **_ROWS_OF_FAULTS,
    },
    Status.REFUSED: {
        Said.OBJECT: _all(_PERHAPS),  # refused, but with the object?
        Said.ANOTHER: _all(_PERHAPS),
        Said.NOTHING: _all(_PERHAPS),  # 404 and 413 of a gateway, perhaps only for this record
        **_ROWS_OF_FAULTS,
    },
    Status.DOOR: {
        Said.OBJECT: _all(_PERHAPS),
        Said.ANOTHER: _all(_PERHAPS),
        Said.NOTHING: _all(_PERHAPS),  # the sign-in was probed and is valid (`delivery`)
        Said.RULE: (_REFUSED, _UNKNOWN, _REFUSED, _UNKNOWN, _APART, _UNKNOWN, _REFUSED),
        Said.INSIDE: _all(_PERHAPS),
        # Intuit's older form of throttling
        Said.THROTTLED: _all(Verdict(Fate.NOT_TAKEN, Lane.THROTTLED)),
        Said.BUSY: _all(_DOWN),
        Said.SIGNED_OUT: _all(Verdict(Fate.NOT_TAKEN, Lane.SIGNED_OUT)),
        Said.ACCESS_LOST: _all(Verdict(Fate.NOT_TAKEN, Lane.ACCESS_LOST)),
        Said.PLAN_LAPSED: _all(Verdict(Fate.NOT_TAKEN, Lane.PLAN_LAPSED)),
        Said.COMPANY_RESET: _all(Verdict(Fate.NOT_TAKEN, Lane.COMPANY_RESET)),
    },
    Status.THROTTLED: dict.fromkeys(Said, _all(Verdict(Fate.NOT_TAKEN, Lane.THROTTLED))),
    Status.DOWN: dict.fromkeys(Said, _all(_PERHAPS)),  # whatever the body says
    Status.ODD: dict.fromkeys(Said, _all(_PERHAPS)),
}

_COLUMNS: dict[tuple[Operation, bool], int] = {
    (Operation.CREATE, False): 0,
    (Operation.CREATE, True): 1,
    (Operation.UPDATE, False): 0,
    (Operation.UPDATE, True): 1,
    (Operation.VOID, False): 0,
    (Operation.VOID, True): 1,
    (Operation.ITEM, False): 2,
    (Operation.ITEM, True): 3,
    (Operation.BATCH, False): 4,
    (Operation.BATCH, True): 5,
    (Operation.QUERY, False): 6,
    (Operation.QUERY, True): 6,
}

TABLE: dict[Cell, Verdict] = {
    (status, said, operation, is_repeat): row[column]
    for status, rows in ROWS.items()
    for said, row in rows.items()
    for (operation, is_repeat), column in _COLUMNS.items()
}


def judge(status: Status, said: Said, operation: Operation, *, is_repeat: bool) -> Verdict:
    """What the answer proves. `is_repeat`: the same request was sent before."""
    return TABLE[status, said, operation, is_repeat]


# --- Rows and columns of an answer --------------------------------------------------------------

_OF_PROBLEM = {
    Problem.NOT_SENT: Status.NOT_SENT,
    Problem.TOKENS_UNAVAILABLE: Status.NO_SIGN_IN,
    Problem.SIGNED_OUT: Status.SIGNED_OUT,
    Problem.UNANSWERED: Status.UNANSWERED,
}


def status_of(answer: Answer) -> Status:
    """The row of the table for an answer."""
    if answer.problem:
        return _OF_PROBLEM[answer.problem]
    code = answer.status or 0
    if code in (401, 403):
        return Status.DOOR
    if code == 429:
        return Status.THROTTLED
    if 200 <= code < 300:
        return Status.GOOD
    if 400 <= code < 500 and code != 408:
        return Status.REFUSED
    return Status.DOWN if code >= 500 else Status.ODD


def rows_in(
    document: Json, kind: str, is_row: Callable[[Json], bool] = matching.is_object
) -> list[Json] | None:
    """The objects that a query found; None if the answer is unusable.

    An empty QueryResponse found none (Intuit's guide, *Data queries*). An answer without one, with
    rows of another kind, or only with rows that are no objects, is no answer.
    """
    response = document.get("QueryResponse")
    if not isinstance(response, dict):
        return None
    listed = response.get(kind)
    if listed is None:
        return None if any(isinstance(value, list) for value in response.values()) else []
    if not isinstance(listed, list):
        return None
    found = [row for row in listed if isinstance(row, dict) and is_row(row)]
    return found if found or not listed else None


def shows_all(document: Json, kind: str, rows: Sequence[Json]) -> bool:
    """Whether these rows of an answer (`rows_in`) are all that it tells of: none was no object, and
    `maxResults` is the number of rows returned (Intuit's guide, *Data queries*). A `totalCount` of
    rows without any is the answer to another question."""
    response = document["QueryResponse"]
    told = [response.get("maxResults"), None if rows else response.get("totalCount")]
    counts = [matching.number(one) or 0 for one in told if one is not None]
    return all(count <= len(rows) for count in (row_count(document, kind), *counts))


def row_count(document: Json, kind: str) -> int:
    """The number of rows in an answer (`rows_in`), including those
    that are no objects: the next page begins after them."""
    return len(document["QueryResponse"].get(kind) or ())


_HOLDS = {
    "120": Said.ACCESS_LOST,
    "6190": Said.PLAN_LAPSED,
    "10200": Said.COMPANY_RESET,
}


def said_by(faults: Sequence[RemoteFault]) -> Said:
    """The meaning of several faults, at least one. A problem of the company comes first, and one
    internal error of QuickBooks makes the others doubtful."""
    each = [_said_by_one(fault) for fault in faults]
    return min(each, key=_ORDER.index)


_ORDER = [
    Said.THROTTLED,
    Said.SIGNED_OUT,
    Said.ACCESS_LOST,
    Said.PLAN_LAPSED,
    Said.COMPANY_RESET,
    Said.BUSY,
    Said.INSIDE,
    Said.RULE,
]


def _said_by_one(fault: RemoteFault) -> Said:
    if fault.code not in CATALOGUE:
        return Said.RULE if names_a_rule(fault) else Said.INSIDE
    if fault.code == "3001":
        return Said.THROTTLED
    match class_of(fault):
        case Class.HOLD:
            return _HOLDS.get(fault.code, Said.SIGNED_OUT)
        case Class.PAUSE:
            return Said.BUSY
        case Class.INSIDE:
            return Said.INSIDE
        case Class.RETRY | Class.PERSON | Class.CONFLICT | Class.OURS:
            return Said.INSIDE if is_inside(fault) else Said.RULE


def names_a_rule(fault: RemoteFault) -> bool:
    """Whether an unknown error was found by checking our document."""
    return bool(fault.code) and fault.type.casefold() == "validationfault" and not is_inside(fault)


# QuickBooks' internal errors have their own numbers, such as (-30003), and appear in faults that
# otherwise report a rule, mostly 6000. An amount or a date has other characters around it.
_INTERNAL_NUMBER = re.compile(r"(?<![\w.,$-])-\d{3,6}(?![\w.,-]*\d)")
_INTERNAL_WORDS = re.compile(
    r"internal (?:server )?error|unexpected (?:internal )?error|system (?:failure|error|fault)",
    re.IGNORECASE,
)


def is_inside(fault: RemoteFault) -> bool:
    """Whether a fault is internal to QuickBooks, though its code may be that of a rule."""
    if fault.type.casefold() == "systemfault":
        return True
    words = f"{fault.message} {fault.detail}"
    has_number = fault.code == "6000" and _INTERNAL_NUMBER.search(words)
    return bool(has_number or _INTERNAL_WORDS.search(words))
