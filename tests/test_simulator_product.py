"""The simulator is a product of its own: it needs nothing of this project and can be installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from simulator.seed import CRAIG
from simulator.testing import SimulatorHandle

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "simulator"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
PLUGIN = FOLDER / "pytest_plugin.py"


def imported(path: Path) -> set[str]:
    tops: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            tops.add(node.module.partition(".")[0])
    return tops


def declared() -> set[str]:
    return {re.split(r"[><=;]", each)[0].strip() for each in PROJECT["dependencies"]}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_imports_nothing_that_it_does_not_declare(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | declared() | {"simulator"}
    allowed |= {"pytest"} if path == PLUGIN else set()
    assert imported(path) <= allowed


def test_the_library_needs_no_web_server() -> None:
    told = "import simulator.local, sys; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=True)


def test_its_documentation_names_no_file_that_is_not_there() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (FOLDER / target).exists(), target


USE = """
def test_a_process_and_a_company(quickbooks, quickbooks_company):
    tokens = quickbooks.grant()
    assert quickbooks.books(tokens["realm_id"])["Account"]
    taken = quickbooks_company.bookkeeper.create("Vendor", DisplayName="Ana")
    reply = quickbooks_company.handle("POST", "customer", {}, {"DisplayName": "Ana"})
    assert reply.status == 400 and b'"6240"' in reply.body
"""


@pytest.mark.full
@pytest.mark.timeout(600)
def test_it_is_installed_started_and_used_elsewhere(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    scripts = Path(sysconfig.get_path("scripts", "venv", vars={"base": str(environment)}))
    python = str(scripts / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", str(FOLDER), "pytest"], check=True, cwd=tmp_path
    )
    process = subprocess.Popen(
        [scripts / "quickbooks-simulator", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("QuickBooks simulator listening on http://")
    process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()
    (tmp_path / "test_use.py").write_text(USE)
    subprocess.run([python, "-m", "pytest", "-q", "test_use.py"], check=True, cwd=tmp_path)


def test_a_control_request_that_makes_no_sense_is_told_what_would(
    simulator: SimulatorHandle,
) -> None:
    for act, values, words in (
        ("nope", {}, "«act» is one of"),
        ("create", {"entity": "Nope"}, "«entity» is one of"),
        ("void", {"entity": ["Invoice"], "object_id": "1"}, "«entity» is one of"),
        ("merge_customers", {}, "missing a required argument"),
    ):
        with pytest.raises(ValueError, match=words):
            simulator.act(CRAIG, act, **values)
