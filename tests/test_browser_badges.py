"""Badges refresh by themselves: with few requests, without moving the page, and not forever."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from development.scenes import NARROW, WIDE, Stage
from presenters.badges import POLL_PAUSES
from tests.support.firm import new_lead
from tests.support.house import ARRIVES, House, Person, signed_in
from tests.support.samples import WIDTHS, one_in
from views.admin_outbox import HEALTH_PAUSES

pytestmark = pytest.mark.browser

BADGES = "**/quickbooks/badges?*"
SMALL = 5_000  # bytes of one refresh, headers included
SHIFTS = """
window.moved = [];
new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
        if (!shift.hadRecentInput) {
            window.moved.push(...shift.sources.map((one) => one.node?.outerHTML?.slice(0, 120)));
        }
    }
}).observe({type: "layout-shift", buffered: true});
"""
HIDING = """
window.away = false;
Object.defineProperty(document, "hidden", {get: () => window.away});
"""


def turn_away(page: Page, away: bool) -> None:
    """Another tab is in front; or no longer."""
    page.evaluate(
        "away => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }",
        away,
    )


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    """Of someone who watches; time is the test's."""
    with stage.page_for("ana") as page:
        page.clock.install(time=0)
        page.clock.pause_at(1)
        page.add_init_script(HIDING)
        yield page


def asked_by(stage: Stage, page: Page, name: str) -> list[str]:
    """Opens the scene. What its page asks about badges will be in the list."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/badges?" in one.url else None)
    stage.play(page, stage.scene(name))
    return asked


def test_one_small_request_refreshes_all_badges_and_they_become_rarer(
    stage: Stage, page: Page
) -> None:
    asked = asked_by(stage, page, "leads")
    for pause in POLL_PAUSES[:8]:
        before = len(asked)
        page.clock.run_for(pause * 1000 - 100)
        assert len(asked) == before
        with page.expect_response(BADGES) as answered:
            page.clock.run_for(200)
        assert len(answered.value.body()) < SMALL
        answered.value.finished()
        page.clock.run_for(100)
        page.wait_for_function("() => document.querySelector('#live[hx-get]')")
    assert len(asked) == 8


@pytest.mark.parametrize("name", ["lead", "invoice", "quickbooks-just-connected"])
def test_a_page_where_all_is_final_asks_nothing(stage: Stage, page: Page, name: str) -> None:
    asked = asked_by(stage, page, name)
    page.clock.run_for(10 * 60 * 1000)
    assert asked == []


def test_a_page_nobody_looks_at_asks_nothing_and_catches_up_at_once(
    stage: Stage, page: Page
) -> None:
    asked = asked_by(stage, page, "lead-waiting")
    turn_away(page, True)
    page.clock.run_for(10 * 60 * 1000)
    assert asked == []
    with page.expect_response(BADGES):
        turn_away(page, False)


@pytest.mark.parametrize("failure", [502, 429, None])
def test_a_page_that_got_no_answer_asks_again_and_ever_more_rarely(
    stage: Stage, page: Page, failure: int | None
) -> None:
    asked = asked_by(stage, page, "lead-waiting")

    def fail(route: Route) -> None:
        route.fulfill(status=failure, body="deploying") if failure else route.abort()

    def count_after(seconds: int) -> int:
        page.clock.run_for(seconds * 1000)
        page.wait_for_timeout(200)  # the answer is not the clock's
        return len(asked)

    page.route(BADGES, fail)
    assert count_after(POLL_PAUSES[0]) == 1
    assert [count_after(pause) for pause in (4, 1, 9, 1)] == [1, 2, 2, 3]
    page.unroute(BADGES)
    with page.expect_response(BADGES):
        page.clock.run_for(20_000)
    page.wait_for_function("() => document.querySelector('#live[hx-get]:not([data-missed])')")
    with page.expect_response(BADGES):
        page.clock.run_for(POLL_PAUSES[1] * 1000 + 100)


def test_a_page_whose_question_is_refused_asks_no_more(stage: Stage, page: Page) -> None:
    asked = asked_by(stage, page, "lead-waiting")
    page.route(BADGES, lambda route: route.fulfill(status=404, body="gone"))
    page.clock.run_for(POLL_PAUSES[0] * 1000)
    page.wait_for_timeout(200)
    page.clock.run_for(5 * 60 * 1000)
    assert len(asked) == 1


def test_the_health_line_of_the_outbox_is_read_again_while_somebody_looks(stage: Stage) -> None:
    with stage.page_for("dana") as page:
        page.clock.install(time=0)
        page.clock.pause_at(1)
        page.add_init_script(HIDING)
        page.add_init_script(SHIFTS)
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url) if "/health" in one.url else None)
        stage.play(page, stage.scene("admin-outbox"))
        health = page.locator("#health")
        shown = health.inner_text()
        health.evaluate("line => line.querySelector('strong').textContent = '?'")
        before = page.evaluate("window.moved")
        pause = HEALTH_PAUSES[0][1] * 1000
        page.clock.run_for(pause - 100)
        assert asked == []
        with page.expect_response("**/admin/outbox/health?*") as answered:
            page.clock.run_for(200)
        assert len(answered.value.body()) < SMALL
        expect(health).not_to_contain_text("?")
        assert health.inner_text().splitlines()[0] == shown.splitlines()[0]
        assert page.evaluate("window.moved") == before

        turn_away(page, True)
        page.clock.run_for(10 * 60 * 1000)
        assert len(asked) == 1
        with page.expect_response("**/admin/outbox/health?round=2"):
            turn_away(page, False)


@pytest.mark.parametrize("viewport", one_in(2, WIDTHS))
def test_nothing_moves_when_a_badge_or_the_panel_changes_and_then_it_ends(
    browser: Browser, house: House, viewport: dict[str, int]
) -> None:
    with signed_in(browser, house, WIDE if viewport == WIDE else NARROW) as ana:
        ana.connect()
        ana.page.add_init_script(SHIFTS)
        slow = {"delay": 0.8}
        house.simulator.fault(match={"realm": ana.realm, "method": "POST"}, do=slow)
        save_leads(ana, "Kim Park", "Omar Haddad", "Helen Cho")
        ana.go("/leads")
        pills = ana.page.locator("table .pill")
        expect(pills.first).not_to_have_text("In QuickBooks")
        expect(pills).to_have_text(["In QuickBooks"] * 3, timeout=ARRIVES)
        assert ana.page.evaluate("window.moved") == []
        expect(ana.page.locator("#live[hx-get]")).to_have_count(0)

        ana.new_lead("Priya Raman")
        ana.reads("In QuickBooks")
        assert ana.page.evaluate("window.moved") == []
        expect(ana.page.locator("#live[hx-get]")).to_have_count(0)
        house.simulator.clear_faults()


def save_leads(ana: Person, *names: str) -> None:
    assert ana.firm
    with ana.house.sessions() as session:
        session.add_all(new_lead(ana.firm, name) for name in names)
        session.commit()
