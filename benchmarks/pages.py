"""How fast pages open with an outbox of a million rows: `python -m benchmarks.pages`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask import Flask
from sqlalchemy import Connection, event, text

from app import DunaHub
from benchmarks import filled
from benchmarks.apps import quiet_app
from benchmarks.harness import (
    Asked,
    Databases,
    Report,
    Row,
    ask,
    median,
    own_postgres,
    percentile,
    turns,
)
from benchmarks.ours import environment
from config import Config
from models.accounts import Role
from models.base import Json
from tests.support.visitor import Visitor, new_person

FIRMS = 200
FEW_ENTRIES = 4_000  # entries of an almost empty database: every list has its first page
BIG_TABLE = 5_000  # rows; a smaller table may be read completely
# rows that one step may read: a firm's month, or the newest for a search by name
MAX_ROWS_READ = 6_000

METHOD = f"""
Pages of one firm and of DunaHub's staff are opened through the whole app, signed in, over a
database with a million outbox rows (their records, links, requests and items with them) and over
one with {FEW_ENTRIES:,}, which has a first page of everything but nothing behind it. Of the
million one in twenty belongs to the firm that looks: two years of it, ahead of 199 others. Pages
take turns, each over one database and then over the other, in one process. The ratio is that of the
95th percentiles; "queries" are statements sent for one page.

