"""Admin: the outbox of all organizations, acted on with a reason, and audited."""

import csv
import io
import re

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.accounts import AuditEvent, Role
from models.outbox import Entry
from presenters.rows import AT_ONCE
from tests.support.firm import new_firm_with_lane, new_invoice, new_lead
from tests.support.visitor import Visitor, new_person
from views.admin_outbox import HEALTH_PAUSES, ROWS_SEARCHED_BY_NAME
from web.paging import ROWS_PER_PAGE

ADMIN = "admin@dunahub.example"


@pytest.fixture
def firms(session: Session) -> tuple[int, int]:
    """Rivera with a customer and an invoice, Oak with a customer."""
    rivera, _ = new_firm_with_lane(session)
    oak, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
    lead = new_lead(rivera)
    session.add_all([new_invoice(rivera, lead), new_lead(oak, "Maple Dental")])
    session.commit()
    return rivera, oak


@pytest.fixture
def admin(app: Flask, session: Session, firms: tuple[int, int]) -> Visitor:
    new_person(session, None, ADMIN, Role.ADMIN)
    return Visitor(app).sign_in(ADMIN)


def entries(session: Session) -> list[Entry]:
    session.rollback()
    session.expire_all()
    return list(session.scalars(select(Entry).order_by(Entry.id)))


def fail(session: Session, entry: Entry, code: str = "6240") -> None:
    session.execute(
        text(
            "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = :code,"
            " trace_id = '1-abc' WHERE id = :id"
        ),
        {"code": code, "id": entry.id},
    )
    session.commit()


def test_an_admin_lands_on_the_outbox_and_sees_every_organization(admin: Visitor) -> None:
    assert admin.path == "/admin/outbox"
    assert "Rivera Plumbing LLC Customer Green Lawn Co Waiting to send" in admin.text
    assert "Oak HVAC Inc Customer Maple Dental" in admin.text
    assert re.search(r"3 Waiting · oldest \d+ seconds?", admin.text)


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ("organization={oak}", {"Maple"}),
        ("type=invoice", {"Invoice"}),
        ("state=failed", {"Green"}),
        ("state=synced", set()),
        ("code=6240", {"Green"}),
        ("age=1h", set()),
        ("q=maple", {"Maple"}),
        ("q=1-abc", {"Green"}),
        ("q=%23{first}", {"Green"}),
        ("q=no such thing", set()),
        (
            "organization=x&state=%00&type=%00&code=%00&age=x&q=%00&before=x",
            {"Green", "Maple", "Invoice"},
        ),
    ],
)
def test_rows_are_filtered(
    admin: Visitor, session: Session, firms: tuple[int, int], filters: str, shown: set[str]
) -> None:
    first = next(entry for entry in entries(session) if entry.record_type == "lead")
    fail(session, first)
    if first.organization_id != firms[0]:
        pytest.fail("the first lead is Rivera's")
    admin.open("/admin/outbox?" + filters.format(oak=firms[1], first=first.id))
    rows = " ".join(row.get_text(" ") for row in admin.page.select("tbody tr"))
    titles = {"Green": "Customer Green", "Maple": "Customer Maple", "Invoice": "Invoice 1001"}
    assert {name for name, title in titles.items() if title in rows} == shown


def test_a_name_of_long_ago_is_found_while_open_or_in_its_organization(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    session.execute(
        text(
            "UPDATE outbox SET state = 'synced', settled_at = now()"
            " WHERE payload ->> 'title' = 'Maple Dental'"
        )
    )
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, state, settled_at) SELECT entry.organization_id, entry.lane_id, 'lead',"
            """ number, 'save', '{"title": "Later"}', 'synced', now()"""
            " FROM generate_series(1001, 1000 + :many) AS number,"
            " (SELECT * FROM outbox LIMIT 1) AS entry"
        ),
        {"many": ROWS_SEARCHED_BY_NAME},
    )
    session.commit()
    assert "Customer Green Lawn Co" in admin.open("/admin/outbox?state=&q=green").text
    assert "choose an organization" in admin.open("/admin/outbox?state=&q=maple").text
    of_oak = admin.open(f"/admin/outbox?state=&organization={firms[1]}&q=maple").text
    assert "Customer Maple Dental" in of_oak


