"""Top-level modules keep the order in which imports run (see ORDER).

Packages are held to it by import-linter (pyproject.toml), which does not know single modules.
"""

import ast
import re
from pathlib import Path

import pytest

from quickbooks.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
ORDER = (
    "config logs languages prepared db models outbox quickbooks notices web presenters views app"
).split()
NEVER = {"simulator", "development", "benchmarks", "tests"}


def imported(path: Path) -> set[str]:
    tops: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                tops |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                tops.add(module.partition(".")[0])
    return tops


@pytest.mark.parametrize("module", ["config", "logs", "languages", "prepared", "db", "app"])
def test_a_top_level_module_imports_only_what_lies_below_it(module: str) -> None:
    above = set(ORDER[ORDER.index(module) + 1 :]) | NEVER
    assert not imported(ROOT / f"{module}.py") & above


@pytest.mark.parametrize("path", sorted((ROOT / "presenters").glob("*.py")), ids=lambda p: p.stem)
def test_a_presenter_reads_no_request_and_commits_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    taken = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not named & {"commit", "rollback"}
    assert not taken & {"request", "Blueprint", "render_template", "redirect", "flash", "note"}


OF_THE_ENGINE = set(
    "taken_by_another_record unanswered turned_away trouble_there poison internal".split()
)


@pytest.mark.parametrize("path", sorted((ROOT / "outbox").glob("*.py")), ids=lambda p: p.stem)
def test_the_engine_names_no_fault_of_quickbooks(path: Path) -> None:
    source = "\n".join(line.partition("#")[0] for line in path.read_text("utf-8").splitlines())
    named = set(re.findall(r"""["'](\w+)["']""", source))
    assert not named & (CATALOGUE.keys() - OF_THE_ENGINE)


@pytest.mark.parametrize("path", sorted((ROOT / "web").glob("*.py")), ids=lambda p: p.stem)
def test_what_pages_share_is_no_page(path: Path) -> None:
    assert "Blueprint" not in path.read_text(encoding="utf-8")
