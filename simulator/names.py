"""Customers, vendors and employees, which share one namespace and id sequence; items; accounts."""

from __future__ import annotations

from simulator import refusals
from simulator.books import CURRENCIES, Books
from simulator.documents import (
    ZERO,
    Document,
    money,
    number_of,
    part_of,
    ref_of,
    text_of,
)
from simulator.refusals import Refusal
from simulator.schema import ACCOUNT_SUBTYPES, ACCOUNT_TYPES
from simulator.store import DELETED_SUFFIX, folded_name
from simulator.validation import Reader

NAME_PARTS = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
MAX_LEVELS = 5  # levels of sub-customers, sub-items or sub-accounts

CUSTOMER_ORDER = tuple(
    "Taxable BillAddr ShipAddr Notes Job BillWithParent ParentRef Level CustomerTypeRef "
    "SalesTermRef PaymentMethodRef Balance OpenBalanceDate BalanceWithJobs CurrencyRef "
    "PreferredDeliveryMethod ResaleNum domain sparse Id SyncToken MetaData Title GivenName "
    "MiddleName FamilyName Suffix FullyQualifiedName CompanyName DisplayName PrintOnCheckName "
    "Active PrimaryPhone AlternatePhone Mobile Fax PrimaryEmailAddr WebAddr "
    "DefaultTaxCodeRef".split()
)
VENDOR_ORDER = tuple(
    "BillAddr TermRef Balance AcctNum Vendor1099 CurrencyRef domain sparse Id SyncToken MetaData "
    "Title GivenName MiddleName FamilyName Suffix CompanyName DisplayName PrintOnCheckName Active "
    "PrimaryPhone AlternatePhone Mobile Fax PrimaryEmailAddr WebAddr".split()
)
EMPLOYEE_ORDER = tuple(
    "SSN PrimaryAddr BillableTime domain sparse Id SyncToken MetaData Title GivenName MiddleName "
    "FamilyName Suffix DisplayName PrintOnCheckName Active PrimaryPhone".split()
)
ITEM_ORDER = tuple(
    "Name Sku Description Active SubItem ParentRef Level FullyQualifiedName Taxable "
    "SalesTaxIncluded UnitPrice Type IncomeAccountRef PurchaseDesc PurchaseCost ExpenseAccountRef "
    "AssetAccountRef TrackQtyOnHand QtyOnHand InvStartDate domain sparse Id SyncToken "
    "MetaData".split()
)
ACCOUNT_ORDER = tuple(
    "Name SubAccount ParentRef Description FullyQualifiedName Active Classification AccountType "
    "AccountSubType AcctNum CurrentBalance CurrentBalanceWithSubAccounts CurrencyRef domain sparse "
    "Id SyncToken MetaData".split()
)
ORDERS = {
    "Customer": CUSTOMER_ORDER,
    "Vendor": VENDOR_ORDER,
    "Employee": EMPLOYEE_ORDER,
    "Item": ITEM_ORDER,
    "Account": ACCOUNT_ORDER,
}


# People and firms ----------------------------------------------------------------------------


def complete_name(books: Books, entity: str, draft: Document, before: Document | None) -> Document:
    name = _display_name(draft)
    if not name:
        raise Refusal(refusals.no_name())
    active = draft.get("Active", before.get("Active", True) if before else True) is not False
    own_id = text_of(before, "Id") if before else ""
    _check_unique(books, entity, own_id, name)
    draft = {key: value for key, value in draft.items() if value != ""}
    draft["DisplayName"] = name if active else name + DELETED_SUFFIX
    draft["Active"] = active
    draft.setdefault("PrintOnCheckName", name)
    _check_currency(books, draft, before)
    match entity:
        case "Customer":
            return _complete_customer(books, draft, before, name)
        case "Vendor":
            draft["Balance"] = number_of(before, "Balance") if before else ZERO
            draft.setdefault("Vendor1099", False)
            return books.addressed(draft, before, "BillAddr", "ShipAddr")
        case _:
            draft.pop("CurrencyRef", None)
            draft.setdefault("BillableTime", False)
            return books.addressed(draft, before, "PrimaryAddr")


def _display_name(draft: Document) -> str:
    given = text_of(draft, "DisplayName").removesuffix(DELETED_SUFFIX).strip()
    return given or " ".join(filter(None, (text_of(draft, part) for part in NAME_PARTS))).strip()


def _check_unique(books: Books, entity: str, own_id: str, name: str) -> None:
    company = books.company
    holder = company.name_holder(name)
    if holder is None or holder == (entity, own_id):
        return
    other = company.get(*holder)
    if other and (other.get("Active") is not False or company.switches.inactive_names_reserved):
        fault = refusals.duplicate_name(holder[1], company.switches.duplicate_name_detail)
        raise Refusal(fault)


