"""Takes pictures of the running app.

python -m development.pictures                 those of the README, into docs/pictures
python -m development.pictures --all FOLDER    every page in every state, wide and narrow,
                                               light and dark; --only TEXT … for some of them
"""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, ViewportSize

from development.chromium import running_chromium
from development.database import migrate
from development.postgres import throwaway_postgres
from development.scenes import NARROW, SCENES, WIDE, Stage, Theme
from development.showcase import running_showcase
from development.stack import ROOT
from simulator.testing import running_simulator

README = ROOT / "docs" / "pictures"
SHOWN = {"quickbooks": "settings", "invoice-waits": "invoice", "admin-outbox": "admin"}
SIZE: ViewportSize = {"width": 1120, "height": 800}
A_GOOD_MONTH = 90  # invoices
THEMES: tuple[Theme, ...] = ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(prog="development.pictures", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)  # request logs are not useful here
    with _stage(A_GOOD_MONTH) as stage:
        if asked.all:
            _take_all(stage, asked.all, asked.only)
        else:
            _take_those_of_the_readme(stage)


@contextmanager
def _stage(invoices: int) -> Iterator[Stage]:
    with throwaway_postgres() as server, running_simulator() as simulator:
        migrate(server.url())
        with (
            running_showcase(server.url(), simulator, invoices=invoices) as showcase,
            running_chromium() as chromium,
        ):
            yield Stage(chromium, showcase)


def _take_those_of_the_readme(stage: Stage) -> None:
    README.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        if name := SHOWN.get(scene.name):
            for theme in THEMES:
                with stage.page_for(scene.who, SIZE, theme) as page:
                    stage.play(page, scene)
                    _take(page, README / f"{name}-{theme}.png", full_page=False)


def _take_all(stage: Stage, folder: Path, only: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        if not any(text in scene.name for text in only):
            continue
        for width, viewport in (("wide", WIDE), ("narrow", NARROW)):
            with stage.page_for(scene.who, viewport) as page:
                stage.play(page, scene)
                for theme in THEMES:
                    page.emulate_media(color_scheme=theme)
                    _take(page, folder / f"{scene.name}-{width}-{theme}.png", full_page=True)
        sys.stdout.write(f"{scene.name}\n")
        sys.stdout.flush()


def _take(page: Page, path: Path, *, full_page: bool) -> None:
    page.screenshot(path=path, full_page=full_page, animations="disabled")


if __name__ == "__main__":
    main()
