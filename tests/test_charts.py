"""Charts: what they count, for whom and in which zone; picture and table show the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization, Role
from outbox import actions
from presenters import charts
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, firm_of, new_owner
from tests.support.firm import new_firm_with_lane
from tests.support.serving import Served, serving
from tests.support.situation import Situation
from tests.support.visitor import PASSWORD, Visitor, new_person

CHART = "/settings/quickbooks/matches"
HERE = ZoneInfo("America/Los_Angeles")  # where the firms of tests are


def settled(
    session: Session,
    firm: int,
    at: datetime,
    *,
    state: str = "synced",
    after: float = 1,
    attempts: int = 0,
    checks: bool = False,
    code: str | None = None,
    count: int = 1,
) -> None:
    """Entries that were settled at that time, so many seconds after they were written."""
    session.execute(
        text(
            "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,"
            " payload, state, attempts, checks, fault_code, created_at, settled_at)"
            " SELECT :firm, (SELECT id FROM outbox_lanes WHERE organization_id = :firm), 'lead',"
            " 1, 'save', '{}', :state, :attempts, :checks, :code, :at - :after, :at"
            " FROM generate_series(1, :count)"
        ),
        {
            "firm": firm,
            "state": state,
            "attempts": attempts,
            "checks": checks,
            "code": code,
            "at": at,
            "after": timedelta(seconds=after),
            "count": count,
        },
    )
    session.commit()


def midnight(days_ago: int) -> datetime:
    today = datetime.now(HERE).date() - timedelta(days=days_ago)
    return datetime(today.year, today.month, today.day, tzinfo=HERE)


@pytest.fixture
def ana(app: Flask, session: Session) -> Visitor:
    """An owner whose firm has a connection, without anything sent."""
    firm, lane = new_firm_with_lane(session)
    session.execute(
        text(
            "INSERT INTO quickbooks_connections (organization_id, lane_id, environment, realm_id,"
            " company_name, country, status, status_since, connected_at)"
            " VALUES (:firm, :lane, 'simulator', '1', 'Rivera', 'US', 'connected', now(), now())"
        ),
        {"firm": firm, "lane": lane},
    )
    new_person(session, firm, "ana@rivera.example")
    return Visitor(app).sign_in("ana@rivera.example")


def firm_id(session: Session) -> int:
    return session.scalars(select(Organization.id).order_by(Organization.id)).first() or 0


def told(visitor: Visitor) -> dict[str, list[str]]:
    """The rows of the chart's table that are not all zero."""
    rows = {}
    for row in visitor.page.select("figure.chart tbody tr"):
        head, *cells = (cell.get_text() for cell in row.select("th, td"))
        if any(cell not in ("0", "") for cell in cells):
            rows[head] = cells
    return rows


def test_a_record_counts_for_the_day_of_the_firms_own_zone(ana: Visitor, session: Session) -> None:
    firm = firm_id(session)
    for moment in (midnight(3) - timedelta(minutes=1), midnight(3)):
        settled(session, firm, moment, after=2)
    ana.open(CHART)
    days = [midnight(4).date(), midnight(3).date()]
    assert told(ana) == {f"{day:%b} {day.day}": ["1", "0", "0"] for day in days}
    assert len(ana.page.select("figure.chart tbody tr")) == charts.DAYS_SHOWN


def test_the_sentence_the_table_and_the_database_tell_the_same(
    ana: Visitor, session: Session
) -> None:
    firm, at = firm_id(session), midnight(2) + timedelta(hours=9)
    settled(session, firm, at, after=0.4, count=18)
    settled(session, firm, at, after=90, attempts=2, count=2)
    settled(session, firm, at, state="failed", attempts=1, code="6240", count=3)
    settled(session, firm, at, state="superseded", count=7)
    settled(session, firm, midnight(charts.DAYS_SHOWN + 2), count=50)
    ana.open(CHART)
    assert list(told(ana).values()) == [["18", "2", "3"]]
    assert "20 sent, 2 of them after a retry; 3 needed attention." in ana.text
    assert "Usually arrives in 1 second" in ana.open("/settings/quickbooks").text


def test_a_record_that_was_only_checked_again_says_nothing_about_how_long_records_take(
    ana: Visitor, session: Session
) -> None:
    firm, at = firm_id(session), midnight(1) + timedelta(hours=9)
    settled(session, firm, at, after=3)
    settled(session, firm, at, after=86_400 * 20, checks=True)
    assert list(told(ana.open(CHART)).values()) == [["2", "0", "0"]]
    assert "Usually arrives in 3 seconds" in ana.open("/settings/quickbooks").text


# --- S16: what happened stays counted -------------------------------------------------------------


