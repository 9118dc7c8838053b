"""What an answer means: for each entry in it, and for the company as a whole. Pure.

`judge` decides what an answer proves; here that becomes outcomes of entries. Results of questions
are only reported: `composing` evaluates them.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import structlog

from languages import N_
from models.base import Json
from models.outbox import APPLIES_CREDIT
from models.sales import Record, RecordType
from outbox.company import (
    Answer,
    Due,
    Fault,
    Hold,
    Item,
    Learned,
    Observed,
    Outcome,
    Pause,
    Reading,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
)
from quickbooks import edited, judge, matching, steps, unanswered
from quickbooks.documents import dumps
from quickbooks.faults import (
    Class,
    RemoteFault,
    about_record,
    class_of,
    fault_of,
    faults_in,
    faults_of_item,
    ours,
    parse_json,
    plain_words,
    words_of,
)
from quickbooks.judge import Fate, Lane, Operation, Said, Status, Verdict, rows_in
from quickbooks.kinds import ENTITY, KINDS, payment
from quickbooks.questions import NEWEST, Question, asked, first_doubted, kind_asked, next_doubted

STALE_TRIES = 2  # a version refused twice in a row: someone is editing it
THROTTLE_PAUSE = timedelta(seconds=60)  # Intuit's rule if the answer names no time
CLOCKS_DIFFER = timedelta(minutes=10)  # at most, and requests take a while
MOST_BY_HAND = 20  # documents with one customer and amount, kept to choose from
BATCH = "batch"  # the path of a batch
MAX_ANSWER_KEPT = 10_000  # characters stored of an answer that was not a plain success

log = structlog.get_logger()


def read(sent: Sent, answer: Answer) -> Reading:
    """Judges the answer as a whole, and each item of a batch by its own part of it.

    Items of a batch have a bId, and each has its own object or Fault (Intuit's API reference,
    Batch).
    """
    status, told = judge.status_of(answer), faults_in(answer.body)
    document = parse_json(answer.body) if answer.body else None
    said = _said(told, _said_beside(sent, document))
    if sent.path == BATCH and status is Status.GOOD and said is Said.OBJECT:
        return _read_batch(sent, document or {}, answer)
    verdict = judge.judge(status, said, _operation(sent), is_repeat=sent.sends > 1)
    kept = None if verdict.fate is Fate.SEEN else answer.body[:MAX_ANSWER_KEPT] or None
    outcomes = _outcomes(sent, verdict, told, document)
    return Reading(
        outcomes,
        trouble_of(verdict.lane, answer, status),
        taken=verdict.fate is not Fate.NOT_TAKEN,
        is_silent=verdict.lane is Lane.PERHAPS,
        unsure=_unsure(sent, outcomes, _reason(answer, told)),
        kept_answer=kept,
    )


_OPERATIONS = {one.value: one for one in (Operation.CREATE, Operation.UPDATE, Operation.VOID)}


def _operation(sent: Sent) -> Operation:
    if sent.method == "GET":
        return Operation.QUERY
    if sent.path == BATCH:
        return Operation.BATCH
    return _OPERATIONS[sent.items[0].intent]


def _said(told: Sequence[RemoteFault], beside: Said) -> Said:
    """What an answer, or one item of a batch, says. One with a fault and an object contradicts
    itself: it may have been done or not."""
    if not told:
        return beside
    return judge.said_by(told) if beside is Said.NOTHING else Said.ANOTHER


def _said_beside(sent: Sent, document: Json | None) -> Said:
    """What an answer says besides its faults, and whether it fits the request."""
    if document is None:
        return Said.NOTHING
    if sent.method == "GET":
        rows = _rows_shown(document, parse_qs(sent.query)["query"][0])
        # nothing found beside a fault is only the fault
        is_answer = rows if faults_of_item(document) else rows is not None
        return Said.OBJECT if is_answer else Said.NOTHING
    if sent.path == BATCH:
        return Said.OBJECT if _items_of(document) else Said.NOTHING
    item = sent.items[0]
    due = sent.due.get(item.entry_id)
    return Said.NOTHING if due is None else _object_said(sent, item, due, document)


def _rows_shown(document: Json, statement: str) -> list[Json] | None:
    """The rows that answer a question about entries; None if some may be missing from them, so that
    they don't say what is not there."""
    kind = kind_asked(statement)
    rows = rows_in(document, kind)
    if rows is None or not judge.shows_all(document, kind, rows):
        return None
    questions = asked(statement)
    is_to_the_point = all(any(_fits(row, one) for one in questions) for row in rows)
    return rows if is_to_the_point else None


