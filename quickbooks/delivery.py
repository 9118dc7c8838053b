"""QuickBooks as the engine sees it: what to send next, sending it, and what the answer means.

`compose` and `read` are pure. Together they are a small dialogue about each entry, whose memory is
the entry's `knowledge`:

- `read` only reports: written (here is its id), refused (here is why), or seen (here is what
  QuickBooks holds). It knows the request, the answer and the snapshots.
- `compose` judges: with links and settings at hand it compares what was seen with what we want,
  and writes, links, asks a person, or asks QuickBooks once more.

Knowledge: `seen` names the question that `found` answers ("Id=55"); `name_holder` and
`number_holder` are ids that QuickBooks named in a conflict; `stale` counts how often a version was
refused; `alone` keeps an entry out of batches; `unseen` says that a question was not answered.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, quote_plus

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Operation
from models.quickbooks import Connection
from models.sales import RecordType
from outbox.company import (
    Answer,
    Composition,
    Draft,
    Due,
    Fault,
    Hold,
    Item,
    Learned,
    Outcome,
    Pause,
    Problem,
    Reading,
    Record,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
    Unneeded,
    Waiting,
)
from outbox.pace import Limits, Pace
from quickbooks import client, facts, matching, payloads, tokens
from quickbooks.faults import (
    Class,
    RemoteFault,
    class_of,
    explain,
    faults_in,
    faults_of_item,
    parse_json,
)
from quickbooks.payloads import ENTITY, Document, Missing, NotWritable, dumps

BATCH = 30  # items: Intuit's limit
LONGEST_QUESTION = 6000  # of a query as it is sent; gateways cut addresses at about 8,000
STALE_TRIES = 2  # a version refused twice in a row: someone is at work there
THROTTLED = timedelta(seconds=60)  # Intuit's rule when it names no time
_NAME_OF = {RecordType.LEAD: "DisplayName", RecordType.PRODUCT: "Name"}
_SALES_ITEMS = ("Service", "NonInventory", "Inventory")  # what a line can name; not categories
_LISTS = (RecordType.LEAD, RecordType.PRODUCT)  # inactive rows are hidden unless asked for
_MINOR = {"minorversion": client.MINOR_VERSION}

log = structlog.get_logger()


class QuickBooks:
    """The `Company` that `app.py` hands to the poller."""

    # Just under Intuit's 500 calls a minute and 10 a second, and its 40 batches a minute.
    limits = Limits(
        calls=Pace(timedelta(milliseconds=125), burst=2),
        batches=Pace(timedelta(milliseconds=1600), burst=2),
        wave=BATCH,
    )

    def __init__(self, sessions: Sessions, config: Config) -> None:
        self.sessions = sessions
        self.config = config

    def settings(self, session: Session, lane_id: int) -> Json:
        """How this company wants its records."""
        return facts.of_lane(session, lane_id)

    def compose(
        self, entries: Sequence[Due], links: Mapping[Record, Remote], settings: Json
    ) -> Composition:
        """One request for some of these entries, and verdicts on those that need none. Pure."""
        return compose(entries, links, settings)

    def send(self, sent: Sent) -> Answer:
        """Sends it and waits; after a 401 once more with a renewed token. Never raises."""
        return send(self.sessions, self.config, sent)

    def read(self, sent: Sent, answer: Answer) -> Reading:
        """What the answer means for each entry, and for the company. Pure; never raises."""
        return read(sent, answer)


# --- Compose ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Question:
    """Something to look up: rows of the kind whose property `name` is `value`."""

    name: str
    value: str
    and_: str = ""  # a further condition; such a question goes alone

    @property
    def key(self) -> str:
        return f"{self.name}={self.value}{self.and_}"


@dataclass(frozen=True)
class _Read:
    due: Due
    intent: str  # read: our own counterpart; look_up: anything else
    question: _Question


@dataclass(frozen=True)
class _Write:
    due: Due
    intent: str  # create | update | void
    document: Document

    @property
    def goes_alone(self) -> bool:
        return self.intent == "void" or bool(self.due.knowledge.get("alone"))


_Step = _Read | _Write | Outcome


def compose(entries: Sequence[Due], links: Mapping[Record, Remote], settings: Json) -> Composition:
    """One request of one kind: reads before writes, since what they find decides the writes."""
    reads: list[_Read] = []
    writes: list[_Write] = []
    verdicts: dict[int, Outcome] = {}
    for due in entries:
        step = _next_step(due, links, settings)
        match step:
            case _Read():
                reads.append(step)
            case _Write():
                writes.append(step)
            case _:
                verdicts[due.entry_id] = step
    draft = _question_draft(reads) or _writing_draft(writes)
    return Composition(draft, verdicts)


def _next_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Step:
    link = links.get(due.record)
    try:
        if due.operation == Operation.VOID:
            return _void_step(due, link)
        if due.record.type == RecordType.PAYMENT and Decimal(due.payload["refunded_amount"]) > 0:
            return _reversed_step(due, link)
        if link is None:
            return _create_step(due, links, settings)
        return _update_step(due, link, links, settings)
    except Missing as missing:
        return Waiting(missing.record)
    except NotWritable as refusal:
        return Rejected(_told(refusal.fault, due))


def _void_step(due: Due, link: Remote | None) -> _Step:
    if due.record.type == RecordType.LEAD:
        # A customer stays in the books; what was not sent need not go.
        return Unneeded() if link is None else Synced(None, note="kept in QuickBooks")
    if link is None:
        return Unneeded()
    if link.voided:
        return Synced(link)
    if due.looks_first or due.checks or link.stale or _unseen(due):
        return _read_own(due, link)
    if _has_seen(due, _own(link)):
        found = _found(due)
        if found is None:
            return Rejected(_fault("610", due))
        if _is_voided(due, found):
            return Synced(replace(_remote(found), voided=True))
    return _Write(due, "void", {"Id": link.id, "SyncToken": link.version})


def _reversed_step(due: Due, link: Remote | None) -> _Step:
    refunded, amount = Decimal(due.payload["refunded_amount"]), Decimal(due.payload["amount"])
    if link is None and refunded >= amount:
        return Unneeded()  # came and went before QuickBooks heard of it
    about = {"refunded": f"${refunded:,.2f}", "amount": f"${amount:,.2f}"}
    return Rejected(_fault("reversed" if link else "reversed_unsent", due, about))


def _create_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Step:
    sought = _by_mark(due, links, settings)
    if due.looks_first or _unseen(due):
        return _Read(due, "look_up", sought)
    document = payloads.document(due.record, due.payload, links, settings)
    if holder := due.knowledge.get("name_holder"):
        question = _Question("Id", str(holder))
        if not _has_seen(due, question):
            return _Read(due, "look_up", question)
        return _judge_name_holder(due, document, _found(due))
    if due.knowledge.get("name_taken"):
        if not _has_seen(due, sought):
            return _Read(due, "look_up", sought)
        return _judge_name_holder(due, document, _found(due))
    if holder := due.knowledge.get("number_holder"):
        question = _Question("Id", str(holder))
        if not _has_seen(due, question):
            return _Read(due, "look_up", question)
        return _judge_number_holder(due, document, _found(due))
    if _has_seen(due, sought) and (found := _found(due)):
        return _judge_found(due, document, found)
    return _Write(due, "create", document)


def _by_mark(due: Due, links: Mapping[Record, Remote], settings: Json) -> _Question:
    """How a create of ours, of which we heard nothing, is found again.

    Asks for no more than it needs: what cannot be composed any more may have arrived all the same.
    """
    match due.record.type:
        case RecordType.LEAD:
            return _Question("DisplayName", payloads.customer_name(due.payload))
        case RecordType.PRODUCT:
            return _Question("Name", payloads.item_name(due.payload))
        case RecordType.INVOICE if payloads.carries_our_number(settings):
            return _Question("DocNumber", payloads.document_number(due.payload))
        case RecordType.INVOICE:
            customer = payloads.linked(links, RecordType.LEAD, due.payload["lead_id"])
            day = f" AND TxnDate = '{due.payload['issued_on']}'"
            return _Question("CustomerRef", customer, day)
        case RecordType.PAYMENT:
            return _Question("PaymentRefNum", payloads.payment_reference(due.payload))


def _judge_found(due: Due, document: Document, found: Json) -> _Step:
    """What bears our mark is ours. A customer has none: it must be as we would have made it."""
    if due.record.type == RecordType.PRODUCT:
        return _judge_name_holder(due, document, found)
    if due.record.type != RecordType.LEAD:
        return Synced(_remote(found), note="found in QuickBooks")
    if matching.same_customer(document, found) or matching.is_our_customer(document, found):
        return _adopted(due, found)
    return _name_taken(due, document, found)


def _judge_name_holder(due: Due, document: Document, found: Json | None) -> _Step:
    if found is None:
        return _name_taken(due, document, None)
    if due.record.type == RecordType.PRODUCT:
        if found.get("Type") not in _SALES_ITEMS:
            return _name_taken(due, document, None)
        return _adopted(due, found)
    if matching.same_customer(document, found):
        return _adopted(due, found)
    return _name_taken(due, document, found)


def _adopted(due: Due, found: Json) -> _Step:
    if found.get("Active") is False:
        return Rejected(_fault("customer_inactive", due, {"holder_id": str(found["Id"])}))
    return Synced(_remote(found), note="was in QuickBooks already")


def _name_taken(due: Due, document: Document, found: Json | None) -> Rejected:
    name = document[_NAME_OF[due.record.type]]
    if found is None:
        holder = {"holder": "a vendor, an employee or another record"}
    else:
        holder = {"holder": "another customer", "holder_id": str(found["Id"])}
        if email := matching.email_of(found):
            holder["holder"] = f"another customer ({email})"
    return Rejected(_fault("6240", due, {"name": name, **holder}))


def _judge_number_holder(due: Due, document: Document, found: Json | None) -> _Step:
    if found and matching.is_our_invoice(
        document, due.payload["total"], found, due.payload["mark"]
    ):
        return Synced(_remote(found), note="was in QuickBooks already")
    return Rejected(_fault("6140", due, {"number": due.payload["number"]}))


def _update_step(due: Due, link: Remote, links: Mapping[Record, Remote], settings: Json) -> _Step:
    if due.looks_first or due.checks or link.stale or _unseen(due):
        return _read_own(due, link)
    found = _found(due) if _has_seen(due, _own(link)) else None
    if _has_seen(due, _own(link)) and found is None:
        return Rejected(_fault("610", due))
    if link.voided or (found is not None and _is_voided(due, found)):
        return Rejected(_fault("voided_there", due))
    if due.record.type == RecordType.PRODUCT:
        # Linked is all an item has to be: it may be shared, and its price stands on the lines.
        return Synced(link)
    document = payloads.document(due.record, due.payload, links, settings)
    changes = _changes(due, document, found, links, settings)
    if not changes:
        return Synced(_remote(found) if found else link)
    if due.record.type == RecordType.PAYMENT:
        changes = {
            "CustomerRef": document["CustomerRef"],
            "TotalAmt": document["TotalAmt"],
        } | changes
        changes["Line"] = document["Line"]  # all or none: without them its links would go
    return _Write(due, "update", payloads.sparse(link, changes))


def _changes(
    due: Due,
    document: Document,
    found: Json | None,
    links: Mapping[Record, Remote],
    settings: Json,
) -> Document:
    """What to write: only what changed here since it last arrived, and only what differs there."""
    if found is not None and (due.before is None or due.knowledge.get("compares")):
        return matching.differences(document, found, ignoring=_NOT_OURS)
    if due.before is None:
        return document
    before = payloads.document(due.record, due.before, links, settings)
    changes = payloads.changed(before, document)
    if found is not None and not matching.differences(changes, found):
        return {}
    return changes


# Written with the document and then QuickBooks': a bookkeeper may add to the note, and what tax
# became of ours shows as a difference of totals.
_NOT_OURS = frozenset({"PrivateNote", "TxnTaxDetail"})


def _own(link: Remote) -> _Question:
    return _Question("Id", link.id)


def _read_own(due: Due, link: Remote) -> _Read:
    return _Read(due, "read", _own(link))


def _has_seen(due: Due, question: _Question) -> bool:
    return due.knowledge.get("seen") == question.key


def _unseen(due: Due) -> bool:
    return bool(due.knowledge.get("unseen"))


def _found(due: Due) -> Json | None:
    found: Json | None = due.knowledge.get("found")
    return found


def _is_voided(due: Due, found: Json) -> bool:
    """A voided document loses every amount, and says so in its note, in the company's language."""
    if matching.number(found.get("TotalAmt")) != 0:
        return False  # or a kind without a total
    says_so = str(found.get("PrivateNote", "")).startswith("Voided")
    ours = due.payload.get("total") or due.payload.get("amount") or "0"
    return says_so or Decimal(ours) > 0


