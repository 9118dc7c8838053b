"""Names, types and order of the elements of QuickBooks' documents, from Intuit's schema.

`facts/elements.json` has for each type its children's names and types, and whether they repeat, in
the order that XML requires (Intuit's published XSD, namespace finance/v3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTES = ("domain", "status", "sparse")  # of every object


@dataclass(frozen=True, slots=True)
class Element:
    name: str
    type: str
    repeats: bool


def _load() -> tuple[dict[str, dict[str, Element]], dict[str, list[str]]]:
    told = json.loads((Path(__file__).parent / "facts" / "elements.json").read_text("utf-8"))
    types = {
        name: {child: Element(child, kind, repeats) for child, kind, repeats in children}
        for name, children in told["types"].items()
    }
    return types, told["enumerations"]


TYPES, ENUMERATIONS = _load()
REFERENCES = frozenset({"ReferenceType", "MemoRef", "EntityTypeRef"})  # a text with attributes
NUMBERS = frozenset({"decimal", "int", "positiveInteger"})