def _check_currency(books: Books, draft: Document, before: Document | None) -> None:
    code = ref_of(draft, "CurrencyRef")
    if before:
        fixed = before.get("CurrencyRef")
        if fixed is not None:
            draft["CurrencyRef"] = fixed  # fixed at creation
        return
    if code and code not in CURRENCIES:
        raise Refusal(refusals.unknown_currency(code))
    if code and code != books.company.home_currency and not _many_currencies(books):
        raise Refusal(
            refusals.business_rule("Multicurrency is not turned on for this company. CurrencyRef")
        )
    draft["CurrencyRef"] = books.currency_ref(code)


def _many_currencies(books: Books) -> bool:
    return books.company.preference("CurrencyPrefs").get("MultiCurrencyEnabled") is True


def _complete_customer(
    books: Books, draft: Document, before: Document | None, name: str
) -> Document:
    if draft.get("PreferredDeliveryMethod") == "Email" and not part_of(draft, "PrimaryEmailAddr"):
        raise Refusal(refusals.email_required())
    opening = number_of(draft, "Balance") if not before else ZERO
    draft["Balance"] = number_of(before, "Balance") if before else opening
    draft["BalanceWithJobs"] = number_of(before, "BalanceWithJobs") if before else opening
    draft.setdefault("Taxable", True)
    draft.setdefault("PreferredDeliveryMethod", "Print")
    if draft["Taxable"] is True and books.company.is_us:
        # QuickBooks gives new taxable customers the company's own tax code.
        draft.setdefault("DefaultTaxCodeRef", {"value": "2"})
    parent = _parent(books, "Customer", draft, before)
    draft["Job"] = parent is not None
    draft.setdefault("BillWithParent", False)
    draft.pop("Level", None)
    if parent:
        draft["ParentRef"] = {"value": text_of(parent, "Id")}
        draft["Level"] = _level(parent)
    draft["FullyQualifiedName"] = _qualified(parent, text_of(draft, "DisplayName"))
    return books.addressed(draft, before, "BillAddr", "ShipAddr")


def settle_customer(books: Books, before: Document | None, after: Document) -> None:
    """Renames also change sub-customers; an opening balance is added to the parents."""
    own_id = text_of(after, "Id")
    if before and before.get("FullyQualifiedName") != after.get("FullyQualifiedName"):
        _rename_children(books, "Customer", own_id, "DisplayName")
    if not before and (opening := number_of(after, "Balance")):
        parent = ref_of(after, "ParentRef")
        while parent and (above := books.company.get("Customer", parent)):
            with_jobs = money(number_of(above, "BalanceWithJobs") + opening)
            books.world.put(books.company, "Customer", {**above, "BalanceWithJobs": with_jobs})
            parent = ref_of(above, "ParentRef")


def _rename_children(books: Books, entity: str, parent_id: str, name_property: str) -> None:
    parent = books.company.get(entity, parent_id)
    for child in list(books.company.with_value(entity, "ParentRef", parent_id)):
        qualified = _qualified(parent, text_of(child, name_property))
        books.world.put(books.company, entity, {**child, "FullyQualifiedName": qualified})
        _rename_children(books, entity, text_of(child, "Id"), name_property)


# Hierarchies ---------------------------------------------------------------------------------


def _parent(books: Books, entity: str, draft: Document, before: Document | None) -> Document | None:
    parent_id = ref_of(draft, "ParentRef")
    if not parent_id:
        draft.pop("ParentRef", None)
        return None
    parent = books.company.get(entity, parent_id)
    if parent is None:
        return None  # the reference check has reported it
    own_id = text_of(before, "Id") if before else None
    above: Document | None = parent
    while above is not None:
        if text_of(above, "Id") == own_id:
            raise Refusal(refusals.parent_below_child())
        above = books.company.get(entity, ref_of(above, "ParentRef"))
    if _level(parent) >= MAX_LEVELS:
        raise Refusal(refusals.too_deep())
    return parent


def _level(parent: Document) -> int:
    level = parent.get("Level")
    return (level if isinstance(level, int) else 0) + 1


def _qualified(parent: Document | None, name: str) -> str:
    return f"{text_of(parent, 'FullyQualifiedName')}:{name}" if parent else name


# Items ---------------------------------------------------------------------------------------


def require_item(draft: Document, reader: Reader) -> None:
    kind = text_of(draft, "Type")
    if not kind:
        reader.refuse(refusals.required_missing("Type"))
    needed = {
        "Service": ("IncomeAccountRef",),
        "Inventory": (
            "IncomeAccountRef",
            "AssetAccountRef",
            "ExpenseAccountRef",
            "QtyOnHand",
            "InvStartDate",
        ),
    }.get(kind, ())
    for parameter in needed:
        if draft.get(parameter) in (None, {"value": ""}):
            reader.refuse(refusals.required_missing(parameter))