# --- Drafts -------------------------------------------------------------------------------------


def _question_draft(reads: Sequence[_Read]) -> Draft | None:
    """One query for as many entries as ask alike: rows are paid for, calls are counted."""
    if not reads:
        return None
    first = reads[0]
    alike = [first]
    for one in reads[1:BATCH]:
        same = (one.due.record.type, one.intent, one.question.name) == (
            first.due.record.type,
            first.intent,
            first.question.name,
        )
        if same and not (first.question.and_ or one.question.and_):
            alike.append(one)
    while len(alike) > 1 and len(quote_plus(_statement(alike))) > LONGEST_QUESTION:
        alike.pop()
    return Draft(
        method="GET",
        path="query",
        query={"query": _statement(alike), **_MINOR},
        body=None,
        items=[Item(one.due.entry_id, one.intent) for one in alike],
    )


def _statement(reads: Sequence[_Read]) -> str:
    first = reads[0]
    values = ", ".join(_quoted(one.question.value) for one in reads)
    condition = f"{first.question.name} IN ({values})"
    if first.question.and_:
        condition = f"{first.question.name} = {values}{first.question.and_}"
    if first.due.record.type in _LISTS:
        condition += " AND Active IN (true, false)"
    entity = ENTITY[first.due.record.type]
    return f"SELECT * FROM {entity} WHERE {condition} MAXRESULTS 1000"  # noqa: S608  (not SQL)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_TAIL = re.compile(r"( AND Active IN \(true, false\))? MAXRESULTS 1000$")
