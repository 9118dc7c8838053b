"""What records are called inside a sentence."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.sales import MODELS, Record, RecordType
from presenters.record_types import SHOWN
from web.formats import money
from web.languages import _


def called(type_: RecordType, title: object) -> str:
    """A record in a sentence: customer Green Lawn Co, invoice 1042."""
    return _(SHOWN[type_].called, title=title)


def first_up(words: str) -> str:
    return words[:1].upper() + words[1:]


def needed_by(stored: str) -> str:
    """The record that caused this one to be sent: stored in English,
    shown in the reader's language."""
    kind, _space, title = stored.partition(" ")
    return called(RecordType(kind), title) if kind in set(RecordType) else stored


def names_of(session: Session, records: Iterable[Record]) -> dict[Record, str]:
    """The names of these records: "customer Green Lawn Co", "invoice 1042"."""
    wanted: dict[RecordType, list[int]] = {}
    for record in records:
        wanted.setdefault(record.type, []).append(record.id)
    names: dict[Record, str] = {}
    for type_, ids in wanted.items():
        model = MODELS[type_]
        title: InstrumentedAttribute[Any] = getattr(model, SHOWN[type_].title)
        for key, value in session.execute(select(model.id, title).where(model.id.in_(ids))):
            shown = money(value) if isinstance(value, Decimal) else value
            names[Record(type_, key)] = called(type_, shown)
    return names