def _fits(row: Json, question: Question) -> bool:
    """Whether a row is an answer to the question at all. How QuickBooks compares names is not
    documented."""
    if question.name in ("DisplayName", "Name") or question.name not in row:
        return True
    return _value_of(row, question.name).strip().casefold() == question.value.strip().casefold()


def _object_said(sent: Sent, item: Item, due: Due, document: Mapping[str, Any]) -> Said:
    """Whether it is the object that we wrote: the one that we named, or one with our mark or name,
    and a void has taken its amounts."""
    found = document.get(ENTITY[due.record.type])
    if not isinstance(found, dict) or not matching.is_object(found):
        return Said.NOTHING
    written = _document_of(sent, item, due) or {}
    match item.intent:
        case "create":
            is_ours = _is_created(due, written, found)
        case "void":
            is_ours = str(found["Id"]) == str(written.get("Id")) and not _has_amount(found)
        case _:
            is_ours = str(found["Id"]) == str(written.get("Id"))
    return Said.OBJECT if is_ours else Said.ANOTHER


def _is_created(due: Due, written: Json, found: Json) -> bool:
    """Whether the answer to a create shows our document. One that came from elsewhere (a cache,
    another item of the batch) shows another object."""
    name = KINDS[due.record.type].NAME
    if name is None:
        return _bears_mark(found, due)
    return matching.same_name(str(written.get(name, "")), str(found.get(name, "")))


def _has_amount(found: Json) -> bool:
    return matching.number(found.get("TotalAmt")) != 0


def _outcomes(
    sent: Sent, verdict: Verdict, told: Sequence[RemoteFault], document: Json | None
) -> dict[int, Outcome]:
    """The outcome of each item, by the verdict on the whole; none stays open."""
    if sent.method == "GET":
        return _answered(sent, verdict, told, document or {})
    match verdict.fate:
        case Fate.SEEN:
            return _each(sent, lambda item, due: _written(item, due, document or {}))
        case Fate.REFUSED:
            return _each(sent, lambda item, due: _faulted(sent, item, due, told))
        case Fate.APART:
            return _each(sent, lambda _item, _due: Learned({"alone": True}))
        case Fate.FREED:
            # Its request id has this answer permanently, so it is sent with a new one.
            return _each(sent, lambda _item, _due: Learned())
        case Fate.NOT_TAKEN | Fate.UNKNOWN:
            return {}


def _answered(
    sent: Sent, verdict: Verdict, told: Sequence[RemoteFault], document: Json
) -> dict[int, Outcome]:
    """The result of a question. One without an answer is asked again
    separately: it may be what made the others fail."""
    if verdict.fate is Fate.SEEN:
        return _each_answered(sent, document)
    if verdict.fate is Fate.REFUSED:  # the query is invalid: our mistake, reported for each entry
        return _each(sent, lambda _item, due: Rejected(fault_of(told[0], due)))
    if sent.looks_up:
        return {}
    return _each(sent, lambda _item, _due: Learned({"unseen": True}))


def trouble_of(lane: Lane, answer: Answer, status: Status) -> Pause | Hold | None:
    """The company's problem, in the engine's words.

    Too many calls: a minute's pause unless the answer names another (Intuit's guide, *REST API
    features*, throttling).
    """
    match lane:
        case Lane.WORKS:
            return None
        case Lane.THROTTLED:
            return Pause("throttled", answer.retry_after or THROTTLE_PAUSE)
        case Lane.DOWN | Lane.PERHAPS:
            return Pause("outage")
        case Lane.SIGNED_OUT | Lane.ACCESS_LOST | Lane.PLAN_LAPSED | Lane.COMPANY_RESET:
            return Hold(lane.value, certain=status is Status.SIGNED_OUT)