_DAY = re.compile(r" AND TxnDate = '[^']*'$")


def _asked(statement: str) -> tuple[str, list[str], str]:
    """What a statement of ours asks for: property, values in the order of its items, condition."""
    name, _, rest = _TAIL.sub("", statement).partition(" WHERE ")[2].partition(" ")
    day = _DAY.search(rest) if name == "CustomerRef" else None
    values = rest[: day.start()] if day else rest
    unquoted = [
        re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        for value in re.findall(r"'((?:\\.|[^'\\])*)'", values, re.DOTALL)
    ]
    return name, unquoted, day[0] if day else ""


def _writing_draft(writes: Sequence[_Write]) -> Draft | None:
    if not writes:
        return None
    together = [writes[0]] if writes[0].goes_alone else list(_together(writes))
    items = [Item(one.due.entry_id, one.intent) for one in together]
    if len(together) > 1:
        return Draft("POST", "batch", _MINOR, _batch_body(together), items, is_batch=True)
    one = together[0]
    path = ENTITY[one.due.record.type].lower()
    operation = {"operation": "void"} if one.intent == "void" else {}
    return Draft("POST", path, {**operation, **_MINOR}, dumps(one.document), items)


def _together(writes: Sequence[_Write]) -> Iterator[_Write]:
    """Those that cannot get into each other's way: one kind, one intent, no name, number or
    invoice twice, because QuickBooks may work on the items of a batch at once."""
    first = writes[0]
    taken: set[str] = set()
    count = 0
    for one in writes:
        alike = (one.due.record.type, one.intent) == (first.due.record.type, first.intent)
        claims = _claims(one)
        if alike and not one.goes_alone and count < BATCH and not claims & taken:
            taken |= claims
            count += 1
            yield one


