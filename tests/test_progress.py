"""Progress of long work, computed from the database alone, so that
a person can leave and return."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Role
from models.outbox import BulkAct
from models.sales import Lead
from outbox import bulk, lanes
from outbox.company import Sent
from outbox.dispatches import next_dispatch
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, firm_of, new_owner
from tests.support.firm import entries_of, new_firm_with_lane, new_lead
from tests.support.ledger import Ledger
from tests.support.serving import serving
from tests.support.visitor import PASSWORD, Visitor, new_person

SETTINGS = "/settings/quickbooks"


@pytest.fixture
def firm(session: Session) -> int:
    """A firm with a connection whose customers were read."""
    firm, lane = new_firm_with_lane(session)
    session.execute(
        text(
            "INSERT INTO quickbooks_connections (organization_id, lane_id, environment, realm_id,"
            " company_name, country, status, status_since, connected_at, customers_read_at)"
            " VALUES (:firm, :lane, 'simulator', '1', 'Rivera', 'US', 'connected', now(), now(),"
            " now())"
        ),
        {"firm": firm, "lane": lane},
    )
    session.commit()
    return firm


@pytest.fixture
def ana(app: Flask, session: Session, firm: int) -> Visitor:
    new_person(session, firm, "ana@rivera.example")
    return Visitor(app).sign_in("ana@rivera.example")


def waiting(session: Session, firm: int, count: int, age: str = "1 hour") -> None:
    """So many leads were written that long ago and wait."""
    session.add_all([new_lead(firm, f"Customer {number}") for number in range(count)])
    session.commit()
    session.execute(
        text(
            f"UPDATE outbox SET created_at = now() - interval '{age}',"
            f" available_at = now() - interval '{age}' WHERE state = 'pending'"
        )
    )
    session.commit()


def reconnected(session: Session, firm: int, ago: timedelta) -> None:
    at = datetime.now(UTC) - ago
    session.add(AuditEvent(organization_id=firm, action="quickbooks.reconnected", created_at=at))
    session.commit()


def settle(session: Session, count: int, state: str = "synced", ago: str = "10 s") -> None:
    """The oldest that wait are settled that long ago."""
    session.execute(
        text(
            f"UPDATE outbox SET state = '{state}', settled_at = now() - interval '{ago}'"
            " WHERE id IN (SELECT id FROM outbox WHERE state = 'pending' ORDER BY id LIMIT :count)"
        ),
        {"count": count},
    )
    session.commit()


def partly_sent(session: Session, firm: int, count: int) -> None:
    """Of thirty records that were held until five minutes ago, so many are sent."""
    waiting(session, firm, 30)
    reconnected(session, firm, timedelta(minutes=5))
    settle(session, count)


def told(visitor: Visitor) -> str:
    """What the card about sending says; "" without one."""
    found = visitor.page.find(id="sending")
    return " ".join(found.parent.get_text(" ").split()) if found and found.parent else ""


def next_address(visitor: Visitor) -> str:
    asking = visitor.page.select_one("#moving[hx-get]")
    return str(asking["hx-get"]) if asking else ""


def test_sending_what_was_held_counts_what_went_and_tells_how_long_the_rest_takes(
    ana: Visitor, session: Session, firm: int
) -> None:
    waiting(session, firm, 300)
    reconnected(session, firm, timedelta(minutes=5))
    settle(session, 40, ago="3 min")
    settle(session, 60)  # in the last minute: one a second
    settle(session, 2, "failed")
    ana.open(SETTINGS)
    assert told(ana).startswith("Sending what was waiting 102 of 300 About 3 minutes left")
    assert "2 records need attention." in told(ana)
    [bar] = ana.page.select("progress")
    assert (bar["value"], bar["max"]) == ("102", "300")


def test_one_record_sent_again_meanwhile_does_not_begin_the_bar_anew(
    ana: Visitor, session: Session, firm: int
) -> None:
    partly_sent(session, firm, 10)
    for details in ({"entries": [1]}, {"count": 3}):
        event = AuditEvent(organization_id=firm, action="outbox.requeued", details=details)
        session.add(event)
    session.commit()
    assert "10 of 30" in told(ana.open(SETTINGS))


def test_whoever_comes_back_sees_the_same_and_the_end_is_told_once(
    ana: Visitor, session: Session, firm: int
) -> None:
    partly_sent(session, firm, 10)
    assert "10 of 30" in told(ana.open(SETTINGS))
    address = next_address(ana)
    assert "10 of 30" in told(ana.open(SETTINGS))  # come back
    settle(session, 20)
    ana.open(address)
    assert told(ana).startswith("What was waiting is sent 30 of 30")
    assert "announcement" in ana.answer.get_data(as_text=True)
    assert next_address(ana) == ""
    assert told(ana.open(SETTINGS)) == ""
    assert next_address(ana) == ""


def test_what_waits_for_another_record_does_not_keep_the_bar_alive(
    ana: Visitor, session: Session, firm: int
) -> None:
    partly_sent(session, firm, 27)
    session.execute(
        text("UPDATE outbox SET waits_for_type = 'lead', waits_for_id = 1 WHERE state = 'pending'")
    )
    session.commit()
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat().replace("+", "%2B")
    ana.open(f"{SETTINGS}/progress?since={since}&round=3")
    assert "27 of 30" in told(ana)
    assert "3 records are waiting for other records, or for their next try." in told(ana)
    assert next_address(ana) == ""


def test_a_pause_is_named_and_nothing_is_promised(
    ana: Visitor, session: Session, firm: int
) -> None:
    partly_sent(session, firm, 5)
    session.execute(
        text(
            "UPDATE outbox_lanes"
            " SET pause_until = now() + interval '5 min', pause_reason = 'outage'"
        )
    )
    session.commit()
    ana.open(SETTINGS)
    assert "QuickBooks isn't accepting anything right now; we'll try again at" in told(ana)
    assert "left" not in told(ana)


def test_a_few_records_need_no_bar_and_the_counts_follow_them(
    ana: Visitor, session: Session, firm: int
) -> None:
    waiting(session, firm, 3)
    assert told(ana.open(SETTINGS)) == ""
    assert "3 Waiting" in ana.text
    settle(session, 3)
    ana.open(next_address(ana))
    assert "0 Waiting" in " ".join(ana.page.get_text(" ").split())
    assert next_address(ana) == ""


def test_nothing_is_asked_while_the_sign_in_has_expired(
    ana: Visitor, session: Session, firm: int
) -> None:
    waiting(session, firm, 30)
    session.execute(text("UPDATE outbox_lanes SET state = 'held', hold_reason = 'signed_out'"))
    session.execute(text("UPDATE quickbooks_connections SET status = 'expired'"))
    session.commit()
    ana.open(SETTINGS)
    assert "30 records are on hold" in ana.text
    assert (told(ana), next_address(ana)) == ("", "")


def test_while_the_customers_are_read_the_page_says_so(
    ana: Visitor, session: Session, firm: int
) -> None:
    session.execute(text("UPDATE quickbooks_connections SET customers_read_at = NULL"))
    session.commit()
    ana.open(SETTINGS)
    assert "Reading your customers in QuickBooks" in ana.text
    [bar] = ana.page.select("progress")
    assert not bar.has_attr("value")  # nobody knows how many they are
    assert next_address(ana)
    session.execute(text("UPDATE quickbooks_connections SET customers_read_at = now()"))
    session.commit()
    ana.open(next_address(ana))
    assert "Reading your customers" not in ana.page.get_text()
    assert next_address(ana) == ""


def lane_of(session: Session, firm: int) -> int:
    lane = text("SELECT id FROM outbox_lanes WHERE organization_id = :firm")
    return int(session.execute(lane, {"firm": firm}).scalar_one())


@pytest.mark.parametrize("count", [1, 25])
def test_what_is_being_sent_is_asked_for_until_it_is_answered(
    ana: Visitor,
    session: Session,
    sessions: Sessions,
    firm: int,
    environ: dict[str, str],
    count: int,
) -> None:
    """With the times of production, in which it is due again after two minutes only."""
    times = {"CALL_DEADLINE": "60", "LEASE": "75", "RESEND_AFTER": "125"}
    config = Config.from_environ(environ | times)
    waiting(session, firm, count)
    reconnected(session, firm, timedelta(minutes=5))
    claim = lanes.lease_lane(sessions, lane_of(session, firm), config.lease)
    assert claim
    assert isinstance(next_dispatch(sessions, claim, Ledger(), config), Sent)
    ana.open(SETTINGS)
    assert told(ana).startswith("Sending what was waiting 0 of 25") is (count == 25)
    assert f"{count} Waiting" in ana.text
    ana.open(next_address(ana))
    address = next_address(ana)
    assert address
    settle(session, count)
    ana.open(address)
    assert "0 Waiting" in " ".join(ana.page.get_text(" ").split())
    assert next_address(ana) == ""


def test_what_needs_attention_comes_with_its_number(
    ana: Visitor, session: Session, firm: int
) -> None:
    """Else the page would say “1 Need attention”, and below it “Nothing needs you.”"""
    waiting(session, firm, 3)
    assert "Nothing needs you." in ana.open(SETTINGS).text
    for number in (1, 2):
        ana.open(next_address(ana))
        assert not ana.page.select("#needs")
        settle(session, 1, "failed", ago=f"{3 - number} s")
        ana.open(next_address(ana))
        [needs] = ana.page.select("#needs[hx-swap-oob]")
        assert "Nothing needs you." not in needs.get_text()
        assert len(needs.select(".records li")) == number
        [menu] = ana.page.select("[hx-swap-oob='innerHTML:.needs-you']")
        assert menu.get_text(" ", strip=True).startswith(str(number))
        [banner] = ana.page.select("#banner[hx-swap-oob]")
        assert f"QuickBooks needs you: {number}" in banner.get_text()
    address = next_address(ana)
    session.execute(text("UPDATE outbox SET state = 'synced' WHERE state = 'failed'"))
    session.commit()
    [needs] = ana.open(address).page.select("#needs[hx-swap-oob]")
    assert "Nothing needs you." in needs.get_text()


def test_with_another_standing_the_whole_page_is_loaded_again(
    ana: Visitor, session: Session, firm: int
) -> None:
    """What to do about it is above what moves."""
    waiting(session, firm, 3)
    address = next_address(ana.open(SETTINGS))
    assert "HX-Refresh" not in ana.open(address).answer.headers
    address = next_address(ana)
    session.execute(text("UPDATE outbox_lanes SET state = 'held', hold_reason = 'signed_out'"))
    session.commit()
    assert ana.open(address).answer.headers["HX-Refresh"] == "true"
    assert "Reconnect" in ana.open(SETTINGS).text


@pytest.mark.parametrize("query", ["since=x&round=x", "since=2999-01-01", "since=%00&round=%00"])
def test_strange_questions_get_an_answer(ana: Visitor, query: str) -> None:
    assert ana.open(f"{SETTINGS}/progress?{query}").status == 200


# --- Many rows of the admin's ---------------------------------------------------------------------


@pytest.fixture
def admin(app: Flask, session: Session) -> Visitor:
    new_person(session, None, "admin@dunahub.example", Role.ADMIN)
    return Visitor(app).sign_in("admin@dunahub.example")


def test_an_admin_requeues_all_rows_that_fit_and_sees_how_far_it_is(
    admin: Visitor, session: Session, sessions: Sessions, firm: int
) -> None:
    waiting(session, firm, 500)
    settle(session, 450, "failed")
    admin.open("/admin/outbox?state=failed&type=lead")
    assert "All matching rows, on every page" in admin.text
    admin.submit({"scope": "all"}, press="Requeue…")
    assert "Requeue 450 rows?" in admin.text
    assert "Rivera Plumbing LLC 450" in admin.text
    assert "and 250 more" in admin.text
    session.add(new_lead(firm, "Later"))  # fits, but was not there when they were counted
    session.commit()
    session.execute(
        text(
            "UPDATE outbox SET state = 'failed', settled_at = now()"
            " WHERE id = (SELECT max(id) FROM outbox)"
        )
    )
    session.commit()
    admin.submit({"reason": "QuickBooks is back"}, press="Requeue 450")
    assert "Under way 0 of 450" in admin.text
    page = admin.path
    assert admin.page.select_one(f"#bulk[hx-get*='{page}']")
    assert "Check again" in admin.text
    assert "0 of 450 rows processed" in admin.open("/admin/outbox").text
    bulk.carry_out(sessions)
    admin.open(page)
    assert "Done 450 of 450" in admin.text
    assert not admin.page.select("[hx-get], noscript")
    assert [e.state for e in entries_of(session)] == ["pending"] * 500 + ["failed"]
    assert "processed" not in admin.open("/admin/outbox").text


def test_a_decision_half_done_tells_how_long_the_rest_takes(
    admin: Visitor, session: Session, firm: int
) -> None:
    waiting(session, firm, 100)
    ids = [entry.id for entry in entries_of(session)]
    admin_id = session.execute(text("SELECT id FROM users WHERE role = 'admin'")).scalar_one()
    half = BulkAct(
        user_id=admin_id,
        act="requeue",
        reason="Back",
        entries=ids,
        position=25,
        done=24,
        refused={"This record is already waiting to be sent.": 1},
        created_at=datetime.now(UTC) - timedelta(minutes=1),
    )
    session.add(half)
    session.commit()
    admin.open(f"/admin/outbox/acts/{half.id}")
    assert "Under way 25 of 100 About 3 minutes left 25 % Requeued 24" in admin.text
    assert "Refused 1 · This record is already waiting to be sent." in admin.text


def test_an_owner_sends_very_many_again_a_part_at_a_time(
    ana: Visitor, session: Session, sessions: Sessions, firm: int
) -> None:
    waiting(session, firm, bulk.ENTRIES_PER_BATCH + 30)
    settle(session, bulk.ENTRIES_PER_BATCH + 30, "failed")
    ana.open(SETTINGS).submit(press="Send all again")
    assert f"{bulk.ENTRIES_PER_BATCH + 30} records will be sent again, in batches." in ana.text
    assert {entry.state for entry in entries_of(session)} == {"failed"}
    bulk.carry_out(sessions)
    assert {entry.state for entry in entries_of(session)} == {"pending"}
    assert f"0 of {bulk.ENTRIES_PER_BATCH + 30}" in told(ana.open(SETTINGS))


# --- In a browser ---------------------------------------------------------------------------------


@pytest.mark.browser
def test_held_records_are_seen_going_to_quickbooks_without_a_reload_and_nothing_moves(
    browser: Browser,
    environ: dict[str, str],
    simulator: SimulatorHandle,
    session: Session,
    sessions: Sessions,
    config: Config,
    tmp_path: Path,
) -> None:
    owner = new_owner(session, email="owner@rivera.example")
    connect(sessions, config, owner)
    new_person(session, firm_of(owner), "ana@rivera.example")
    waiting(session, firm_of(owner), 150)
    reconnected(session, firm_of(owner), timedelta(seconds=1))
    with serving(environ, tmp_path, "--workers=1", "--threads=4") as served:
        context = browser.new_context(base_url=served.url)
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_label("E-mail").fill("ana@rivera.example")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.add_init_script(_WATCH_SHIFTS)
        page.goto(SETTINGS)
        if page.get_by_role("progressbar").count():  # it may be over already
            end = page.get_by_role("heading", name="What was waiting is sent")
            expect(end).to_be_visible(timeout=60_000)
            expect(page.locator("#announcement")).to_have_text("What was waiting is sent")
        expect(page.locator("#count-waiting strong")).to_have_text("0", timeout=60_000)
        assert page.evaluate("window.shifted") < 0.01
        context.close()


@pytest.mark.browser
def test_what_happens_to_a_record_meanwhile_is_on_the_pages_that_are_open(
    browser: Browser,
    environ: dict[str, str],
    simulator: SimulatorHandle,
    session: Session,
    sessions: Sessions,
    config: Config,
    tmp_path: Path,
) -> None:
    owner = new_owner(session, email="owner@rivera.example")
    connect(sessions, config, owner)
    new_person(session, firm_of(owner), "ana@rivera.example")
    waiting(session, firm_of(owner), 2)
    session.execute(text("UPDATE outbox SET available_at = now() + interval '59 s'"))
    session.commit()
    [_fails, lead] = session.scalars(select(Lead).order_by(Lead.id))
    with serving(environ, tmp_path, "--workers=1", "--threads=4") as served:
        context = browser.new_context(base_url=served.url)
        settings, record = context.new_page(), context.new_page()
        settings.goto("/sign-in")
        settings.get_by_label("E-mail").fill("ana@rivera.example")
        settings.get_by_label("Password").fill(PASSWORD)
        settings.get_by_role("button", name="Sign in").click()
        settings.goto(SETTINGS)
        expect(settings.locator("#needs")).to_contain_text("Nothing needs you.")
        record.goto(f"/leads/{lead.id}")
        settle(session, 1, "failed")
        expect(settings.locator("#needs .cause")).to_have_count(1, timeout=20_000)
        expect(settings.locator("#needs")).not_to_contain_text("Nothing needs you.")
        expect(settings.locator(".menu .needs-you")).to_contain_text("1")
        expect(settings.locator("#banner")).to_contain_text("QuickBooks needs you: 1")
        lead.name = "Blue Lawn Co"
        session.commit()
        expect(record.get_by_role("heading", level=1)).to_have_text("Blue Lawn Co", timeout=20_000)
        context.close()


_WATCH_SHIFTS = """window.shifted = 0;
new PerformanceObserver(list => list.getEntries().forEach(one => { window.shifted += one.value; }))
    .observe({ type: "layout-shift", buffered: true });"""
