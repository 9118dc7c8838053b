"""Create, update, delete, void, send: one call on one object, with QuickBooks' order of checks."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from simulator import names, oddities, payments, refusals, sales
from simulator.books import Books, is_blank
from simulator.documents import (
    ZERO,
    Document,
    Json,
    in_order,
    money,
    number_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.refusals import Refusal
from simulator.schema import COMMON, NAME_ENTITIES, SALES_FORMS, AsSent, Computed, Entity
from simulator.validation import Reader, check_id, check_required


def read(books: Books, entity: Entity, object_id: str) -> Document:
    document = books.company.get(entity.name, object_id)
    if document is None:
        raise Refusal(refusals.not_found())
    if entity.name == "RecurringTransaction":
        return oddities.shown_recurring(document)
    return document


def save(books: Books, entity: Entity, body: Json) -> Document:
    """Creates the object, or updates it if the body has an Id."""
    if entity.name in _OWN_SHAPE:
        return _OWN_SHAPE[entity.name](books, body)
    reader = Reader()
    sent = reader.read(body, entity)
    object_id = text_of(sent, "Id")
    is_update = bool(object_id) or entity.is_singleton
    sparse = is_update and (sent.get("sparse") is True or entity.is_singleton)
    _check_shape(reader, entity, sent, is_update, sparse)
    _raise_shape_faults(books, reader)

    before: Document | None = None
    if is_update:
        before = _current(books, entity, object_id or "1", text_of(sent, "SyncToken"))
    draft = _draft(entity, sent, before, sparse)
    books.check_references(sent, entity.fields)
    books.check_subscription()
    if before and _is_already_inactive(entity, sent, before):
        return before
    completed = _complete(books, entity, draft, before)
    object_id = text_of(before, "Id") if before else books.world.next_id(books.company, entity)
    document = _finish(books, entity, completed, object_id, before)
    _settle(books, entity.name, before, document)
    return books.company.all(entity.name)[object_id]


_OWN_SHAPE: dict[str, Callable[[Books, Json], Document]] = {
    "RecurringTransaction": oddities.save_recurring,
    "ExchangeRate": oddities.save_exchange_rate,
}


def _check_shape(
    reader: Reader, entity: Entity, sent: Document, is_update: bool, sparse: bool
) -> None:
    if not sparse:
        check_required(sent, entity, reader)
        if entity.name == "Item":
            names.require_item(sent, reader)
    elif "Line" in entity.required and sent.get("Line") == []:
        reader.refuse(refusals.required_missing("Line"))
    if entity.name in SALES_FORMS:
        sales.require_lines(sent, reader)
    elif entity.name == "Payment":
        payments.require_lines(sent, reader)
    if is_update:
        if not text_of(sent, "SyncToken") and not entity.is_singleton:
            reader.refuse(refusals.required_missing("SyncToken"))
        if text_of(sent, "Id"):
            check_id(text_of(sent, "Id"), reader)


def _raise_shape_faults(books: Books, reader: Reader) -> None:
    reader.raise_first(books.company.switches.multiple_errors)


def _current(books: Books, entity: Entity, object_id: str, sync_token: str) -> Document:
    before = books.company.get(entity.name, object_id)
    if before is None:
        raise Refusal(refusals.not_found())
    if sync_token != text_of(before, "SyncToken") and not (entity.is_singleton and not sync_token):
        raise Refusal(refusals.stale(books.company.switches.stale_name))
    return before


def _draft(entity: Entity, sent: Document, before: Document | None, sparse: bool) -> Document:
    """The object as the client wants it, before QuickBooks sets its own properties."""
    wanted = {key: value for key, value in sent.items() if not is_blank(value)}
    for key in ("Id", "SyncToken", "sparse"):
        wanted.pop(key, None)
    if not before or not sparse:
        return wanted
    writable = {
        key: value
        for key, value in before.items()
        if not isinstance(entity.fields.get(key, AsSent()), Computed) and key not in COMMON_SET
    }
    cleared = {key for key, value in sent.items() if is_blank(value)} - NEVER_CLEARED
    merged = {**writable, **wanted}
    return {key: value for key, value in merged.items() if key not in cleared}


NEVER_CLEARED = {"DisplayName", "PrintOnCheckName", "Name"}  # by a sparse update
COMMON_SET = frozenset(COMMON) - {"CustomField"}


def _is_already_inactive(entity: Entity, sent: Document, before: Document) -> bool:
    """Deactivating an inactive object changes nothing, not even the version."""
    return entity.is_list and sent.get("Active") is False and before.get("Active") is False


# Completing by kind --------------------------------------------------------------------------


def _complete(books: Books, entity: Entity, draft: Document, before: Document | None) -> Document:
    name = entity.name
    if name in NAME_ENTITIES:
        return names.complete_name(books, name, draft, before)
    if name in SALES_FORMS:
        return sales.complete(books, name, draft, before)
    special = _SPECIAL.get(name)
    if special:
        return special(books, draft, before)
    if name in ("PaymentMethod", "Term"):
        return names.complete_short_list(books, name, draft, before)
    return _complete_generic(books, entity, draft, before)


_SPECIAL: dict[str, Callable[[Books, Document, Document | None], Document]] = {
    "Payment": payments.complete,
    "Item": names.complete_item,
    "Account": names.complete_account,
}


def _complete_generic(
    books: Books, entity: Entity, draft: Document, before: Document | None
) -> Document:
    if entity.is_singleton:
        return _merge_deep(before or {}, draft)
    if entity.is_list and entity.name_property:
        name = text_of(draft, entity.name_property)
        if not name:
            raise Refusal(refusals.required_missing(entity.name_property))
        _check_generic_name(books, entity, name, text_of(before, "Id") if before else "")
        draft.setdefault("Active", True)
        if entity.name in ("Class", "Department"):
            draft.setdefault(f"Sub{entity.name}", "ParentRef" in draft)
            draft["FullyQualifiedName"] = name
        if draft["Active"] is False and not name.endswith(" (deleted)"):
            draft[entity.name_property] = f"{name} (deleted)"
    if entity.sequence == "transactions":
        draft.setdefault("TxnDate", books.today())
        books.check_open_period(text_of(draft, "TxnDate"))
        draft.setdefault("CurrencyRef", books.currency_ref())
        lines = parts_of(draft, "Line")
        if lines:
            total = money(sum((number_of(line, "Amount") for line in lines), ZERO))
            if entity.name in _TOTALLED or "TotalAmt" not in draft:
                draft["TotalAmt"] = total
            if entity.name in _OPEN and not before:
                draft["Balance"] = draft["TotalAmt"]
            _number_lines(draft, lines)
    return draft


# payments of these are not simulated: the open amount is the total
_OPEN = {"Bill", "VendorCredit"}
_TOTALLED = {"Bill", "Deposit", "Purchase", "PurchaseOrder", "VendorCredit"}


def _check_generic_name(books: Books, entity: Entity, name: str, own_id: str) -> None:
    if not entity.name_property:
        return
    for object_id, other in books.company.all(entity.name).items():
        if object_id != own_id and text_of(other, entity.name_property) == name:
            detail = books.company.switches.duplicate_name_detail
            raise Refusal(refusals.duplicate_name(object_id, detail))


def _number_lines(draft: Document, lines: list[Document]) -> None:
    numbered: list[Document] = []
    for number, line in enumerate(lines, 1):
        numbered.append({"Id": str(number), "LineNum": Decimal(number), **line})
    draft["Line"] = list(numbered)


def _merge_deep(before: Document, changes: Document) -> Document:
    merged = dict(before)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge_deep(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _finish(
    books: Books, entity: Entity, completed: Document, object_id: str, before: Document | None
) -> Document:
    document = {**completed, **books.system_fields(object_id, before)}
    if entity.name in names.ORDERS:
        return in_order(books.with_names(document, entity.fields), names.ORDERS[entity.name])
    if entity.name in SALES_FORMS:
        return in_order(document, sales.ORDER)
    return in_order(document, payments.ORDER) if entity.name == "Payment" else document


# Effects on other objects --------------------------------------------------------------------


def _settle(books: Books, name: str, before: Document | None, after: Document) -> None:
    object_id = text_of(after, "Id")
    if name == "Payment":
        payments.settle(books, before, after)
        books.world.put(books.company, name, after)
        if not before:
            payments.apply_to_open_invoices(books, object_id)
        return
    if name in sales.OWED and before:
        applied = books.total_applied(before)
        total = number_of(after, "TotalAmt")
        if applied > total:
            payments.release(books, name, object_id, total)
            freed = books.company.all(name)[object_id]
            after = {**after, "LinkedTxn": freed.get("LinkedTxn", [])}
            before = freed
    books.world.put(books.company, name, after)
    if name in sales.OWED:
        _settle_owed(books, name, before, after)
        if name == "Invoice" and not before:
            payments.apply_open_credit(books, object_id)
        elif name == "CreditMemo" and not before:
            payments.apply_new_credit(books, object_id)
    elif name == "Customer":
        names.settle_customer(books, before, after)


def _settle_owed(books: Books, name: str, before: Document | None, after: Document | None) -> None:
    was, now = sales.owed(name, before), sales.owed(name, after)
    old_customer = ref_of(before, "CustomerRef") if before else ""
    new_customer = ref_of(after, "CustomerRef") if after else ""
    if old_customer == new_customer:
        books.move_balance(new_customer, now - was)
    else:
        books.move_balance(old_customer, -was)
        books.move_balance(new_customer, now)


# Delete, void, send --------------------------------------------------------------------------


def _named(books: Books, entity: Entity, body: Json) -> Document:
    """The object to delete or void, after its Id and SyncToken were checked."""
    if not isinstance(body, dict):
        raise Refusal(refusals.wrong_type(entity.name, entity.name))
    reader = Reader()
    values: dict[str, str] = {}
    for key in ("Id", "SyncToken"):
        value = body.get(key)
        values[key] = str(value) if isinstance(value, str | int) else ""
        if not values[key]:
            reader.refuse(refusals.required_missing(key))
    if values["Id"]:
        check_id(values["Id"], reader)
    reader.raise_first()
    return _current(books, entity, values["Id"], values["SyncToken"])


def delete(books: Books, entity: Entity, body: Json) -> Document:
    if entity.name == "RecurringTransaction":
        return oddities.delete_recurring(books, body)
    if entity.is_list or entity.is_singleton or entity.name in NAME_ENTITIES:
        raise Refusal(refusals.unsupported_operation(f"delete on {entity.name}"))
    document = _named(books, entity, body)
    books.check_subscription()
    object_id = text_of(document, "Id")
    books.check_open_period(text_of(document, "TxnDate"))
    if entity.name == "Payment":
        payments.check_not_deposited(books, object_id)
        payments.settle(books, document, None)
    elif entity.name in sales.OWED:
        if any(link.get("TxnType") == "Payment" for link in parts_of(document, "LinkedTxn")):
            raise Refusal(
                refusals.has_dependents(
                    "Unlink the transactions that are linked to this one before you delete it."
                )
            )
        _settle_owed(books, entity.name, document, None)
    books.world.delete(books.company, entity.name, object_id)
    return {"domain": "QBO", "status": "Deleted", "Id": object_id}


def void(books: Books, entity: Entity, body: Json) -> Document:
    if entity.sequence != "transactions":
        raise Refusal(refusals.unsupported_operation(f"void on {entity.name}"))
    before = _named(books, entity, body)
    books.check_subscription()
    object_id = text_of(before, "Id")
    books.check_open_period(text_of(before, "TxnDate"))
    if entity.name == "Payment":
        payments.check_not_deposited(books, object_id)
        after = payments.voided(books, before)
        payments.settle(books, before, after)
        books.world.put(books.company, "Payment", after)
        return after
    if entity.name not in SALES_FORMS:
        after = _voided_generic(books, before)
        books.world.put(books.company, entity.name, after)
        return after
    version = before
    if entity.name in sales.OWED and books.total_applied(before):
        payments.release(books, entity.name, object_id, ZERO)
        before = books.company.all(entity.name)[object_id]
    after = sales.voided(books, {**before, "SyncToken": version["SyncToken"]})
    books.world.put(books.company, entity.name, after)
    _settle_owed(books, entity.name, before, after)
    return after


def _voided_generic(books: Books, before: Document) -> Document:
    note = text_of(before, "PrivateNote")
    lines: list[Json] = [{**line, "Amount": ZERO} for line in parts_of(before, "Line")]
    values: Document = {"PrivateNote": f"{sales.VOIDED} - {note}" if note else sales.VOIDED}
    values |= {"TotalAmt": ZERO, "Line": lines}
    return books.changed(before, **values)


def send(books: Books, entity: Entity, object_id: str, address: str) -> Document:
    """Sends no e-mail; the document records that it was sent."""
    document = read(books, entity, object_id)
    books.check_subscription()
    known = document.get("BillEmail")
    if not address and not known:
        raise Refusal(refusals.email_required())
    values: Document = {
        "EmailStatus": "EmailSent",
        "DeliveryInfo": {"DeliveryType": "Email", "DeliveryTime": books.stamp()},
    }
    if address:
        values["BillEmail"] = {"Address": address}
    after = books.changed(document, **values)
    books.world.put(books.company, entity.name, after)
    return after


def touch(books: Books, entity: str, object_id: str) -> None:
    """A user edits the object inside QuickBooks: only the version changes."""
    document = books.company.get(entity, object_id)
    if document:
        books.world.put(books.company, entity, books.changed(document))
