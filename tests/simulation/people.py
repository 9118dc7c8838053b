"""What people here do: write records, and decide about what is sent."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.accounts import Organization, Region
from models.base import Json
from models.outbox import Entry, State
from models.sales import Invoice, InvoiceLine, Lead, Payment, Product, Record, RecordType
from outbox import actions, lanes, prune
from tests.simulation.answers import ASKED, give
from tests.simulation.world import ANY, THEIRS, Violated, Wanted, World, named, some

# --- Leads ----------------------------------------------------------------------------------------


def new_lead(world: World) -> str | None:
    if len(world.of(RecordType.LEAD)) >= 2:  # few, so that acts meet
        return None
    email = world.chance.choice(["", "", _email(world)])
    return create_lead(world, _name(world), email)


def create_lead(world: World, name: str, email: str) -> str:
    phone = f"555-0{world.chance.randrange(400, 999)}"
    values = {"name": name, "phone": phone, "email": email}
    with world.sessions.begin() as session:
        lead = Lead(organization_id=world.firm, **values)
        session.add(lead)
        session.flush()
        lead.company_name = f"token-{lead.id}"
        session.flush()
        record = Record(RecordType.LEAD, lead.id)
    world.records[record] = Wanted(values, past=[dict(values)], unsent=not world.is_open)
    return f"lead {record.id}: {values}"


def _name(world: World) -> str:
    ours = f"Customer {world.seed} {world.chance.randrange(10_000)}"
    return world.chance.choice([ours, ours, ours, *(name for name, _, _ in THEIRS[:1])])


def _email(world: World) -> str:
    ours = f"a{world.chance.randrange(99)}@example.com"
    theirs = ["billing@desks.example", "manager@pm.example", "plain@customer.example"]
    return world.chance.choice([ours, ours, *theirs])


def edit_lead(world: World) -> str | None:
    if not (record := some(world, _kept(world, RecordType.LEAD))):
        return None
    field = world.chance.choice(["name", "phone", "email"])
    value = {
        "name": _name(world),
        "phone": world.chance.choice(["", f"555-0{world.chance.randrange(400, 999)}"]),
        "email": world.chance.choice(["", _email(world)]),
    }[field]
    return edit_lead_of(world, record, field, value)


def edit_lead_of(world: World, record: Record, field: str, value: str) -> str:
    with world.sessions.begin() as session:
        setattr(session.get_one(Lead, record.id), field, value)
    wanted = world.records[record]
    if wanted.values[field] != value:
        _is_ours(wanted, field)
        wanted.unsent = wanted.unsent and not world.is_open
        world.touched(record)
    wanted.values[field] = value
    wanted.past.append({one: wanted.values[one] for one in ("name", "phone", "email")})
    return f"lead {record.id}: {field} = {value!r}"


def _is_ours(wanted: Wanted, *fields: str) -> None:
    """Saved here. Where the bookkeeper changed the same, it depends on what a person says."""
    is_met = "prices" in wanted.kept and not {"prices", "total", "rate"}.isdisjoint(fields)
    for field in fields:
        if field in wanted.kept or is_met:
            wanted.theirs[field] = ANY
        else:
            wanted.theirs.pop(field, None)


def delete_lead(world: World) -> str | None:
    if not (record := some(world, _kept(world, RecordType.LEAD))):
        return None
    with world.sessions.begin() as session:
        session.get_one(Lead, record.id).deleted_at = _now(session)
    world.records[record].voided = True
    world.touched(record)
    return f"lead {record.id} is deleted"


# --- Invoices -------------------------------------------------------------------------------------


def new_product(world: World) -> str | None:
    if world.of(RecordType.PRODUCT):
        return None
    with world.sessions.begin() as session:
        product = Product(
            organization_id=world.firm, name=f"Work {world.seed}", unit_price=Decimal(50)
        )
        session.add(product)
        session.flush()
        record = Record(RecordType.PRODUCT, product.id)
    world.records[record] = Wanted({"name": f"Work {world.seed}"})
    return f"product {record.id}"


def new_invoice(world: World) -> str | None:
    lead = some(world, _kept(world, RecordType.LEAD))
    if len(_kept(world, RecordType.INVOICE)) >= 3 or not lead:
        return None
    return create_invoice(world, lead)


def create_invoice(world: World, lead: Record) -> str:
    number = str(1000 + len(world.records))
    prices = [world.chance.randrange(10, 300) for _ in range(world.chance.choice([1, 1, 2]))]
    rate = world.chance.choice([0, 0, 8, 9])
    memo = world.chance.choice(["", "Thank you"])
    product = some(world, world.of(RecordType.PRODUCT)) if world.chance.random() < 0.5 else None
    with world.sessions.begin() as session:
        invoice = Invoice(
            organization_id=world.firm,
            lead_id=lead.id,
            number=number,
            issued_on=date(2026, 11, 18),
            due_on=date(2026, 12, 18),
            memo=memo,
            tax_rate=Decimal(rate),
            lines=[
                _line(world, price, position, product)
                for position, price in enumerate(prices, start=1)
            ],
        )
        session.add(invoice)
        session.flush()
        record, mark = Record(RecordType.INVOICE, invoice.id), invoice.mark
    values = {"prices": prices, "rate": rate, "number": number, "memo": memo, "mark": mark}
    values |= {"total": total_of(prices, rate), "lead": lead, "product": product}
    world.records[record] = Wanted(values, unsent=not world.is_open)
    if world.is_open:
        world.touched(record)
    return f"invoice {record.id} of {lead.id}: {prices}, {rate} %, number {number}"


def total_of(prices: list[int], rate: int) -> Decimal:
    """Every line is taxable; tax is rounded once."""
    tax = (Decimal(sum(prices)) * rate / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return Decimal(sum(prices)) + tax


def _line(world: World, price: int, position: int, product: Record | None) -> InvoiceLine:
    return InvoiceLine(
        organization_id=world.firm,
        position=position,
        product_id=product.id if product and position == 1 else None,
        description="Work",
        quantity=Decimal(1),
        unit_price=Decimal(price),
        taxable=True,
    )


def edit_invoice(world: World) -> str | None:
    if not (record := some(world, _kept(world, RecordType.INVOICE))):
        return None
    field = world.chance.choice(["prices", "prices", "rate", "memo", "number"])
    value: Any
    match field:
        case "prices":
            value = [world.chance.choice([100, 120, world.chance.randrange(10, 300)])]
            value += world.records[record].values["prices"][1:]
        case "rate":
            value = world.chance.choice([0, 8, 9])
        case "memo":
            value = world.chance.choice(["", "Thank you", "Paid by check"])
        case _:
            value = str(world.chance.randrange(5000, 9999))
    return edit_invoice_of(world, record, field, value)


def edit_invoice_of(world: World, record: Record, field: str, value: Any) -> str:
    wanted = world.records[record]
    with world.sessions.begin() as session:
        invoice = session.get_one(Invoice, record.id)
        match field:
            case "prices":
                invoice.lines[0].unit_price = Decimal(value[0])
            case "rate":
                invoice.tax_rate = Decimal(value)
            case _:
                setattr(invoice, field, value)
    if wanted.values[field] != value:
        _is_ours(wanted, field)
        world.touched(record)
        if field in ("prices", "rate"):
            _is_ours(wanted, "prices", "rate", "total")
    wanted.values[field] = value
    wanted.values["total"] = total_of(wanted.values["prices"], wanted.values["rate"])
    return f"invoice {record.id}: {field} = {value}"


def void_invoice(world: World) -> str | None:
    record = some(world, _kept(world, RecordType.INVOICE))
    return void_invoice_of(world, record) if record else None


def void_invoice_of(world: World, record: Record) -> str:
    with world.sessions.begin() as session:
        session.get_one(Invoice, record.id).voided_at = _now(session)
    world.records[record].voided = True
    world.records[record].is_plain = False
    world.touched(record)
    return f"invoice {record.id} is void"


# --- Payments -------------------------------------------------------------------------------------


def pay(world: World) -> str | None:
    invoice = some(world, _kept(world, RecordType.INVOICE))
    if len(_kept(world, RecordType.PAYMENT)) >= 4 or not invoice:
        return None
    total = world.records[invoice].values["total"]
    return pay_amount(world, invoice, Decimal(world.chance.choice([10, 40, 100, total])))


def pay_amount(world: World, invoice: Record, amount: Decimal) -> str:
    billed = world.records[invoice]
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
    unsent = billed.unsent or (not world.is_open and not is_there(world, invoice))
    values = {"amount": amount, "mark": mark, "invoice": invoice}
    world.records[record] = Wanted(values, unsent=unsent)
    if world.is_open:
        world.touched(record)
    return f"payment {record.id} of {amount} on invoice {invoice.id}"


def is_there(world: World, record: Record) -> bool:
    """Whether we know it to be there."""
    with world.sessions() as session:
        found = session.execute(
            text(
                "SELECT FROM outbox_links WHERE lane_id = :lane AND aggregate_type = :type"
                " AND aggregate_id = :id AND remote_id IS NOT NULL"
            ),
            {"lane": world.lane, "type": record.type, "id": record.id},
        )
        return found.one_or_none() is not None


def refund(world: World) -> str | None:
    record = some(world, _kept(world, RecordType.PAYMENT))
    return refund_of(world, record) if record else None


def refund_of(world: World, record: Record) -> str:
    with world.sessions.begin() as session:
        payment = session.get_one(Payment, record.id)
        payment.refunded_amount = payment.amount
    world.records[record].voided = True
    world.touched(record)
    return f"payment {record.id} is refunded"


# --- What is sent ---------------------------------------------------------------------------------


def send_again(world: World) -> str | None:
    return send_again_of(world, [one for one in State if one is not State.SUPERSEDED])


def send_again_of(world: World, states: list[State]) -> str | None:
    with world.sessions.begin() as session:
        entries = _entries(session, world, states)
        if not entries:
            return None
        chosen = world.chance.choice(entries)
        record = chosen.record
        is_equalled = chosen.state is State.SYNCED or chosen.fault_code in ASKED
        is_withheld = chosen.withheld and chosen.state is State.PENDING
        acted = actions.requeue(session, [chosen.id], organization_id=world.firm)
        done = acted.done
        if is_withheld and (done or acted.refused.get(chosen.id) == actions.ALREADY):
            raise Violated(f"{named(record)} is withheld, and was said to be sent again")
    if not done:
        return None
    _sent_again(world, record, is_equalled=is_equalled)
    return f"send {named(record)} again"


def _sent_again(world: World, record: Record, *, is_equalled: bool) -> None:
    """Of one that counted as sent, or was asked about, what stands there of others is over."""
    wanted = world.records[record]
    if is_equalled:
        world.overwrites(record)
    wanted.theirs = dict.fromkeys(wanted.theirs, ANY)
    world.touched(record)
    world.relieved += 1


def skip(world: World) -> str | None:
    return _decide(world, [State.PENDING, State.FAILED], actions.skip, "skip")


def undo_skip(world: World) -> str | None:
    return _decide(world, [State.SKIPPED], actions.undo_skip, "undo the skip of")


def _decide(
    world: World, states: list[State], act: Callable[..., actions.Acted], word: str
) -> str | None:
    with world.sessions.begin() as session:
        entries = _entries(session, world, states)
        if not entries:
            return None
        chosen = world.chance.choice(entries)
        record = chosen.record
        done = act(session, [chosen.id], organization_id=world.firm).done
        if done and chosen.state is State.PENDING and chosen.withheld:
            raise Violated(f"{named(record)} is withheld, and was said to be sent again")
    if not done:
        return None
    _sent_again(world, record, is_equalled=False)
    # A skipped version leaves there what was there, which nobody here foretells.
    if act is actions.skip:
        world.records[record].is_plain = False
        world.withheld.pop(record, None)
    return f"{word} {named(record)}"


def _entries(session: Session, world: World, states: list[State]) -> list[Entry]:
    found = session.scalars(
        select(Entry)
        .where(Entry.organization_id == world.firm, Entry.state.in_(states))
        .order_by(Entry.id)
    )
    return list(found)


def answer(world: World) -> str | None:
    """A person looks at what needs one, and presses one of its buttons."""
    with world.sessions() as session:
        failed = [entry.id for entry in _entries(session, world, [State.FAILED])]
    return give(world, world.chance.choice(failed)) if failed else None


# --- The connection -------------------------------------------------------------------------------


def disconnect(world: World) -> str | None:
    if not world.is_open:
        return None
    world.disconnect()
    return "disconnect"


def reconnect(world: World) -> str | None:
    if world.is_open or world.is_abroad:
        return None
    world.reconnect()
    return "reconnect"


def sign_in(world: World) -> str | None:
    if not world.is_open:
        return None
    world.sign_in_again()
    return "sign in"


def go_abroad(world: World) -> str | None:
    if not world.is_open:
        return None
    world.disconnect()
    _set_region(world, Region.BR)
    world.is_abroad = True
    return "the region is Brazil"


def come_back(world: World) -> str | None:
    if not world.is_abroad:
        return None
    _set_region(world, Region.US)
    world.is_abroad = False
    world.reconnect()
    return "the region is the United States again"


def _set_region(world: World, region: Region) -> None:
    with world.sessions.begin() as session:
        session.get_one(Organization, world.firm).region = region


def send_what_waits(world: World) -> str | None:
    if not world.is_open:
        return None
    world.decide(sends=True)
    return "send the changes"


def leave_what_waits(world: World) -> str | None:
    """What is there stays as it is there, but for what was saved since it waits; what is not there
    never comes to be."""
    if not world.is_open:
        return None
    from tests.simulation import check

    saved_since = world.with_entries(withheld=False)
    for record in world.withheld:
        wanted = world.records[record]
        there = check.objects(world, record)
        if there or is_there(world, record):
            wanted.theirs = dict.fromkeys(_properties(record), ANY)
            wanted.left = set(_properties(record))
            wanted.theirs |= check.seen(record, there[0]) if len(there) == 1 else {}
            _is_ours(wanted, *_saved_since(wanted, world.withheld[record]))
        elif record not in saved_since:
            world.unwanted.add(record)
        wanted.is_plain = False
    world.decide(sends=False)
    return "leave the changes as they are"


def _saved_since(wanted: Wanted, waits: Json) -> list[str]:
    """The properties that are no more what they were when it began to wait. Sums that mix with what
    is declined are a matter of questions."""
    saved = [name for name, value in waits.items() if value != wanted.values[name]]
    if not {"prices", "rate"}.isdisjoint(saved):
        wanted.theirs |= dict.fromkeys(("total", "prices", "rate"), ANY)
    return [name for name in saved if name not in ("total", "prices", "rate")]


def _properties(record: Record) -> tuple[str, ...]:
    match record.type:
        case RecordType.LEAD:
            return ("name", "phone", "email")
        case RecordType.INVOICE:
            return ("total", "prices", "rate", "memo", "number", "void")
        case _:
            return ("amount",)


def settings(world: World) -> str:
    """How records arrive: sales tax as QuickBooks keeps it, or as a line of its own."""
    mode = world.chance.choice(["manual", "line"])
    world.quickbooks.settings_["tax"] = {"mode": mode, "code_id": "2"}
    return f"settings: tax {mode}"


def numbers(world: World) -> str:
    """Who numbers invoices: we, or the company."""
    ours = world.chance.choice([True, False])
    world.company.set(CustomTxnNumbers=ours)
    world.quickbooks.settings_["numbers"] = "ours" if ours else "quickbooks"
    world.numbers_are_ours = False  # from now on nobody foretells them
    return f"settings: numbers are {'ours' if ours else 'theirs'}"


def forget_history(world: World) -> str:
    prune.prune(world.sessions, timedelta(0), timedelta(0))
    return "prune"


def try_now(world: World) -> str:
    with world.sessions.begin() as session:
        lanes.try_now(session, world.lane)
    world.relieved += 1
    return "try now"


def _kept(world: World, type_: RecordType) -> list[Record]:
    return [record for record in world.of(type_) if not world.records[record].voided]


def _now(session: Session) -> datetime:
    now: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now