def test_requeue_of_many_asks_for_a_reason_and_its_audit_is_visible_to_the_owner(
    admin: Visitor, app: Flask, session: Session, firms: tuple[int, int]
) -> None:
    for entry in entries(session):
        fail(session, entry)
    chosen = [str(entry.id) for entry in entries(session)]
    admin.post("/admin/outbox/acts", {"act": "requeue", "entry": chosen})
    assert "Requeue 3 rows?" in admin.text
    assert "Rivera Plumbing LLC 2" in admin.text
    assert "Oak HVAC Inc 1" in admin.text
    assert {entry.state for entry in entries(session)} == {"failed"}
    admin.post(
        "/admin/outbox/acts", {"act": "requeue", "entry": chosen, "reason": "QuickBooks is back"}
    )
    assert {entry.state for entry in entries(session)} == {"pending"}
    noted = session.scalars(
        select(AuditEvent).where(AuditEvent.action == "outbox.requeued").order_by(AuditEvent.id)
    ).all()
    assert {(event.organization_id, event.reason) for event in noted} == {
        (firms[0], "QuickBooks is back"),
        (firms[1], "QuickBooks is back"),
    }
    assert "QuickBooks is back" in admin.open("/admin/audit").text
    new_person(session, firms[1], "carla@oakhvac.example")
    carla = Visitor(app).sign_in("carla@oakhvac.example").open("/settings/record")
    assert "DunaHub Sent again" in carla.text
    assert "QuickBooks is back" in carla.text


def test_skip_and_undo_go_through_the_page(admin: Visitor, session: Session) -> None:
    entry = entries(session)[0]
    admin.open(f"/admin/outbox/{entry.id}").submit(press="Skip…")
    admin.submit({"reason": "Asked by the owner"})
    assert "1 of 1 rows: skipped." in admin.text
    assert entries(session)[0].state == "skipped"
    admin.open(f"/admin/outbox/{entry.id}").submit(press="Undo skip…")
    admin.submit({"reason": "Changed their mind"})
    assert entries(session)[0].state == "pending"


def test_rows_that_were_not_counted_are_not_acted_on(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    session.add_all([new_lead(firms[0], f"Lead {number}") for number in range(ROWS_PER_PAGE + 10)])
    session.commit()
    first = entries(session)[0]
    for entry in entries(session)[1:]:
        fail(session, entry)
    total = ROWS_PER_PAGE + 12
    admin.open("/admin/outbox?state=failed").submit({"scope": "all"}, press="Skip…")
    fail(session, first)  # an older row, since they were counted
    admin.submit({"reason": "Old"}, press=f"Skip {total}")
    assert "More rows match than were counted. Look at them again." in admin.text
    assert {entry.state for entry in entries(session)} == {"failed"}
    assert admin.page.select_one("#reason[value=Old]")
    admin.submit(press=f"Skip {total + 1}")  # now they know
    assert {entry.state for entry in entries(session)} == {"skipped"}


def test_a_row_tells_its_whole_story(admin: Visitor, session: Session) -> None:
    entry = entries(session)[0]
    fail(session, entry)
    admin.open(f"/admin/outbox/{entry.id}")
    assert "Needs attention" in admin.text
    assert "Captured" in admin.text
    assert '"name": "Green Lawn Co"' in admin.text
    assert "1-abc" in admin.text


@pytest.mark.parametrize(
    "form",
    [
        {"act": "delete", "entry": "1"},
        {"act": "requeue", "entry": "x"},
        {"act": "requeue", "entry": "9" * 30},
        {"act": "requeue", "entry": "\x00"},
    ],
)
def test_a_strange_act_is_refused(admin: Visitor, form: dict[str, str]) -> None:
    assert admin.post("/admin/outbox/acts", form).status == 400


def test_nothing_chosen_says_so(admin: Visitor) -> None:
    admin.post("/admin/outbox/acts", {"act": "skip"})
    assert "Select at least one row." in admin.open("/admin/outbox").text


def test_an_admin_sees_nothing_else_of_a_firm(admin: Visitor) -> None:
    for path in ("/leads", "/invoices", "/settings", "/settings/quickbooks", "/payments/1"):
        assert admin.open(path).status == 404


def test_organizations_are_found_and_show_their_people(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    new_person(session, firms[0], "ana@rivera.example")
    assert "Oak HVAC Inc" not in admin.open("/admin/organizations?q=rivera").text
    admin.open(f"/admin/organizations/{firms[0]}")
    assert "Ana owner" in admin.text


def test_rows_go_on_by_key(admin: Visitor, session: Session, firms: tuple[int, int]) -> None:
    session.add_all(new_lead(firms[0], f"Customer {number}") for number in range(60))
    session.commit()
    admin.open("/admin/outbox?type=lead")
    assert len(admin.page.select("tbody tr")) == 50
    older = admin.page.find("a", rel="next")
    admin.open(str(older["href"]))  # type: ignore[index]
    assert len(admin.page.select("tbody tr")) == 12


# --- The health line, and the list as a file ------------------------------------------------------


def test_the_health_line_is_asked_for_alone_ever_more_rarely_and_then_rests(
    admin: Visitor, session: Session
) -> None:
    line = admin.page.select_one("#health[data-live]")
    assert line
    assert str(line["hx-trigger"]).startswith("load delay:5s")
    assert admin.page.select_one(".no-scripts a[href*='/admin/outbox']")
    fail(session, entries(session)[0])
    admin.open(str(line["hx-get"]))
    assert admin.page.select_one("h1") is None
    assert "1 Failed" in admin.text
    most, slowest = HEALTH_PAUSES[-1]
    admin.open(f"/admin/outbox/health?round={most - 1}")
    assert admin.page.select_one(f"#health[hx-trigger*='delay:{slowest}s']")
    admin.open(f"/admin/outbox/health?round={most}")
    assert admin.page.select_one("#health:not([hx-get])")


def rows_of_the_file(admin: Visitor, query: str = "") -> list[dict[str, str]]:
    admin.open(f"/admin/outbox.csv?{query}")
    assert admin.answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(admin.answer.get_data().decode("utf-8-sig"))))


