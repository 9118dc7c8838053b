"""What the bookkeeper does in QuickBooks, to what is ours there."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import text

from models.sales import Record, RecordType
from simulator.refusals import Refusal
from tests.simulation import check
from tests.simulation.world import ANY, World, money

Object = dict[str, Any]


def edit_there(world: World) -> str | None:
    """A property that we do not write now."""
    entity = world.chance.choice(["Customer", "Invoice"])
    if not (found := _some(world, entity)):
        return None
    record, one = found
    keeper = world.company.bookkeeper
    try:
        if entity == "Customer" and world.chance.random() < 0.3:
            name = f"Theirs {world.seed} {one['Id']}"
            keeper.edit(entity, one["Id"], DisplayName=name)
            _keeps(world, record, name=name)
        elif entity == "Customer":
            phone = {"FreeFormNumber": "theirs"}
            keeper.edit(entity, one["Id"], DisplayName=one["DisplayName"], PrimaryPhone=phone)
            _keeps(world, record, phone="theirs")
        else:
            keeper.edit(entity, one["Id"], CustomerMemo={"value": "theirs"})
            _keeps(world, record, memo="theirs")
    except Refusal:
        return None
    return f"there: {entity} {one['Id']} is edited"


def _keeps(world: World, record: Record, **values: object) -> None:
    """This stands there until a person says that ours is to be sent."""
    wanted, is_met = world.records[record], _is_on_its_way(world, record)
    for name, value in values.items():
        wanted.theirs[name] = ANY if is_met else value
        wanted.left.discard(name)
        wanted.kept.pop(name, None)
        if not is_met:
            wanted.kept[name] = value


def _is_on_its_way(world: World, record: Record) -> bool:
    """Whether something of ours is to be written there, and may meet what they write."""
    with world.sessions() as session:
        found = session.execute(
            text(
                "SELECT FROM outbox WHERE lane_id = :lane AND aggregate_type = :type"
                " AND aggregate_id = :id AND state = 'pending'"
            ),
            {"lane": world.lane, "type": record.type, "id": record.id},
        )
        return bool(found.all())


def renumber_there(world: World) -> str | None:
    """What it is found by is changed: an invoice's number and date, a payment's reference. Mostly
    of one that nobody here knows of yet."""
    there = [(entity, *one) for entity in ("Invoice", "Payment") for one in _ours(world, entity)]
    unknown = [one for one in there if not _is_known(world, one[1])]
    if not there or (not unknown and world.chance.random() < 0.5):
        return None
    entity, record, one = world.chance.choice(unknown or there)
    values: Object = {"TxnDate": "2026-11-03"}
    if entity == "Invoice":
        values["DocNumber"] = f"T-{world.seed % 10_000}-{one['Id']}"
    else:
        values["PaymentRefNum"] = f"check {one['Id']}"
    try:
        _keeper(world).edit(entity, one["Id"], **values)
    except Refusal:
        return None
    if entity == "Invoice":
        _keeps(world, record, number=values["DocNumber"])
    return f"there: {entity} {one['Id']} has another number and date"


def _is_known(world: World, record: Record) -> bool:
    """Whether our side knows that it is there."""
    with world.sessions() as session:
        found = session.execute(
            text(
                "SELECT FROM outbox_links WHERE lane_id = :lane AND aggregate_type = :type"
                " AND aggregate_id = :id AND remote_id IS NOT NULL"
            ),
            {"lane": world.lane, "type": record.type, "id": record.id},
        )
        return bool(found.all())


def touch_there(world: World) -> str | None:
    """Only the version moves: a report is printed, a payment is matched."""
    entity = world.chance.choice(["Customer", "Invoice", "Payment"])
    return _do(world, entity, "has a new version", lambda id_: _keeper(world).edit(entity, id_))


def void_there(world: World) -> str | None:
    entity = world.chance.choice(["Invoice", "Invoice", "Payment"])
    return _do(world, entity, "is voided", lambda id_: _keeper(world).void(entity, id_))


def delete_there(world: World) -> str | None:
    entity = world.chance.choice(["Invoice", "Invoice", "Payment"])
    return _do(world, entity, "is deleted", lambda id_: _keeper(world).delete(entity, id_))


def change_amount_there(world: World) -> str | None:
    """Somebody corrects the amount of an invoice there."""
    if not (found := _some(world, "Invoice")):
        return None
    record, one = found
    lines = [dict(line) for line in one["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    amount = 78 if money(lines[0]["Amount"]) == 77 else 77
    detail = {**lines[0]["SalesItemLineDetail"], "Qty": 1, "UnitPrice": amount}
    lines[0] = {**lines[0], "Amount": amount, "SalesItemLineDetail": detail}
    try:
        _keeper(world).edit("Invoice", one["Id"], Line=lines)
    except Refusal:
        return None
    _is_theirs(world, record, "total", "prices")
    if money(one["TotalAmt"]) == 0:
        _is_theirs(world, record, "void")  # it was void, and stands again
    edited = world.company.get("Invoice", one["Id"]) or {}
    _keeps(world, record, prices=check.seen(record, dict(edited))["prices"])
    return f"there: invoice {one['Id']} has another amount"


def move_there(world: World) -> str | None:
    """To a customer of their own."""
    theirs = [one for one in world.company.all("Customer") if one["DisplayName"] == "Two Desks"]
    if not theirs or not (found := _some(world, "Invoice")):
        return None
    record, one = found
    try:
        _keeper(world).move("Invoice", one["Id"], str(theirs[0]["Id"]))
    except Refusal:
        return None
    _is_theirs(world, record, "lead")
    return f"there: invoice {one['Id']} is moved"


def unapply_there(world: World) -> str | None:
    """A payment is taken off its invoice."""
    if not (found := _some(world, "Payment")):
        return None
    record, one = found
    return take_off_there(world, record, one)


def take_off_there(world: World, record: Record, one: Object) -> str | None:
    """What it took of its invoice is to stay off, even if the invoice's total changes."""
    paid = [
        link["TxnId"]
        for line in one.get("Line", ())
        for link in line.get("LinkedTxn", ())
        if link.get("TxnType") == "Invoice"
    ]
    if not paid:
        return None
    wanted = world.records[record]
    is_met = any(_is_on_its_way(world, each) for each in (record, wanted.values["invoice"]))
    applied = check.applied(one)
    try:
        _keeper(world).unapply(one["Id"], paid[0])
    except Refusal:
        return None
    if is_met:
        _is_theirs(world, record, "applied")
    else:
        wanted.off += applied
    return f"there: payment {one['Id']} is taken off its invoice"


