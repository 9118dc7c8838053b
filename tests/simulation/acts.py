"""What may happen: acts of people here, of the bookkeeper there, and of nature."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text

from models.outbox import Entry, State
from models.sales import Invoice, InvoiceLine, Lead, Payment, Record, RecordType
from outbox import actions
from simulator.documents import Document
from simulator.refusals import Refusal
from tests.simulation.world import Wanted, World

Act = Callable[[World], str | None]

# --- People ---------------------------------------------------------------------------------------


def new_lead(world: World) -> str | None:
    if len(world.of(RecordType.LEAD)) >= 2:  # few, so that acts meet
        return None
    phone = str(world.chance.randrange(100, 999))
    name = f"Customer {world.seed} {len(world.records)}"
    with world.sessions.begin() as session:
        lead = Lead(organization_id=world.firm, name=name, phone=phone)
        session.add(lead)
        session.flush()
        lead.company_name = f"token-{lead.id}"
        session.flush()
        record = Record(RecordType.LEAD, lead.id)
    values = {"name": name, "phone": phone, "email": ""}
    world.records[record] = Wanted(values)
    return f"lead {record.id} with phone {phone}"


def edit_lead(world: World) -> str | None:
    if not (record := _some(world, RecordType.LEAD)):
        return None
    field = world.chance.choice(["name", "phone", "email"])
    value = {
        "name": f"Customer {world.seed} {world.chance.randrange(10_000)}",
        "phone": world.chance.choice(["", str(world.chance.randrange(100, 999))]),
        "email": world.chance.choice(["", f"a{world.chance.randrange(99)}@example.com"]),
    }[field]
    with world.sessions.begin() as session:
        setattr(session.get_one(Lead, record.id), field, value)
    world.records[record].values[field] = value
    world.records[record].theirs.discard(field)
    return f"lead {record.id}: {field} = {value!r}"


def new_invoice(world: World) -> str | None:
    if len(world.of(RecordType.INVOICE)) >= 3 or not (lead := _some(world, RecordType.LEAD)):
        return None
    price, number = world.chance.randrange(10, 300), str(1000 + len(world.records))
    memo = world.chance.choice(["", "Thank you"])
    with world.sessions.begin() as session:
        invoice = Invoice(
            organization_id=world.firm,
            lead_id=lead.id,
            number=number,
            issued_on=date(2026, 11, 18),
            due_on=date(2026, 12, 18),
            memo=memo,
            lines=[_line(world, price)],
        )
        session.add(invoice)
        session.flush()
        record, mark = Record(RecordType.INVOICE, invoice.id), invoice.mark
    values = {"total": Decimal(price), "number": number, "memo": memo, "mark": mark}
    world.records[record] = Wanted({**values, "lead": lead})
    return f"invoice {record.id}, {price}.00, number {number}"


def _line(world: World, price: int) -> InvoiceLine:
    return InvoiceLine(
        organization_id=world.firm,
        position=1,
        description="Work",
        quantity=Decimal(1),
        unit_price=Decimal(price),
    )


def edit_invoice(world: World) -> str | None:
    if not (record := _some(world, RecordType.INVOICE)) or world.records[record].voided:
        return None
    wanted = world.records[record]
    field = world.chance.choice(["total", "memo", "number"])
    with world.sessions.begin() as session:
        invoice = session.get_one(Invoice, record.id)
        if field == "total":
            value: object = Decimal(
                world.chance.choice([100, 120, world.chance.randrange(10, 300)])
            )
            invoice.lines[0].unit_price = Decimal(str(value))
        elif field == "memo":
            value = invoice.memo = world.chance.choice(["", "Thank you", "Paid by check"])
        else:
            value = invoice.number = str(world.chance.randrange(5000, 9999))
    wanted.values[field] = value
    wanted.theirs.discard(field)
    return f"invoice {record.id}: {field} = {value}"


def void_invoice(world: World) -> str | None:
    if not (record := _some(world, RecordType.INVOICE)) or world.records[record].voided:
        return None
    with world.sessions.begin() as session:
        session.get_one(Invoice, record.id).voided_at = session.scalar(
            select(text("clock_timestamp()"))
        )
    world.records[record].voided = True
    return f"invoice {record.id} is void"


def pay(world: World) -> str | None:
    invoice = _some(world, RecordType.INVOICE)
    if len(world.of(RecordType.PAYMENT)) >= 4 or not invoice or world.records[invoice].voided:
        return None
    amount = Decimal(world.chance.choice([10, 40, 100]))
    with world.sessions.begin() as session:
        payment = Payment(
            organization_id=world.firm,
            invoice_id=invoice.id,
            amount=amount,
            method="card",
            received_on=date(2026, 11, 20),
        )
        session.add(payment)
        session.flush()
        record, mark = Record(RecordType.PAYMENT, payment.id), payment.mark
    world.records[record] = Wanted({"amount": amount, "mark": mark, "invoice": invoice})
    return f"payment {record.id} of {amount} on invoice {invoice.id}"


def refund(world: World) -> str | None:
    if not (record := _some(world, RecordType.PAYMENT)) or world.records[record].voided:
        return None
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, record.id)
        payment.refunded_amount = payment.amount
    world.records[record].voided = True
    return f"payment {record.id} is refunded"


def send_again(world: World) -> str | None:
    with world.sessions.begin() as session:
        ids = session.scalars(
            select(Entry.id).where(
                Entry.organization_id == world.firm, Entry.state != State.SUPERSEDED
            )
        ).all()
        if not ids:
            return None
        chosen = world.chance.choice(sorted(ids))
        done = actions.requeue(session, [chosen], organization_id=world.firm).done
    return f"send entry {chosen} again" if done else None


def skip(world: World) -> str | None:
    return _decide(world, [State.PENDING, State.FAILED], actions.skip, "skip")


def undo_skip(world: World) -> str | None:
    return _decide(world, [State.SKIPPED], actions.undo_skip, "undo the skip of")


def _decide(
    world: World, states: list[State], act: Callable[..., actions.Acted], word: str
) -> str | None:
    with world.sessions.begin() as session:
        ids = session.scalars(
            select(Entry.id).where(Entry.organization_id == world.firm, Entry.state.in_(states))
        ).all()
        if not ids:
            return None
        chosen = world.chance.choice(sorted(ids))
        done = act(session, [chosen], organization_id=world.firm).done
    return f"{word} entry {chosen}" if done else None


def disconnect(world: World) -> str | None:
    if not world.is_open:
        return None
    world.disconnect()
    return "disconnect"


def reconnect(world: World) -> str | None:
    if world.is_open:
        return None
    world.reconnect()
    return "reconnect"


def send_what_waits(world: World) -> str | None:
    if not world.is_open:
        return None
    world.decide(sends=True)
    return "send the changes"


def leave_what_waits(world: World) -> str | None:
    if not world.is_open:
        return None
    world.decide(sends=False)
    return "leave the changes as they are"


def prune(world: World) -> str | None:
    """What pruning takes once it is old enough."""
    with world.sessions.begin() as session:
        session.execute(
            text(
                "DELETE FROM outbox_dispatch_items AS item USING outbox AS entry"
                " WHERE item.entry_id = entry.id AND entry.organization_id = :firm"
                " AND entry.state IN ('synced', 'superseded') AND item.outcome IS NOT NULL"
                " AND EXISTS (SELECT FROM outbox AS newer WHERE newer.aggregate_id ="
                " entry.aggregate_id AND newer.aggregate_type = entry.aggregate_type"
                " AND newer.lane_id = entry.lane_id AND newer.id > entry.id)"
            ),
            {"firm": world.firm},
        )
        session.execute(
            text(
                "DELETE FROM outbox AS entry WHERE entry.organization_id = :firm"
                " AND entry.state IN ('synced', 'superseded')"
                " AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item"
                " WHERE item.entry_id = entry.id)"
                " AND EXISTS (SELECT FROM outbox AS newer WHERE newer.aggregate_id ="
                " entry.aggregate_id AND newer.aggregate_type = entry.aggregate_type"
                " AND newer.lane_id = entry.lane_id AND newer.id > entry.id)"
            ),
            {"firm": world.firm},
        )
    return "prune"


def drain(world: World) -> str:
    world.drain()
    return "drain"


def wait(world: World) -> str:
    seconds = world.chance.choice([1, 60, 130, 700])
    world.pass_time(seconds)
    return f"wait {seconds} s"


# --- The bookkeeper -------------------------------------------------------------------------------


def edit_there(world: World) -> str | None:
    """A property that we do not write now."""
    entity = world.chance.choice(["Customer", "Invoice"])
    ours = _ours(world, entity)
    if not ours:
        return None
    one = world.chance.choice(ours)
    record = _record_of(world, entity, one)
    assert record
    try:
        if entity == "Customer":
            world.company.bookkeeper.edit(
                entity,
                one["Id"],
                DisplayName=one["DisplayName"],
                PrimaryPhone={"FreeFormNumber": "theirs"},
            )
            world.records[record].theirs.add("phone")
        else:
            world.company.bookkeeper.edit(entity, one["Id"], CustomerMemo={"value": "theirs"})
            world.records[record].theirs.add("memo")
    except Refusal:
        return None
    return f"there: {entity} {one['Id']} is edited"


def touch_there(world: World) -> str | None:
    """Only the version moves: a report is printed, a payment is matched."""
    entity = world.chance.choice(["Customer", "Invoice"])
    ours = _ours(world, entity)
    if not ours:
        return None
    one = world.chance.choice(ours)
    try:
        world.company.bookkeeper.edit(entity, one["Id"])
    except Refusal:
        return None
    return f"there: {entity} {one['Id']} has a new version"


def void_there(world: World) -> str | None:
    ours = _ours(world, "Invoice")
    if not ours:
        return None
    one = world.chance.choice(ours)
    record = _record_of(world, "Invoice", one)
    assert record
    try:
        world.company.bookkeeper.void("Invoice", one["Id"])
    except Refusal:
        return None
    _is_theirs_now(world, record)
    return f"there: invoice {one['Id']} is voided"


def delete_there(world: World) -> str | None:
    ours = _ours(world, "Invoice")
    if not ours:
        return None
    one = world.chance.choice(ours)
    record = _record_of(world, "Invoice", one)
    assert record
    try:
        world.company.bookkeeper.delete("Invoice", one["Id"])
    except Refusal:
        return None
    _is_theirs_now(world, record)
    return f"there: invoice {one['Id']} is deleted"


def _ours(world: World, entity: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [dict(one) for one in world.company.all(entity)]
    return [one for one in found if _record_of(world, entity, one)]


def _is_theirs_now(world: World, record: Record) -> None:
    world.records[record].theirs |= {"total", "memo", "number"}
    for other, wanted in world.records.items():
        if wanted.values.get("invoice") == record:
            world.records[other].theirs.add("amount")


def _record_of(world: World, entity: str, one: dict[str, Any]) -> Record | None:
    if entity == "Customer":
        token = str(one.get("CompanyName", ""))
        key = int(token.removeprefix("token-")) if token.startswith("token-") else 0
        record = Record(RecordType.LEAD, key)
        return record if record in world.records else None
    note = str(one.get("PrivateNote", ""))
    for record, wanted in world.records.items():
        if record.type is RecordType.INVOICE and str(wanted.values["mark"]) in note:
            return record
    return None


# --- Nature ---------------------------------------------------------------------------------------

# Each for the next call, or the next few; before or after the work was done.
FAULTS: dict[str, Document] = {
    "the answer is lost, nothing done": {"reset": "before"},
    "the answer is lost, all done": {"reset": "after"},
    "500, nothing done": {"status": 500},
    "500, all done": {"status": 500, "after_commit": True},
    "503, nothing done": {"status": 503},
    "503, all done": {"status": 503, "after_commit": True},
    "504, all done": {"status": 504, "after_commit": True},
    "429": {"status": 429},
    "cut short": {"truncate": True},
    "10000, nothing done": {"fault": {"code": "10000"}},
    "10000, all done": {"fault": {"code": "10000"}, "after_commit": True},
    "6000 (-30003), all done": {
        "fault": {"code": "6000", "detail": "An unexpected error occurred (-30003)"},
        "after_commit": True,
    },
    "closed books": {"fault": {"code": "6200"}},
    "stale version": {"bump_sync_token": True},
    "items without an answer": {"missing_bids": 1},
    "an item fails inside, done": {"item_fault": {"code": "10000", "after_commit": True}},
    "an item is throttled": {"item_fault": {"index": 0, "code": "3001"}},
    "403 without a body": {"status": 403, "body": ""},
    "404 without a body": {"status": 404, "body": ""},
}


def trouble(world: World) -> str:
    name = world.chance.choice(sorted(FAULTS))
    times = world.chance.choice([1, 1, 1, 2, 5])
    match: Document = {"times": times}
    if world.chance.random() < 0.7:
        match["method"] = "POST"
    world.company.fault(match=match, do=dict(FAULTS[name]))
    return f"nature, {times} times: {name}"


def forget_request_ids(world: World) -> str:
    seconds = world.chance.choice([2, 1_000_000])
    world.company.set(requestid_ttl=seconds)
    return f"nature: request ids are remembered for {seconds} s"


def crash(world: World) -> str:
    when = world.chance.choice(["before", "after"])
    world.quickbooks.crash = when
    return f"nature: the process dies {when} the next call"


# --- What happens how often -----------------------------------------------------------------------

ALWAYS: dict[Act, int] = {drain: 30, wait: 12, new_lead: 6, new_invoice: 8, pay: 6}
SOMETIMES: dict[Act, int] = {
    edit_lead: 8,
    edit_invoice: 12,
    void_invoice: 3,
    refund: 3,
    send_again: 8,
    skip: 4,
    undo_skip: 4,
    disconnect: 3,
    reconnect: 6,
    send_what_waits: 5,
    leave_what_waits: 2,
    prune: 3,
    edit_there: 4,
    touch_there: 4,
    void_there: 1,
    delete_there: 1,
    trouble: 12,
    forget_request_ids: 2,
    crash: 5,
}


def _some(world: World, type_: RecordType) -> Record | None:
    records = world.of(type_)
    return world.chance.choice(records) if records else None
