"""What must hold, judged by the writers' own log and by the books, not by our tables."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text

from models.outbox import Counterpart, Entry, State
from models.sales import Record, RecordType
from quickbooks import matching
from quickbooks.kinds.payment import CREDIT_LEFT
from tests.simulation import answers, money_back
from tests.simulation.aside import aside
from tests.simulation.world import (
    ANY,
    REMEMBERED,
    LaneSeen,
    Violated,
    Wanted,
    World,
    addresses_of,
    money,
    named,
)

READS_FOR_AN_ACT = 6  # paid: more of them, on average, than this is waste
ROUNDS = 14  # of drains, an hour and more apart, in which everything that can end must end

Object = dict[str, Any]

# A person answered, and this is what remains to be said.
_ENDS = frozenset(
    {
        "reversed",
        "reversed_unsent",
        "reversed_rest",
        "refund_by_hand",
        "receipt_stands",
        "its_payment_gone",
        "invoice_voided",
        "voided_there",
        "its_invoice_gone",
        "its_invoice_paid",
    }
)


# --- After each act -------------------------------------------------------------------------------


def always(world: World) -> None:
    """Safety: one object for one record, nothing unwanted, no blame and no hold without a cause."""
    for record, wanted in world.records.items():
        if record.type is RecordType.PRODUCT:
            continue
        count = len(objects(world, record))
        if count > 1 and not wanted.asked_for_another:
            raise Violated(f"{named(record)} is there {count} times")
        if count and record in world.unwanted:
            raise Violated(f"{named(record)} was to be left, and is there")
        _theirs_is_kept(world, record, wanted)
        if wanted.off:
            _stays_off(world, record, wanted)
    _lane_is_right(world)


def _theirs_is_kept(world: World, record: Record, wanted: Wanted) -> None:
    """What the bookkeeper wrote is not overwritten unasked."""
    found = objects(world, record) if wanted.kept else []
    if len(found) == 1:
        is_ = seen(record, found[0])
        for name, value in wanted.kept.items():
            if is_[name] != value:
                raise Violated(f"{named(record)}: {name} {value!r} is lost, and nobody was asked")


def _stays_off(world: World, record: Record, wanted: Wanted) -> None:
    """What the bookkeeper took off an invoice is not put back on it. Once an invoice is paid by
    less, nobody can tell what she took off from what QuickBooks did."""
    if all(money(one["Balance"]) == 0 for one in objects(world, wanted.values["invoice"])):
        wanted.off = Decimal(0)
        wanted.is_plain = world.records[wanted.values["invoice"]].is_plain = False
        return
    for one in objects(world, record):
        most = money(one["TotalAmt"]) - wanted.off
        if applied(one) > most:
            raise Violated(f"{named(record)}: {applied(one)} is applied, {wanted.off} is put back")


def applied(payment: Object) -> Decimal:
    """What it takes of invoices."""
    return sum((money(line["Amount"]) for line in payment.get("Line", ())), Decimal(0))


_LANE = """
    SELECT lane.state, lane.hold_reason, lane.sign_in, lane.outage_since IS NOT NULL AS is_down,
           lane.pause_until > clock_timestamp() AS is_paused, lane.pause_reason,
           lane.slowed_at IS NOT NULL AS is_slowed,
           EXISTS (SELECT FROM outbox WHERE lane_id = lane.id AND state = 'pending') AS waits,
           (SELECT string_agg(DISTINCT fault_code, ', ') FROM outbox WHERE lane_id = lane.id
            AND fault_code IN ('internal', 'poison')) AS blame,
           (SELECT count(*) FROM outbox_dispatch_items
            WHERE lane_id = lane.id AND outcome IS NULL) AS open
    FROM outbox_lanes AS lane WHERE lane.id = %(lane)s
