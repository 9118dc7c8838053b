"""Change data capture and PDF: reads that are neither query nor report."""

from __future__ import annotations

from collections.abc import Iterator

from simulator import refusals
from simulator.books import Books
from simulator.clock import parse_moment
from simulator.documents import Document, part_of, text_of
from simulator.refusals import Refusal
from simulator.schema import Entity, entity_named

MAX_CHANGES = 1000


def changes(books: Books, names: str, since: str) -> Document:
    """What was created, changed or deleted since a moment, by entity."""
    if not names.strip():
        raise Refusal(refusals.required_missing("entities"))
    try:
        moment = parse_moment(since)
    except ValueError:
        raise Refusal(refusals.malformed_date("changedSince", since)) from None
    responses: list[Document] = []
    left = MAX_CHANGES
    for name in names.split(","):
        entity = entity_named(name.strip())
        if entity is None:
            raise Refusal(refusals.unsupported_object(name.strip()))
        rows = [row for stamp, row in _changed(books, entity) if parse_moment(stamp) >= moment]
        rows = rows[:left]
        left -= len(rows)
        responses.append(
            {entity.name: [*rows], "startPosition": 1, "maxResults": len(rows)} if rows else {}
        )
    return {"QueryResponse": [*responses]}


def _changed(books: Books, entity: Entity) -> Iterator[tuple[str, Document]]:
    """Oldest change first."""
    company = books.company
    stamped = [
        (text_of(part_of(row, "MetaData"), "LastUpdatedTime"), row)
        for row in company.listed(entity.name, books.world.clock.now()).values()
    ]
    for object_id, when in company.deleted.get(entity.name, {}).items():
        tombstone: Document = {
            "domain": "QBO",
            "status": "Deleted",
            "Id": object_id,
            "MetaData": {"LastUpdatedTime": when},
        }
        stamped.append((when, tombstone))
    yield from sorted(
        ((stamp, row) for stamp, row in stamped if stamp), key=lambda pair: parse_moment(pair[0])
    )


def pdf(books: Books, entity: Entity, document: Document) -> bytes:
    """One page that names the document."""
    customer = text_of(part_of(document, "CustomerRef"), "name")
    lines = [
        books.company.name,
        f"{entity.name} {text_of(document, 'DocNumber') or text_of(document, 'Id')}",
        f"{text_of(document, 'TxnDate')}  {customer}",
        f"Total {document.get('TotalAmt', 0)}  Balance {document.get('Balance', 0)}",
    ]
    shown = " T* ".join(f"({_pdf_text(line)}) Tj" for line in lines)
    content = f"BT /F1 14 Tf 72 720 Td 22 TL {shown} ET".encode("latin-1", "replace")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    return _pdf_file(objects)


def _pdf_text(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _pdf_file(objects: list[bytes]) -> bytes:
    file = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return file + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (size, table, size, len(file))
    )