def _claims(one: _Write) -> set[str]:
    """What of a company's books this write touches beside its own object."""
    document = one.document
    claims = {
        f"{key} {str(document[key]).casefold()}"
        for key in ("DisplayName", "Name", "DocNumber")
        if key in document
    }
    for line in document.get("Line", ()):
        claims |= {f"invoice {linked['TxnId']}" for linked in line.get("LinkedTxn", ())}
    return claims


def _batch_body(writes: Sequence[_Write]) -> str:
    return dumps(
        {
            "BatchItemRequest": [
                {
                    "bId": str(position),
                    "operation": one.intent,
                    ENTITY[one.due.record.type]: one.document,
                }
                for position, one in enumerate(writes)
            ]
        }
    )


# --- Send ---------------------------------------------------------------------------------------


def send(sessions: Sessions, config: Config, sent: Sent) -> Answer:
    """Sends a stored request byte for byte, with a token that is good for it."""
    deadline = time.monotonic() + config.call_deadline.total_seconds()
    with sessions() as session:
        connection = session.execute(
            select(Connection.id, Connection.realm_id).where(Connection.lane_id == sent.lane_id)
        ).one_or_none()
    if connection is None:
        return Answer(problem=Problem.SIGNED_OUT)
    asked = client.Call(sent.method, sent.path, sent.query, sent.body)
    try:
        token = tokens.access_token(sessions, config, connection.id)
        answer = client.call(config, connection.realm_id, token, asked, deadline)
        if not _is_signed_out(answer):
            return answer
        # Once more with a fresh token: the first was refused, so nothing was done with it.
        token = tokens.access_token(sessions, config, connection.id, refused=token)
        answer = client.call(config, connection.realm_id, token, asked, deadline)
        if _is_signed_out(answer):
            tokens.expire_refused(sessions, config, connection.id, token)
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


