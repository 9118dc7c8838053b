"""A company's books for operations: the ledger, ids, times and the reference check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from simulator import refusals
from simulator.clock import timestamp
from simulator.documents import (
    Document,
    Json,
    money,
    number_of,
    part_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.refusals import Fault, Refusal
from simulator.schema import Kind, Many, Part, Ref
from simulator.store import Company, World

# QuickBooks' own line items, which are no objects.
SPECIAL_ITEMS = frozenset({"SHIPPING_ITEM_ID", "GRATUITY_ITEM_ID"})


@dataclass(frozen=True, slots=True)
class Books:
    world: World
    company: Company
    includes: frozenset[str] = frozenset()  # from the `include` query parameter

    # Writing ----------------------------------------------------------------------------------

    def stamp(self) -> str:
        return timestamp(self.world.clock.now())

    def today(self) -> str:
        return self.world.clock.today().isoformat()

    def changed(self, before: Document, **values: Json) -> Document:
        """`before` with new values, version and time."""
        return {**before, **values, **self._next_version(before)}

    def _next_version(self, before: Document) -> Document:
        created = part_of(before, "MetaData").get("CreateTime")
        return {
            "SyncToken": str(int(text_of(before, "SyncToken") or "0") + 1),
            "MetaData": {"CreateTime": created, "LastUpdatedTime": self.stamp()},
        }

    def system_fields(self, object_id: str, before: Document | None) -> Document:
        if before:
            version = self._next_version(before)
        else:
            now = self.stamp()
            version = {
                "SyncToken": "0",
                "MetaData": {"CreateTime": now, "LastUpdatedTime": now},
            }
        return {"domain": "QBO", "sparse": False, "Id": object_id, **version}

    def move_balance(self, customer_id: str, amount: Decimal) -> None:
        """Transactions change a customer's balance, but not its SyncToken."""
        customer = self.company.get("Customer", customer_id)
        if not amount or customer is None:
            return
        balance = money(number_of(customer, "Balance") + amount)
        self._put_balance(customer, {"Balance": balance}, amount)
        parent = ref_of(customer, "ParentRef")
        while parent and (above := self.company.get("Customer", parent)):
            self._put_balance(above, {}, amount)
            parent = ref_of(above, "ParentRef")

    def _put_balance(self, customer: Document, values: Document, amount: Decimal) -> None:
        with_jobs = money(number_of(customer, "BalanceWithJobs") + amount)
        metadata = {**part_of(customer, "MetaData"), "LastUpdatedTime": self.stamp()}
        values = {**values, "BalanceWithJobs": with_jobs, "MetaData": metadata}
        self.world.put(self.company, "Customer", {**customer, **values})

    # Rules that several entities share ----------------------------------------------------------

    def check_open_period(self, *days: str) -> None:
        closed_until = text_of(self.company.preference("AccountingInfoPrefs"), "BookCloseDate")
        if closed_until and any(day and day <= closed_until for day in days):
            if self.company.switches.closed_period_code == "5010":
                raise Refusal(refusals.books_closed_as_conflict())
            if self.company.switches.book_close_password:
                raise Refusal(refusals.books_closed_by_password())
            raise Refusal(refusals.books_closed())

    def check_subscription(self) -> None:
        if self.company.switches.subscription_lapsed:
            raise Refusal(refusals.subscription_ended())

    def check_references(self, document: Document, fields: Mapping[str, Kind]) -> None:
        for path, kind, value in _references(document, fields, ""):
            fault = self._judge_reference(path, kind, value)
            if fault:
                raise Refusal(fault)

    def _judge_reference(self, path: str, kind: Ref, value: str) -> Fault | None:
        if kind.entity is None or not value or value in SPECIAL_ITEMS:
            return None
        target = self.company.get(kind.entity, value)
        if target is None:
            if kind.entity == "Item":
                return refusals.unusable_item(path)
            return refusals.unknown_reference(kind.family, value)
        if target.get("Active") is False:
            return refusals.inactive_reference(self.company.switches.inactive_ref_code)
        if kind.entity == "Item" and path != "ParentRef" and target.get("Type") == "Category":
            return refusals.category_as_item()
        return None

    def named_ref(self, entity: str, value: str, name_property: str = "Name") -> Document:
        target = self.company.get(entity, value)
        name = text_of(target, name_property) if target else ""
        return {"value": value, "name": name} if name else {"value": value}

    def exchange_rate(self, currency: str) -> Decimal:
        rate = self.company.get("ExchangeRate", currency)
        return number_of(rate, "Rate") if rate else Decimal(1)

    def currency_ref(self, code: str | None = None) -> Document:
        code = code or self.company.home_currency
        return {"value": code, "name": CURRENCIES.get(code, code)}

    def with_names(self, document: Document, fields: Mapping[str, Kind]) -> Document:
        """Adds the name to every reference, as QuickBooks shows it."""
        named: Document = {}
        for key, value in document.items():
            kind = fields.get(key)
            if isinstance(kind, Ref) and isinstance(value, dict):
                if kind.entity:
                    property_name = NAME_SHOWN.get(kind.entity, "Name")
                    value = self.named_ref(kind.entity, text_of(value, "value"), property_name)
            elif isinstance(kind, Part) and isinstance(value, dict):
                value = self.with_names(value, kind.fields)
            elif isinstance(kind, Many) and isinstance(kind.of, Part):
                value = [self.with_names(part, kind.of.fields) for part in parts_of(document, key)]
            named[key] = value
        return named

    def addressed(self, document: Document, before: Document | None, *keys: str) -> Document:
        """Gives addresses an id and the note that they could not be geocoded."""
        for key in keys:
            address = part_of(document, key)
            if not address:
                document.pop(key, None)
                continue
            old = part_of(before, key) if before else {}
            if "Id" not in address:
                address = {"Id": text_of(old, "Id") or self._address_id(), **address}
            address = {name: value for name, value in address.items() if value != ""}
            address.setdefault("Lat", "INVALID")
            address.setdefault("Long", "INVALID")
            document[key] = address
        return document

    def _address_id(self) -> str:
        number = self.company.sequences.get("addresses", 1) + 1
        self.world.skip_ids(self.company, "addresses", number)
        return str(number)

    def total_applied(self, document: Document) -> Decimal:
        return number_of(document, "TotalAmt") - number_of(document, "Balance")