"""


def _lane_is_right(world: World) -> None:
    there = world.quickbooks
    lane = aside(world.engine, _LANE, {"lane": world.lane})
    if lane.blame == "poison" and world.crashes >= 5:
        pass  # it may well have been the entry's
    elif lane.blame:
        raise Violated(f"an entry is blamed: {lane.blame}, after {world.crashes} crashes")
    if lane.state == "held" and not there.sign_outs[lane.sign_in]:
        raise Violated(f"the lane is held ({lane.hold_reason}) by nothing that this sign-in heard")
    if lane.is_paused and lane.pause_reason != "pace" and not there.troubled_writes:
        raise Violated(f"the lane is paused ({lane.pause_reason}), and every write went well")
    if there.throttled_writes and not (lane.is_slowed or lane.open or world.crashes):
        raise Violated("a batch was throttled, and the lane is as fast as before")
    before, world.seen_lane = (
        world.seen_lane,
        LaneSeen(lane.is_down, there.good_writes, world.relieved, lane.waits),
    )
    if before and before.is_down and not lane.is_down and lane.waits:
        same = (before.good_writes, before.relieved) == (there.good_writes, world.relieved)
        if same:
            raise Violated("an outage is over, and no write said so")


# --- When it is calm ------------------------------------------------------------------------------


def when_calm(world: World) -> None:
    """Nature behaves, the owner answers, time passes: everything must end, and be true."""
    there = world.quickbooks
    world.company.clear_faults()
    there.remembers = REMEMBERED
    world.company.set(list_delay=0, list_hides_new=False)
    world.company.bookkeeper.open_books()
    there.crash, world.ending = None, None
    there.odd, there.meanwhile = [], []
    there.signed_out = there.reads_are_refused = False
    world.pass_time(400)
    if world.is_abroad:
        _come_back(world)
    if not world.is_open:
        world.reconnect()
    world.sign_in_again()
    world.decide(sends=True)
    if there.stubborn:
        _the_others_go(world)
        there.stubborn = None
    _rounds(world, 4)
    for _ in range(6):
        if not _answer_all(world):
            break
        _rounds(world, 3)
    _rounds(world, 2)
    _rounds(world, 2, hours=13)  # lists that lag are read again for so long
    _all_have_ended(world)
    for record, wanted in world.records.items():
        _page_is_true(world, record, wanted)
    if there.reads > READS_FOR_AN_ACT * max(world.acts, 20):
        raise Violated(f"{there.reads} paid reads in {world.acts} acts")


def _come_back(world: World) -> None:
    from tests.simulation.people import come_back

    come_back(world)


def _rounds(world: World, count: int, hours: float = 4 / 3.6) -> None:
    for _ in range(count):
        world.pass_time(hours * 3_600)
        world.drain()
        always(world)
        if world.seen_lane and not world.seen_lane.waits:
            return


def _the_others_go(world: World) -> None:
    """What cannot be done must not stop what can, and is a person's matter in the end."""
    assert world.quickbooks.stubborn
    mark = world.quickbooks.stubborn[0]
    for _ in range(ROUNDS):
        world.pass_time(400)
        world.drain()
        always(world)
    bad = {record for record, one in world.records.items() if one.values.get("mark") == mark}
    with world.sessions() as session:
        pending = session.scalars(
            select(Entry).where(Entry.lane_id == world.lane, Entry.state == State.PENDING)
        ).all()
    for entry in pending:
        if entry.record in bad and entry.awaited is None:
            raise Violated(f"{named(entry.record)} never gets through, and nobody is told")
        if "lagged" in entry.knowledge:
            continue  # a check of ours, which reads lists again for hours
        if entry.awaited is None and not bad & world.needs_of(entry.record):
            raise Violated(f"{named(entry.record)} stands still behind another's trouble")


def _answer_all(world: World) -> bool:
    """Whether there was anything to answer."""
    with world.sessions() as session:
        failed = session.scalars(
            select(Entry.id)
            .where(Entry.lane_id == world.lane, Entry.state == State.FAILED)
            .order_by(Entry.id)
        ).all()
    for entry in failed:
        if words := answers.give(world, entry):
            world.trace.append(f"  {words}")
    return bool(failed)


def _all_have_ended(world: World) -> None:
    """In QuickBooks, with a person, or waiting for a named thing that can happen."""
    with world.sessions() as session:
        left = session.scalars(
            select(Entry).where(
                Entry.lane_id == world.lane, Entry.state.in_([State.PENDING, State.FAILED])
            )
        ).all()
    for entry in left:
        if entry.state is State.FAILED:
            if entry.fault_code not in _ENDS:
                about = f"{entry.fault_code}: {entry.fault_detail}"
                raise Violated(f"{named(entry.record)} cannot be helped: {about}")
            continue
        awaited = entry.awaited
        if awaited is None:
            raise Violated(f"{named(entry.record)} is pending and waits for nothing")
        newest = _newest(world, awaited)
        if newest is not None and newest.state is State.SYNCED:
            raise Violated(f"{named(entry.record)} waits for {named(awaited)}, {newest.state}")
    with world.sessions() as session:
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


# --- Pages ----------------------------------------------------------------------------------------


