"""What the documents say about the tree is true."""

import ast
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from development.stack import ROOT
from models.passwords import DEMO_EMAILS, DEMO_PASSWORD

# Public things of the engine whose names and types say all there is to say.
SAID_BY_NAME = {  # a library's methods, overridden
    "quickbooks/client.py: DeadlineAdapter.init_poolmanager",
    "quickbooks/client.py: DeadlineAdapter.proxy_manager_for",
}
DOCUMENTS = sorted(chain(ROOT.glob("*.md"), ROOT.glob("docs/*.md")))


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    document = ROOT / name
    text = document.read_text()
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    paths = re.findall(r"`((?:[a-z_]+/)+[\w.-]+\.(?:py|md|toml|in|txt))`", text)
    paths += re.findall(r"`(bin/\w+)", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


def test_the_readme_tells_all_sign_ins() -> None:
    readme = (ROOT / "README.md").read_text()
    assert DEMO_PASSWORD in readme
    assert [email for email in DEMO_EMAILS if f"`{email}`" not in readme] == []


def test_no_document_or_program_knows_the_machine_it_was_written_on() -> None:
    own = [ROOT / "bin", ROOT / ".ci", ROOT / "development", ROOT / "docs", ROOT / "migrations"]
    for path in chain(*(folder.rglob("*") for folder in own), ROOT.glob("[!.]*.*")):
        if path.suffix in {".py", ".md", ".toml", ".txt", ".ini", ""} and path.is_file():
            text = path.read_text(errors="replace")
            assert "/work/" not in text, path
            assert "../shared" not in text, path


def test_every_rule_names_tests_that_name_the_rule() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| .* \| ([^|]*) \|$", architecture, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 20))
    for number, cell in rows:
        names = re.findall(r"`(\w+)`", cell)
        assert names, f"rule {number} has no test"
        for name in names:
            source = (ROOT / "tests" / f"test_{name}.py").read_text()
            said = re.search(rf"rules?[ _]{number}(?!\d)", source, re.IGNORECASE)
            assert said, f"tests/test_{name}.py does not name rule {number}"


def test_every_situation_names_its_tests_and_every_test_is_named() -> None:
    document = (ROOT / "docs" / "situations.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", document, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 41))
    named = set()
    for number, cell in rows:
        for file, titles in re.findall(r"`(test_\w+)`: ([^`]+)", cell):
            names = [title.replace(" ", "_") for title in re.findall(r"\*([^*]+)\*", titles)]
            if file.startswith("test_situations_"):
                named |= {f"test_situation_{number}_{name}" for name in names}
            else:
                source = (ROOT / "tests" / f"{file}.py").read_text()
                assert [name for name in names if f"def test_{name}(" not in source] == [], file
    sources = "".join(path.read_text() for path in ROOT.glob("tests/test_situations_*.py"))
    assert named == set(re.findall(r"^def (test_situation_\d+_\w+)", sources, re.MULTILINE))


def test_what_the_engine_offers_says_what_it_does() -> None:
    modules = chain(ROOT.glob("outbox/*.py"), ROOT.glob("quickbooks/*.py"))
    silent = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules
        for name, node in _public(ast.parse(path.read_text()))
        if not ast.get_docstring(node)
    }
    assert silent - SAID_BY_NAME == set()


Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(
    place: ast.Module | Named, within: str = ""
) -> Iterator[tuple[str, ast.Module | Named]]:
    """The module, its classes and functions, and their methods, with their names."""
    yield within.rstrip(".") or "the module", place
    if isinstance(place, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for node in place.body:
        if isinstance(node, Named) and not node.name.startswith("_"):
            yield from _public(node, f"{within}{node.name}.")
