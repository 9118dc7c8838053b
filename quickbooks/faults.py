"""QuickBooks' faults: parsed from any format, explained in plain words.

A fault arrives as JSON with capitalized or lower-case keys, as XML although JSON was requested,
inside a 200, or as a gateway's HTML page. Only the code decides how we handle it: messages are in
the language of the company.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from languages import N_, Reader
from logs import redact
from models.base import Json
from models.sales import RecordType
from outbox.company import WAS_LOOKED_FOR, Due, Fault
from outbox.texts import storable
from quickbooks.catalogue import (
    CATALOGUE,
    DEFAULT_EFFECT,
    DEFAULT_WORDS,
    EFFECT_IF_UNKNOWN,
    EFFECT_IF_UNKNOWN_ON_LINKED,
    EFFECT_ON_LINKED,
    ENTERED,
    LEAVE_THEIRS,
    NOT_THERE,
    SKIP,
    UNKNOWN,
    Action,
    Cause,
    Class,
)
from quickbooks.kinds import KINDS, RecordKind

__all__ = ["Action", "Class", "Explanation", "RemoteFault", "class_of", "explain", "faults_in"]


IS_LINKED = "is_linked"  # in what `explain` is told: QuickBooks has the record, in some version


@dataclass(frozen=True)
class RemoteFault:
    """One error of QuickBooks. `code` has no leading zeros; "" if there was none."""

    code: str
    message: str = ""
    detail: str = ""
    element: str = ""
    type: str = ""  # of the whole Fault: ValidationFault, SystemFault, SERVICE, AUTHENTICATION


@dataclass(frozen=True)
class Explanation:
    """A fault as shown to a person."""

    title: str  # heading for all records with this cause
    cause: str
    effect: str
    field: str | None  # the field on our form that fixes it
    actions: tuple[Action, ...]
    detail: str = ""  # QuickBooks' message, for support


def parse_json(body: str) -> Json | None:
    """A JSON object with exact numbers, or None if the body is something else.

    Characters that databases cannot store (NUL, unpaired surrogates) are removed here, for all
    callers.
    """
    try:
        parsed = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    is_odd = "\\u0000" in body or "\\ud" in body.lower()
    cleaned: Json = storable(parsed) if is_odd else parsed
    return cleaned


def faults_in(body: str) -> list[RemoteFault]:
    """The errors in a body, in any of Intuit's formats; [] if there are none.

    Intuit's page *Error codes* shows the format of a Fault; XML and lower-case keys come from its
    gateway, before a call reaches QuickBooks.
    """
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
    type_ = _text(fault, "type", "Type")
    for error in told:
        message = _text(error, "Message", "message")
        yield RemoteFault(
            _bare_code(_text(error, "code", "Code"), message),
            message,
            _text(error, "Detail", "detail"),
            _text(error, "element", "Element"),
            type_,
        )
    if not told:
        yield RemoteFault("", type=type_)  # an empty Fault is still a fault


def _text(error: Mapping[str, object], *keys: str) -> str:
    for key in keys:
        value = error.get(key)
        if value is not None:
            return str(value)
    return ""


def _faults_in_xml(body: str) -> Iterator[RemoteFault]:
    # By pattern, not with an XML parser: these bodies come from outside, and are this simple.
    fault = re.search(r"<(?:\w+:)?Fault\b([^>]*)>", body)
    type_ = _attribute(fault[1], "type") if fault else ""
    for attributes, content in re.findall(
        r"<(?:\w+:)?Error\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?Error>)", body, re.DOTALL
    ):
        message = _inner(content, "Message")
        yield RemoteFault(
            _bare_code(_attribute(attributes, "code"), message),
            message,
            _inner(content, "Detail"),
            _attribute(attributes, "element"),
            type_,
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
    """How to handle it, by its code alone, because messages are in the company's language.

    The one exception is QuickBooks' internal race about names.
    """
    if fault.code == "6000" and "one name at a time" in fault.detail.lower():
        return Class.RETRY
    return CATALOGUE.get(fault.code, UNKNOWN).class_


def explain(
    code: str, about: Mapping[str, object], detail: str = "", reader: Reader | None = None
) -> Explanation:
    """Texts, field and buttons of a fault, in the reader's language (default English).

    `about` holds the names used in the texts: `record` (lead, product, invoice, payment), `name`,
    `number` and so on. Missing names get a neutral word.
    """
    cause: Cause = CATALOGUE.get(code, UNKNOWN)
    reader = reader or Reader()
    kind = _kind_of(about)
    words = _Words({"what": kind.NOUN, **about} if kind else about, reader)
    if cause.ours:
        words["ours"] = reader.say(cause.ours)
    if code == "6000" and (rule := _business_rule(detail)):
        words["said"] = rule
    if about.get(WAS_LOOKED_FOR):
        words["arrived"] = reader.say(NOT_THERE)
    sentence = reader.say(cause.cause).format_map(words)
    return Explanation(
        title=_first_up(reader.say(cause.title).format_map(words)),
        cause=_first_up(re.sub(r" +", " ", sentence).strip()),
        effect=reader.say(cause.effect or _effect_of(cause, kind, about)),
        field=cause.field,
        actions=_buttons(_actions_of(cause, kind), words, reader),
        detail=redact(without_markup(detail)),
    )


def _effect_of(cause: Cause, kind: RecordKind | None, about: Mapping[str, object]) -> str:
    """What it means that it was not sent, by what QuickBooks has of the record."""
    is_linked = about.get(IS_LINKED)
    if cause.is_unknown and not about.get(WAS_LOOKED_FOR):
        return EFFECT_IF_UNKNOWN_ON_LINKED if is_linked else EFFECT_IF_UNKNOWN
    if is_linked:
        return EFFECT_ON_LINKED
    return kind.EFFECT if kind else DEFAULT_EFFECT


def _kind_of(about: Mapping[str, object]) -> RecordKind | None:
    record = str(about.get("record", ""))
    return KINDS[RecordType(record)] if record in set(RecordType) else None


def _actions_of(cause: Cause, kind: RecordKind | None) -> Iterator[Action]:
    """The cause's actions. A document that can be skipped can also be entered by hand."""
    may_be_entered = kind is not None and kind.MAY_BE_ENTERED
    for action in cause.actions:
        if action.name == SKIP.name and may_be_entered and action != LEAVE_THEIRS:
            yield ENTERED
        yield action