def _page_is_true(world: World, record: Record, wanted: Wanted) -> None:
    """In QuickBooks means: there, once, as it was saved last."""
    entry = _newest(world, record)
    if entry is None:
        if not (wanted.unsent or wanted.voided or record.type is RecordType.PRODUCT):
            raise Violated(f"{named(record)} was saved, and nothing is known of it")
        return
    if entry.state is not State.SYNCED:
        return
    match record.type:
        case RecordType.LEAD:
            _customer_is_true(world, record, wanted)
        case RecordType.INVOICE:
            _invoice_is_true(world, record, wanted)
        case RecordType.PAYMENT:
            _payment_is_true(world, record, wanted)
        case RecordType.REFUND:
            there = objects(world, record)
            money_back.refund_is_true(record, wanted, [money(one["TotalAmt"]) for one in there])


def _the_one(world: World, record: Record, wanted: Wanted) -> Object | None:
    """The object that we know, which must be the only one."""
    found = objects(world, record)
    known = _known(world, record)
    if len(found) != 1 and not wanted.asked_for_another:
        raise Violated(f"{named(record)} is shown as sent, and is there {len(found)} times")
    one = next((one for one in found if one["Id"] == known), None)
    if one is None:
        raise Violated(f"{named(record)} is linked with {known}, not {[o['Id'] for o in found]}")
    return one


def _compare(record: Record, wanted: Wanted, is_: Mapping[str, object]) -> None:
    """What stands there beside what was saved here, or was theirs."""
    for name, value in is_.items():
        expected = wanted.theirs.get(name, _expected(wanted, name))
        if expected is not ANY and value != expected:
            whose = "theirs" if name in wanted.theirs else "ours"
            raise Violated(f"{named(record)}: {name} is {value!r}, and {expected!r} is {whose}")


def _expected(wanted: Wanted, name: str) -> object:
    if name == "name":
        return wanted.values.get("sent_name") or wanted.values["name"]
    return wanted.values[name]


def seen(record: Record, one: Object) -> dict[str, object]:
    """The properties of an object that are compared."""
    match record.type:
        case RecordType.LEAD:
            return {
                "name": str(one.get("DisplayName", "")).removesuffix(matching.INACTIVE_SUFFIX),
                "phone": (one.get("PrimaryPhone") or {}).get("FreeFormNumber", ""),
                "email": (one.get("PrimaryEmailAddr") or {}).get("Address", ""),
            }
        case RecordType.INVOICE:
            lines = [
                money(line["Amount"])
                for line in one.get("Line", ())
                if line.get("DetailType") == "SalesItemLineDetail"
                and not str(line.get("Description", "")).startswith("Sales tax")
            ]
            return {
                "total": money(one["TotalAmt"]),
                "prices": lines,
                "memo": (one.get("CustomerMemo") or {}).get("value", ""),
                "number": one.get("DocNumber"),
            }
        case _:
            return {"amount": money(one["TotalAmt"])}


def _customer_is_true(world: World, record: Record, wanted: Wanted) -> None:
    known = _known(world, record)
    if wanted.chosen is not None:
        if known != wanted.chosen and "name" not in wanted.theirs:
            raise Violated(f"{named(record)} is {known}, and a person chose {wanted.chosen}")
        return
    if known in world.once_theirs:
        seen_then = world.once_theirs[known]
        if not any(_may_be(one, theirs) for one in wanted.past for theirs in seen_then):
            raise Violated(f"{named(record)} was linked with {known}, and nobody was asked")
        return
    if not objects(world, record) or wanted.voided:
        return  # shared with another lead
    if not wanted.asked_for_another:
        _was_not_theirs(world, record, wanted)
    if one := _the_one(world, record, wanted):
        _compare(record, wanted, seen(record, one))


def _may_be(ours: Mapping[str, str], theirs: Mapping[str, Any]) -> bool:
    """Whether a lead may be linked without a question: nothing contradicts what agrees."""
    emails, phone = addresses_of(theirs), theirs["PrimaryPhone"]["FreeFormNumber"]
    has_same_email = ours["email"] in emails
    contradicts = bool(ours["phone"]) and ours["phone"] != phone
    if ours["name"] == theirs["DisplayName"]:
        return has_same_email or not (contradicts or ours["email"])
    return has_same_email and ours["phone"] == phone


def _was_not_theirs(world: World, record: Record, wanted: Wanted) -> None:
    """A customer of theirs with its e-mail address would have been linked, or asked about."""
    for id_, theirs in world.customers_of_theirs.items():
        emails = addresses_of(theirs)
        if all(one["email"] in emails for one in wanted.past):
            raise Violated(f"{named(record)} was created though {id_} has its e-mail address")


