"""Reads customers from CSV files of other programs. Pure: text in, rows out."""

import csv
import io
from collections.abc import Mapping, Sequence

from quickbooks.cleaning import addresses_in

MAX_NAME_PART = 100  # of a contact's name, as in the form
MAX_FIELD_LENGTH = 1_000
MAX_ROWS = 5_000  # of one file

# Column headings in lower case: ours, QuickBooks' export, address books, Portuguese.
HEADINGS: Mapping[str, Sequence[str]] = {
    "name": ("name", "display name", "customer", "customer full name", "full name", "nome"),
    "given_name": ("first name", "given name", "primeiro nome"),
    "family_name": ("last name", "family name", "surname", "sobrenome"),
    "company_name": ("company", "company name", "organization", "empresa"),
    "email": ("e-mail", "email", "email address", "e-mail address", "e-mail 1 - value"),
    "phone": ("phone", "phone number", "phone numbers", "mobile", "telefone", "phone 1 - value"),
    "street": ("street", "address", "street address", "billing street", "bill address", "rua"),
    "city": ("city", "billing city", "cidade"),
    "state": ("state", "billing state", "province", "estado", "uf"),
    "postal_code": ("zip", "zip code", "postal code", "billing zip", "cep"),
    "notes": ("notes", "note", "memo", "notas"),
}
_FIELD_OF = {heading: field for field, headings in HEADINGS.items() for heading in headings}

Row = dict[str, str]


class NotReadable(Exception):
    """The file is not a list of customers; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # no_table | no_name | too_long


def rows_of_file(content: bytes) -> list[Row]:
    """One row per customer with a name. Raises NotReadable."""
    text = _decoded(content).replace("\x00", "")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as problem:
        raise NotReadable("no_table") from problem
    if len(table) < 2:
        raise NotReadable("no_table")
    fields = [_FIELD_OF.get(heading.strip().casefold()) for heading in table[0]]
    if not {"name", "given_name", "family_name", "company_name"} & set(fields):
        raise NotReadable("no_name")
    if len(table) - 1 > MAX_ROWS:
        raise NotReadable("too_long")
    rows = (tidied(dict(_pairs(fields, line))) for line in table[1:])
    return [row for row in rows if row["name"]]


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")  # what Excel writes on Windows


def _pairs(fields: Sequence[str | None], line: Sequence[str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for field, value in zip(fields, line, strict=False):
        if field and value.strip() and field not in found:
            found[field] = value
    return list(found.items())


def tidied(values: Mapping[str, str]) -> Row:
    """The row with all fields, shortened to fit. A missing name is made from the other fields."""
    row = {field: _line(values.get(field, "")) for field in HEADINGS}
    for field in ("given_name", "family_name"):
        row[field] = row[field][:MAX_NAME_PART]
    contact = f"{row['given_name']} {row['family_name']}".strip()
    row["name"] = row["name"] or row["company_name"] or contact
    row["email"] = ", ".join(_addresses(row["email"]))
    return row


def _addresses(text: str) -> list[str]:
    """The e-mail addresses of a field, each once, without words next to them."""
    found = {one.casefold(): one for one in addresses_in(text) if "@" in one.strip("@")}
    return list(found.values())


def _line(value: str) -> str:
    """The text on one line, without the prefix that other programs
    add to keep spreadsheets from running it."""
    line = " ".join(value.split())
    if line.startswith("'") and line[1:2] in ("=", "+", "-", "@"):
        line = line[1:]
    return line[:MAX_FIELD_LENGTH]