def test_case_s16_a_refused_record_that_is_mended_counts_as_both(at: Situation) -> None:
    at.connect()
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = at.save_lead("Green Lawn Co")
    at.drain()
    assert at.states() == ["lead failed"]
    at.ana.open(f"/leads/{lead}/edit").submit({"name": "Green Lawn of Austin"})
    at.drain()
    assert at.states()[-1] == "lead synced"
    assert "1 sent; 1 needed attention." in at.ana.open(CHART).text


def test_case_s16_a_refused_record_sent_again_by_hand_counts_as_both(
    at: Situation,
) -> None:
    at.connect()
    vendor = at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"}).object("Vendor")
    lead = at.save_lead("Green Lawn Co")
    at.drain()
    renamed = {"Id": vendor["Id"], "SyncToken": "0", "sparse": True, "DisplayName": "Lawn Vendor"}
    assert at.bookkeeper().post("vendor", renamed).status == 200
    at.ana.open(f"/leads/{lead}").submit(press="Send again")
    at.drain()
    assert at.states() == ["lead synced"]
    words = "1 sent, 1 of them after a retry; 1 needed attention."
    assert words in at.ana.open(CHART).text


def test_case_s16_records_repeated_after_a_lost_answer_count_as_retried(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"method": "POST", "times": 1}, do={"reset": "after"})
    for number in range(7):
        at.save_lead(f"Client {number}")
    at.drain()
    assert at.states() == ["lead pending"] * 7
    at.pass_time()
    at.drain()
    assert at.states() == ["lead synced"] * 7
    assert "7 sent, 7 of them after a retry; none needed attention." in at.ana.open(CHART).text


def test_a_record_sent_again_after_it_arrived_counts_once(at: Situation) -> None:
    at.connect()
    at.save_lead()
    at.drain()
    entry = at.entry().id
    assert actions.requeue(at.session, [entry], organization_id=at.firm).done
    at.session.commit()
    assert "1 sent; none needed attention." in at.ana.open(CHART).text
    at.drain()
    assert "1 sent; none needed attention." in at.ana.open(CHART).text


def test_without_anything_sent_there_is_no_chart_and_nothing_of_it_is_loaded(
    ana: Visitor, session: Session
) -> None:
    other, _ = new_firm_with_lane(session, name="Oak HVAC Inc")
    settled(session, other, midnight(1), count=5)
    ana.open(CHART)
    assert not ana.page.select("figure.chart")
    assert "uPlot" not in ana.answer.get_data(as_text=True)


def test_what_was_settled_long_ago_costs_the_charts_nothing(app: Flask, session: Session) -> None:
    firm, _ = new_firm_with_lane(session)
    settled(session, firm, datetime.now(UTC) - timedelta(days=90), count=20_000)
    settled(session, firm, datetime.now(UTC), count=20)
    session.execute(text("ANALYZE outbox"))
    since = datetime.now(UTC) - timedelta(days=2)
    for statement, about in (
        (charts.DAYS_OF_FIRM, {"organization": firm, "zone": "UTC", "since": since}),
        (charts.HOURS_OF_ALL, {"since": since}),
    ):
        plan = session.execute(text(f"EXPLAIN {statement.text}"), about).scalars().all()
        scans = [line.strip() for line in plan if " on outbox" in line and "lanes" not in line]
        assert scans
        assert not [line for line in scans if "Seq Scan" in line], scans


def test_the_admins_figures_tell_causes_ages_and_lanes(app: Flask, session: Session) -> None:
    rivera, _ = new_firm_with_lane(session)
    oak, oak_lane = new_firm_with_lane(session, name="Oak HVAC Inc")
    now = datetime.now(UTC)
    settled(session, rivera, now, count=4)
    settled(session, rivera, now, state="failed", code="6240", count=2)
    settled(session, oak, now, state="failed", code="6000")
    settled(session, oak, now, state="failed", code="item_inactive")
    session.execute(
        text("UPDATE outbox_lanes SET state = 'held', hold_reason = 'signed_out' WHERE id = :lane"),
        {"lane": oak_lane},
    )
    for firm, age in ((rivera, "5 min"), (oak, "2 days")):
        session.execute(
            text(
                "INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id,"
                " operation, payload, created_at) SELECT :firm, id, 'lead', 1, 'save', '{}',"
                f" now() - interval '{age}' FROM outbox_lanes WHERE organization_id = :firm"
            ),
            {"firm": firm},
        )
    session.commit()
    new_person(session, None, "admin@dunahub.example", Role.ADMIN)
    admin = Visitor(app).sign_in("admin@dunahub.example").open("/admin/outbox/figures")
    assert "4 sent; 4 needed attention." in admin.text
    rows = [" ".join(row.get_text(" ").split()) for row in admin.page.select(".shares tbody tr")]
    assert rows == [
        "Up to a minute 0",
        "Up to an hour 1",
        "Up to a day 0",
        "Longer than a day and 1 on hold 0",
        "Draining a drainer has it now 0",
        "Idle open, nothing to do 1",
        "Paused resumes automatically 0",
        "Held sign-in or plan 1",
        "Closed disconnected, or region BR 0",
        "Name already used in QuickBooks 6240 2",
        "Against a QuickBooks rule 6000 1",
        "A product or service is inactive in QuickBooks item_inactive 1",
    ]
    [link] = [one["href"] for one in admin.page.select(".shares a") if "6240" in str(one["href"])]
    assert len(admin.open(str(link)).page.select(".list tbody tr")) == 2


