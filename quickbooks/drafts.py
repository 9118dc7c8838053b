"""Requests made of steps: one query for questions that are alike, one batch for writes that cannot
interfere, and what each request may change. Pure."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from models.sales import Record, RecordType
from outbox.company import Draft, Due, Item
from quickbooks import client, documents, matching
from quickbooks.documents import dumps
from quickbooks.kinds import ENTITY, KINDS
from quickbooks.kinds.invoice import GENERATED
from quickbooks.questions import statement
from quickbooks.steps import Ask, Step, Write

BATCH = 30  # items, Intuit's limit
MAX_QUESTION_LENGTH = 6000  # characters of an encoded query; gateways cut URLs at about 8,000
_MINOR = {"minorversion": client.MINOR_VERSION}


def question_draft(reads: Sequence[Ask]) -> Draft | None:
    """One query for all entries with the same kind of question: rows
    are billed, calls are counted."""
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
        if same and not (first.goes_alone or one.goes_alone):
            alike.append(one)
    while len(alike) > 1 and len(quote_plus(_asking(alike))) > MAX_QUESTION_LENGTH:
        alike.pop()
    return Draft(
        method="GET",
        path="query",
        query={"query": _asking(alike), **_MINOR},
        body=None,
        # What is read must not be changed meanwhile: the answer may be of before or after.
        items=[
            Item(one.due.entry_id, one.intent, claims=records_changed(one.due)) for one in alike
        ],
    )


def _asking(reads: Sequence[Ask]) -> str:
    return statement(ENTITY[reads[0].due.record.type], [one.question for one in reads])


def writing_draft(writes: Sequence[Write]) -> Draft | None:
    """The next request: one write that goes alone, or a batch of several. None without any."""
    if not writes:
        return None
    together = [writes[0]] if writes[0].goes_alone else list(_together(writes))
    items = [Item(one.due.entry_id, one.intent, _whole(one), _claims(one)) for one in together]
    if len(together) > 1:
        body = _batch_body(together)
        return Draft("POST", "batch", _MINOR, body, items, is_batch=True)
    one = together[0]
    path = ENTITY[one.due.record.type].lower()
    operation = KINDS[one.due.record.type].VOIDING if one.intent == "void" else {}
    return Draft("POST", path, {**operation, **_MINOR}, dumps(one.body), items)


def _whole(one: Write) -> str | None:
    return None if one.document is None else dumps(one.document)


def _together(writes: Sequence[Write]) -> Iterator[Write]:
    """Writes that cannot interfere: one type, one intent, no name, number or invoice twice, because
    QuickBooks may process the items of a batch concurrently."""
    first = writes[0]
    taken: frozenset[str] = frozenset()
    count = 0
    for one in writes:
        alike = (one.due.record.type, one.intent) == (first.due.record.type, first.intent)
        claims = _claims(one)
        if alike and not one.goes_alone and count < BATCH and not claims & taken:
            taken |= claims
            count += 1
            yield one


def _claims(one: Write) -> frozenset[str]:
    """What this write may change in the company's books, or must be the only one to use."""
    document = one.body
    before = (
        documents.parsed(one.due.known.sent_document) or {}
    )  # a name is free once it is changed
    claims = {
        f"{key} {str(each[key]).casefold()}"
        for key in ("DisplayName", "Name", "DocNumber")
        if key in document
        for each in (document, before)
        if each.get(key, GENERATED) != GENERATED
    }
    if one.due.record.type == RecordType.LEAD:
        claims |= {f"e-mail {email}" for email in matching.emails_of(document)}
    for line in document.get("Line", ()):
        claims |= {f"invoice there {linked['TxnId']}" for linked in line.get("LinkedTxn", ())}
    return records_changed(one.due) | claims


def records_changed(due: Due) -> frozenset[str]:
    """The entry's record; a payment also changes its invoice's balance and version."""
    records = {due.record}
    if due.record.type == RecordType.PAYMENT:
        records.add(Record(RecordType.INVOICE, due.payload["invoice_id"]))
    return frozenset(f"{record.type} {record.id}" for record in records)


def meets(step: Step, taken: frozenset[str]) -> bool:
    """Whether a request in progress changes what this step would change, name or rely on."""
    if not taken or not isinstance(step, Ask | Write):
        return False
    claims = _claims(step) if isinstance(step, Write) else records_changed(step.due)
    needs = {f"{need['type']} {need['id']}" for need in step.due.payload.get("needs", ())}
    return bool(taken & (claims | needs))


def part_of(body: str, positions: Sequence[int]) -> str:
    """The body of a batch with only these of its items."""
    wanted = {str(position) for position in positions}
    items = (documents.parsed(body) or {})["BatchItemRequest"]
    return dumps({"BatchItemRequest": [item for item in items if item["bId"] in wanted]})


def _batch_body(writes: Sequence[Write]) -> str:
    return dumps(
        {
            "BatchItemRequest": [
                {
                    "bId": str(position),
                    "operation": one.intent,
                    ENTITY[one.due.record.type]: one.body,
                }
                for position, one in enumerate(writes)
            ]
        }
    )
