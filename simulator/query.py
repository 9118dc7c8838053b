"""The query language: SELECT … FROM … WHERE … ORDERBY … STARTPOSITION … MAXRESULTS.

Tokens keep their column, because QuickBooks' parser errors mention it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from simulator import refusals
from simulator.clock import parse_moment
from simulator.documents import Document, Json, part_of, text_of
from simulator.oddities import shown_recurring
from simulator.refusals import Refusal
from simulator.schema import Entity, entity_named
from simulator.store import INDEXED, Company
from simulator.validation import checked_path_id

DEFAULT_RESULTS = 100
MAX_RESULTS = 1000
NAMED_IDS = frozenset({"TaxCode", "ExchangeRate"})  # some of their ids are words

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:\\.|[^'\\])*')
      | (?P<number>-?\d+(?:\.\d+)?(?![\w-]))
      | (?P<word>[A-Za-z_][\w.]*)
      | (?P<operator><=|>=|!=|<>|=|<|>)
      | (?P<symbol>[(),*;])
      | (?P<other>\S)
    )""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    kind: str
    text: str
    column: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


class Condition(NamedTuple):
    name: str
    operator: str  # = != < > <= >= IN LIKE
    values: tuple[str, ...]


@dataclass(slots=True)
class Query:
    entity: Entity
    fields: tuple[str, ...] = ()  # empty: all
    counts: bool = False
    conditions: list[Condition] = field(default_factory=list)
    orders: list[tuple[str, bool]] = field(default_factory=list)  # (property, descending)
    start: int = 1
    most: int = DEFAULT_RESULTS


# Parsing -------------------------------------------------------------------------------------


def parse(statement: str) -> Query:
    return _Parser(statement).query()


class _Parser:
    def __init__(self, statement: str) -> None:
        self._tokens = list(_tokens(statement))
        self._position = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._position += 1
        return token

    def _take_word(self, *words: str) -> Token:
        if not self._next.is_word(*words):
            self._fail()
        return self._take()

    def _take_symbol(self, symbol: str) -> None:
        if self._next.text != symbol or self._next.kind != "symbol":
            self._fail()
        self._take()

    def _fail(self) -> None:
        raise Refusal(refusals.unparsable_query(_told(self._next), self._next.column))

    def query(self) -> Query:
        self._take_word("SELECT")
        fields, counts = self._projection()
        self._take_word("FROM")
        if self._next.kind != "word":
            self._fail()
        name = self._take().text
        entity = entity_named(name)
        if entity is None:
            raise Refusal(refusals.invalid_query(f"invalid context declaration: {name}"))
        query = Query(entity, fields, counts)
        if self._next.is_word("WHERE"):
            self._take()
            self._conditions(query)
        self._closing_clauses(query)
        for each in fields:
            _check_property(entity, each, "Property {} not found for Entity {}")
        return query

    def _projection(self) -> tuple[tuple[str, ...], bool]:
        if self._next.is_word("COUNT"):
            self._take()
            self._take_symbol("(")
            self._take_symbol("*")
            self._take_symbol(")")
            return (), True
        fields: list[str] = []
        everything = False
        while True:
            if self._next.text == "*" and self._next.kind == "symbol":
                self._take()
                everything = True
            elif self._next.kind == "word" and not self._next.is_word("FROM"):
                fields.append(self._take().text.removesuffix(".*"))
            else:
                self._fail()
            if self._next.text != ",":
                return (() if everything else tuple(fields)), False
            self._take()

    def _conditions(self, query: Query) -> None:
        while True:
            query.conditions.append(self._condition(query.entity))
            if not self._next.is_word("AND"):
                return
            self._take()

    def _condition(self, entity: Entity) -> Condition:
        if self._next.kind != "word":
            self._fail()
        name = self._take().text
        token = self._take()
        values: tuple[str, ...]
        if token.kind == "operator" and token.text != "<>":
            operator, values = token.text, (self._value(),)
        elif token.is_word("LIKE"):
            operator, values = "LIKE", (self._value(),)
        elif token.is_word("IN"):
            operator, values = "IN", self._values()
        else:
            self._position -= token.kind != "end"
            self._fail()
        name = _check_filter(entity, name)
        if name == "Id" and operator in ("=", "IN") and entity.name not in NAMED_IDS:
            for value in values:
                checked_path_id(value)
        return Condition(name, operator, values)

    def _values(self) -> tuple[str, ...]:
        self._take_symbol("(")
        values = [self._value()]
        while self._next.text == ",":
            self._take()
            values.append(self._value())
        self._take_symbol(")")
        return tuple(values)

    def _value(self) -> str:
        token = self._next
        if token.kind == "string":
            self._take()
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if token.kind == "number" or token.is_word("TRUE", "FALSE"):
            return self._take().text
        self._fail()
        return ""

    def _closing_clauses(self, query: Query) -> None:
        while self._next.kind != "end":
            token = self._take()
            if token.is_word("ORDERBY"):
                self._orders(query)
            elif token.is_word("ORDER"):
                self._take_word("BY")
                self._orders(query)
            elif token.is_word("STARTPOSITION"):
                query.start = max(1, self._count(lowest=0))  # Intuit's PHP SDK sends 0
            elif token.is_word("MAXRESULTS"):
                query.most = min(self._count(lowest=1), MAX_RESULTS)
            elif token.text == ";" and self._next.kind == "end":
                return
            else:
                self._position -= 1
                self._fail()

    def _orders(self, query: Query) -> None:
        while True:
            if self._next.kind != "word":
                self._fail()
            name = _check_filter(query.entity, self._take().text)
            descending = self._next.is_word("DESC")
            if self._next.is_word("ASC", "DESC"):
                self._take()
            query.orders.append((name, descending))
            if self._next.text != ",":
                return
            self._take()

    def _count(self, lowest: int) -> int:
        token = self._next
        if token.kind not in ("number", "string"):
            self._fail()
        try:
            number = int(self._take().text.strip("'"))
        except ValueError:
            raise Refusal(refusals.unparsable_query(_told(token), token.column)) from None
        if number < lowest:
            raise Refusal(
                refusals.invalid_query(
                    f"value {number} is too small. Min allowed value is {lowest}"
                )
            )
        return number


def _tokens(statement: str) -> Iterable[Token]:
    position = 0
    while match := _TOKEN.match(statement, position):
        kind = match.lastgroup or "other"
        yield Token(kind, match.group(kind), match.start(kind) + 1)
        position = match.end()
    yield Token("end", "<EOF>", len(statement.rstrip()) + 1)


def _told(token: Token) -> str:
    kinds = {"string": "<STRING>", "number": "<INTEGER>", "word": "<IDENTIFIER>"}
    if token.kind == "end":
        return '"<EOF>"'
    kind = kinds.get(token.kind)
    if token.is_word("FROM", "WHERE", "AND", "SELECT", "IN", "LIKE", "ORDER", "BY"):
        kind = f'"{token.text}"'
        return f'" {kind} "{token.text} ""'
    return f'" {kind} "{token.text} ""' if kind else f'" "{token.text}" "{token.text} ""'


# Properties ----------------------------------------------------------------------------------


def _check_property(entity: Entity, name: str, words: str) -> str:
    top = name.partition(".")[0]
    if not entity.fields:
        return name
    for known in entity.fields:
        if known.lower() == top.lower():
            return known + name[len(top) :]
    raise Refusal(refusals.invalid_query(words.format(name, entity.name)))


def _check_filter(entity: Entity, name: str) -> str:
    """The property with its correct spelling. Only some can be filtered or sorted by."""
    if name.lower().startswith("metadata."):
        rest = name[9:].lower()
        spelled = {"createtime": "CreateTime", "lastupdatedtime": "LastUpdatedTime"}.get(rest)
        if spelled:
            return f"MetaData.{spelled}"
    name = _check_property(entity, name, "Property {} not found for Entity {}")
    plain = name.removesuffix(".value").removesuffix(".Address").removesuffix(".FreeFormNumber")
    if entity.filters and plain not in entity.filters:
        raise Refusal(refusals.invalid_query(f"property '{name}' is not queryable"))
    return plain if entity.filters else name


# Running -------------------------------------------------------------------------------------


def run(company: Company, query: Query, now: float) -> Document:
    """The content of a QueryResponse."""
    rows = [row for row in _candidates(company, query, now) if _matches(row, query)]
    if query.counts:
        return {"totalCount": len(rows)}
    rows = _page(_sorted(rows, query), query)
    if not rows:
        return {}
    if query.fields:
        rows = [_projected(row, query.fields) for row in rows]
    if query.entity.name in SHOWN_OTHERWISE:
        rows = [SHOWN_OTHERWISE[query.entity.name](row) for row in rows]
    return {query.entity.name: [*rows], "startPosition": query.start, "maxResults": len(rows)}


def _page(rows: list[Document], query: Query) -> list[Document]:
    """Adds the pseudo tax codes (TAX, NON, CustomSalesTax) without counting them, like Intuit's
    bug.

    They end with the last page, so that a client that reads page by page stops.
    """
    first = query.start - 1
    if query.entity.name != "TaxCode":
        return rows[first : first + query.most]
    pseudo = [row for row in rows if not text_of(row, "Id").isdigit()]
    real = [row for row in rows if text_of(row, "Id").isdigit()]
    page = real[first : first + query.most]
    return [*pseudo, *page] if page or not first else []


def _without_id(row: Document) -> Document:
    return {key: value for key, value in row.items() if key not in ("Id", "SyncToken")}


SHOWN_OTHERWISE: dict[str, Callable[[Document], Document]] = {
    "RecurringTransaction": shown_recurring,
    "ExchangeRate": _without_id,
}


def _candidates(company: Company, query: Query, now: float) -> Iterable[Document]:
    """By id or index if a condition allows it, otherwise all objects."""
    entity = query.entity.name
    objects = company.listed(entity, now)
    is_current = objects is company.all(entity)
    for condition in query.conditions:
        if condition.operator not in ("=", "IN"):
            continue
        if condition.name == "Id":
            found = (objects.get(value) for value in dict.fromkeys(condition.values))
            return [row for row in found if row]
        if is_current and condition.name in INDEXED.get(entity, ()):
            values = dict.fromkeys(value.casefold() for value in condition.values)
            return [
                row for value in values for row in company.with_value(entity, condition.name, value)
            ]
    return objects.values()


def _matches(row: Document, query: Query) -> bool:
    told_active = False
    for condition in query.conditions:
        told_active = told_active or condition.name == "Active"
        if not _holds(condition, row):
            return False
    hides = query.entity.is_list and not told_active
    return not (hides and row.get("Active") is False)


def _holds(condition: Condition, row: Document) -> bool:
    value = _value_of(row, condition.name)
    if condition.operator == "LIKE":
        return value is not None and _like(condition.values[0]).match(_as_text(value)) is not None
    if condition.operator in ("=", "IN"):
        return any(_compare(value, each) == 0 for each in condition.values)
    if condition.operator == "!=":
        return _compare(value, condition.values[0]) != 0
    order = _compare(value, condition.values[0])
    if order is None:
        return False
    return _ORDERS[condition.operator](order)


_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}


def _like(pattern: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in pattern.split("%"))
    return re.compile(f"(?:{'.*'.join(parts)})$", re.IGNORECASE | re.DOTALL)


def _value_of(row: Document, name: str) -> Json:
    value: Json = row
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, dict):
        for inner in ("value", "Address", "FreeFormNumber"):
            if inner in value:
                return value[inner]
        return None
    if name == "IsProject" and value is None:
        return False
    return value


def _as_text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | Decimal) else ""


def _compare(value: Json, told: str) -> int | None:
    """-1, 0 or 1; None if the two cannot be compared. Texts ignore case."""
    if value is None:
        return None
    if isinstance(value, bool):
        told = told.lower()
        return _order(_as_text(value), told)
    if isinstance(value, int | Decimal):
        try:
            return _order(Decimal(value), Decimal(told.strip()))
        except InvalidOperation:
            return None
    if not isinstance(value, str):
        return None
    moments = _moments(value, told)
    if moments:
        return _order(*moments)
    if value.isdigit() and told.isdigit():
        return _order(int(value), int(told))
    return _order(value.casefold(), told.casefold())


_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T|$)")


def _moments(value: str, told: str) -> tuple[datetime, datetime] | None:
    if not (_MOMENT.match(value) and re.match(r"\d{4}-\d{2}-\d{2}", told)):
        return None
    try:
        return parse_moment(value), parse_moment(told)
    except ValueError:
        return None


def _order(left: object, right: object) -> int:
    if left == right:
        return 0
    return -1 if left < right else 1  # type: ignore[operator]


# Sorting -------------------------------------------------------------------------------------


def _sorted(rows: list[Document], query: Query) -> list[Document]:
    """Without ORDERBY: lists by name, transactions by last change, newest first."""
    rows = sorted(rows, key=_id_key)
    if not query.orders:
        if query.entity.is_list:
            return sorted(rows, key=_name_key)
        return sorted(rows, key=_changed_at, reverse=True)
    for name, descending in reversed(query.orders):
        rows = sorted(rows, key=lambda row, name=name: _sort_key(row, name), reverse=descending)  # type: ignore[misc]
    return rows


def _id_key(row: Document) -> int:
    object_id = text_of(row, "Id")
    return int(object_id) if object_id.isdigit() else 0


def _name_key(row: Document) -> str:
    for name in ("FullyQualifiedName", "DisplayName", "Name"):
        if name in row:
            return text_of(row, name).casefold()
    return ""


def _changed_at(row: Document) -> tuple[str, int]:
    return text_of(part_of(row, "MetaData"), "LastUpdatedTime"), _id_key(row)


def _sort_key(row: Document, name: str) -> tuple[int, Decimal, str]:
    value = _value_of(row, name)
    if isinstance(value, bool) or value is None:
        return (0, Decimal(bool(value)), "")
    if isinstance(value, int | Decimal):
        return (1, Decimal(value), "")
    text = _as_text(value)
    if name == "Id" and text.isdigit():
        return (1, Decimal(text), "")
    return (2, Decimal(0), text.casefold())


def _projected(row: Document, fields: tuple[str, ...]) -> Document:
    projected: Document = {}
    for name in fields:
        top, _, inner = name.partition(".")
        for key, value in row.items():
            if key.lower() != top.lower():
                continue
            if inner and isinstance(value, dict):
                kept = {each: value[each] for each in value if each.lower() == inner.lower()}
                old = projected.get(key)
                projected[key] = {**old, **kept} if isinstance(old, dict) else kept
            else:
                projected[key] = value
    if "domain" in row:
        projected.setdefault("domain", row["domain"])
        projected["sparse"] = True
    return projected
