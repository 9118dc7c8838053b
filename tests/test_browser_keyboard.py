"""Without a mouse, without motion, on paper."""

import re

import pytest
from playwright.sync_api import Page, expect

from development.scenes import NARROW, WIDE, Stage

pytestmark = pytest.mark.browser

FOCUSED = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const look = getComputedStyle(one), box = one.getBoundingClientRect();
    return {
        html: one.outerHTML.slice(0, 120),
        place: [...document.querySelectorAll("*")].indexOf(one),
        ring: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2,
        seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
}"""
REACHABLE = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
)].filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0).length"""
MOVING = """() => [...document.querySelectorAll("*")].filter((one) => {
    const look = getComputedStyle(one);
    return parseFloat(look.transitionDuration) > 0 || look.animationName !== "none";
}).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "name",
    [
        "sign-up",
        "quickbooks",
        "lead-name-taken-by-vendor",
        "invoice-waits",
        "invoice-new-from-proposal",
        "disconnect",
        "fix-customer",
        "admin-outbox-all",
    ],
)
def test_tab_reaches_everything_in_order_and_one_sees_where_it_is(
    stage: Stage, name: str, viewport: dict[str, int]
) -> None:
    scene = stage.scene(name)
    with stage.page_for(scene.who, WIDE if viewport == WIDE else NARROW) as page:
        stage.play(page, scene)
        steps = tab_through(page)
        assert [step["html"] for step in steps if not step["ring"]] == []
        assert [step["html"] for step in steps if not step["seen"]] == []
        places = [int(str(step["place"])) for step in steps]
        assert places == sorted(places)
        assert len(places) == page.evaluate(REACHABLE) - radios_beside_the_chosen(page)


def tab_through(page: Page) -> list[dict[str, object]]:
    """Everything that the keyboard comes to, from the top of the page to its end."""
    page.locator(".skip-link").focus()
    steps: list[dict[str, object]] = []
    while step := page.evaluate(FOCUSED):
        if not steps or step["place"] != steps[-1]["place"]:  # the parts of a date are one stop
            steps.append(step)
        page.keyboard.press("Tab")
    return steps


def radios_beside_the_chosen(page: Page) -> int:
    """A group of radios is one stop: the arrows lead through it."""
    names = page.eval_on_selector_all("input[type=radio]", "all => all.map((one) => one.name)")
    return len(names) - len(set(names))


def test_the_first_tab_offers_to_skip_the_menu(stage: Stage) -> None:
    with stage.page_for("ana") as page:
        stage.play(page, stage.scene("leads"))
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Import")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("disconnect-nothing-waits", "Stay connected"),
        ("invoice-void", "Keep it"),
        ("callback-other-company", "Go back"),
    ],
)
def test_a_question_begins_at_the_answer_that_changes_nothing(
    stage: Stage, name: str, safe: str
) -> None:
    scene = stage.scene(name)
    with stage.page_for(scene.who) as page:
        stage.play(page, scene)
        expect(page.get_by_role("link", name=safe)).to_be_focused()


def test_a_refused_form_keeps_what_was_typed_and_says_where(stage: Stage) -> None:
    scene = stage.scene("invoice-new-wrong")
    with stage.page_for(scene.who) as page:
        stage.play(page, scene)
        quantity = page.get_by_label("Quantity").first
        expect(quantity).to_have_value("many")
        expect(quantity).to_have_attribute("aria-invalid", "true")
        described = quantity.get_attribute("aria-describedby")
        expect(page.locator(f"#{described}")).not_to_be_empty()


def test_who_wants_no_motion_gets_none(stage: Stage) -> None:
    with stage.page_for("ana") as page:
        page.emulate_media(reduced_motion="reduce")
        stage.play(page, stage.scene("quickbooks"))
        assert page.evaluate(MOVING) == []


@pytest.mark.parametrize("name", ["invoice-print", "invoice-voided-print"])
def test_an_invoice_prints_on_one_page_without_the_app_around_it(stage: Stage, name: str) -> None:
    with stage.page_for("ana", theme="dark") as page:
        stage.play(page, stage.scene(name))
        page.emulate_media(media="print")
        for part in (page.get_by_role("navigation"), page.locator("footer"), page.locator(".bar")):
            expect(part).to_be_hidden()
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )
        pages = re.findall(rb"/Type\s*/Page\b", page.pdf(format="Letter"))
        assert len(pages) == 1