def _buttons(actions: Iterable[Action], words: "_Words", reader: Reader) -> tuple[Action, ...]:
    """The buttons whose needs are known, with names filled in."""
    return tuple(
        replace(action, label=_label(action, words, reader))
        for action in actions
        if all(need in words for need in action.needs)
    )


def _label(action: Action, words: "_Words", reader: Reader) -> str:
    return shorten(reader.say(action.label).format_map(words).strip(), 60)


def shorten(text: str, longest: int) -> str:
    """At most this many characters; … replaces the rest."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


class _Words(dict[str, object]):
    """The names used in texts, translated on access."""

    def __init__(self, about: Mapping[str, object], reader: Reader) -> None:
        super().__init__({key: value for key, value in about.items() if value not in (None, "")})
        self.reader = reader

    def __getitem__(self, key: str) -> str:
        if key in self:
            return _spoken(key, super().__getitem__(key), self.reader)
        default = DEFAULT_WORDS.get(key, N_("this record"))
        return self.reader.say(default) if default else ""


def phrase(words: str, **values: object) -> Json:
    """A text of ours (marked with `N_`) as a value: stored as is,
    shown in the reader's language."""
    return {"words": words, **values}


_MARKED = frozenset({"what", "label"})  # always texts of ours
_DAYS = frozenset({"date", "here", "there"})  # of a field's values, those that are days
_AMOUNTS = frozenset({"amount", "refunded", "rest", "total_here", "total_there"})


def _spoken(key: str, value: object, reader: Reader) -> str:
    match value:
        case {"words": str(words), **values}:
            said = {str(name): _spoken(str(name), one, reader) for name, one in values.items()}
            return reader.say(words).format_map(said)
        case list():
            between = "; " if key == "parts" else ", "
            return between.join(_spoken(key, one, reader) for one in value)
        case _ if key in _MARKED:
            return reader.say(str(value))
        case _ if key in _AMOUNTS:
            return reader.money(str(value))
        case _ if key in _DAYS:
            return reader.day(str(value))
    return str(value)