def raise_payment_there(world: World, record: Record, one: Object) -> str | None:
    """More was received than was entered here; what is over is credit."""
    amount = money(one["TotalAmt"]) + 10
    try:
        _keeper(world).edit("Payment", one["Id"], TotalAmt=amount)
    except Refusal:
        return None
    _is_theirs(world, record, "amount", "applied")
    _keeps(world, record, amount=amount)
    return f"there: payment {one['Id']} is of {amount}"


def void_payment_there(world: World, record: Record, one: Object) -> str:
    _keeper(world).void("Payment", one["Id"])
    _is_theirs(world, record, "amount", "applied", "void")
    return f"there: payment {one['Id']} is voided"


def move_payment_there(world: World, record: Record, one: Object) -> str | None:
    """To a customer of their own, and so off its invoice."""
    theirs = [one for one in world.company.all("Customer") if one["DisplayName"] == "Two Desks"]
    if not theirs:
        return None
    _keeper(world).move("Payment", one["Id"], str(theirs[0]["Id"]))
    _is_theirs(world, record, "applied", "lead")
    return f"there: payment {one['Id']} is moved"


def touch_payment_there(world: World, record: Record, one: Object) -> str:
    _keeper(world).edit("Payment", one["Id"])
    return f"there: payment {one['Id']} of {record.id} has a new version"