def trouble_of_question(answer: Answer, found: bool) -> Pause | Hold | None:
    """The company's problem, as found by a question that belongs to no entry."""
    told, status = faults_in(answer.body), judge.status_of(answer)
    said = judge.said_by(told) if told else Said.OBJECT if found else Said.NOTHING
    verdict = judge.judge(status, said, Operation.QUERY, is_repeat=False)
    return trouble_of(verdict.lane, answer, status)


def _unsure(sent: Sent, outcomes: Mapping[int, Outcome], reason: Fault | None) -> dict[int, Fault]:
    """Faults for items that stay open, to show a person if nothing more is ever found out."""
    if reason is None:
        return {}
    left_open = [(id_, due) for id_, due in sent.due.items() if id_ not in outcomes]
    return {id_: about_record(reason, due) for id_, due in left_open}


def _reason(answer: Answer, told: Sequence[RemoteFault]) -> Fault | None:
    """QuickBooks' or a gateway's message; None if there is none."""
    if answer.status is None:
        return None
    if told:
        return Fault("trouble_there", detail=words_of(told[0]))
    words = plain_words(answer.body)
    was_heard = judge.status_of(answer) in (Status.REFUSED, Status.DOOR, Status.ODD)
    code = "turned_away" if was_heard else "unanswered"
    return Fault(code, detail=f"HTTP {answer.status}" + (f": {words}" if words else ""))


def _each(sent: Sent, outcome_of: Callable[[Item, Due], Outcome | None]) -> dict[int, Outcome]:
    """The outcome of each open item; one that cannot be read fails only its own entry.

    Of a write nothing is known then: it stays open, and is finally looked up.
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


def _items_of(document: Json) -> dict[str, Json]:
    """The answers of a batch by bId. One with two answers has none: they contradict each other."""
    listed = document.get("BatchItemResponse")
    items = listed if isinstance(listed, list) else []
    told = [(str(one.get("bId")), one) for one in items if isinstance(one, dict)]
    count = Counter(place for place, _one in told)
    return {place: one for place, one in told if count[place] == 1}


def _read_batch(sent: Sent, document: Json, answer: Answer) -> Reading:
    """Item by item; items missing from the answer stay open."""
    told = _items_of(document)
    place_of = {item.entry_id: str(place) for place, item in enumerate(sent.items)}
    verdicts: dict[int, Verdict] = {}
    reasons: dict[int, Fault] = {}

    def outcome_of(item: Item, due: Due) -> Outcome | None:
        one = told.get(place_of[item.entry_id], {})
        faults = faults_of_item(one)
        said = _said(faults, _object_said(sent, item, due, one))
        verdict = judge.judge(Status.GOOD, said, Operation.ITEM, is_repeat=sent.sends > 1)
        verdicts[item.entry_id] = verdict
        if faults:
            reasons[item.entry_id] = Fault("trouble_there", detail=words_of(faults[0]))
        match verdict.fate:
            case Fate.SEEN:
                return _written(item, due, one)
            case Fate.REFUSED:
                return _faulted(sent, item, due, faults)
            case Fate.FREED:
                return Learned()
            case Fate.APART | Fate.NOT_TAKEN | Fate.UNKNOWN:
                return None

    outcomes = _each(sent, outcome_of)
    lanes = [verdict.lane for verdict in verdicts.values() if verdict.lane is not Lane.WORKS]
    fates = {verdict.fate for verdict in verdicts.values()}
    # None of the items has a known effect, which may be the company's problem.
    is_silent = not lanes and fates == {Fate.UNKNOWN}
    trouble = trouble_of(lanes[0], answer, Status.GOOD) if lanes else None
    unsure = {
        id_: about_record(reason, sent.due[id_])
        for id_, reason in reasons.items()
        if id_ not in outcomes
    }
    went_well = fates == {Fate.SEEN} and len(told) >= len(sent.due)
    return Reading(
        outcomes,
        Pause("outage") if is_silent else trouble,
        is_silent=is_silent,
        unsure=unsure,
        kept_answer=None if went_well else answer.body[:MAX_ANSWER_KEPT],
    )


def _written(item: Item, due: Due, document: Mapping[str, Any]) -> Outcome:
    """The object that came back (`_object_said`)."""
    found = document[ENTITY[due.record.type]]
    remote = replace(matching.remote_of(found), voided=item.intent == "void")
    if _only_activates(item, due, remote):
        seen_now: Json = {"seen": steps.own(remote).key, "found": kept(found)}
        return Learned(seen_now, remote, seen=dumps(kept(found)))
    applied = _applied(item, due, found)
    has_moved = due.record.type == RecordType.PAYMENT and due.knowledge.get("invoice_there")
    note = N_("with the customer whom its invoice has in QuickBooks") if has_moved else None
    is_new = due.record.type == RecordType.PAYMENT and item.intent == "create"
    if is_new and not has_moved and matching.credit_of(found) > 0:
        note = payment.CREDIT_THERE
    if due.knowledge.get(APPLIES_CREDIT) and matching.credit_of(found) == 0:
        note = payment.CREDIT_PAYS
    seen = dumps(kept(found))
    return Synced(remote, note, document=item.document, seen=seen, applied=applied)


def _only_activates(item: Item, due: Due, remote: Remote) -> bool:
    """Whether our customer was made active, and its own changes are yet to be judged."""
    is_own = due.known.remote is not None and due.known.remote.id == remote.id
    is_lead = due.record.type == RecordType.LEAD
    return is_lead and is_own and item.intent == "update" and item.document is None


def _applied(item: Item, due: Due, found: Json) -> str | None:
    """What was written of a payment takes of its invoices' balances, where that is known."""
    if due.record.type != RecordType.PAYMENT:
        return None
    match item.intent:
        case "create":
            return matching.applied_by(found)
        case "void":
            return matching.given_back(due.known)
        case "update" if due.knowledge.get(APPLIES_CREDIT):
            return matching.applied_now(due.known, found)
        case _:
            return None