# --- Read ---------------------------------------------------------------------------------------


def read(sent: Sent, answer: Answer) -> Reading:
    """The company's trouble first; what is left is each item's own."""
    if answer.problem:
        return _read_problem(sent, answer.problem)
    told = faults_in(answer.body)
    kept = None if answer.status == 200 and not told else answer.body[:10_000]
    if trouble := _trouble_of(answer, told):
        return Reading(_not_seen(sent), trouble, taken=False, kept_answer=kept)
    if answer.status is not None and answer.status >= 500:
        # A 500 may be the one record's own; what a gateway says, or a read gets, is an outage.
        is_down = answer.status in (502, 503, 504) or sent.method == "GET"
        down = Pause("outage") if is_down else None
        return Reading(_not_seen(sent), down, kept_answer=kept)
    if told:
        return Reading(_refused_as_a_whole(sent, told), kept_answer=kept)
    document = parse_json(answer.body)
    if answer.status != 200 or document is None:
        # Cut off, or not from QuickBooks at all: we know nothing of what became of it.
        is_odd = answer.status not in (200, 408)
        return Reading(_not_seen(sent), Pause("outage") if is_odd else None, kept_answer=kept)
    if sent.method == "GET":
        return Reading(_read_rows(sent, document))
    if sent.path == "batch":
        return _read_batch(sent, document, answer)
    return Reading(_each(sent, lambda item, due: _written(item, due, document)))


