"""CSV downloads, streamed, readable by any spreadsheet, and safe to open."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Response, stream_with_context

BYTE_ORDER_MARK = "\ufeff"  # tells Excel that this is UTF-8
MAX_IN_MEMORY = 1_000_000  # bytes; a longer file is kept on disk until it is sent
PART = 64 * 1024  # bytes
# Spreadsheets treat texts that begin with these as formulas, also in their full-width forms.
_BEGINS_FORMULA = re.compile("(^|;)(?= *[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def csv_of(name: str, rows: Iterable[Sequence[object]], *, of_one_moment: bool = False) -> Response:
    """A streamed file with these rows.

    `of_one_moment`: all rows are read before the first is sent, in the snapshot of this request,
    and kept on disk, so that a slow download holds nothing open in the database.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    lines = _kept(_lines(rows)) if of_one_moment else stream_with_context(_lines(rows))
    return Response(lines, mimetype="text/csv", headers=headers)


def _lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield BYTE_ORDER_MARK
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_cell(value) for value in row])
        yield line.getvalue()


def _kept(lines: Iterable[str]) -> Iterator[bytes]:
    """Takes all lines now, and gives them in parts."""
    file = SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115
    file.writelines(line.encode() for line in lines)
    file.seek(0)
    return _parts_of(file)


def _parts_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(PART):
            yield part


def _cell(value: object) -> object:
    """Marks text that would be a formula as text. Numbers need no mark. Where decimals have a
    comma, spreadsheets split such a file at semicolons instead, so each part is marked."""
    if isinstance(value, str):
        return _BEGINS_FORMULA.sub(r"\1'", value)
    return "" if value is None else value
