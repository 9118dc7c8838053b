"""CSV downloads, streamed, readable by any spreadsheet, and safe to open."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from flask import Response, stream_with_context

BYTE_ORDER_MARK = "\ufeff"  # tells Excel that this is UTF-8
# Spreadsheets treat texts that begin with these as formulas, also in their full-width forms.
_BEGINS_FORMULA = re.compile("(^|;)(?= *[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def csv_of(name: str, rows: Iterable[Sequence[object]]) -> Response:
    """A streamed file with these rows."""
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
    """Marks text that would be a formula as text. Numbers need no mark. Where decimals have a
    comma, spreadsheets split such a file at semicolons instead, so each part is marked."""
    if isinstance(value, str):
        return _BEGINS_FORMULA.sub(r"\1'", value)
    return "" if value is None else value