def _read_problem(sent: Sent, problem: Problem) -> Reading:
    match problem:
        case Problem.NOT_SENT:
            return Reading(_not_seen(sent), Pause("outage"), taken=False)
        case Problem.TOKENS_UNAVAILABLE:
            return Reading(_not_seen(sent), Pause("outage"), taken=False)
        case Problem.SIGNED_OUT:
            return Reading(_not_seen(sent), Hold("signed_out"), taken=False)
        case Problem.UNANSWERED:
            return Reading(_not_seen(sent), Pause("outage") if sent.method == "GET" else None)


def _not_seen(sent: Sent) -> dict[int, Outcome]:
    """A question without an answer is asked again; a write without one stays open."""
    if sent.method != "GET" or sent.looks_up:
        return {}
    return {item.entry_id: Learned({"unseen": True}) for item in sent.items}


_HOLDS = {"120": "access_lost", "6190": "plan_lapsed", "10200": "company_reset"}


def _trouble_of(answer: Answer, told: Sequence[RemoteFault]) -> Pause | Hold | None:
    """What stands in the way of the whole company, and not of this request alone."""
    if answer.status == 429:
        return Pause("throttled", answer.retry_after or THROTTLED)
    for fault in told:
        if trouble := _company_trouble(fault, answer.retry_after):
            return trouble
    if answer.status == 401:
        return Hold("signed_out")
    if answer.status == 403:
        return Pause("outage")  # no code of QuickBooks': something between us and it
    return None


def _company_trouble(fault: RemoteFault, retry_after: timedelta | None) -> Pause | Hold | None:
    match class_of(fault):
        case Class.HOLD:
            return Hold(_HOLDS.get(fault.code, "signed_out"))
        case Class.PAUSE if fault.code == "3001":
            return Pause("throttled", retry_after or THROTTLED)
        case Class.PAUSE:
            return Pause("outage")
        case _:
            return None


def _refused_as_a_whole(sent: Sent, told: Sequence[RemoteFault]) -> dict[int, Outcome]:
    if sent.path == "batch":
        # Nothing of it was done; one by one we learn whose fault it was.
        return _each(sent, lambda _item, _due: Learned({"alone": True}))
    if sent.method == "GET":
        # A question it cannot read is our mistake, and each entry's to show.
        return _each(sent, lambda _item, due: Rejected(_said(told[0], due)))
    return _each(sent, lambda item, due: _faulted(sent, item, due, told))


def _each(sent: Sent, outcome_of: Callable[[Item, Due], Outcome | None]) -> dict[int, Outcome]:
    """The outcome of each open item; one that cannot be read is that entry's own trouble."""
    outcomes: dict[int, Outcome] = {}
    for item in sent.items:
        due = sent.due.get(item.entry_id)
        if due is None:
            continue  # settled before
        try:
            outcome = outcome_of(item, due)
        except Exception:
            log.exception("an answer could not be read", entry=item.entry_id, dispatch=sent.id)
            outcome = Rejected(_fault("internal", due))
        if outcome is not None:
            outcomes[item.entry_id] = outcome
    return outcomes


def _read_batch(sent: Sent, document: Json, answer: Answer) -> Reading:
    """Item by item; what the batch does not mention stays open."""
    told: dict[str, Json] = {}
    for one in document.get("BatchItemResponse") or []:
        if isinstance(one, dict):
            told[str(one.get("bId"))] = one
    position_of = {item.entry_id: str(place) for place, item in enumerate(sent.items)}
    trouble: Pause | Hold | None = None
    faulty = False
    for one in told.values():
        for fault in faults_of_item(one):
            faulty = True
            trouble = trouble or _company_trouble(fault, answer.retry_after)

    def outcome_of(item: Item, due: Due) -> Outcome | None:
        one = told.get(position_of[item.entry_id])
        if one is None:
            return None
        faults = faults_of_item(one)
        if not faults:
            return _written(item, due, one)
        if any(_company_trouble(fault, None) for fault in faults):
            # The company's trouble, but a definite no for this item: it is free, unspent.
            return Learned()
        return _faulted(sent, item, due, faults)

    kept = answer.body[:10_000] if faulty or len(told) < len(sent.items) else None
    return Reading(_each(sent, outcome_of), trouble, kept_answer=kept)


