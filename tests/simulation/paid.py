"""An invoice that is paid, lowered and raised, while its payments are moved in the books.

What must hold is in `check`: where nobody there touched the money, an invoice is paid by all that
was paid for it, as far as it goes. What the bookkeeper took off it stays off.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from models.sales import Record, RecordType
from simulator.documents import Document
from simulator.refusals import Refusal
from tests.simulation import bookkeeper, check, people
from tests.simulation.aim import RESENT, new_invoice, new_lead, there
from tests.simulation.within import do, drain, wait
from tests.simulation.world import World, money, some

MOST = 8  # payments in a history
ROUNDS = (3, 4, 6)


def pay_lower_raise(world: World) -> str | None:
    """One invoice: paid in parts, or more than it is; then this and that."""
    if not world.is_open or world.quickbooks.stubborn:
        return None
    invoice = _invoice(world)
    if invoice is None:
        return None
    total = world.records[invoice].values["total"]
    for share in world.chance.choice(["6 6", "10", "12", "3 3", "10 2", "8"]).split():
        do(world, partial(_pay, invoice=invoice, amount=_part(total, share)))
        if world.chance.random() < 0.3:
            do(world, drain)
    do(world, drain)
    for _ in range(world.chance.choice(ROUNDS)):
        _lose_answers(world)
        for act in world.chance.choices(STEPS, WEIGHTS, k=world.chance.choice([1, 1, 2])):
            do(world, partial(act, invoice=invoice))
        do(world, drain)
        if world.chance.random() < 0.5:
            wait(world, RESENT)
            do(world, drain)
    return f"that was invoice {invoice.id}"


def _part(total: Decimal, tenths: str) -> Decimal:
    return (total * int(tenths) / 10).quantize(Decimal("0.01"))


def _invoice(world: World) -> Record | None:
    found = there(world, RecordType.INVOICE)
    if found and world.chance.random() < 0.3:
        return some(world, found)
    if not there(world, RecordType.LEAD) and do(world, new_lead):
        do(world, drain)
    if do(world, new_invoice):
        do(world, drain)
    found = there(world, RecordType.INVOICE)
    return found[-1] if found else None


def _lose_answers(world: World) -> None:
    """Of the next write of an invoice, or of a payment, or none."""
    entity = world.chance.choice(["Invoice", "Payment", None])
    if entity is None:
        return
    match: Document = {"entity": entity, "method": "POST", "times": world.chance.choice([1, 1, 3])}
    lost: Document = world.chance.choice(
        [{"reset": "before"}, {"reset": "after"}, {"truncate": True}, {"bump_sync_token": True}]
    )
    world.company.fault(match=match, do=lost)
    world.trace.append(f"nature: to {match} happens {lost}")


# --- This and that --------------------------------------------------------------------------------


def _lower(world: World, invoice: Record) -> str | None:
    return _price(world, invoice, world.chance.choice([Decimal("0.3"), Decimal("0.7")]))


def _raise(world: World, invoice: Record) -> str | None:
    return _price(world, invoice, world.chance.choice([Decimal("1.2"), Decimal("1.6"), Decimal(3)]))


def _price(world: World, invoice: Record, factor: Decimal) -> str | None:
    wanted = world.records[invoice]
    if wanted.voided:
        return None
    first, *rest = wanted.values["prices"]
    return people.edit_invoice_of(world, invoice, "prices", [max(int(first * factor), 5), *rest])


def _note(world: World, invoice: Record) -> str | None:
    """A change that is not about money."""
    if world.records[invoice].voided:
        return None
    memo = f"Memo {world.chance.randrange(10_000)}"
    return people.edit_invoice_of(world, invoice, "memo", memo)


def _pay(world: World, invoice: Record, amount: Decimal | None = None) -> str | None:
    wanted = world.records[invoice]
    if wanted.voided or len(world.of(RecordType.PAYMENT)) >= MOST:
        return None
    return people.pay_amount(world, invoice, amount or _part(wanted.values["total"], "4"))


def _refund(world: World, invoice: Record) -> str | None:
    found = [one for one in _payments(world, invoice) if not world.records[one].values.get("part")]
    payment = some(world, found)
    return people.refund_of(world, payment) if payment else None


def _take_off(world: World, invoice: Record) -> str | None:
    return _there(world, invoice, bookkeeper.take_off_there)


def _raise_there(world: World, invoice: Record) -> str | None:
    return _there(world, invoice, bookkeeper.raise_payment_there)


def _void_there(world: World, invoice: Record) -> str | None:
    return _there(world, invoice, bookkeeper.void_payment_there)


def _move_there(world: World, invoice: Record) -> str | None:
    return _there(world, invoice, bookkeeper.move_payment_there)


def _touch_there(world: World, invoice: Record) -> str | None:
    return _there(world, invoice, bookkeeper.touch_payment_there)


Keeping = Callable[[World, Record, bookkeeper.Object], str | None]


def _there(world: World, invoice: Record, act: Keeping) -> str | None:
    """Something that the bookkeeper does to one of its payments."""
    payment = some(world, _payments(world, invoice))
    found = check.objects(world, payment) if payment else []
    if payment is None or len(found) != 1 or money(found[0]["TotalAmt"]) == 0:
        return None
    try:
        return act(world, payment, found[0])
    except Refusal:
        return None


def _payments(world: World, invoice: Record) -> list[Record]:
    return [
        one
        for one in world.of(RecordType.PAYMENT)
        if world.records[one].values["invoice"] == invoice and not world.records[one].voided
    ]


_CHOICES: dict[Callable[..., str | None], int] = {
    _lower: 6,
    _raise: 8,
    _note: 2,
    _pay: 3,
    _refund: 3,
    _take_off: 3,
    _touch_there: 2,
    _raise_there: 1,
    _void_there: 1,
    _move_there: 1,
}
STEPS, WEIGHTS = list(_CHOICES), list(_CHOICES.values())