Then every statement that these pages sent is run once more over the large database and explained.
One that reads a table of more than {BIG_TABLE:,} rows from end to end, or by any index more than
{MAX_ROWS_READ:,} rows of it, is named.
"""

Statement = tuple[str, Mapping[str, object]]  # with its parameters

FIRM_PAGES = {
    "settings": "/settings/quickbooks",
    "activity": "/settings/quickbooks/activity",
    "activity, an older page": "/settings/quickbooks/activity?before={entry}",
    "activity, needs attention": "/settings/quickbooks/activity?state=failed",
    "activity, payments": "/settings/quickbooks/activity?type=payment",
    "not sent, invoices": "/settings/quickbooks/not-sent",
    "not sent, payments": "/settings/quickbooks/not-sent?type=payment",
    "not sent, customers": "/settings/quickbooks/not-sent?type=lead",
    "does it match": "/settings/quickbooks/matches",
    "leads": "/leads",
    "invoices": "/invoices",
    "invoices, open": "/invoices?state=open",
    "payments": "/payments",
    "a lead": "/leads/{lead}",
    "an invoice": "/invoices/{invoice}",
    "a payment": "/payments/{payment}",
    "record of acts": "/settings/record",
}
STAFF_PAGES = {
    "admin outbox": "/admin/outbox",
    "admin outbox, all": "/admin/outbox?state=",
    "admin outbox, failed": "/admin/outbox?state=failed",
    "admin outbox, skipped": "/admin/outbox?state=skipped",
    "admin outbox, one firm": "/admin/outbox?state=&organization=1",
    "admin outbox, one code": "/admin/outbox?state=&code=6240",
    "admin outbox, by trace": "/admin/outbox?state=&q={trace}",
    "admin outbox, an entry": "/admin/outbox/{entry}",
    "admin figures": "/admin/outbox/figures",
    "admin organizations": "/admin/organizations",
    "admin audit": "/admin/audit",
    "ready": "/readyz",
    "figures for Prometheus": "/metrics",
}


@dataclass
class Side:
    """The app on one database, and the times of its pages."""

    name: str
    app: Flask
    owner: Visitor
    staff: Visitor
    keys: dict[str, str]
    took: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, list[Statement]] = field(default_factory=dict)

    def open(self, page: str) -> None:
        visitor = self.owner if page in FIRM_PAGES else self.staff
        address = {**FIRM_PAGES, **STAFF_PAGES}[page].format(**self.keys)
        began = time.perf_counter()
        answer = visitor.client.get(address)
        self.took.setdefault(page, []).append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, f"{address}: {answer.status}"

    @property
    def dunahub(self) -> DunaHub:
        dunahub: DunaHub = self.app.extensions["dunahub"]
        return dunahub


def main() -> None:
    asked = ask("pages", __doc__ or "")
    rounds = 2 if asked.quick else 40
    rows = 20_000 if asked.quick else 1_000_000
    with ExitStack() as life:
        databases = life.enter_context(own_postgres(quick=asked.quick))
        small = _side(life, databases, "few", FEW_ENTRIES, one_in=1)
        large = _side(life, databases, "many", rows, one_in=20)
        pages = [*FIRM_PAGES, *STAFF_PAGES]
        for side in (small, large):
            note_statements(side, pages)
            side.took.clear()
        for _ in range(rounds):
            for page in pages:
                for side in turns([small, large], 1):
                    side.open(page)
        report = _report(small, large, asked)
        report.tell(asked, databases.version())


def _report(small: Side, large: Side, asked: Asked) -> Report:
    report = Report("pages", METHOD, asked.quick)
    rows: list[Row] = []
    for page, times in large.took.items():
        few = small.took[page]
        ratio = percentile(times, 0.95) / percentile(few, 0.95)
        rows.append(
            {
                "page": page,
                "few, p50 ms": median(few),
                "p95 ": percentile(few, 0.95),
                "many, p50 ms": median(times),
                "p95": percentile(times, 0.95),
                "p95 to few": ratio,
                "queries": len(large.statements[page]),
            }
        )
        report.at_most(f"{page}, p95 to that over few rows", ratio, 1.4)
        report.raw[page] = times
    report.tables["What a page takes"] = rows
    with large.dunahub.database.connect() as connection:
        reads = list(heavy_reads(connection, large.statements))
    if reads:
        report.tables["Statements that read too much"] = [
            {
                "page": read.page,
                "table": read.table,
                "by": read.by,
                "rows": read.rows,
                "statement": f"… {' '.join(read.statement.split())[-100:]}",
            }
            for read in reads
        ]
    report.at_most("statements without an index, or that read too much", len(reads), 0)
    return report


@dataclass(frozen=True)
class HeavyRead:
    page: str
    table: str
    by: str  # an index, or another access path
    rows: int
    statement: str


def heavy_reads(
    connection: Connection, statements: Mapping[str, Sequence[Statement]]
) -> Iterator[HeavyRead]:
    """Steps that read a big table completely, or more of it than a page needs."""
    big = set(
        connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > :rows"),
            {"rows": BIG_TABLE},
        ).scalars()
    )
    for page, sent in statements.items():
        for statement, parameters in sent:
            if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                continue
            explained = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            ).scalar_one()
            for node in _nodes(explained[0]["Plan"]):
                table = node.get("Relation Name")
                rows = _rows_read(node)
                if table in big and (node["Node Type"] == "Seq Scan" or rows > MAX_ROWS_READ):
                    by = str(node.get("Index Name", node["Node Type"]))
                    yield HeavyRead(page, str(table), by, rows, statement)


def _rows_read(node: Json) -> int:
    of_each_loop: float = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return round(of_each_loop * float(node["Actual Loops"]))


def _nodes(plan: Json) -> Iterator[Json]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


def note_statements(side: Side, pages: Sequence[str]) -> None:
    """Opens each page twice and records the statements of the second time."""
    for page in pages:
        side.open(page)
        sent: list[Statement] = []

        def note(
            _connection: object,
            _cursor: object,
            statement: str,
            parameters: Mapping[str, object],
            *_: object,
            sent: list[Statement] = sent,
        ) -> None:
            sent.append((statement, parameters))

        event.listen(side.dunahub.database, "before_cursor_execute", note)
        side.open(page)
        event.remove(side.dunahub.database, "before_cursor_execute", note)
        side.statements[page] = sent


# --- The sides ----------------------------------------------------------------------------------


def _side(life: ExitStack, databases: Databases, name: str, rows: int, one_in: int) -> Side:
    url = databases.create(name)
    fill(url, rows, one_in)
    databases.seal(name)
    app = life.enter_context(quiet_app(Config.from_environ(environment(url))))
    return side_of(name, app, rows, one_in)


def fill(url: str, rows: int, one_in: int) -> None:
    with filled.filling(url) as cursor:
        filled.firms(cursor, FIRMS)
        filled.connected(cursor, FIRMS)
        filled.histories(cursor, rows, FIRMS, one_in)


def side_of(name: str, app: Flask, rows: int, one_in: int) -> Side:
    """The app on a filled database, with people signed in and the keys of the records they open."""
    dunahub: DunaHub = app.extensions["dunahub"]
    # a block of firm 1 from the middle of its history
    block = rows // filled.BLOCK // one_in // 2 * one_in
    with dunahub.sessions() as session:
        new_person(session, 1, "owner@example.com")
        new_person(session, None, "staff@example.com", Role.ADMIN)
        trace = session.scalar(
            text("SELECT trace_id FROM outbox_dispatches WHERE id = :id"), {"id": block + 1}
        )
    keys = {
        "entry": str(filled.BLOCK * block + 8),
        "lead": str(5 * block + 1),
        "invoice": str(8 * block + 1),
        "payment": str(7 * block + 1),
        "trace": str(trace),
    }
    owner, staff = Visitor(app), Visitor(app)
    return Side(
        name, app, owner.sign_in("owner@example.com"), staff.sign_in("staff@example.com"), keys
    )


if __name__ == "__main__":
    main()