def test_the_file_has_the_rows_of_its_page(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    fail(session, entries(session)[0])
    admin.open(f"/admin/outbox?state=failed&organization={firms[0]}")
    link = admin.page.find("a", string="Download CSV")
    [row] = rows_of_the_file(admin, str(link["href"]).partition("?")[2])  # type: ignore[index]
    assert (row["Organization"], row["Record"], row["State"], row["Code"], row["Trace id"]) == (
        "Rivera Plumbing LLC",
        "Customer Green Lawn Co",
        "Needs attention",
        "6240",
        "1-abc",
    )
    assert {row["Record"] for row in rows_of_the_file(admin, "q=maple")} == {
        "Customer Maple Dental"
    }
    assert len(rows_of_the_file(admin)) == 3


def test_a_name_in_the_file_is_never_a_formula(admin: Visitor, session: Session) -> None:
    session.execute(text("UPDATE organizations SET name = '=1+1' || id"))
    session.commit()
    names = {row["Organization"] for row in rows_of_the_file(admin)}
    assert len(names) == 2
    assert all(name.startswith("'=1+1") for name in names)


def test_the_file_goes_on_beyond_what_is_read_at_once(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    session.add_all([new_lead(firms[0], f"Customer {number}") for number in range(AT_ONCE)])
    session.commit()
    numbers = [int(row["Row"]) for row in rows_of_the_file(admin)]
    assert numbers == sorted((entry.id for entry in entries(session)), reverse=True)


def test_taking_the_file_away_is_audited_where_its_organization_can_see_it(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    for organization, noted in ((str(firms[1]), firms[1]), ("999999", None), ("", None)):
        rows_of_the_file(admin, f"state=&organization={organization}")
        session.rollback()
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        assert (event.action, event.organization_id) == ("outbox.downloaded", noted)
        assert event.details == {"filters": {"state": "", "organization": organization}}


def test_a_page_says_what_its_boxes_cover(
    admin: Visitor, session: Session, firms: tuple[int, int]
) -> None:
    assert "on every page" not in admin.text
    session.add_all([new_lead(firms[0], f"Customer {number}") for number in range(ROWS_PER_PAGE)])
    session.commit()
    assert (
        "All matching rows, on every page, whatever is selected above"
        in admin.open("/admin/outbox").text
    )
    admin.open(str(admin.page.find("a", string="Older")["href"]))  # type: ignore[index]
    assert "Your selection covers this page only." in admin.text
    assert "on every page" not in admin.text