# --- Reading what was asked for -----------------------------------------------------------------


def _reads(due: Due) -> int:
    return int(due.knowledge.get("reads", 0))


def _each_answered(sent: Sent, document: Json) -> dict[int, Outcome]:
    """What was found for each entry, kept for `compose` to evaluate."""
    statement = parse_qs(sent.query)["query"][0]
    questions = asked(statement)
    kind, first = kind_asked(statement), next(iter(sent.due.values()), None)
    rows = rows_in(document, kind) or []
    if first and kind != ENTITY[first.record.type]:
        return {first.entry_id: _found_used(first, kind, questions, rows)}
    if questions == [NEWEST]:
        return _each(sent, lambda _item, due: _found_newest(due, rows, document))
    question_of = dict(zip((item.entry_id for item in sent.items), questions, strict=True))
    return _each(sent, lambda item, due: _found(item, due, question_of[item.entry_id], rows))


def _found(item: Item, due: Due, question: Question, rows: Sequence[Json]) -> Learned:
    """Whether what was asked for is there."""
    row = _row_found(question, due, rows)
    knowledge = _answered_by(question, due, None if row is None else kept(row))
    if row is None and item.intent == "look_up" and due.known.doubts:
        knowledge |= _absent(question, due)
    if due.known.decision.get("entered"):
        knowledge["by_hand"] = _entered_by_hand(rows, question, due)
    if row is None or item.intent != "read":
        return Learned(knowledge)
    voided = matching.is_voided(due.payload, row)
    remote = replace(matching.remote_of(row), voided=voided)
    return Learned(knowledge, remote, seen=dumps(kept(row)))


def _row_found(question: Question, due: Due, rows: Sequence[Json]) -> Json | None:
    answers = [row for row in rows if _answers(row, question, due)]
    if due.known.doubts:
        answers = [row for row in answers if not steps.is_ruled_out(due, str(row["Id"]))]
    # If an invoice was voided in QuickBooks and sent again, the open one.
    row = next((row for row in answers if matching.number(row.get("TotalAmt")) != 0), None)
    return row or next(iter(answers), None)


