"""A lead as a customer.

Lengths and the format of e-mail addresses: Intuit's API reference, Customer.
"""

import re
from collections.abc import Mapping

from languages import N_
from models.base import Json
from models.sales import Record
from outbox.company import Fault, Remote
from quickbooks import matching
from quickbooks.cleaning import (
    Cleaned,
    SentText,
    addresses_in,
    clean_line,
    clean_name,
    cleaned,
    each_cleaned,
    loses_letters,
)
from quickbooks.documents import Document, NotWritable
from quickbooks.questions import Question

ENTITY = "Customer"
PAGE: tuple[str, str | None] = ("customerdetail", "nameId")
NAME: str | None = "DisplayName"
USES: tuple[str, ...] = ()
GONE = "customer_gone"
VOIDING: Mapping[str, str] = {"operation": "void"}
NOUN = "customer"
EFFECT = N_("Saved here, but not in QuickBooks. Its invoices wait until this is solved.")
ACCOUNT_FOR: str | None = None
IS_CREATED_ONLY = False
MAY_BE_ENTERED = False  # there are other choices for customers

NAME_LONGEST = 500
EMAIL_LONGEST = 100
ADDRESS_LINE_LONGEST = 500
ADDRESS_LINES_LONGEST = 2000  # Line1 to Line5 together

# Entries of the first release have no name parts.
_PLAIN = {
    "GivenName": SentText("given_name", clean_name, 100),
    "FamilyName": SentText("family_name", clean_name, 100),
    "CompanyName": SentText("company_name", clean_line, 100),
}
_PHONE = SentText("phone", clean_line, 30)
_PLACE = {
    "City": SentText("city", clean_line, 255),
    "CountrySubDivisionCode": SentText("state", clean_line, 255),
    "PostalCode": SentText("postal_code", clean_line, 30),
}
FIELDS: tuple[SentText, ...] = (*_PLAIN.values(), _PHONE, *_PLACE.values())

_EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s,;<>()]+\.[^@\s,;<>().]+")


def document(payload: Json, _links: Mapping[Record, Remote], _settings: Json) -> Document:
    """The customer. A lead's internal notes never leave DunaHub. Raises NotWritable."""
    found: Document = {"DisplayName": name_of(payload)}
    found |= _filled(_PLAIN, payload)
    if email := payload["email"].strip():
        found["PrimaryEmailAddr"] = {"Address": _judged_email(email)}
    if phone := _PHONE.of(payload):
        found["PrimaryPhone"] = {"FreeFormNumber": phone}
    if address := _address(payload):
        found["BillAddr"] = address
    return found


def _filled(texts: Mapping[str, SentText], payload: Json) -> Document:
    return {key: text for key, one in texts.items() if (text := one.of(payload))}


def name_of(payload: Json) -> str:
    """The DisplayName: the name a person chose for QuickBooks, or the lead's own.

    At most 500 characters, one line, no colon (Intuit's API reference, Customer), and unique among
    customers, vendors and employees (*Handling common errors*). Raises NotWritable.
    """
    return judged_name(payload["quickbooks_name"] or payload["name"], NAME_LONGEST)


def suggested_name(payload: Json) -> str:
    """Another name for the same lead, made distinct by a detail that a person would recognize."""
    name = name_of(payload)
    phone = matching.phone_of({"PrimaryPhone": {"FreeFormNumber": payload["phone"]}})
    local = f"{phone[-7:-4]}-{phone[-4:]}" if len(phone) >= 7 else ""
    mark = local or clean_name(payload["city"], 40) or payload["email"].strip()[:60] or "2"
    return f"{name[: NAME_LONGEST - len(mark) - 3]} - {mark}"


def judged_name(name: str, longest: int) -> str:
    """A name that QuickBooks can store. Raises NotWritable."""
    if loses_letters(name):
        raise NotWritable(Fault("name_characters", about={"name": name}, field="name"))
    result = clean_name(name, longest)
    if not result:
        raise NotWritable(Fault("no_name", field="name"))
    return result


def _judged_email(email: str) -> str:
    """One address, or several separated by commas, as QuickBooks keeps them in one field."""
    email = ",".join(map(_judged_address, addresses_in(email) or [email]))
    if len(email) > EMAIL_LONGEST:
        about = {"label": N_("The e-mail address"), "max": EMAIL_LONGEST}
        raise NotWritable(Fault("2050", about=about, field="email"))
    return email


def _judged_address(email: str) -> str:
    if not email.isascii() or not _EMAIL.fullmatch(email):
        raise NotWritable(Fault("2210", about={"email": email}, field="email"))
    return email


def _address(payload: Json) -> Document:
    street = [clean_line(line, ADDRESS_LINE_LONGEST) for line in payload["street"].splitlines()]
    street = [line for line in street if line]
    if len(street) > 5:
        street = [*street[:4], clean_line(" ".join(street[4:]), ADDRESS_LINE_LONGEST)]
    room = ADDRESS_LINES_LONGEST
    address: Document = {}
    for position, line in enumerate(street, start=1):
        if kept := line[:room].rstrip():
            address[f"Line{position}"] = kept
        room -= len(kept)
    return address | _filled(_PLACE, payload)


def find_by(payload: Json, _links: Mapping[Record, Remote], _settings: Json) -> Question:
    """By its name. Raises NotWritable."""
    return Question("DisplayName", name_of(payload))


def marks(document: Document) -> list[Question]:
    """Its name."""
    return [Question("DisplayName", str(document["DisplayName"]))]


def is_same(document: Document, found: Json) -> bool:
    """A customer has no mark: it must equal what we would have created."""
    return matching.same_customer(document, found) or matching.is_our_customer(document, found)


def perhaps_made(document: Document, found: Json) -> bool:
    """A customer who shares a name, an address, a phone number or a company with it."""
    return matching.perhaps_made(document, found)


def cleanings(payload: Json) -> list[Cleaned]:
    """The texts that QuickBooks gets in another form, for people to see."""
    name = payload["quickbooks_name"] or payload["name"]
    address = _address(payload)
    lines = [address.get(f"Line{position}", "") for position in range(1, 6)]
    return [
        *cleaned("name", name, clean_name(name, NAME_LONGEST)),
        *each_cleaned(FIELDS, payload),
        *cleaned("street", payload["street"], " ".join(filter(None, lines))),
    ]