NAME_SHOWN = {
    "Customer": "DisplayName",
    "Vendor": "DisplayName",
    "Employee": "DisplayName",
    "Item": "FullyQualifiedName",
}
CURRENCIES = {
    "USD": "United States Dollar",
    "CAD": "Canadian Dollar",
    "EUR": "Euro",
    "GBP": "British Pound Sterling",
    "AUD": "Australian Dollar",
    "MXN": "Mexican Peso",
    "BRL": "Brazilian Real",
    "JPY": "Japanese Yen",
    "CHF": "Swiss Franc",
    "INR": "Indian Rupee",
}


def _references(
    document: Document, fields: Mapping[str, Kind], path: str
) -> Iterator[tuple[str, Ref, str]]:
    for key, value in document.items():
        kind = fields.get(key)
        here = f"{path}.{key}" if path else key
        if isinstance(kind, Ref):
            yield here, kind, text_of(value, "value") if isinstance(value, dict) else ""
        elif isinstance(kind, Part) and isinstance(value, dict):
            yield from _references(value, kind.fields, here)
        elif isinstance(kind, Many) and isinstance(kind.of, Part):
            for part in parts_of(document, key):
                yield from _references(part, kind.of.fields, here)


def is_blank(value: Json) -> bool:
    """What a sparse update sends to clear a property: "", {}, {"value": ""}."""
    if isinstance(value, dict):
        return all(each == "" for each in value.values())
    return value == ""
