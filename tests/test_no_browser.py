"""Where there is no Chromium: the command to get one, no tests without it, and a red build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from development.stack import ROOT


def run(folder: Path, *options: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """One browser test, on a machine that finds no program at all."""
    test = "tests/test_browser_keyboard.py::test_the_first_tab_offers_to_skip_the_menu"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", test, *options],
        cwd=ROOT,
        env={**os.environ, "PATH": str(folder), **environ},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)], ids=["at home", "in CI"])
def test_a_browser_test_that_cannot_run_says_what_to_install_and_fails_ci(
    tmp_path: Path, ci: str, code: int
) -> None:
    ran = run(tmp_path, CI=ci)
    assert ran.returncode == code, ran.stdout
    assert "apt-get install chromium" in ran.stdout


def test_who_asks_for_no_browser_tests_gets_none(tmp_path: Path) -> None:
    ran = run(tmp_path, "--no-browser", CI="true")
    assert "1 deselected" in ran.stdout
    assert "skipped" not in ran.stdout
