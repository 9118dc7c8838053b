"""Keyset pagination, newest first: each page costs the same, however many come before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import request, url_for
from sqlalchemy import ColumnElement, Select, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from web.access import firm, session

Row = TypeVar("Row")

ROWS_PER_PAGE = 50


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: Sequence[Row]
    older: int | None  # the key where the next page begins
    is_first: bool

    @property
    def older_address(self) -> str:
        return _same_page(before=str(self.older))

    @property
    def newest_address(self) -> str:
        return _same_page(before=None)


@dataclass(frozen=True)
class Sort:
    """A sort order other than newest first. `column` is in the same table as the key."""

    column: ColumnElement[Any] | InstrumentedAttribute[Any]
    ascending: bool = False


def page_of(
    query: Select[Row],
    key: InstrumentedAttribute[int],
    *,
    rows: int = ROWS_PER_PAGE,
    sort: Sort | None = None,
) -> Page[Row]:
    before = asked("before")
    if before.isascii() and before.isdigit() and len(before) < 19:
        query = query.where(_after(key, int(before), sort))
    columns = [key] if sort is None else [sort.column, key]
    order = [one.asc() if sort and sort.ascending else one.desc() for one in columns]
    found = list(session().scalars(query.order_by(*order).limit(rows + 1)))
    older = getattr(found[rows - 1], key.key) if len(found) > rows else None
    return Page(found[:rows], older, not before)


def _after(key: InstrumentedAttribute[int], last: int, sort: Sort | None) -> ColumnElement[bool]:
    """Condition for rows after the last one of a page. Ignores rows of other firms."""
    if sort is None:
        return key < last
    own = key.class_.organization_id == firm().id
    place = select(sort.column).where(key == last, own).scalar_subquery()
    here = tuple_(sort.column, key)
    there = tuple_(place, literal(last))
    return here > there if sort.ascending else here < there


def asked(name: str, most: int = 200) -> str:
    """A query parameter, without characters that the database rejects."""
    return request.args.get(name, "").replace("\x00", "").strip()[:most]


def containing(
    text: str, *columns: InstrumentedAttribute[str] | ColumnElement[str]
) -> ColumnElement[bool]:
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _same_page(**changes: str | None) -> str:
    arguments = {**query(), **(request.view_args or {}), **changes}
    assert request.endpoint
    return url_for(request.endpoint, **{k: v for k, v in arguments.items() if v is not None})


def query() -> dict[str, Any]:
    """The query string for a link with the same parameters, without names reserved by Flask."""
    told = {k: v for k, v in request.args.items() if not k.startswith("_") and k != "endpoint"}
    return {name.replace("\x00", ""): asked(name) for name in told}