def _answered_by(question: Question, due: Due, found: Json | None) -> Json:
    """What is known of an entry after this question about it."""
    return {
        "seen": question.key,
        "found": found,
        "unseen": False,
        "checked": True,
        "reads": _reads(due) + 1,
    }


def _absent(question: Question, due: Due) -> Json:
    return {"absent": [*due.knowledge.get("absent", []), question.key]}


def _found_newest(due: Due, rows: Sequence[Json], document: Json) -> Learned:
    """Those of the newest objects that an unanswered create of the record has or may have made."""
    ages = [doubt.age for doubt in due.known.doubts if doubt.age is not None]
    since = max(ages, default=timedelta.max - CLOCKS_DIFFER) + CLOCKS_DIFFER
    found = [
        kept(row)
        for row in rows
        if unanswered.has_made(due, row)
        or (unanswered.perhaps_made(due, row) and _age_of(row, document) <= since)
    ]
    knowledge = _answered_by(NEWEST, due, found[0] if found else None) | {"newest": found}
    if not found:
        knowledge |= _absent(NEWEST, due)
    return Learned(knowledge)


def _age_of(row: Json, document: Json) -> timedelta:
    """Since QuickBooks created it, by QuickBooks' own clock; zero if the answer does not say."""
    try:
        created = datetime.fromisoformat(str((row.get("MetaData") or {})["CreateTime"]))
        return datetime.fromisoformat(str(document["time"])) - created
    except (KeyError, ValueError, TypeError):
        return timedelta(0)


def _found_used(
    due: Due, kind: str, questions: Sequence[Question], rows: Sequence[Json]
) -> Learned:
    """What was found of something that the entry's document uses, asked about separately."""
    wanted = [question.value for question in questions]
    by_id = {str(row["Id"]): row for row in rows}
    if kind == ENTITY[RecordType.INVOICE]:
        return _found_invoice(due, wanted[0], by_id.get(wanted[0]))
    if due.knowledge.get("currency_refused"):
        return _found_currency(wanted[0], by_id.get(wanted[0], {}))
    if kind == ENTITY[RecordType.PAYMENT]:
        return _found_payment(by_id.get(wanted[0], {}))
    for id_ in wanted:
        row = by_id.get(id_)
        if row is None or row.get("Active") is False:
            name = "" if row is None else _name_of(row)
            return Learned({"inactive": {"kind": kind, "id": id_, "name": name}})
    return Learned({"doubted": next_doubted(KINDS[due.record.type].USES, kind)})


def _found_invoice(due: Due, remote_id: str, row: Json | None) -> Learned:
    """The invoice of a payment, as it stands in QuickBooks; its own page says the same then."""
    voided = row is not None and matching.is_voided({"total": due.payload["invoice_total"]}, row)
    told = _told_of_invoice(row, voided=voided)
    is_doubted = bool(due.knowledge.get("doubted"))
    knowledge: Json = (
        {"doubted": None, "invoice_there": told}
        if is_doubted
        else {"invoice_found": told, "balance_unsure": False}
    )
    remote = None
    if row is not None:
        remote = replace(matching.remote_of(row), voided=voided)
    invoice = Record(RecordType.INVOICE, due.payload["invoice_id"])
    differs = True if remote is None or remote.voided else None
    seen = None if row is None else dumps(kept(row))
    knowledge["reads"] = _reads(due) + 1
    return Learned(knowledge, observed=(Observed(invoice, remote_id, remote, seen, differs),))


def _found_currency(customer_id: str, row: Json) -> Learned:
    """The customer of an invoice whose currency was refused."""
    told = {"id": customer_id, "name": row.get("DisplayName", "")}
    currency = matching.currency_of(row)
    return Learned(
        {"doubted": None, "inactive": {**told, "kind": "Customer", "currency": currency}}
    )


def _found_payment(row: Json) -> Learned:
    """The payment of a refund."""
    customer = row.get("CustomerRef") or {}
    told = {
        "total": str(row.get("TotalAmt") or 0),
        "customer": str(customer.get("value") or ""),
    }
    return Learned({"payment_there": told})