def complete_item(books: Books, draft: Document, before: Document | None) -> Document:
    name = text_of(draft, "Name").removesuffix(DELETED_SUFFIX).strip()
    parent = _parent(books, "Item", draft, before)
    _check_item_name(books, name, parent, before)
    for parameter, allowed in _ITEM_ACCOUNTS:
        account = books.company.get("Account", ref_of(draft, parameter))
        if account and text_of(account, "AccountType") not in allowed:
            raise Refusal(refusals.wrong_account_type())
    active = draft.get("Active", before.get("Active", True) if before else True) is not False
    draft = {key: value for key, value in draft.items() if value not in ("", {"value": ""})}
    draft["Name"] = name if active else name + DELETED_SUFFIX
    draft["Active"] = active
    draft.pop("SubItem", None)
    draft.pop("Level", None)
    if parent:
        draft["SubItem"] = True
        draft["ParentRef"] = books.named_ref("Item", text_of(parent, "Id"))
        draft["Level"] = _level(parent)
    draft["FullyQualifiedName"] = _qualified(parent, text_of(draft, "Name"))
    draft.setdefault("Taxable", False)
    if draft["Type"] != "Category":
        draft.setdefault("UnitPrice", ZERO)
        draft.setdefault("PurchaseCost", ZERO)
    draft.setdefault("TrackQtyOnHand", draft["Type"] == "Inventory")
    return draft


_ITEM_ACCOUNTS = (
    ("IncomeAccountRef", {"Income", "Other Income"}),
    ("ExpenseAccountRef", {"Cost of Goods Sold", "Expense", "Other Expense"}),
    ("AssetAccountRef", {"Other Current Asset"}),
)


def _check_item_name(
    books: Books, name: str, parent: Document | None, before: Document | None
) -> None:
    own_id = text_of(before, "Id") if before else ""
    parent_id = text_of(parent, "Id") if parent else ""
    for stored in (name, name + DELETED_SUFFIX):
        for other in books.company.with_value("Item", "Name", stored):
            reserved = books.company.switches.inactive_names_reserved or other.get("Active")
            same_place = ref_of(other, "ParentRef") == parent_id
            if text_of(other, "Id") != own_id and same_place and reserved:
                detail = books.company.switches.duplicate_name_detail
                raise Refusal(refusals.duplicate_name(text_of(other, "Id"), detail))


# Accounts ------------------------------------------------------------------------------------


def complete_account(books: Books, draft: Document, before: Document | None) -> Document:
    name = text_of(draft, "Name").removesuffix(DELETED_SUFFIX).strip()
    own_id = text_of(before, "Id") if before else ""
    parent = _parent(books, "Account", draft, before)
    for other in books.company.with_value("Account", "Name", name):
        same_place = ref_of(other, "ParentRef") == (text_of(parent, "Id") if parent else "")
        if text_of(other, "Id") != own_id and same_place:
            detail = books.company.switches.duplicate_name_detail
            raise Refusal(refusals.duplicate_name(text_of(other, "Id"), detail))
    kind = text_of(draft, "AccountType") or _type_of_subtype(text_of(draft, "AccountSubType"))
    if not kind:
        raise Refusal(refusals.account_type_missing())
    active = draft.get("Active", before.get("Active", True) if before else True) is not False
    draft = {key: value for key, value in draft.items() if value not in ("", {"value": ""})}
    classification, subtype = ACCOUNT_TYPES[kind]
    draft["Name"] = name if active else name + DELETED_SUFFIX
    draft["Active"] = active
    draft["SubAccount"] = parent is not None
    if parent:
        draft["ParentRef"] = {"value": text_of(parent, "Id")}
    draft["FullyQualifiedName"] = _qualified(parent, text_of(draft, "Name"))
    draft["AccountType"] = kind
    draft["Classification"] = classification
    draft.setdefault("AccountSubType", subtype)
    draft["CurrentBalance"] = number_of(before, "CurrentBalance") if before else ZERO
    draft["CurrentBalanceWithSubAccounts"] = draft["CurrentBalance"]
    draft["CurrencyRef"] = books.currency_ref(ref_of(draft, "CurrencyRef") or None)
    return draft


def _type_of_subtype(subtype: str) -> str:
    for kind, (_, usual) in ACCOUNT_TYPES.items():
        if subtype == usual or subtype in ACCOUNT_SUBTYPES.get(kind, ()):
            return kind
    return ""


# Payment methods and terms -------------------------------------------------------------------


def complete_short_list(
    books: Books, entity: str, draft: Document, before: Document | None
) -> Document:
    name = text_of(draft, "Name").removesuffix(DELETED_SUFFIX).strip()
    own_id = text_of(before, "Id") if before else ""
    for object_id, other in books.company.all(entity).items():
        if object_id != own_id and folded_name(text_of(other, "Name")) == folded_name(name):
            detail = books.company.switches.duplicate_name_detail
            raise Refusal(refusals.duplicate_name(object_id, detail))
    active = draft.get("Active", before.get("Active", True) if before else True) is not False
    draft = {key: value for key, value in draft.items() if value != ""}
    draft["Name"] = name if active else name + DELETED_SUFFIX
    draft["Active"] = active
    if entity == "PaymentMethod":
        draft.setdefault("Type", "NON_CREDIT_CARD")
    else:
        draft["Type"] = "DATE_DRIVEN" if draft.get("DayOfMonthDue") else "STANDARD"
        draft.setdefault("DueDays", ZERO)
    return draft
