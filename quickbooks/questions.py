"""Queries to QuickBooks: written here, and parsed again from a stored request.

Rows are billed and calls are counted, so entries with the same kind of question share one query.
Its values are in the order of the request's items.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_ROWS = 1000  # Intuit's limit per answer

# of these, inactive rows are hidden unless requested
_LISTS = ("Customer", "Item", "Account", "PaymentMethod", "TaxCode")

# QuickBooks' name, in a fault, for something that a document uses
_CALLED = {
    "Customer": "Names",
    "Item": "ItemRef",
    "Account": "Account",
    "PaymentMethod": "PaymentMethod",
    "TaxCode": "TaxCode",
}


def first_doubted(uses: Sequence[str], detail: str) -> str | None:
    """What to check after a fault that only says that something is inactive; None if it names
    something that such a document does not use."""
    told = [kind for kind, called in _CALLED.items() if called in detail]
    kinds = [kind for kind in uses if kind in told or not told]
    return kinds[0] if kinds else None


def next_doubted(uses: Sequence[str], kind: str) -> str:
    """What to check if nothing of this kind is inactive."""
    rest = uses[uses.index(kind) + 1 :] if kind in uses else ()
    return rest[0] if rest else "nothing"


@dataclass(frozen=True)
class Question:
    """A look-up: rows of the kind whose property `name` is `value`."""

    name: str
    value: str
    and_: str = ""  # a further condition; such a question has its own query
    about: str = ""  # another kind than the entry's own: something its document uses
    others: tuple[str, ...] = ()  # further values of such a question

    @property
    def key(self) -> str:
        """The question's key in an entry's knowledge."""
        return f"{self.name}={self.value}{self.and_}"

    @property
    def goes_alone(self) -> bool:
        """Whether it cannot share a query with other entries' questions."""
        return bool(self.and_ or self.about)


# The objects that were created last: of them one may be ours, changed there since. Nobody can
# change when it was created, and the note with our mark can't be asked for.
NEWEST = Question("MetaData.CreateTime", "newest")


def on_day(day: str) -> str:
    """A further condition: documents of this date."""
    return f" AND TxnDate = '{day}'"


def of_amount(amount: str) -> str:
    """A further condition: documents of this total, in dollars."""
    return f" AND TotalAmt = '{amount}'"


def statement(entity: str, questions: Sequence[Question]) -> str:
    """One query for questions of one kind and property.

    Values in single quotes, escaped with a backslash; conditions only joined by AND; at most a
    thousand rows; lists hide inactive rows unless these are named (Intuit's guide, *Data queries*).
    """
    first = questions[0]
    if first == NEWEST:
        shown = " WHERE Active IN (true, false)" if entity in _LISTS else ""
        return (
            f"SELECT * FROM {entity}{shown}"  # noqa: S608  (not SQL)
            f" ORDERBY {NEWEST.name} DESC MAXRESULTS {MAX_ROWS}"
        )
    if first.about:
        ids = ", ".join(_quoted(value) for value in (first.value, *first.others))
        return _select(first.about, f"Id IN ({ids})")
    values = ", ".join(_quoted(question.value) for question in questions)
    condition = f"{first.name} IN ({values})"
    if first.and_:
        condition = f"{first.name} = {values}{first.and_}"
    return _select(entity, condition)


def _select(entity: str, condition: str) -> str:
    shown = condition + (" AND Active IN (true, false)" if entity in _LISTS else "")
    return f"SELECT * FROM {entity} WHERE {shown} MAXRESULTS {MAX_ROWS}"  # noqa: S608  (not SQL)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def kind_asked(statement: str) -> str:
    """The kind of object in a statement of ours."""
    return statement.partition(" FROM ")[2].partition(" ")[0]


_TAIL = re.compile(r"( AND Active IN \(true, false\))? MAXRESULTS \d+$")
_MORE = re.compile(r" AND (?:TxnDate|TotalAmt) = '[^']*'$")


def asked(statement: str) -> list[Question]:
    """The questions in a statement of ours, in the order of its values. `NEWEST` is asked once for
    all items of a request."""
    if f" ORDERBY {NEWEST.name} " in statement:
        return [NEWEST]
    name, _, rest = _TAIL.sub("", statement).partition(" WHERE ")[2].partition(" ")
    more = _MORE.search(rest) if name == "CustomerRef" else None
    values = re.findall(r"'((?:\\.|[^'\\])*)'", rest[: more.start()] if more else rest, re.DOTALL)
    return [
        Question(name, re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL), more[0] if more else "")
        for value in values
    ]
