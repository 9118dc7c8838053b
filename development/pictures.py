"""Takes the pictures of the README: python -m development.pictures"""

import tempfile
from pathlib import Path

from development import demo
from development.browser import Browser
from development.chromium import running_chromium
from development.stack import ROOT, Stack, free_port, running_stack
from models.passwords import DEMO_PASSWORD

FOLDER = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1120, 800


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="dunahub-pictures-") as folder,
        running_stack(Path(folder), free_port(), free_port(), demo.environ()) as stack,
    ):
        _fill(stack)
        _take(stack)


def _fill(stack: Stack) -> None:
    """The demo's records, and two leads with one name: the second needs attention."""
    demo.go_through(stack, say=lambda _line: None)
    browser = Browser(stack.url)
    demo.sign_in(browser, "ana@rivera.example")
    for email in ("office@greenlawn.example", "billing@greenlawn.example"):
        browser.open("/leads/new")
        browser.submit({"name": "Green Lawn Co", "email": email})
    browser.close()


def _take(stack: Stack) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running_chromium() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{stack.url}/sign-in")
        page.get_by_label("E-mail").fill("ana@rivera.example")
        page.get_by_label("Password").fill(DEMO_PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "sign-in" not in url)
        page.goto(f"{stack.url}/settings/quickbooks")
        page.get_by_text("Needs attention").or_(page.get_by_text("Need attention")).first.wait_for()
        page.screenshot(path=FOLDER / "settings.png", full_page=True)


if __name__ == "__main__":
    main()
