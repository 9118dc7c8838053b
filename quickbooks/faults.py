"""What QuickBooks complains about: read from any shape it comes in, explained in plain words.

A fault comes as JSON with capital or small keys, as XML although JSON was asked for, inside a 200,
or not at all (an HTML page of a gateway). Only the code decides what we do: messages are written
in the language of the company.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from logs import redact
from models.base import Json
from models.sales import RecordType
from outbox.company import Due, Fault
from quickbooks.catalogue import (
    CATALOGUE,
    DEFAULT_WORDS,
    EFFECTS,
    UNKNOWN,
    Action,
    Cause,
    Class,
)

__all__ = ["Action", "Class", "Explanation", "RemoteFault", "class_of", "explain", "faults_in"]


@dataclass(frozen=True)
class RemoteFault:
    """One error of QuickBooks. `code` is bare: no leading zeros, "" where none was given."""

    code: str
    message: str = ""
    detail: str = ""
    element: str = ""


@dataclass(frozen=True)
class Explanation:
    """A fault as a person reads it."""

    title: str  # of the group of all records with this cause
    cause: str
    effect: str
    field: str | None  # the field on our form that mends it
    actions: tuple[Action, ...]
    detail: str = ""  # QuickBooks' own words, for support


def parse_json(body: str) -> Json | None:
    """A JSON object with exact numbers, or None when the body is something else."""
    try:
        parsed = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def faults_in(body: str) -> list[RemoteFault]:
    """The errors that a body tells of, in any of Intuit's shapes; [] when it tells of none."""
    document = parse_json(body)
    if document is not None:
        return list(_faults_in_object(document))
    if "<" in body and re.search(r"<(?:\w+:)?Error\b", body):
        return list(_faults_in_xml(body))
    return []


def faults_of_item(item: Mapping[str, object]) -> list[RemoteFault]:
    """The errors of one BatchItemResponse."""
    return list(_faults_in_object(item))


def _faults_in_object(document: Mapping[str, object]) -> Iterator[RemoteFault]:
    fault = document.get("Fault") or document.get("fault")
    if not isinstance(fault, dict):
        return
    errors = fault.get("Error") or fault.get("error") or []
    errors = errors if isinstance(errors, list) else [errors]
    told = [error for error in errors if isinstance(error, dict)]
    for error in told:
        message = _text(error, "Message", "message")
        yield RemoteFault(
            _bare_code(_text(error, "code", "Code"), message),
            message,
            _text(error, "Detail", "detail"),
            _text(error, "element", "Element"),
        )
    if not told:
        yield RemoteFault("")  # a Fault that says nothing is a fault all the same


def _text(error: Mapping[str, object], *keys: str) -> str:
    for key in keys:
        value = error.get(key)
        if value is not None:
            return str(value)
    return ""


def _faults_in_xml(body: str) -> Iterator[RemoteFault]:
    # By pattern, not by an XML parser: these bodies come from outside, and are this simple.
    for attributes, content in re.findall(
        r"<(?:\w+:)?Error\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?Error>)", body, re.DOTALL
    ):
        message = _inner(content, "Message")
        yield RemoteFault(
            _bare_code(_attribute(attributes, "code"), message),
            message,
            _inner(content, "Detail"),
            _attribute(attributes, "element"),
        )


def _inner(content: str, tag: str) -> str:
    found = re.search(rf"<(?:\w+:)?{tag}\b[^>]*>(.*?)</(?:\w+:)?{tag}>", content, re.DOTALL)
    return html.unescape(found[1]).strip() if found else ""


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf"""\b{name}\s*=\s*["']([^"']*)["']""", attributes)
    return html.unescape(found[1]).strip() if found else ""


def _bare_code(code: str, message: str) -> str:
    code = code.strip()
    if not code and (named := re.search(r"errorCode=0*(\d+)", message)):
        code = named[1]
    return (code.lstrip("0") or "0") if code.isdigit() else code


# --- What a fault means -------------------------------------------------------------------------


def class_of(fault: RemoteFault) -> Class:
    """What we do about it. The one case told by its text is QuickBooks' own hurry with names."""
    if fault.code == "6000" and "one name at a time" in fault.detail.lower():
        return Class.RETRY
    return CATALOGUE.get(fault.code, UNKNOWN).class_


