"""Activity: searched by what people remember, and downloaded as a file that is safe to open."""

import csv
import io
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.accounts import AuditEvent
from models.outbox import Entry
from presenters.rows import AT_ONCE
from tests.support.firm import new_firm_with_lane, new_invoice, new_lead, new_payment
from tests.support.visitor import Visitor, new_person
from web.paging import ROWS_PER_PAGE

ACTIVITY = "/settings/quickbooks/activity"


@pytest.fixture
def firm(session: Session) -> int:
    """Green Lawn with a paid invoice; Maple Dental, which needs attention."""
    firm, _ = new_firm_with_lane(session)
    lead = new_lead(firm)
    invoice = new_invoice(firm, lead, number="1042")
    session.add_all([invoice, new_payment(firm, invoice, "40"), new_lead(firm, "Maple Dental")])
    session.commit()
    session.execute(
        text(
            "UPDATE outbox SET state = 'failed', fault_code = '6240', settled_at = now()"
            " WHERE payload->>'title' = 'Maple Dental'"
        )
    )
    session.commit()
    return firm


@pytest.fixture
def ana(app: Flask, session: Session, firm: int) -> Visitor:
    new_person(session, firm, "ana@rivera.example")
    return Visitor(app).sign_in("ana@rivera.example")


def records(visitor: Visitor) -> list[str]:
    return [link.get_text() for link in visitor.page.select("main .list td:nth-child(2) a")]


def rows(visitor: Visitor) -> list[dict[str, str]]:
    """The file, as a spreadsheet reads it."""
    told = visitor.answer.get_data().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(told)))


ALL = ["Customer Maple Dental", "Payment for invoice 1042", "Invoice 1042 · Green Lawn Co",
       "Customer Green Lawn Co"]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ALL),
        ("q=green lawn", ALL[1:]),
        ("q=1042", ALL[1:3]),
        ("q=nobody", []),
        ("type=payment", ALL[1:2]),
        ("state=failed", ALL[:1]),
        ("code=6240", ALL[:1]),
        ("code=6000", []),
        ("from=2026-01-01&to=2999-01-01", ALL),
        ("to=2020-01-01", []),
        ("state=x&type=x&from=x&to=0000-00-00&before=x&q=%00", ALL),
    ],
)
def test_the_list_and_the_file_find_the_same(ana: Visitor, query: str, found: list[str]) -> None:
    assert set(records(ana.open(f"{ACTIVITY}?{query}"))) == set(found)
    assert {row["Record"] for row in rows(ana.open(f"{ACTIVITY}.csv?{query}"))} == set(found)


def test_a_period_is_of_the_firms_own_days(ana: Visitor, session: Session) -> None:
    session.execute(  # half past eleven in the evening in California is the next day in UTC
        text(
            "UPDATE outbox SET created_at = '2026-03-10T06:30:00Z'"
            " WHERE payload->>'title' = 'Maple Dental'"
        )
    )
    session.commit()
    for day, found in (("2026-03-09", ["Customer Maple Dental"]), ("2026-03-10", [])):
        assert records(ana.open(f"{ACTIVITY}?from={day}&to={day}")) == found


def test_the_file_says_what_the_page_says_and_a_spreadsheet_reads_it(ana: Visitor) -> None:
    ana.open(f"{ACTIVITY}?type=invoice")
    link = ana.page.find("a", string="Download CSV")
    ana.open(str(link["href"]))  # type: ignore[index]
    assert ana.answer.get_data().startswith("\ufeff".encode())
    assert ana.answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "quickbooks-activity-" in ana.answer.headers["Content-Disposition"]
    [row] = rows(ana)
    assert (row["Type"], row["Record"], row["Amount"], row["State"]) == (
        "Invoice",
        "Invoice 1042 · Green Lawn Co",
        "100.00",
        "Waiting to send",
    )
    assert datetime.strptime(row["Saved"], "%Y-%m-%d %H:%M:%S").date()