def _first_up(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _business_rule(detail: str) -> str:
    """QuickBooks' own sentence without its label, written for people; "" if there is none."""
    # the message itself is always the same
    said = without_markup(detail.partition(_BETWEEN)[2] or detail)
    sentence = re.sub(r"^.*?(?:Validation Error|validation)\s*:\s*", "", said, flags=re.DOTALL)
    sentence = redact(" ".join(sentence.split()))
    return f"“{sentence.rstrip('.')}”" if sentence else ""


# --- Faults of entries --------------------------------------------------------------------------


def fault_of(fault: RemoteFault, due: Due) -> Fault:
    """The Fault for an error of QuickBooks, with the names that its text uses."""
    about: Json = {}
    field: str | None = None
    match fault.code:
        case "2500" | "6250" | "610":
            about |= _thing_in(fault, due)
        case "2050":
            label, field = _FIELDS.get(fault.element.partition(".")[0], (N_("A text"), None))
            about["label"] = label
            if longest := re.search(r"Max\s*:\s*(\d+)", fault.detail):
                about["max"] = longest[1]
        case "2020" if fault.element:
            about["which"] = f" ({fault.element})"
        case "6200" | "6210":
            about["date"] = due.payload.get("issued_on") or due.payload.get("received_on")
    return about_record(Fault(fault.code, about, field, words_of(fault)), due)


_BETWEEN = " — "  # between message and detail


def words_of(fault: RemoteFault) -> str:
    """QuickBooks' message and detail."""
    words = (without_markup(text) for text in (fault.message, fault.detail))
    return _BETWEEN.join(filter(None, words))[:2000]


_UNREAD = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
# HTML tags only: QuickBooks writes <IDENTIFIER> into messages about a query.
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|body|br|button|center|code|div|em|font|form|h[1-6]|head|hr|html|i|img|input"
    r"|label|li|link|meta|ol|p|pre|small|span|strong|sub|sup|table|tbody|td|th|thead|title|tr|u|ul"
    r"|!doctype)\b[^<>]*>",
    re.IGNORECASE,
)


def without_markup(text: str) -> str:
    """Removes tags, keeps text; also for markup that was escaped twice."""
    for _ in range(2):
        text = _TAG.sub(" ", _UNREAD.sub(" ", html.unescape(text)))
    return " ".join(text.split())


def plain_words(text: str, longest: int = 300) -> str:
    """The text of an HTML page that came instead of an answer."""
    return shorten(redact(without_markup(text[:20_000])), longest)


def _thing_in(fault: RemoteFault, due: Due) -> Json:
    """What an inactive or missing reference is, as far as the detail says."""
    for word, what in (
        ("Names", N_("customer")),
        ("ItemRef", N_("product")),
        ("item", "product"),
        ("Account", N_("account")),
    ):
        if word in fault.detail:
            return {"what": what}
    return (
        {} if due.record.type == RecordType.LEAD else {"what": N_("customer, product or account")}
    )


_FIELDS: dict[str, tuple[str, str | None]] = {
    "DisplayName": (N_("The name"), "name"),
    "Name": (N_("The name"), "name"),
    "GivenName": (N_("The first name"), "given_name"),
    "FamilyName": (N_("The last name"), "family_name"),
    "CompanyName": (N_("The company name"), "company_name"),
    "DocNumber": (N_("The number"), "number"),
    "PrimaryPhone": (N_("The phone number"), "phone"),
    "PrimaryEmailAddr": (N_("The e-mail address"), "email"),
    "Description": (N_("A description"), "lines"),
}


def ours(code: str, due: Due, about: Mapping[str, Any] | None = None) -> Fault:
    """A fault that we found ourselves, for this entry."""
    return about_record(Fault(code, dict(about or {})), due)


def about_record(fault: Fault, due: Due) -> Fault:
    """The fault with names for its texts, and the field that fixes it."""
    about = {
        "record": due.record.type.value,
        "what": KINDS[due.record.type].NOUN,
        "name": due.payload.get("name") or due.payload.get("lead_name"),
        "number": due.payload.get("number"),
        **fault.about,
    }
    known = {key: value for key, value in about.items() if value is not None}
    field = fault.field or explain(fault.code, known).field
    return Fault(fault.code, known, field, fault.detail)
