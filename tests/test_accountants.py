"""The accountant's link: read-only, limited in time, revocable, and for nothing else."""

import re
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select, text

from models.accountants import AccountantLink
from models.accounts import AuditEvent, User
from quickbooks import months
from quickbooks.comparison import Month
from tests.support.firm import new_firm, new_invoice, new_lead
from tests.support.situation import Situation
from tests.support.visitor import Visitor, new_person
from tests.test_isolation import doors

PAGE = "/settings/quickbooks/accountant"


def new_link(ana: Visitor, name: str = "Dana at Miller CPA", days: str = "14") -> str:
    """The path of a new link."""
    ana.open(PAGE).submit({"name": name, "days": days})
    shown = ana.page.find("code")
    assert shown, ana.text
    return "/" + shown.get_text().split("/", 3)[3]


def pages_of(path: str) -> list[str]:
    return [path, f"{path}/not-sent", f"{path}/not-sent?type=lead", f"{path}/activity.csv"]


def test_the_link_shows_what_was_sent_and_what_was_not(app: Flask, at: Situation) -> None:
    lead = new_lead(at.firm, "Before QuickBooks")
    at.session.add_all([lead, new_invoice(at.firm, lead, number="77")])
    at.session.commit()
    at.connect()
    at.save_lead("Green Lawn Co")
    at.drain()
    path = new_link(at.ana)
    reader = Visitor(app).open(path)
    assert reader.status == 200
    assert "Rivera Plumbing LLC" in reader.text
    assert "Green Lawn Co" in reader.text
    assert "not sent since: 1 invoice $100.00 · 1 lead." in reader.text
    assert "Invoice 77" in reader.open(f"{path}/not-sent").text
    csv = reader.open(f"{path}/activity.csv").answer.get_data(as_text=True)
    assert "Green Lawn Co" in csv
    assert reader.answer.headers["Cache-Control"] == "no-store"


