"""What an answer means: for each entry in it, and for the company as a whole. Pure.

The company's trouble comes first (it is nobody's fault and spends no attempt); then silence, of
which nothing is concluded; then each item's own yes or no. What was found in answer to a question
is only reported: `composing` judges it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import structlog

from languages import N_
from models.base import Json
from models.sales import RecordType
from outbox.company import (
    Answer,
    Due,
    Hold,
    Item,
    Learned,
    Outcome,
    Pause,
    Problem,
    Reading,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
)
from quickbooks import matching
from quickbooks.faults import (
    Class,
    RemoteFault,
    class_of,
    faults_in,
    faults_of_item,
    ours,
    parse_json,
    phrase,
    said,
)
from quickbooks.payloads import ENTITY
from quickbooks.questions import Question, asked, kind_asked

STALE_TRIES = 2  # a version refused twice in a row: someone is at work there
THROTTLED = timedelta(seconds=60)  # Intuit's rule when it names no time
LONGEST_KEPT = 10_000  # characters of an answer that did not simply succeed

log = structlog.get_logger()


def read(sent: Sent, answer: Answer) -> Reading:
    """The company's trouble first; what is left is each item's own.

    An item of a batch is known by its bId, and has its own object or Fault whatever the status
    of the whole is (Intuit's API reference, Batch).
    """
    if answer.problem:
        return _read_problem(sent, answer.problem)
    told = faults_in(answer.body)
    kept = None if answer.status == 200 and not told else answer.body[:LONGEST_KEPT]
    if trouble := trouble_of(answer, told):
        return Reading(_freed_by(sent, answer), trouble, taken=False, kept_answer=kept)
    if answer.status is not None and answer.status >= 500:
        # A 500 may be the one record's own; what a gateway says, or a read gets, is an outage.
        is_down = answer.status in (502, 503, 504) or sent.method == "GET"
        down = Pause("outage") if is_down else None
        return Reading(_not_seen(sent), down, kept_answer=kept)
    if told:
        return Reading(_refused_as_a_whole(sent, told), kept_answer=kept)
    document = parse_json(answer.body)
    if answer.status != 200 or document is None:
        # Cut off, or not from QuickBooks at all: we know nothing of what became of it. A question
        # would be asked again at once, and paid for each time: the company rests first.
        is_odd = answer.status not in (200, 408) or sent.method == "GET"
        return Reading(_not_seen(sent), Pause("outage") if is_odd else None, kept_answer=kept)
    if sent.method == "GET":
        return _read_rows(sent, document)
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


def _freed_by(sent: Sent, answer: Answer) -> dict[int, Outcome]:
    """A fault in a 200 or 400 answers this request id for good, and would be repeated for it: what
    it was about goes by a new one. Refused at the door (401, 403, 429), nothing has an answer."""
    is_answer = answer.status is not None and answer.status in (200, 400)
    if sent.method != "GET" and is_answer:
        return _each(sent, lambda _item, _due: Learned())
    return _not_seen(sent)


_HOLDS = {"120": "access_lost", "6190": "plan_lapsed", "10200": "company_reset"}


def trouble_of(answer: Answer, told: Sequence[RemoteFault]) -> Pause | Hold | None:
    """What stands in the way of the whole company, and not of this request alone.

    Too many calls: a minute's rest unless the answer names another (Intuit's guide, *REST API
    features*, throttling). The codes: Intuit's page *Error codes*.
    """
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
        return _each(sent, lambda _item, due: Rejected(said(told[0], due)))
    return _each(sent, lambda item, due: _faulted(sent, item, due, told))


def _each(sent: Sent, outcome_of: Callable[[Item, Due], Outcome | None]) -> dict[int, Outcome]:
    """The outcome of each open item; one that cannot be read is that entry's own trouble.

    Of what was written nothing is known then: it stays open, and is looked up in the end.
    """
    outcomes: dict[int, Outcome] = {}
    for item in sent.items:
        due = sent.due.get(item.entry_id)
        if due is None:
            continue  # settled before
        try:
            outcome = outcome_of(item, due)
        except Exception:
            log.exception("an answer could not be read", entry=item.entry_id, dispatch=sent.id)
            outcome = Rejected(ours("internal", due)) if sent.method == "GET" else None
        if outcome is not None:
            outcomes[item.entry_id] = outcome
    return outcomes


def _read_batch(sent: Sent, document: Json, answer: Answer) -> Reading:
    """Item by item; what the batch does not mention stays open."""
    told: dict[str, Json] = {}
    listed = document.get("BatchItemResponse")
    for one in listed if isinstance(listed, list) else []:
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

    kept = answer.body[:LONGEST_KEPT] if faulty or len(told) < len(sent.items) else None
    return Reading(_each(sent, outcome_of), trouble, kept_answer=kept)


def _written(item: Item, due: Due, document: Mapping[str, Any]) -> Outcome | None:
    """The object that came back. Without one the answer is incomplete, and the item stays open."""
    found = document.get(ENTITY[due.record.type])
    if not isinstance(found, dict) or not matching.is_object(found):
        return None
    return Synced(replace(matching.remote_of(found), voided=item.intent == "void"))


# --- Reading what was asked for -----------------------------------------------------------------


def _read_rows(sent: Sent, document: Json) -> Reading:
    response = document.get("QueryResponse")
    if not isinstance(response, dict):
        return Reading(_not_to_the_point(sent), Pause("outage"))
    return Reading(_each_answered(sent, response))


def _not_to_the_point(sent: Sent) -> dict[int, Outcome]:
    """Counted as read: a question that never gets more than this ends with a person."""
    return {
        entry_id: Learned({"unseen": True, "reads": _reads(sent.due[entry_id]) + 1})
        for entry_id in _not_seen(sent)
        if entry_id in sent.due
    }


def _reads(due: Due) -> int:
    return int(due.knowledge.get("reads", 0))


def _each_answered(sent: Sent, response: Json) -> dict[int, Outcome]:
    """What was found for each entry, kept for `compose` to judge."""
    statement = parse_qs(sent.query)["query"][0]
    questions = asked(statement)
    kind, first = kind_asked(statement), next(iter(sent.due.values()), None)
    if first and kind != ENTITY[first.record.type]:  # what its document names, asked for alone
        wanted = [question.value for question in questions]
        return {first.entry_id: _found_inactive(kind, wanted, _rows(response, kind))}
    question_of = dict(zip((item.entry_id for item in sent.items), questions, strict=True))

    def outcome_of(item: Item, due: Due) -> Outcome:
        rows = _rows(response, ENTITY[due.record.type])
        question = question_of[item.entry_id]
        answers = [row for row in rows if _answers(row, question, due)]
        # Of an invoice that was voided there and sent again, the one that counts.
        row = next((row for row in answers if matching.number(row.get("TotalAmt")) != 0), None)
        row = row or next(iter(answers), None)
        knowledge: Json = {
            "seen": question.key,
            "found": None if row is None else _kept(row),
            "unseen": False,
            "checked": True,
            "reads": _reads(due) + 1,
        }
        if sent.looks_up and question.name == "DocNumber":
            knowledge["elsewhere"] = row is None
        elif "elsewhere" in due.knowledge:
            knowledge["elsewhere"] = False
        if item.intent == "read" and due.checks:
            knowledge["compares"] = True  # with what is there, whatever we sent before
        remote = matching.remote_of(row) if row is not None and item.intent == "read" else None
        return Learned(knowledge, remote)

    return _each(sent, outcome_of)


def _found_inactive(kind: str, wanted: Sequence[str], rows: Sequence[Json]) -> Outcome:
    """Which of the things that a document names can no longer be used; its customer comes last."""
    by_id = {str(row["Id"]): row for row in rows}
    for id_ in wanted:
        row = by_id.get(id_)
        if row is None or row.get("Active") is False:
            name = str(
                (row or {}).get("FullyQualifiedName") or (row or {}).get("DisplayName") or ""
            )
            name = (name or str((row or {}).get("Name", ""))).removesuffix(matching.INACTIVE_SUFFIX)
            return Learned({"inactive": {"kind": kind, "id": id_, "name": name}})
    return Learned({"doubted": "Customer" if kind == "Item" else "nothing"})


def _rows(response: Json, entity: str) -> list[Json]:
    listed = response.get(entity)
    if not isinstance(listed, list):
        return []
    return [row for row in listed if isinstance(row, dict) and matching.is_object(row)]


def _answers(row: Json, question: Question, due: Due) -> bool:
    there = str(row.get(question.name, ""))
    match question.name:
        case "DisplayName" | "Name":
            return matching.same_name(there, question.value)
        case "DocNumber":
            return there == question.value and _bears_mark(row, due)
        case "CustomerRef":
            return _bears_mark(row, due)
        case _:
            return there == question.value


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
                return Rejected(said(fault, due))
            named = re.search(r"\bId\s*=\s*(\d+)", fault.detail)
            return Learned({"name_holder": named[1]} if named else {"name_taken": True})
        case "6140" if item.intent == "create":
            if named := re.search(r"\bTxnId\s*=\s*(\d+)", fault.detail):
                return Learned({"number_holder": named[1]})
            return Rejected(said(fault, due))
        case "600" if "seen" not in due.knowledge:
            return Learned({"unseen": True})  # done already, it says: look for it, once
        case "610" if item.intent == "void" and "gone" not in due.knowledge:
            return Learned({"gone": True, "seen": None, "found": None})
        case "610" | "2500" if (
            item.intent != "void"
            and "doubted" not in due.knowledge
            and "Account" not in fault.detail
        ):
            return _missing(item, due, fault)
    if class_of(fault) is Class.RETRY:
        return Retry(said(fault, due))
    return Rejected(said(fault, due))


def _missing(item: Item, due: Due, fault: RemoteFault) -> Outcome:
    """Ours is gone, or something that it uses: we look once which, to name it."""
    is_own = item.intent == "update" and fault.code == "610" and "gone" not in due.knowledge
    if not is_own and due.record.type in (RecordType.INVOICE, RecordType.PAYMENT):
        is_item = due.record.type == RecordType.INVOICE and "Names" not in fault.detail
        return Learned({"doubted": "Item" if is_item else "Customer"})
    if is_own:
        return Learned({"gone": True, "seen": None, "found": None, "compares": True})
    return Rejected(said(fault, due))


def _stale(sent: Sent, item: Item, due: Due, fault: RemoteFault) -> Outcome:
    """Someone changed it over there: read it once, and write what is still to be written."""
    tries = int(due.knowledge.get("stale", 0)) + 1
    written = _document_of(sent, item, due)
    if tries >= STALE_TRIES or not written:
        told = said(fault, due)
        both = _both_values(written or {}, due.knowledge.get("found") or {})
        return Rejected(replace(told, about={**told.about, "both": both}))
    remote = Remote(str(written["Id"]), str(written["SyncToken"]), stale=True)
    return Learned({"stale": tries, "seen": None, "found": None}, remote)


_SPOKEN = {
    "DisplayName": N_("name"),
    "CompanyName": N_("company"),
    "PrimaryEmailAddr": N_("e-mail address"),
    "PrimaryPhone": N_("phone number"),
    "BillAddr": N_("address"),
    "DocNumber": N_("number"),
    "TxnDate": N_("date"),
    "DueDate": N_("due date"),
    "CustomerMemo": N_("message"),
    "TotalAmt": N_("amount"),
}


def _both_values(written: Json, found: Json) -> Json | None:
    """What we wanted to write beside what stood there when we looked: for a person to decide."""
    parts = [
        phrase(
            N_("{property} “{here}” here, “{there}” there"),
            property=phrase(spoken),
            here=ours,
            there=theirs,
        )
        for key, spoken in _SPOKEN.items()
        if key in written
        and (ours := _one_line(written[key])) != (theirs := _one_line(found.get(key)))
    ]
    return phrase(N_("These differ: {parts}."), parts=parts) if parts else None


def _one_line(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(
            str(each) for key, each in value.items() if key not in ("Id", "Lat", "Long")
        )
    return "" if value is None else str(value)


def _document_of(sent: Sent, item: Item, due: Due) -> Json | None:
    """The document that this request carried for the item."""
    body = parse_json(sent.body or "") or {}
    if sent.path != "batch":
        return body
    place = [one.entry_id for one in sent.items].index(item.entry_id)
    document = body["BatchItemRequest"][place].get(ENTITY[due.record.type])
    return document if isinstance(document, dict) else None