def _written(item: Item, due: Due, document: Mapping[str, Any]) -> Outcome | None:
    """The object that came back. Without one the answer is incomplete, and the item stays open."""
    found = document.get(ENTITY[due.record.type])
    if not isinstance(found, dict) or not _is_object(found):
        return None
    return Synced(replace(_remote(found), voided=item.intent == "void"))


def _is_object(found: Mapping[str, Any]) -> bool:
    return all(
        isinstance(found.get(key), str | int) and str(found[key]) for key in ("Id", "SyncToken")
    )


def _remote(found: Mapping[str, Any]) -> Remote:
    total = matching.number(found.get("TotalAmt"))
    return Remote(
        id=str(found["Id"]),
        version=str(found["SyncToken"]),
        number=str(found["DocNumber"]) if found.get("DocNumber") else None,
        total=None if total is None else format(total, ".2f"),
    )


# --- Reading what was asked for -----------------------------------------------------------------


def _read_rows(sent: Sent, document: Json) -> dict[int, Outcome]:
    """What was found for each entry, kept for `compose` to judge."""
    response = document.get("QueryResponse")
    if not isinstance(response, dict):
        return _not_seen(sent)
    name, values, condition = _asked(parse_qs(sent.query)["query"][0])
    value_of = dict(zip((item.entry_id for item in sent.items), values, strict=True))

    def outcome_of(item: Item, due: Due) -> Outcome:
        rows = _rows(response, ENTITY[due.record.type])
        value = value_of[item.entry_id]
        row = next((row for row in rows if _answers(row, name, value, due)), None)
        knowledge: Json = {
            "seen": _Question(name, value, condition).key,
            "found": None if row is None else _kept(row),
            "unseen": False,
            "checked": True,
        }
        if item.intent == "read" and due.checks:
            knowledge["compares"] = True  # with what is there, whatever we sent before
        remote = _remote(row) if row is not None and item.intent == "read" else None
        return Learned(knowledge, remote)

    return _each(sent, outcome_of)


def _rows(response: Json, entity: str) -> list[Json]:
    listed = response.get(entity)
    if not isinstance(listed, list):
        return []
    return [row for row in listed if isinstance(row, dict) and _is_object(row)]


def _answers(row: Json, name: str, value: str, due: Due) -> bool:
    match name:
        case "DisplayName" | "Name":
            return matching.same_name(str(row.get(name, "")), value)
        case "DocNumber":
            return str(row.get("DocNumber")) == value and _bears_mark(row, due)
        case "CustomerRef":
            return _bears_mark(row, due)
        case _:
            return str(row.get(name)) == value


def _bears_mark(row: Json, due: Due) -> bool:
    return due.payload["mark"] in str(row.get("PrivateNote", ""))


def _kept(row: Json) -> Json:
    """An object as it may be stored: numbers as strings, nothing of QuickBooks' own affairs."""
    dropped = ("MetaData", "domain", "sparse", "CustomField", "LinkedTxn")
    return {key: _plain(value) for key, value in row.items() if key not in dropped}


def _plain(value: object) -> Any:
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case Decimal():
            return str(value)
        case _:
            return value


# --- Faults -------------------------------------------------------------------------------------


def _faulted(sent: Sent, item: Item, due: Due, told: Sequence[RemoteFault]) -> Outcome:
    """A definite no for this item: what we do about it, by its code."""
    fault = told[0]
    match fault.code:
        case "5010":
            return _stale(sent, item, due, fault)
        case "6240" if item.intent == "create":
            if "seen" in due.knowledge and due.knowledge.get("name_taken"):
                return Rejected(_said(fault, due))
            named = re.search(r"\bId\s*=\s*(\d+)", fault.detail)
            return Learned({"name_holder": named[1]} if named else {"name_taken": True})
        case "6140" if item.intent == "create":
            if named := re.search(r"\bTxnId\s*=\s*(\d+)", fault.detail):
                return Learned({"number_holder": named[1]})
            return Rejected(_said(fault, due))
        case "600":
            return Learned({"unseen": True})  # done already, it says: look for it
        case "610" if item.intent == "void":
            return Rejected(_said(fault, due))
    if class_of(fault) is Class.RETRY:
        return Retry(_said(fault, due))
    return Rejected(_said(fault, due))


