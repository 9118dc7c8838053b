"""What needs a person is shown on every page, counted once, and gone when it is solved."""

from sqlalchemy import text

from models.accounts import Role
from tests.support.situation import SETTINGS, Situation
from tests.support.visitor import Visitor, new_person

PAGES = ["/leads", "/invoices", "/payments", "/products", "/jobs", SETTINGS, "/account"]


def banner(visitor: Visitor, path: str = "/leads") -> str:
    found = visitor.open(path).page.select_one(".needs")
    return " ".join(found.get_text(" ").split()) if found else ""


def count_at_settings(visitor: Visitor) -> str:
    found = visitor.page.select_one(".menu .count")
    return " ".join(found.get_text(" ").split()) if found else ""


def refused_leads(at: Situation, *names: str) -> None:
    for name in names:
        at.bookkeeper().post("vendor", {"DisplayName": name})
        at.save_lead(name)
    at.drain()


def test_every_page_says_how_much_needs_somebody(at: Situation) -> None:
    at.connect()
    for path in PAGES:
        assert banner(at.ana, path) == ""
        assert count_at_settings(at.ana) == ""
    refused_leads(at, "One", "Two", "Three")
    for path in PAGES:
        assert banner(at.ana, path) == "QuickBooks needs you: 3"
        assert count_at_settings(at.ana) == "3 need you"


def test_what_is_solved_is_no_longer_counted(at: Situation) -> None:
    at.connect()
    refused_leads(at, "One", "Two")
    entry = at.entry()
    at.ana.post(f"/outbox/{entry.id}/skip", {"question": entry.question})
    assert banner(at.ana) == "QuickBooks needs you: 1"
    at.ana.open("/leads/1/edit").submit({"name": "Another"})
    at.drain()
    assert banner(at.ana) == ""


def test_an_expired_sign_in_and_a_held_plan_need_somebody(at: Situation) -> None:
    at.connect()
    for reason in ("signed_out", "plan_lapsed"):
        at.session.execute(
            text("UPDATE outbox_lanes SET state = 'held', hold_reason = :reason"),
            {"reason": reason},
        )
        at.session.commit()
        assert banner(at.ana) == "QuickBooks needs you: 1"


def test_a_decision_about_what_waited_is_due(at: Situation) -> None:
    at.connect()
    at.save_lead()
    at.disconnect()
    assert banner(at.ana) == ""  # somebody wanted it so
    at.connect()
    assert banner(at.ana) == "QuickBooks needs you: 1"
    at.ana.open(SETTINGS).submit(press="Send the changes")
    assert banner(at.ana) == ""


def test_an_outage_needs_nobody(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"method": "POST"}, do={"status": 503})
    at.save_lead()
    at.drain()
    assert banner(at.ana) == ""


def test_a_member_sees_it_too_and_nobody_else_does(at: Situation) -> None:
    at.connect()
    refused_leads(at, "One")
    new_person(at.session, at.firm, "tom@rivera.example", Role.MEMBER)
    assert banner(Visitor(at.app).sign_in("tom@rivera.example")) == "QuickBooks needs you: 1"
    new_person(at.session, None, "admin@dunahub.example", Role.ADMIN)
    admin = Visitor(at.app).sign_in("admin@dunahub.example")
    assert banner(admin, "/admin/outbox") == ""
    at.session.execute(text("UPDATE organizations SET region = 'BR'"))
    at.session.commit()
    assert banner(at.ana) == ""


def test_a_large_number_is_shortened(at: Situation) -> None:
    at.connect()
    at.session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, state, settled_at, fault_code) SELECT organization_id, id, 'lead', 1,"
            " 'save', '{}', 'failed', now(), '6240' FROM outbox_lanes, generate_series(1, 250)"
        )
    )
    at.session.commit()
    assert banner(at.ana) == "QuickBooks needs you: 99+"
