"""Intuit's XML: writes our documents in the schema's order, and parses a client's XML.

JSON and XML have the same content: a reference is an element with the id as text and the name as
attribute, a list is a repeated element; `domain`, `sparse` and `status` are attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from simulator.clock import envelope_time
from simulator.documents import Document, Json, Malformed
from simulator.elements import ATTRIBUTES, NUMBERS, REFERENCES, TYPES, Element

NAMESPACE = "http://schema.intuit.com/finance/v3"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
# Envelope properties that XML writes as attributes.
_ENVELOPE = ("bId", "operation", "optionsData", "startPosition", "maxResults", "totalCount")
_WRITTEN_AS_ATTRIBUTES = frozenset((*ATTRIBUTES, *_ENVELOPE))
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# For entities not in the schema facts (Vendor, Bill, …): what the name means in other entities.
_BY_NAME: dict[str, Element] = {}
for _children in TYPES.values():
    for _name, _element in _children.items():
        _BY_NAME.setdefault(_name, _element)


def _known(kind: str, name: str) -> Element | None:
    """The element for a child of a type."""
    children = TYPES.get(kind)
    if children is not None:
        return children.get(name)
    if name in TYPES:
        return Element(name, name, repeats=name in _REPEATED)
    return _BY_NAME.get(name)


_REPEATED = frozenset({"Line", "CustomField", "LinkedTxn"})


# Writing -------------------------------------------------------------------------------------


def to_xml(content: Document, now: float) -> bytes:
    inside = "".join(_written(name, value, name) for name, value in content.items())
    return _enveloped(inside, now)


def fault_xml(fault: Document, now: float) -> bytes:
    return _enveloped(_fault(fault), now)


def _enveloped(inside: str, now: float) -> bytes:
    opening = f'<IntuitResponse xmlns="{NAMESPACE}" time="{envelope_time(now)}">'
    return f"{HEAD}{opening}{inside}</IntuitResponse>".encode()


def _written(name: str, value: Json, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_written(name, each, kind) for each in value)
    if not isinstance(value, dict):
        return f"<{name}>{_escaped(value)}</{name}>"
    if name == "Fault":
        return _fault(value)
    if kind in REFERENCES or (kind not in TYPES and set(value) <= {"value", "name"} and value):
        return _reference(name, value)
    if "any" in value:
        return f"<{name}>{_any(value['any'])}</{name}>"
    told = (f" {key}={_quoted(value[key])}" for key in value if key in _WRITTEN_AS_ATTRIBUTES)
    children = "".join(
        _written(key, value[key], element.type if (element := _known(kind, key)) else key)
        for key in _in_order(value, kind)
    )
    return f"<{name}{''.join(told)}>{children}</{name}>"


def _in_order(value: Document, kind: str) -> Iterable[str]:
    """In the schema's order; unknown elements come last."""
    ordered = [name for name in TYPES.get(kind, ()) if name in value]
    ordered += [name for name in value if name not in ordered]
    return (name for name in ordered if name not in _WRITTEN_AS_ATTRIBUTES)


def _reference(name: str, value: Document) -> str:
    told = (f" {key}={_quoted(value[key])}" for key in ("name", "type") if key in value)
    return f"<{name}{''.join(told)}>{_escaped(value.get('value'))}</{name}>"


def _any(values: Json) -> str:
    """JSON shows Java's wrapper around these; XML has only the elements."""
    told = ""
    for each in values if isinstance(values, list) else ():
        if isinstance(each, dict):
            name = str(each.get("name", "")).rpartition("}")[2]
            told += _written(name, each.get("value"), name)
    return told


def _fault(fault: Document) -> str:
    errors = fault.get("Error")
    inside = ""
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            told = f" element={_quoted(error['element'])}" if error.get("element") else ""
            inside += f"<Error code={_quoted(error.get('code'))}{told}>"
            inside += f"<Message>{_escaped(error.get('Message'))}</Message>"
            inside += f"<Detail>{_escaped(error.get('Detail'))}</Detail></Error>"
    return f"<Fault type={_quoted(fault.get('type'))}>{inside}</Fault>"


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}" if value else "0"
    return "" if value is None else _FORBIDDEN.sub("", str(value))


def _escaped(value: Json) -> str:
    return escape(_text(value))


def _quoted(value: Json) -> str:
    return quoteattr(_text(value))


# Reading -------------------------------------------------------------------------------------


def parse_xml(text: bytes) -> Document:
    """The document inside the root: an object, or {"BatchItemRequest": […]}. Raises Malformed."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Malformed("DOCTYPE is not allowed")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities
    except ElementTree.ParseError as error:
        raise Malformed(str(error)) from error
    kind = _local(root.tag)
    if kind == "IntuitBatchRequest":
        items: list[Json] = [_batch_item(item) for item in root]
        return {"BatchItemRequest": items}
    return _object(root, kind)


def _batch_item(item: ElementTree.Element) -> Document:
    told: Document = dict(item.attrib)
    for child in item:
        name = _local(child.tag)
        is_plain = name in ("Query", "optionsData")
        told[name] = (child.text or "") if is_plain else _object(child, name)
    return told


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _object(element: ElementTree.Element, kind: str) -> Document:
    read: Document = {}
    for name, told in element.attrib.items():
        if name in ATTRIBUTES:
            read[name] = told.lower() == "true" if name == "sparse" else told
    for child in element:
        name = _local(child.tag)
        known = _known(kind, name)
        value = _value(child, known)
        before = read.get(name)
        if isinstance(before, list):
            before.append(value)
        elif name in read:
            read[name] = [before, value]
        else:
            read[name] = [value] if known and known.repeats else value
    return read


def _value(element: ElementTree.Element, known: Element | None) -> Json:
    text = element.text or ""
    kind = known.type if known else ""
    if kind in REFERENCES and not len(element):
        return {"value": text.strip(), **element.attrib}
    if kind == "IntuitAnyType":
        return _object(element, "")
    if len(element) or kind in TYPES:
        return _object(element, kind or _local(element.tag))
    if not known and _local(element.tag).endswith("Ref"):
        return {"value": text.strip(), **element.attrib}
    return _leaf(text, kind)


def _leaf(text: str, kind: str) -> Json:
    """The text as the type that JSON would have. What doesn't fit
    stays text and is refused later."""
    if kind == "boolean" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    if kind in NUMBERS and text.strip():
        try:
            number = Decimal(text.strip())
        except InvalidOperation:
            return text
        return number if number.is_finite() else text
    return text
