"""Where things are on the page, wide and on a phone."""

import pytest
from playwright.sync_api import Locator, ViewportSize

from development.scenes import NARROW, WIDE
from tests.support.house import Person

pytestmark = pytest.mark.browser

PAGES = (
    "/ /leads /leads/new /invoices /payments /proposals /products/new /account"
    " /settings/quickbooks /settings/quickbooks/matches /settings/organization /settings/people"
).split()
LONGEST_FORM = 2.25  # screens, with one line
SCREENS = 1.5  # of a phone, until the status and what needs somebody were seen


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def viewport(request: pytest.FixtureRequest) -> ViewportSize:
    size: ViewportSize = request.param
    return size


def top_of(place: Locator) -> float:
    box = place.first.bounding_box()
    assert box
    return box["y"]


def bottom_of(place: Locator) -> float:
    box = place.first.bounding_box()
    assert box
    return box["y"] + box["height"]


def test_every_heading_begins_at_the_same_edge_and_pages_are_equally_wide(ana: Person) -> None:
    edges = set()
    for path in PAGES:
        ana.go(path)
        heading, main = (ana.page.locator(tag).bounding_box() for tag in ("h1", "main"))
        assert heading
        assert main
        edges.add((heading["x"], main["x"], main["width"]))
    assert len(edges) == 1, edges


def test_what_matters_is_seen_first_on_a_phone(ana: Person, viewport: ViewportSize) -> None:
    page, screen = ana.page, viewport["height"]
    ana.connect()
    ana.go("/settings/quickbooks")
    assert bottom_of(page.locator("section[aria-labelledby=attention]")) < SCREENS * screen

    ana.new_lead("Mary Johnson")
    ana.follow("New invoice")
    assert page.evaluate("document.documentElement.scrollHeight") < LONGEST_FORM * screen
    page.get_by_label("Product, or what you did").fill("Visit")
    page.get_by_label("Price").fill("100")
    ana.press("Save invoice")
    void = page.get_by_role("link", name="Void this invoice").bounding_box()
    assert void
    assert void["height"] >= 44

    ana.go("/invoices")
    row = page.locator("tbody tr").first
    name, pill = row.get_by_text("Mary Johnson"), row.locator(".pill")
    is_beside = viewport == WIDE
    assert bottom_of(name) <= top_of(pill) or is_beside