def deactivate_there(world: World) -> str | None:
    entity = world.chance.choice(["Customer", "Customer", "Item"])
    if entity == "Customer":
        return _do(
            world, entity, "is inactive", lambda id_: _keeper(world).deactivate("Customer", id_)
        )
    for item in world.company.all("Item"):
        if item.get("Name") == f"Work {world.seed}" and item.get("Active") is not False:
            try:
                _keeper(world).deactivate("Item", str(item["Id"]))
            except Refusal:
                return None
            return f"there: item {item['Id']} is inactive"
    return None


def reactivate_there(world: World) -> str | None:
    for one in world.company.all("Customer"):
        if one.get("Active") is False and record_of(world, "Customer", dict(one)):
            try:
                _keeper(world).reactivate("Customer", str(one["Id"]))
            except Refusal:
                return None
            return f"there: customer {one['Id']} is active again"
    return None


def merge_there(world: World) -> str | None:
    """Two customers of ours are one there."""
    ours = [one for _, one in _ours(world, "Customer") if one.get("Active") is not False]
    if len(ours) != 2:
        return None
    try:
        _keeper(world).merge_customers(ours[0]["Id"], ours[1]["Id"])
    except Refusal:
        return None
    for record, wanted in world.records.items():
        if record.type is RecordType.LEAD:
            wanted.kept.clear()
            wanted.theirs = dict.fromkeys(("name", "phone", "email"), ANY)
        wanted.theirs["lead"] = ANY
    return f"there: customer {ours[0]['Id']} is merged into {ours[1]['Id']}"


def close_books_there(world: World) -> str:
    _keeper(world).close_books("2026-12-31")
    return "there: the books are closed"


def open_books_there(world: World) -> str:
    _keeper(world).open_books()
    return "there: the books are open"


def _keeper(world: World) -> Any:
    return world.company.bookkeeper


def _do(world: World, entity: str, word: str, act: Callable[[str], object]) -> str | None:
    """Something that changes what stands there for us."""
    if not (found := _some(world, entity)):
        return None
    record, one = found
    try:
        act(one["Id"])
    except Refusal:
        return None
    if word != "has a new version":
        world.records[record].kept.clear()
        _is_theirs(world, record, "total", "prices", "memo", "number", "amount", "applied", "void")
    return f"there: {entity} {one['Id']} {word}"


def _is_theirs(world: World, record: Record, *properties: str) -> None:
    """From now on nobody here foretells these, nor what payments take of the invoice."""
    wanted = world.records[record]
    wanted.theirs |= dict.fromkeys(properties, ANY)
    wanted.is_plain = False
    invoice = wanted.values.get("invoice", record)
    for other, beside in world.records.items():
        if other == invoice or beside.values.get("invoice") == invoice:
            beside.is_plain = False
            if other != record and record.type is RecordType.INVOICE:
                beside.theirs |= dict.fromkeys(("applied", "lead", "amount"), ANY)


def _some(world: World, entity: str) -> tuple[Record, Object] | None:
    found = list(_ours(world, entity))
    return world.chance.choice(found) if found else None


def _ours(world: World, entity: str) -> Iterator[tuple[Record, Object]]:
    for one in world.company.all(entity):
        if record := record_of(world, entity, dict(one)):
            yield record, dict(one)


def record_of(world: World, entity: str, one: Object) -> Record | None:
    """Which of our records it is, by the mark that nobody there changes."""
    if entity == "Customer":
        token = str(one.get("CompanyName", ""))
        key = int(token.removeprefix("token-")) if token.startswith("token-") else 0
        record = Record(RecordType.LEAD, key)
        return record if record in world.records else None
    type_ = RecordType.INVOICE if entity == "Invoice" else RecordType.PAYMENT
    told = f"{one.get('PrivateNote')} {one.get('PaymentRefNum')}"
    for record in world.of(type_):
        if str(world.records[record].values["mark"]) in told:
            return record
    return None