def test_a_month_is_read_and_downloaded(app: Flask, at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn Co")
    at.drain()
    month = Month.of(datetime.now(UTC).date())
    ana = at.session.scalars(select(User.id)).one()
    months.ask(at.session, at.firm, month, ana)
    at.session.commit()
    months.compare_due(at.sessions, at.config)
    path = new_link(at.ana)
    reader = Visitor(app).open(path)
    assert reader.page.find("a", href=f"{path}/months/{month}")
    reader.open(f"{path}/months/{month}")
    assert "Amounts are compared to the cent" in reader.text
    assert reader.open(f"{path}/months/{month}.csv").status == 200
    for odd in ("2026-13", "1999-01", "x", "2026-01"):
        assert reader.open(f"{path}/months/{odd}").status == 404
        assert reader.open(f"{path}/months/{odd}.csv").status == 404


def test_case_s02_a_second_press_shows_the_link_again(app: Flask, at: Situation) -> None:
    page, shown = at.ana.open(PAGE).answer, []
    for press in range(3):
        at.ana.answer = page
        at.ana.submit({"name": "Dana at Miller CPA"})
        shown += [one.get_text() for one in at.ana.page.select("main code")]
        if press == 1:
            at.ana.open(PAGE).submit(press="Revoke")
    assert len(shown) == 2  # not the revoked one
    assert shown[0] == shown[1]
    assert len(at.session.scalars(select(AccountantLink)).all()) == 1


def test_every_visit_is_in_the_firms_record(app: Flask, at: Situation) -> None:
    path = new_link(at.ana)
    for page in pages_of(path):
        assert Visitor(app).open(page).status == 200
    visits = at.session.scalars(
        select(AuditEvent).where(AuditEvent.action == "accountant.visited")
    ).all()
    assert len(visits) == len(pages_of(path))
    assert {one.reason for one in visits} == {"Dana at Miller CPA"}
    assert {one.organization_id for one in visits} == {at.firm}
    record = at.ana.open("/settings/record").text
    assert "The accountant viewed the books" in record
    assert "Dana at Miller CPA" in record


@pytest.mark.parametrize("end", ["revoked", "expired", "brazil"])
def test_a_link_that_ended_opens_nothing(app: Flask, at: Situation, end: str) -> None:
    path = new_link(at.ana)
    if end == "revoked":
        at.ana.open(PAGE).submit(press="Revoke")
        assert "no longer works" in at.ana.text
    elif end == "expired":
        at.session.execute(
            text(
                "UPDATE accountant_links SET created_at = now() - interval '20 days',"
                " expires_at = now() - interval '1 second'"
            )
        )
    else:
        at.session.execute(text("UPDATE organizations SET region = 'BR'"))
    at.session.commit()
    for page in pages_of(path):
        assert Visitor(app).open(page).status == 404


def test_the_pages_link_to_nothing_else_and_take_no_form(app: Flask, at: Situation) -> None:
    at.connect()
    at.save_lead("Green Lawn Co")
    at.drain()
    path = new_link(at.ana)
    for page in pages_of(path)[:3]:
        reader = Visitor(app).open(page)
        assert reader.page.select("main form") == []
        links = {str(link["href"]) for link in reader.page.select("main a[href]")}
        assert all(link.startswith(path) for link in links), links


def test_the_secret_opens_no_other_route(app: Flask, at: Situation) -> None:
    """Tried from each route, in the address, in the query and as a cookie."""
    path = new_link(at.ana)
    secret = path.rpartition("/")[2]
    keys: dict[str, int | str] = {"secret": secret, "month": "2026-11", "choice": "create_new"}
    for rule in app.url_map.iter_rules():
        strings = {name for name in rule.arguments if f":{name}>" not in rule.rule}
        keys |= {name: 1 for name in rule.arguments - strings if name not in keys}
        keys |= {name: secret for name in strings if name not in keys}
    tried = 0
    reader = Visitor(app)
    token = reader.token()
    reader.client.set_cookie("secret", secret)
    for door in doors(app, keys):
        if door.endpoint.startswith(("books.", "languages.", "health.")):
            continue
        answer = reader.client.open(
            door.path,
            method=door.method,
            query_string={"secret": secret},
            data={"csrf_token": token} if door.method == "POST" else None,
        )
        page = answer.get_data(as_text=True)
        assert "Rivera" not in page, door
        if secret in door.path:
            to_sign_in = answer.headers.get("Location", "").startswith("/sign-in")
            assert to_sign_in or answer.status_code == 404, door
            tried += 1
    assert tried >= 4


@pytest.mark.parametrize("secret", ["lnk_x", "lnk_" + "a" * 32, "%00", "inv_nobody", "a" * 4000])
def test_a_made_up_link_opens_nothing(app: Flask, at: Situation, secret: str) -> None:
    new_link(at.ana)
    assert Visitor(app).open(f"/books/{secret}").status == 404


def test_who_is_signed_in_elsewhere_sees_the_links_firm_and_no_menu(
    app: Flask, at: Situation
) -> None:
    path = new_link(at.ana)
    new_person(at.session, new_firm(at.session, name="Oak HVAC Inc"), "carla@oakhvac.example")
    carla = Visitor(app).sign_in("carla@oakhvac.example").open(path)
    page = carla.answer.get_data(as_text=True)
    assert "Rivera Plumbing LLC" in page
    assert "Oak HVAC" not in page
    assert "Rivera" not in carla.open("/").answer.get_data(as_text=True)


def test_case_s01_an_old_password_makes_no_link(at: Situation) -> None:
    with at.ana.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= 601
    at.ana.post(PAGE, {"name": "x", "days": "14"})
    assert at.ana.answer.headers["Location"].startswith("/confirm")
    assert at.session.scalars(select(AccountantLink)).all() == []


@pytest.mark.parametrize("fields", [{"name": "", "days": "14"}, {"name": "x", "days": "9999"}, {}])
def test_odd_forms_make_no_link(at: Situation, fields: dict[str, str]) -> None:
    assert at.ana.post(PAGE, fields).status == 422
    assert at.session.scalars(select(AccountantLink)).all() == []


def test_only_a_digest_is_kept(at: Situation) -> None:
    secret = new_link(at.ana).rpartition("/")[2]
    kept = at.session.scalars(select(AccountantLink)).one()
    assert re.fullmatch(r"[0-9a-f]{64}", kept.digest)
    assert secret.startswith("lnk_")