def _name_of(row: Json) -> str:
    names = (row.get(field) for field in ("FullyQualifiedName", "DisplayName", "Name"))
    return str(next(filter(None, names), "")).removesuffix(matching.INACTIVE_SUFFIX)


def _told_of_invoice(row: Json | None, *, voided: bool) -> Json:
    """What decides whether an invoice accepts a payment; {} if it is gone."""
    if row is None:
        return {}
    customer = row.get("CustomerRef") or {}
    return {
        "customer": str(customer.get("value") or ""),
        "customer_name": str(customer.get("name") or ""),
        "total": str(row.get("TotalAmt") or 0),
        "balance": str(row.get("Balance") or 0),
        "voided": voided,
    }


def _answers(row: Json, question: Question, due: Due) -> bool:
    there = str(row.get(question.name, ""))
    match question.name:
        case "DisplayName" | "Name":
            return matching.same_name(there, question.value)
        case "DocNumber" | "CustomerRef":
            return _bears_mark(row, due)
        case _:
            return there == question.value


def _entered_by_hand(rows: Sequence[Json], question: Question, due: Due) -> list[Json]:
    """What a person may have entered: it stands, and is not another record of ours."""
    return [
        kept(row)
        for row in rows
        if _value_of(row, question.name) == question.value
        and not matching.looks_void(row)
        and _is_no_other_of_ours(row, due)
    ][:MOST_BY_HAND]


def _is_no_other_of_ours(row: Json, due: Due) -> bool:
    marks = matching.MARK.findall(f"{row.get('PrivateNote')} {row.get('PaymentRefNum')}")
    return not marks or due.payload["mark"] in marks


def _value_of(row: Json, name: str) -> str:
    value = row.get(name)
    return str(value.get("value") if isinstance(value, dict) else value)


def _bears_mark(row: Json, due: Due) -> bool:
    mark = due.payload["mark"]
    return mark in str(row.get("PrivateNote", "")) or mark == row.get("PaymentRefNum")


def kept(row: Json) -> Json:
    """An object for storing: numbers as strings, without QuickBooks' internal fields."""
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
    """A definite refusal of this item. One that teaches nothing new would come again and again: it
    goes to a person. Credit that can't be applied stays credit."""
    outcome = _judged_by_code(sent, item, due, told[0])
    if isinstance(outcome, Learned) and all(
        key in due.knowledge and due.knowledge[key] == value
        for key, value in outcome.knowledge.items()
    ):
        outcome = Rejected(fault_of(told[0], due))
    if isinstance(outcome, Rejected) and _only_applies(item, due) and due.known.remote:
        return Synced(due.known.remote, payment.CREDIT_LEFT, applied="0.00")
    return outcome


def _only_applies(item: Item, due: Due) -> bool:
    """Whether nothing is refused but to put more of a payment on its invoice: a check of ours, or a
    payment that was found there as it should be, while the list of invoices is of before it."""
    if item.intent != "update":
        return False
    there = due.knowledge.get("found") or {}
    is_found = due.known.sent_values is None and "amount_refused" in due.knowledge
    is_whole = matching.agrees(due.payload.get("amount"), there.get("TotalAmt"))
    return bool(due.knowledge.get(APPLIES_CREDIT)) or (is_found and is_whole)


def _judged_by_code(sent: Sent, item: Item, due: Due, fault: RemoteFault) -> Outcome:
    match fault.code:
        case "5010":
            return _stale(sent, item, due, fault)
        case "6240" if item.intent == "create":
            return _name_taken(due, fault)
        case "6140" if item.intent == "create":
            return _number_taken(due, fault)
        case "610" if item.intent == "void" and "gone" not in due.knowledge:
            return Learned({"gone": True, "seen": None, "found": None})
        case "6000" if doubts := _doubted_by_rule(item, due, fault):
            return doubts
        case "620" if due.record.type == RecordType.PAYMENT and _may_look_at_invoice(due):
            return Learned({"doubted": "Invoice", "not_linked": True})
        case "610" | "2500" if item.intent != "void" and _may_ask_what_is_missing(due):
            return _missing(item, due, fault)
    if class_of(fault) is Class.RETRY:
        return Retry(fault_of(fault, due))
    return Rejected(fault_of(fault, due))


