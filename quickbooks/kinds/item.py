"""A product as a service item, without inventory.

Type and income account are required (Intuit's API reference, Item).
"""

from collections.abc import Mapping

from languages import N_
from models.base import Json
from models.sales import Record
from outbox.company import Fault, Remote
from quickbooks.amounts import shortest, unit_price
from quickbooks.cleaning import Cleaned, SentText, clean_name, clean_text, each_cleaned
from quickbooks.documents import Document, NotWritable
from quickbooks.kinds.customer import judged_name
from quickbooks.questions import Question

ENTITY = "Item"
PAGE: tuple[str, str | None] = ("items", None)  # the list: an item has no page
NAME: str | None = "Name"
USES: tuple[str, ...] = ("Account",)
GONE = "610"
VOIDING: Mapping[str, str] = {"operation": "void"}
NOUN = "product"
EFFECT = N_("Saved here, but not in QuickBooks. Invoices that use it wait.")
ACCOUNT_FOR: str | None = None
IS_CREATED_ONLY = True  # it may be shared, and prices are on the lines
MAY_BE_ENTERED = False

NAME_LONGEST = 100
_DESCRIPTION = SentText("description", clean_text, 4000)
# types that a line can use, which excludes categories and bundles
SOLD = ("Service", "NonInventory", "Inventory")
FIELDS: tuple[SentText, ...] = (SentText("name", clean_name, NAME_LONGEST), _DESCRIPTION)


def document(payload: Json, _links: Mapping[Record, Remote], settings: Json) -> Document:
    """The item. Raises NotWritable."""
    account = settings.get("income_account_id")
    if not account:
        raise NotWritable(Fault("no_income_account", about={"item": payload["name"]}))
    found: Document = {
        "Name": name_of(payload),
        "Type": "Service",
        "IncomeAccountRef": {"value": account},
        "UnitPrice": shortest(unit_price(payload["unit_price"])),
        "Taxable": payload["taxable"],
    }
    if description := _DESCRIPTION.of(payload):
        found["Description"] = description
    return found


def name_of(payload: Json) -> str:
    """At most 100 characters, one line, no colon (Intuit's API reference, Item).

    Raises NotWritable.
    """
    # Older snapshots have no separate name for QuickBooks.
    return judged_name(payload.get("quickbooks_name") or payload["name"], NAME_LONGEST)


def find_by(payload: Json, _links: Mapping[Record, Remote], _settings: Json) -> Question:
    """By its name. Raises NotWritable."""
    return Question("Name", name_of(payload))


def marks(document: Document) -> list[Question]:
    """Its name."""
    return [Question("Name", str(document["Name"]))]


def is_same(_document: Document, found: Json) -> bool:
    """An item of that name that lines can use: it may be shared."""
    return found.get("Type") in SOLD


def perhaps_made(_document: Document, _found: Json) -> bool:
    """A renamed item is not looked for: a second one moves no money."""
    return False


def cleanings(payload: Json) -> list[Cleaned]:
    """The texts that QuickBooks gets in another form, for people to see."""
    return each_cleaned(FIELDS, payload)