@pytest.mark.parametrize(
    "name",
    [
        "x;=1+1",
        "=1+1",
        "+1",
        "-1+2",
        "@SUM(A1)",
        "\t=1",
        "＝1+1",
        " =1",
        '=HYPERLINK("http://e","x")',
    ],
)
def test_what_somebody_called_a_customer_is_never_a_formula(
    ana: Visitor, session: Session, name: str
) -> None:
    session.execute(
        text(
            "UPDATE outbox SET payload = payload || jsonb_build_object('title',"
            " CAST(:name AS text), 'lead_name', CAST(:name AS text))"
        ),
        {"name": name},
    )
    session.commit()
    cells = [cell for row in rows(ana.open(f"{ACTIVITY}.csv")) for cell in row.values()]
    assert any(name.removeprefix("x;") in cell for cell in cells)
    dangerous = tuple("=+-@\t\r\n＝＋－＠")
    parts = [part for cell in cells for part in cell.split(";")]  # as where decimals have a comma
    assert not [part for part in parts if part.strip(" ").startswith(dangerous)]


def test_another_firms_records_are_in_neither(ana: Visitor, app: Flask, session: Session) -> None:
    oak, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
    new_person(session, oak, "carla@oakhvac.example")
    carla = Visitor(app).sign_in("carla@oakhvac.example")
    assert records(carla.open(f"{ACTIVITY}?q=green")) == []
    assert rows(carla.open(f"{ACTIVITY}.csv")) == []
    assert len(rows(ana.open(f"{ACTIVITY}.csv"))) == len(ALL)


def test_taking_the_file_away_is_audited(ana: Visitor, session: Session, firm: int) -> None:
    ana.open(f"{ACTIVITY}.csv?state=failed")
    session.rollback()
    event = session.query(AuditEvent).order_by(AuditEvent.id.desc()).first()
    assert event
    assert (event.action, event.organization_id) == ("quickbooks.activity_downloaded", firm)
    assert event.details == {"filters": {"state": "failed"}}
    assert "Activity downloaded" in ana.open("/settings/record").text


def many(session: Session, firm: int, count: int) -> None:
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, state, settled_at, created_at) SELECT :firm, id, 'lead', number, 'save',"
            " jsonb_build_object('title', 'Customer ' || number, 'pad', repeat('x', 2000)),"
            " 'synced', now(), :at + number * interval '1 s'"
            " FROM outbox_lanes, generate_series(1, :count) AS number"
            " WHERE organization_id = :firm"
        ),
        {"firm": firm, "count": count, "at": datetime.now(UTC) - timedelta(days=9)},
    )
    session.commit()


def test_a_long_file_has_every_row_once_newest_first(
    ana: Visitor, session: Session, firm: int
) -> None:
    many(session, firm, AT_ONCE * 2 + 7)
    found = [row["Record"] for row in rows(ana.open(f"{ACTIVITY}.csv?q=Customer"))]
    named = [int(name.split()[-1]) for name in found if name.split()[-1].isdigit()]
    assert named == list(range(AT_ONCE * 2 + 7, 0, -1))


@pytest.mark.full
def test_a_file_of_any_length_needs_little_memory(
    ana: Visitor, session: Session, firm: int
) -> None:
    many(session, firm, 20_000)
    tracemalloc.start()
    answer = ana.client.get(f"{ACTIVITY}.csv", buffered=False)
    size = sum(len(part) for part in answer.response)
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    answer.close()
    assert size > 20_000 * 50
    assert most < 20_000 * 2000 / 2, f"{most:,} bytes at once"


def test_the_pages_of_a_filtered_list_keep_the_filter_whatever_else_the_address_says(
    ana: Visitor, session: Session, firm: int
) -> None:
    many(session, firm, ROWS_PER_PAGE + 5)
    ana.open(f"{ACTIVITY}?state=sent&_scheme=ftp&endpoint=x&_external=1&_anchor=x")
    assert ana.status == 200
    older = ana.page.find("a", rel="next")
    ana.open(str(older["href"]))  # type: ignore[index]
    assert len(records(ana)) == 5
    assert session.query(Entry).filter(Entry.state == "synced").count() == ROWS_PER_PAGE + 5