def _name_taken(due: Due, fault: RemoteFault) -> Outcome:
    """Who has the name is read once, if the answer does not say it."""
    if "seen" in due.knowledge and due.knowledge.get("name_taken"):
        return Rejected(fault_of(fault, due))
    named = re.search(r"\bId\s*=\s*(\d+)", fault.detail)
    return Learned({"name_holder": named[1]} if named else {"name_taken": True})


def _number_taken(due: Due, fault: RemoteFault) -> Outcome:
    if named := re.search(r"\bTxnId\s*=\s*(\d+)", fault.detail):
        return Learned({"number_holder": named[1]})
    return Rejected(fault_of(fault, due))


def _doubted_by_rule(item: Item, due: Due, fault: RemoteFault) -> Learned | None:
    """What to read before a person is told of the rule, if anything may explain it."""
    if _is_about_currency(fault, due):
        return Learned({"doubted": "Customer", "currency_refused": True})
    return _perhaps_another_balance(item, due)


def _is_about_currency(fault: RemoteFault, due: Due) -> bool:
    """Whether the customer's currency may be why an invoice was refused."""
    is_invoice = due.record.type == RecordType.INVOICE
    return (
        is_invoice and "currency_refused" not in due.knowledge and "currenc" in fault.detail.lower()
    )


def _perhaps_another_balance(item: Item, due: Due) -> Learned | None:
    """A payment may be refused for what changed of its invoice there. One that is there is read
    again, too: how much of the balance it has itself may be another amount."""
    is_payment = due.record.type == RecordType.PAYMENT and item.intent in ("create", "update")
    if not is_payment or "amount_refused" in due.knowledge:
        return None
    asks: Json = {"balance_unsure": True, "amount_refused": True}
    if item.intent == "create" or due.known.remote is None:
        return Learned(asks)
    stale = replace(due.known.remote, stale=True)
    return Learned({**asks, "seen": None, "found": None}, stale)


def _may_ask_what_is_missing(due: Due) -> bool:
    """Not if that was asked in vain. An invoice that is asked about after a 620 says nothing of
    what else is missing."""
    return "nothing_doubted" not in due.knowledge and not due.knowledge.get("doubted")


def _may_look_at_invoice(due: Due) -> bool:
    return "invoice_there" not in due.knowledge


def _missing(item: Item, due: Due, fault: RemoteFault) -> Outcome:
    """The object, or something it uses, is gone: one read finds out which, to name it."""
    is_own = item.intent == "update" and fault.code == "610" and "gone" not in due.knowledge
    if not is_own and (doubted := first_doubted(KINDS[due.record.type].USES, fault.detail)):
        return Learned({"doubted": doubted})
    if is_own:
        return Learned({"gone": True, "seen": None, "found": None})
    return Rejected(fault_of(fault, due))


def _stale(sent: Sent, item: Item, due: Due, fault: RemoteFault) -> Outcome:
    """Someone changed it in QuickBooks: read it once, and write what still differs.

    A create has no version: it collided with someone's edit of something it uses, and is sent
    again.
    """
    tries = int(due.knowledge.get("stale", 0)) + 1
    written = _document_of(sent, item, due)
    if tries < STALE_TRIES and item.intent == "create":
        return Learned({"stale": tries})
    if tries >= STALE_TRIES or not written or "Id" not in written:
        told = fault_of(fault, due)
        both = edited.both_values(written or {}, due.knowledge.get("found") or {})
        return Rejected(replace(told, about={**told.about, "both": both}))
    remote = Remote(str(written["Id"]), str(written["SyncToken"]), stale=True)
    return Learned({"stale": tries, "seen": None, "found": None}, remote)


def _document_of(sent: Sent, item: Item, due: Due) -> Json | None:
    """The document in this request for the item."""
    body = parse_json(sent.body or "") or {}
    if sent.path != "batch":
        return body
    place = str([one.entry_id for one in sent.items].index(item.entry_id))
    items = {one["bId"]: one for one in body["BatchItemRequest"]}
    document = items[place].get(ENTITY[due.record.type]) if place in items else None
    return document if isinstance(document, dict) else None
