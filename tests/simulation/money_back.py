"""Money that goes back: taken back in part or as a whole, refunded, entered in QuickBooks by hand.

A history of its own (`--money`), so that the others stay as they are.
"""

from collections.abc import Callable
from decimal import Decimal

from sqlalchemy import select

from models.outbox import Entry, State
from models.sales import GoodwillRefund, Payment, Record, RecordType
from outbox import actions
from processors import recording
from quickbooks import decisions
from simulator.documents import Document
from tests.simulation.people import pay, pay_amount
from tests.simulation.world import Violated, Wanted, World, named, some


def begin(world: World) -> None:
    """How money that goes back is booked, as the owner chose."""
    [account] = world.company.find("Account", Name="Checking")
    world.quickbooks.settings_["refund_account_id"] = str(account["Id"])
    choose(world)


def choose(world: World) -> str:
    chosen = world.chance.choice([("void", "receipt"), ("void", "receipt"), ("person", "person")])
    world.quickbooks.settings_["taken_back"], world.quickbooks.settings_["refunds"] = chosen
    return f"settings: taken back {chosen[0]}, refunds {chosen[1]}"


def pay_again(world: World) -> str | None:
    return pay(world)


def pay_twice(world: World) -> str | None:
    """What is paid in full is paid again, which is credit there; then the first payment is taken
    back, and the answer to its void is lost, perhaps."""
    first = some(world, [one for one in _whole_payments(world) if _is_plain(world, one)])
    if first is None or len(world.of(RecordType.PAYMENT)) >= 8:
        return None
    invoice = world.records[first].values["invoice"]
    told = pay_amount(world, invoice, world.records[invoice].values["total"])
    world.drain()
    if lost := world.chance.choice([None, "before", "after"]):
        match: Document = {"entity": "Payment", "method": "POST", "times": 1}
        world.company.fault(match=match, do={"reset": lost})
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, first.id)
        held = recording.lock_payment(session, payment.id, payment.invoice_id)
        recording.give_back(session, held, held.left, keeps_paid=False)
    world.records[first].voided = True
    world.touched(first)
    return f"{told}, and payment {first.id} is taken back; an answer is lost: {lost}"


def _is_plain(world: World, payment: Record) -> bool:
    """Whether nobody changed it or its invoice there, and the invoice stands."""
    wanted = world.records[payment]
    billed = world.records[wanted.values["invoice"]]
    return wanted.is_plain and billed.is_plain and not (wanted.unsent or billed.voided)


def take_a_part_back(world: World) -> str | None:
    if not (record := some(world, _whole_payments(world))):
        return None
    wanted = world.records[record]
    part = (wanted.values["amount"] / 2).quantize(Decimal("0.01"))
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, record.id)
        held = recording.lock_payment(session, payment.id, payment.invoice_id)
        recording.give_back(session, held, part, keeps_paid=False)
    wanted.values["part"] = part
    wanted.is_plain = False
    world.touched(record)
    return f"{part} of payment {record.id} is taken back"


def take_the_rest_back(world: World) -> str | None:
    found = [
        one
        for one in world.of(RecordType.PAYMENT)
        if world.records[one].values.get("part") and not world.records[one].voided
    ]
    if not (record := some(world, found)):
        return None
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, record.id)
        held = recording.lock_payment(session, payment.id, payment.invoice_id)
        recording.give_back(session, held, held.left, keeps_paid=False)
    world.records[record].voided = True
    world.touched(record)
    return f"the rest of payment {record.id} is taken back"


def enter_the_part(world: World) -> str | None:
    """A person books the part with a document of its own, and says so."""
    with world.sessions.begin() as session:
        entry = session.scalars(
            select(Entry)
            .where(
                Entry.lane_id == world.lane,
                Entry.state == State.FAILED,
                Entry.fault_code == "reversed",
            )
            .order_by(Entry.id)
            .limit(1)
        ).one_or_none()
        if entry is None or world.records[entry.record].voided:
            return None
        record = entry.record
        if world.chance.random() < 0.5:
            done, word = actions.skip(session, [entry.id], organization_id=world.firm).done, "skip"
        else:
            done, word = decisions.entered(session, entry).done, "entered"
    if not done:
        return None
    world.records[record].values["part_by_hand"] = True
    world.relieved += 1
    world.touched(record)
    return f"the part of {named(record)} is entered by hand: {word}"


def refund(world: World) -> str | None:
    """A part goes back, and the invoice stays paid."""
    if len(world.of(RecordType.REFUND)) >= 3 or not (record := some(world, _whole_payments(world))):
        return None
    paid = world.records[record]
    amount = (paid.values["amount"] / 4).quantize(Decimal("0.01"))
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, record.id)
        held = recording.lock_payment(session, payment.id, payment.invoice_id)
        given = recording.give_back(session, held, amount, keeps_paid=True)
        off = Decimal(held.refunded_amount)
        made = Record(RecordType.REFUND, given.id) if given else None
        values = {"amount": given.amount, "mark": given.mark, "payment": record} if given else {}
    paid.values["refunded"] = True
    if off:  # so much of it was paid too much
        paid.values["part"] = off
        paid.is_plain = False
        world.touched(record)
    if made is None:
        return f"{amount} of payment {record.id} was too much, and goes back"
    world.records[made] = Wanted(values, unsent=paid.unsent or not world.is_open)
    if world.is_open:
        world.touched(made)
    return f"refund {made.id}: {amount} of payment {record.id}"


def refund_comes_back(world: World) -> str | None:
    found = [one for one in world.of(RecordType.REFUND) if not world.records[one].voided]
    if not (record := some(world, found)):
        return None
    with world.sessions.begin() as session:
        given = session.get_one(GoodwillRefund, record.id)
        payment = session.get_one(Payment, given.payment_id)
        held = recording.lock_payment(session, payment.id, payment.invoice_id)
        held.goodwill_amount -= given.amount
        given.voided_at = given.created_at
    world.records[record].voided = True
    world.touched(record)
    return f"refund {record.id} comes back"


def _whole_payments(world: World) -> list[Record]:
    return [
        one
        for one in world.of(RecordType.PAYMENT)
        if not world.records[one].voided
        and not world.records[one].values.get("part")
        and not world.records[one].values.get("refunded")
    ]


ACTS: dict[Callable[[World], str | None], int] = {
    choose: 2,
    pay_again: 5,
    pay_twice: 8,
    take_a_part_back: 6,
    take_the_rest_back: 6,
    enter_the_part: 8,
    refund: 6,
    refund_comes_back: 2,
}


# --- What must hold -------------------------------------------------------------------------------


def may_void(world: World, record: Record, there: Decimal) -> None:
    """A payment of which a part is a document of its own there is not voided as a whole."""
    wanted = world.records[record]
    if wanted.values.get("part_by_hand") and there == wanted.values["amount"]:
        raise Violated(f"{named(record)} is voided, though a part of it was entered by hand")


def payment_is_gone(world: World, record: Record, wanted: Wanted, count: int) -> None:
    """What was taken back as a whole, and is shown as sent, stands no more."""
    is_ours = wanted.voided and not (wanted.theirs or wanted.values.get("part_by_hand"))
    if is_ours and count and not wanted.asked_for_another:
        raise Violated(f"{named(record)} is void here and stands there")


def refund_is_true(record: Record, wanted: Wanted, amounts: list[Decimal]) -> None:
    if wanted.voided or wanted.theirs:
        return
    if amounts != [wanted.values["amount"]]:
        raise Violated(f"{named(record)} of {wanted.values['amount']} is there as {amounts}")