def _stale(sent: Sent, item: Item, due: Due, fault: RemoteFault) -> Outcome:
    """Someone changed it over there: read it once, and write what is still to be written."""
    tries = int(due.knowledge.get("stale", 0)) + 1
    written = _document_of(sent, item, due)
    if tries >= STALE_TRIES or not written:
        return Rejected(_said(fault, due))
    remote = Remote(str(written["Id"]), str(written["SyncToken"]), stale=True)
    return Learned({"stale": tries, "seen": None, "found": None}, remote)


def _document_of(sent: Sent, item: Item, due: Due) -> Json | None:
    """The document that this request carried for the item."""
    body = parse_json(sent.body or "") or {}
    if sent.path != "batch":
        return body
    place = [one.entry_id for one in sent.items].index(item.entry_id)
    document = body["BatchItemRequest"][place].get(ENTITY[due.record.type])
    return document if isinstance(document, dict) else None


def _said(fault: RemoteFault, due: Due) -> Fault:
    """A fault of QuickBooks', with the names that its sentence uses."""
    about: Json = {}
    field: str | None = None
    match fault.code:
        case "2500" | "6250" | "610":
            about |= _thing_in(fault, due)
        case "2050":
            label, field = _FIELDS.get(fault.element.partition(".")[0], ("A text", None))
            about["label"] = label
            if longest := re.search(r"Max\s*:\s*(\d+)", fault.detail):
                about["max"] = longest[1]
        case "2020" if fault.element:
            about["which"] = f" ({fault.element})"
        case "6200" | "6210":
            about["date"] = due.payload.get("issued_on") or due.payload.get("received_on")
    return _told(Fault(fault.code, about, field, _words(fault)), due)


def _words(fault: RemoteFault) -> str:
    return " — ".join(filter(None, [fault.message, fault.detail]))[:2000]


def _thing_in(fault: RemoteFault, due: Due) -> Json:
    """What an inactive or missing reference is, as far as the detail tells."""
    for word, what in (
        ("Names", "customer"),
        ("ItemRef", "product"),
        ("item", "product"),
        ("Account", "account"),
    ):
        if word in fault.detail:
            return {"what": what}
    return {} if due.record.type == RecordType.LEAD else {"what": "customer, product or account"}


_FIELDS: dict[str, tuple[str, str | None]] = {
    "DisplayName": ("The name", "name"),
    "Name": ("The name", "name"),
    "CompanyName": ("The company name", "company_name"),
    "DocNumber": ("The number", "number"),
    "PrimaryPhone": ("The phone number", "phone"),
    "PrimaryEmailAddr": ("The e-mail address", "email"),
    "Description": ("A description", "lines"),
}


_KINDS = {
    RecordType.LEAD: "customer",
    RecordType.PRODUCT: "product",
    RecordType.INVOICE: "invoice",
    RecordType.PAYMENT: "payment",
}


def _fault(code: str, due: Due, about: Mapping[str, Any] | None = None, detail: str = "") -> Fault:
    return _told(Fault(code, dict(about or {}), detail=detail), due)


def _told(fault: Fault, due: Due) -> Fault:
    """The fault with what every sentence may name, and the field that mends it."""
    about = {
        "record": due.record.type.value,
        "what": _KINDS[due.record.type],
        "name": due.payload.get("name") or due.payload.get("lead_name"),
        "number": due.payload.get("number"),
        **fault.about,
    }
    known = {key: value for key, value in about.items() if value is not None}
    field = fault.field or explain(fault.code, known).field
    return Fault(fault.code, known, field, fault.detail)
