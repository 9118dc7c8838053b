"""What must hold, judged by the writers' own log and by the books, not by our tables."""

from collections import Counter
from typing import Any

from sqlalchemy import select, text

from models.outbox import Counterpart, Entry, State
from models.sales import Record, RecordType
from outbox import actions
from tests.simulation.world import Wanted, World, money

READS_FOR_AN_ACT = 6  # paid: more of them, on average, than this is waste


class Violated(AssertionError):
    """An invariant does not hold."""


def always(world: World) -> None:
    """One object for one record, whatever happens."""
    living: Counter[Record] = Counter()
    for record in world.records:
        living[record] = len(_objects(world, record))
    for record, count in living.items():
        if count > 1 and not world.records[record].asked_for_another:
            raise Violated(f"{_name(record)} is there {count} times")
    # Safety alone: the rest is asked when it is calm.


def when_calm(world: World) -> None:
    """Nature behaves, the owner answers, time passes: everything must end, and be true."""
    world.company.clear_faults()
    world.company.set(requestid_ttl=1_000_000)
    world.quickbooks.crash = None
    world.pass_time(200)
    if not world.is_open:
        world.reconnect()
    world.decide(sends=True)
    for _ in range(8):
        world.pass_time(4_000)
        world.drain()
        always(world)
    _resend_failed(world)
    for _ in range(4):
        world.pass_time(4_000)
        world.drain()
        always(world)
    _all_have_ended(world)
    for record, wanted in world.records.items():
        _page_is_true(world, record, wanted)
    if world.quickbooks.reads > READS_FOR_AN_ACT * max(world.acts, 20):
        raise Violated(f"{world.quickbooks.reads} paid reads in {world.acts} acts")


def _resend_failed(world: World) -> None:
    with world.sessions.begin() as session:
        failed = session.scalars(
            select(Entry.id).where(Entry.organization_id == world.firm, Entry.state == State.FAILED)
        ).all()
        actions.requeue(session, failed, organization_id=world.firm)


def _all_have_ended(world: World) -> None:
    with world.sessions() as session:
        left = session.scalars(
            select(Entry).where(Entry.organization_id == world.firm, Entry.state == State.PENDING)
        ).all()
        for entry in left:
            awaited = entry.awaited
            if awaited is None:
                raise Violated(f"{_name(entry.record)} is pending and waits for nothing")
            newest = _newest(world, awaited)
            if newest is not None and newest.state is State.SYNCED:
                raise Violated(f"{_name(entry.record)} waits for {_name(awaited)}, {newest.state}")
        unanswered = session.scalar(
            text(
                "SELECT count(*) FROM outbox_dispatch_items"
                " WHERE lane_id = :lane AND outcome IS NULL"
            ),
            {"lane": world.lane},
        )
        if unanswered:
            raise Violated(f"{unanswered} requests are open")


def _newest(world: World, record: Record) -> Entry | None:
    with world.sessions() as session:
        return session.scalars(
            select(Entry)
            .where(
                Entry.lane_id == world.lane,
                Entry.record_type == record.type,
                Entry.record_id == record.id,
            )
            .order_by(Entry.id.desc())
            .limit(1)
        ).one_or_none()


def _page_is_true(world: World, record: Record, wanted: Wanted) -> None:
    """In QuickBooks means: there, once, as it was saved last."""
    entry = _newest(world, record)
    if entry is None or entry.state is not State.SYNCED:
        return
    there = _objects(world, record)
    if record.type is RecordType.PAYMENT:
        if wanted.theirs or wanted.voided:
            return
        if [money(one["TotalAmt"]) for one in there] != [money(wanted.values["amount"])]:
            raise Violated(f"{_name(record)}: {there}")
    elif record.type is RecordType.INVOICE:
        _invoice_is_true(world, record, wanted, there)
    else:
        _customer_is_true(record, wanted, there)


def _invoice_is_true(
    world: World, record: Record, wanted: Wanted, there: list[dict[str, Any]]
) -> None:
    if {"total"} & wanted.theirs:
        return
    if wanted.voided:
        if there:
            raise Violated(f"{_name(record)} is void here and open there")
        return
    if len(there) != 1:
        raise Violated(f"{_name(record)} is shown as sent, and is there {len(there)} times")
    (one,) = there
    if money(one["TotalAmt"]) != money(wanted.values["total"]):
        raise Violated(
            f"{_name(record)} is {wanted.values['total']} here and {one['TotalAmt']} there"
        )
    memo = one.get("CustomerMemo") or {}
    assert isinstance(memo, dict)
    if "memo" not in wanted.theirs and memo.get("value", "") != wanted.values["memo"]:
        raise Violated(f"{_name(record)} has memo {wanted.values['memo']!r} here, {memo} there")
    if one.get("DocNumber") != wanted.values["number"]:
        raise Violated(
            f"{_name(record)} has number {wanted.values['number']}, {one.get('DocNumber')} there"
        )
    with world.sessions() as session:
        known = session.scalars(
            select(Counterpart).where(
                Counterpart.lane_id == world.lane,
                Counterpart.record_type == record.type,
                Counterpart.record_id == record.id,
            )
        ).one()
        if known.remote_id != one["Id"]:
            raise Violated(f"{_name(record)} is linked with {known.remote_id}, not {one['Id']}")


def _customer_is_true(record: Record, wanted: Wanted, there: list[dict[str, Any]]) -> None:
    if len(there) != 1:
        raise Violated(f"{_name(record)} is shown as sent, and is there {len(there)} times")
    (one,) = there
    phone, email = one.get("PrimaryPhone") or {}, one.get("PrimaryEmailAddr") or {}
    assert isinstance(phone, dict)
    assert isinstance(email, dict)
    told = {
        "name": one.get("DisplayName"),
        "phone": phone.get("FreeFormNumber", ""),
        "email": email.get("Address", ""),
    }
    for field, value in told.items():
        if field not in wanted.theirs and value != wanted.values[field]:
            raise Violated(
                f"{_name(record)}: {field} {wanted.values[field]!r} here, {value!r} there"
            )


def _objects(world: World, record: Record) -> list[dict[str, Any]]:
    """The living objects that are this record: by its mark, which nobody there changes."""
    values = world.records[record].values
    match record.type:
        case RecordType.LEAD:
            return [
                dict(one)
                for one in world.company.all("Customer")
                if one.get("CompanyName") == f"token-{record.id}"
            ]
        case RecordType.INVOICE:
            return [
                dict(one)
                for one in world.company.all("Invoice")
                if str(values["mark"]) in str(one.get("PrivateNote", ""))
                and money(one["TotalAmt"]) != 0
            ]
        case _:
            return [
                dict(one)
                for one in world.company.all("Payment")
                if one.get("PaymentRefNum") == values["mark"]
                and "Voided" not in str(one.get("PrivateNote", ""))
            ]


def _name(record: Record) -> str:
    return f"{record.type} {record.id}"
