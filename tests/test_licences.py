"""What runs in production may be used in a program of any licence, and docs/licences.md says so."""

import re
import subprocess
import sys
from pathlib import Path

ANY_PROGRAM = (
    "MIT;BSD;Apache;ISC;PSF;Python Software Foundation;Unlicense;Zope;Mozilla;MPL;LGPL;Lesser"
)


def _packages() -> list[str]:
    """Those that are installed whatever the platform."""
    return re.findall(
        r"^([A-Za-z0-9_.-]+)==[^ ;]+ \\$", Path("requirements.txt").read_text(), re.MULTILINE
    )


def _licences(*options: str) -> subprocess.CompletedProcess[str]:
    pip_licenses = Path(sys.executable).with_name("pip-licenses")
    return subprocess.run(
        [str(pip_licenses), "--from=mixed", *options, "--packages", *_packages()],
        capture_output=True,
        text=True,
    )


def test_no_package_of_production_binds_our_own_licence() -> None:
    allowed = _licences("--partial-match", f"--allow-only={ANY_PROGRAM}")
    assert allowed.returncode == 0, allowed.stderr
    assert _licences("--partial-match", "--allow-only=Zope").returncode != 0


def test_each_package_of_production_is_in_the_docs() -> None:
    told = Path("docs/licences.md").read_text().lower()
    names = [re.sub(r"[-_.]+", "[-_.]+", name.lower()) for name in _packages()]
    assert [name for name in names if not re.search(rf"^\| {name} +\|", told, re.MULTILINE)] == []
