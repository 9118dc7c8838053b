"""Batches: up to thirty operations in one request, each with its own fault, remembered by bId."""

from __future__ import annotations

from collections.abc import Callable

from simulator import operations, refusals
from simulator.books import Books
from simulator.documents import Document, Json, text_of
from simulator.query import parse, run
from simulator.refusals import Refusal, fault_body
from simulator.schema import Entity, entity_named

MAX_BID_LENGTH = 10  # if a requestid is given


def items_of(body: Json, limit: int, has_request_id: bool) -> list[Document]:
    """The items, after the checks that refuse the whole batch."""
    items = body.get("BatchItemRequest") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise Refusal(refusals.required_missing("BatchItemRequest"))
    checked = [item for item in items if isinstance(item, dict)]
    if len(checked) != len(items):
        raise Refusal(refusals.wrong_type("BatchItemRequest", "BatchItemRequest"))
    if len(items) > limit:
        raise Refusal(refusals.batch_too_large(limit))
    seen: set[str] = set()
    for item in checked:
        bid = bid_of(item)
        if not bid:
            continue  # Intuit's schema allows leaving it out; such an item is not remembered
        if has_request_id and len(bid) > MAX_BID_LENGTH:
            raise Refusal(refusals.malformed_request_id())
        if bid in seen:
            raise Refusal(refusals.batch_id_conflict(f"bId {bid} is used more than once"))
        seen.add(bid)
    return checked


def bid_of(item: Document) -> str:
    bid = item.get("bId")
    return str(bid) if isinstance(bid, str | int) and not isinstance(bid, bool) else ""


def reads_in(items: list[Document]) -> int:
    return sum("Query" in item for item in items)


def run_item(books: Books, item: Document, now: float) -> Document:
    """One BatchItemResponse, without its bId."""
    try:
        return _run(books, item, now)
    except Refusal as refusal:
        return refused(books, refusal)


def refused(books: Books, refusal: Refusal) -> Document:
    return {"Fault": fault_body(refusal.faults, books.company.switches.language)}


def _run(books: Books, item: Document, now: float) -> Document:
    statement = item.get("Query")
    if statement is not None:
        query = parse(statement if isinstance(statement, str) else "")
        return {"QueryResponse": run(books.company, query, now)}
    entity, body = _entity_in(item)
    word = text_of(item, "operation").lower()
    options = text_of(item, "optionsData").lower()
    # The operation may be left out, as for a single request.
    operation = "void" if options == "void" else word or "update"
    act = _OPERATIONS.get(operation)
    if act is None:
        raise Refusal(refusals.unknown_enumeration("operation", word))
    if operation == "create" and isinstance(body, dict):
        body = {key: value for key, value in body.items() if key not in ("Id", "SyncToken")}
    return {entity.name: act(books, entity, body)}


_OPERATIONS: dict[str, Callable[[Books, Entity, Json], Document]] = {
    "create": operations.save,
    "update": operations.save,
    "delete": operations.delete,
    "void": operations.void,
}
_ENVELOPE = {"bId", "operation", "optionsData", "Query", "iDSet", "Report"}


def _entity_in(item: Document) -> tuple[Entity, Json]:
    for name, body in item.items():
        if name in _ENVELOPE:
            continue
        entity = entity_named(name)
        if entity is None:
            raise Refusal(refusals.unsupported_object(name))
        return entity, body
    raise Refusal(refusals.required_missing("IntuitObject"))