def explain(code: str, about: Mapping[str, object], detail: str = "") -> Explanation:
    """The sentences, field and buttons of a fault.

    `about` holds the names its sentences use: `record` (lead, product, invoice, payment), `name`,
    `number` and the like. Whatever is not there gets a neutral word.
    """
    cause: Cause = CATALOGUE.get(code, UNKNOWN)
    record = str(about.get("record", ""))
    words = _Words({key: str(value) for key, value in about.items() if value not in (None, "")})
    if code == "6000":
        words["said"] = _business_rule(detail)
    return Explanation(
        title=_first_up(cause.title.format_map(words)),
        cause=_first_up(" ".join(cause.cause.format_map(words).split())),
        effect=cause.effect or EFFECTS.get(record, EFFECTS[""]),
        field=cause.field,
        actions=_buttons(cause, words),
        detail=redact(detail),
    )


def _buttons(cause: Cause, words: "_Words") -> tuple[Action, ...]:
    """The buttons whose needs are known, with the names that they say."""
    return tuple(
        replace(action, label=shorten(action.label.format_map(words).strip(), 60))
        for action in cause.actions
        if all(need in words for need in action.needs)
    )


def shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return DEFAULT_WORDS.get(key, "this record")


def _first_up(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _business_rule(detail: str) -> str:
    """QuickBooks' own sentence, without its label; it is written for people."""
    said = detail.partition(_BETWEEN)[2] or detail  # the message is the same for every rule
    sentence = re.sub(r"^.*?(?:Validation Error|validation)\s*:\s*", "", said, flags=re.DOTALL)
    sentence = redact(" ".join(sentence.split()))
    if not sentence:
        return "one of its own rules"
    return "“" + sentence.rstrip(".") + "”"


# --- Faults of entries --------------------------------------------------------------------------


def said(fault: RemoteFault, due: Due) -> Fault:
    """A fault of QuickBooks', with the names that its sentence uses."""
    about: Json = {}
    field: str | None = None
    match fault.code:
        case "2500" | "6250" | "610":
            about |= _thing_in(fault, due)
        case "2050":
            label, field = _FIELDS.get(fault.element.partition(".")[0], ("A text", None))
            about["label"] = label
            if longest := re.search(r"Max\s*:\s*(\d+)", fault.detail):
                about["max"] = longest[1]
        case "2020" if fault.element:
            about["which"] = f" ({fault.element})"
        case "6200" | "6210":
            about["date"] = due.payload.get("issued_on") or due.payload.get("received_on")
    return about_record(Fault(fault.code, about, field, _words(fault)), due)


_BETWEEN = " — "  # message and detail


def _words(fault: RemoteFault) -> str:
    return _BETWEEN.join(filter(None, [fault.message, fault.detail]))[:2000]


def _thing_in(fault: RemoteFault, due: Due) -> Json:
    """What an inactive or missing reference is, as far as the detail tells."""
    for word, what in (
        ("Names", "customer"),
        ("ItemRef", "product"),
        ("item", "product"),
        ("Account", "account"),
    ):
        if word in fault.detail:
            return {"what": what}
    return {} if due.record.type == RecordType.LEAD else {"what": "customer, product or account"}


_FIELDS: dict[str, tuple[str, str | None]] = {
    "DisplayName": ("The name", "name"),
    "Name": ("The name", "name"),
    "GivenName": ("The first name", "given_name"),
    "FamilyName": ("The last name", "family_name"),
    "CompanyName": ("The company name", "company_name"),
    "DocNumber": ("The number", "number"),
    "PrimaryPhone": ("The phone number", "phone"),
    "PrimaryEmailAddr": ("The e-mail address", "email"),
    "Description": ("A description", "lines"),
}


_KINDS = {
    RecordType.LEAD: "customer",
    RecordType.PRODUCT: "product",
    RecordType.INVOICE: "invoice",
    RecordType.PAYMENT: "payment",
}


def ours(code: str, due: Due, about: Mapping[str, Any] | None = None) -> Fault:
    """A fault that we found ourselves, about this entry."""
    return about_record(Fault(code, dict(about or {})), due)


def about_record(fault: Fault, due: Due) -> Fault:
    """The fault with what every sentence may name, and the field that mends it."""
    about = {
        "record": due.record.type.value,
        "what": _KINDS[due.record.type],
        "name": due.payload.get("name") or due.payload.get("lead_name"),
        "number": due.payload.get("number"),
        **fault.about,
    }
    known = {key: value for key, value in about.items() if value is not None}
    field = fault.field or explain(fault.code, known).field
    return Fault(fault.code, known, field, fault.detail)