def _invoice_is_true(world: World, record: Record, wanted: Wanted) -> None:
    if "void" in wanted.theirs:
        return
    if wanted.voided:
        if objects(world, record):
            raise Violated(f"{named(record)} is void here and open there")
        return
    one = _the_one(world, record, wanted)
    assert one
    is_ = seen(record, one)
    if not world.numbers_are_ours:
        del is_["number"]
    _compare(record, wanted, is_)
    if "lead" not in wanted.theirs:
        _belongs(world, record, one, wanted.values["lead"])


def _belongs(world: World, record: Record, one: Object, lead: Record) -> None:
    customer, known = one["CustomerRef"]["value"], _known(world, lead)
    if customer != known and "lead" not in world.records[lead].theirs:
        raise Violated(f"{named(record)} is customer {customer}'s, and {named(lead)} is {known}")


def _payment_is_true(world: World, record: Record, wanted: Wanted) -> None:
    money_back.payment_is_gone(world, record, wanted, len(objects(world, record)))
    if wanted.voided or "void" in wanted.theirs or "amount" in wanted.theirs:
        return
    one = _the_one(world, record, wanted)
    assert one
    _compare(record, wanted, seen(record, one))
    invoice = wanted.values["invoice"]
    billed = world.records[invoice]
    if not billed.is_plain or not wanted.is_plain:
        return
    found = objects(world, invoice)
    if len(found) != 1:
        return
    _belongs(world, record, one, billed.values["lead"])
    beside = [one for one in world.records.values() if one.values.get("invoice") == invoice]
    if any(one.off for one in beside):
        return  # whether what is credit beside it pays the rest is the bookkeeper's matter
    if _is_left_to_a_person(world, invoice):
        return
    paid = _paid_there(world, invoice)
    balance = max(money(found[0]["TotalAmt"]) - paid, Decimal(0))
    if money(found[0]["Balance"]) != balance:
        raise Violated(
            f"{named(invoice)} has balance {found[0]['Balance']} there, and {paid} was paid"
        )


def _is_left_to_a_person(world: World, invoice: Record) -> bool:
    """Whether a page says that QuickBooks refused to put credit on it, and so did it."""
    beside = [one for one in world.records if world.records[one].values.get("invoice") == invoice]
    with world.sessions() as session:
        said = session.scalars(
            select(Counterpart.record_id).where(
                Counterpart.lane_id == world.lane,
                Counterpart.record_type == RecordType.PAYMENT,
                Counterpart.record_id.in_([one.id for one in beside]),
                Counterpart.note == CREDIT_LEFT,
            )
        ).all()
    return any(one in world.quickbooks.troubled and one.id in said for one in beside)


def _paid_there(world: World, invoice: Record) -> Decimal:
    """By its payments there. One that was taken back here, whole or in part, is a person's matter
    while it stands there: it pays what it takes, and its credit stays as it is."""
    amounts = [
        applied(one) if wanted.voided or wanted.values.get("part") else money(one["TotalAmt"])
        for record, wanted in world.records.items()
        if wanted.values.get("invoice") == invoice
        for one in objects(world, record)
    ]
    return sum(amounts, Decimal(0))


# --- The books ------------------------------------------------------------------------------------


def objects(world: World, record: Record) -> list[Object]:
    """The living objects that are this record: by its mark, which nobody there changes."""
    values = world.records[record].values
    match record.type:
        case RecordType.LEAD:
            token = f"token-{record.id}"
            return [
                dict(one)
                for one in world.company.all("Customer")
                if one.get("CompanyName") == token
            ]
        case RecordType.INVOICE:
            return [
                dict(one)
                for one in world.company.all("Invoice")
                if values["mark"] in str(one.get("PrivateNote", "")) and one["TotalAmt"] != 0
            ]
        case RecordType.PAYMENT:
            return [
                dict(one)
                for one in world.company.all("Payment")
                if values["mark"] in f"{one.get('PrivateNote')} {one.get('PaymentRefNum')}"
                and "Voided" not in str(one.get("PrivateNote", ""))
            ]
        case RecordType.REFUND:
            return [
                dict(one)
                for one in world.company.all("RefundReceipt")
                if one.get("PaymentRefNum") == values["mark"]
            ]
        case _:
            return []


def _known(world: World, record: Record) -> str | None:
    with world.sessions() as session:
        return session.scalar(
            select(Counterpart.remote_id).where(
                Counterpart.lane_id == world.lane,
                Counterpart.record_type == record.type,
                Counterpart.record_id == record.id,
            )
        )
