"""Tables to take away: CSV that any spreadsheet opens, streamed, and safe to open."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from flask import Response, stream_with_context

BYTE_ORDER_MARK = "\ufeff"  # by it Excel knows that this is UTF-8
# What spreadsheets run instead of showing; the wide forms too, which they take for the narrow ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_of(name: str, rows: Iterable[Sequence[object]]) -> Response:
    """The rows as a file of this name, written while they are read."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    lines = stream_with_context(_lines(rows))
    return Response(lines, mimetype="text/csv", headers=headers)


def _lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield BYTE_ORDER_MARK
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_cell(value) for value in row])
        yield line.getvalue()


def _cell(value: object) -> object:
    """A text that would be a formula is marked as a text. Numbers are no texts."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