# --- In a browser ---------------------------------------------------------------------------------


@pytest.fixture
def served(
    environ: dict[str, str],
    simulator: SimulatorHandle,
    session: Session,
    sessions: Sessions,
    config: Config,
    tmp_path: Path,
) -> Iterator[Served]:
    """Rivera's app, connected, with a month of records behind it."""
    owner = new_owner(session, email="owner@rivera.example")
    connect(sessions, config, owner)
    new_person(session, firm_of(owner), "ana@rivera.example")
    for day in range(charts.DAYS_SHOWN):
        settled(session, firm_of(owner), midnight(day) + timedelta(hours=1), count=day % 7)
        settled(session, firm_of(owner), midnight(day) + timedelta(hours=1), attempts=1, after=40)
    with serving(environ, tmp_path, "--workers=1", "--threads=4") as served:
        yield served


def signed_in(page: Page) -> Page:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill("ana@rivera.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rivera Plumbing LLC")
    return page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_chart_is_drawn_turns_into_its_table_and_back(
    browser: Browser, served: Served, width: int, scheme: str
) -> None:
    context = browser.new_context(
        base_url=served.url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda told: trouble.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    signed_in(page).goto(CHART)
    chart = page.locator("figure.chart")
    expect(chart.locator("canvas")).to_have_count(1)
    for canvas in chart.locator("canvas").all():
        assert canvas.evaluate(_COLOURS) > 3, "nothing is drawn"
    expect(chart.locator("table")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    turn = chart.get_by_role("button", name="Show as a table")
    turn.click()
    expect(chart.get_by_role("table")).to_be_visible()
    expect(chart.locator("canvas").first).to_be_hidden()
    chart.get_by_role("button", name="Show as a chart").click()
    expect(chart.locator("canvas")).to_have_count(1)
    chart.locator(".plot").first.hover()
    expect(chart.locator(".reading")).to_contain_text("After a retry 1")
    assert trouble == []
    context.close()


@pytest.mark.browser
def test_the_chart_is_drawn_where_the_browsers_language_is_no_language_tag(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(base_url=served.url)
    context.add_init_script(
        "Object.defineProperty(navigator, 'language', {value: 'en-US@posix', configurable: true})"
    )
    page = signed_in(context.new_page())
    page.goto(CHART)
    expect(page.locator("figure.chart canvas")).to_have_count(1)
    context.close()


# How many colours a canvas shows.
_COLOURS = """canvas => new Set(new Uint32Array(canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""


@pytest.mark.browser
def test_without_javascript_the_table_shows(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.url, java_script_enabled=False)
    page = signed_in(context.new_page())
    page.goto(CHART)
    expect(page.locator("figure.chart table")).to_be_visible()
    expect(page.locator("figure.chart .plot").first).to_be_hidden()
    expect(page.get_by_text("Show as a table")).to_be_hidden()
    context.close()


@pytest.mark.browser
def test_the_page_with_charts_loads_in_under_100_kb_and_nothing_moves(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(base_url=served.url)
    cookies = signed_in(context.new_page()).context.cookies()
    context.close()
    context = browser.new_context(base_url=served.url)  # with an empty cache
    context.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]
    page = context.new_page()
    page.add_init_script(_WATCH_SHIFTS)
    page.goto(CHART, wait_until="networkidle")
    expect(page.locator("figure.chart canvas")).to_have_count(1)
    sent = page.evaluate(_BYTES)
    assert sent < 100_000, f"{sent:,} bytes"
    assert page.evaluate("window.shifted") < 0.01
    context.close()


_BYTES = """() => [...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource")].reduce((sum, one) => sum + one.transferSize, 0)"""
_WATCH_SHIFTS = """window.shifted = 0;
new PerformanceObserver(list => list.getEntries().forEach(one => { window.shifted += one.value; }))
    .observe({ type: "layout-shift", buffered: true });"""
