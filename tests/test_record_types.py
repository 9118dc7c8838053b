"""Every type of record is wherever all of them must be. A type that is missing in one of these
tables would be noticed late: at the first refusal, or when somebody opens a list."""

import ast
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask

from models.comparisons import Comparison
from models.outbox import Operation
from models.sales import MODELS, TABLES, TRACKED, Record, RecordType
from models.snapshots import FOLLOWS, SENDING
from outbox.company import Due
from presenters.comparing import progress_of
from presenters.month import HEADINGS
from presenters.record_types import SHOWN, parts_of
from quickbooks import faults, kinds
from quickbooks.comparison import COMPARED


@pytest.mark.parametrize(
    "table",
    [
        SENDING,
        MODELS,
        TABLES,
        kinds.KINDS,
        SHOWN,
    ],
)
def test_a_table_has_every_type(table: dict[RecordType, object]) -> None:
    assert set(RecordType) <= set(table)


@pytest.mark.parametrize("type_", COMPARED)
def test_a_comparison_says_what_it_reads_of_each_type(type_: RecordType, app: Flask) -> None:
    now = datetime.now(UTC)
    progress = {"kind": type_.value, "read": 1, "expected": 2, "started_at": now.isoformat()}
    with app.test_request_context():
        said = progress_of(Comparison(asked_at=now, progress=progress))
        assert said
        assert said.sentence == f"Reading {HEADINGS[type_].lower()}"


@pytest.mark.parametrize("type_", RecordType)
def test_a_fault_names_any_type(type_: RecordType) -> None:
    due = Due(1, Record(type_, 1), Operation.SAVE, {})
    assert faults.ours("2500", due).about["what"]


def test_types_are_captured_in_the_order_of_arrival() -> None:
    assert list(SENDING) == list(RecordType)
    for type_, followed in FOLLOWS.items():
        assert followed.rank < type_.rank


@pytest.mark.parametrize("type_", RecordType)
def test_a_type_says_which_writes_make_an_entry(type_: RecordType) -> None:
    its = SENDING[type_]
    assert bool(its.makes_entry) != bool(its.follows)  # one of them


@pytest.mark.parametrize("type_", FOLLOWS)
def test_a_type_that_follows_another_has_its_id_in_table_and_payload(type_: RecordType) -> None:
    key = f"{FOLLOWS[type_].value}_id"
    assert hasattr(MODELS[type_], key)
    assert f"'{key}'" in SENDING[type_].snapshot


def test_what_is_tracked_has_the_fields_that_are_sent() -> None:
    for model, its in TRACKED.items():
        for field in (its.key, *its.fields):
            assert hasattr(model, field), f"{model.__name__}.{field}"


@pytest.mark.parametrize("type_", RecordType)
def test_a_type_has_its_page_and_its_form(type_: RecordType, app: Flask) -> None:
    shown = SHOWN[type_]
    for endpoint in filter(None, (shown.page, shown.form)):
        [rule] = [one for one in app.url_map.iter_rules(endpoint) if "GET" in (one.methods or ())]
        assert rule.arguments == {shown.key}


@pytest.mark.parametrize("type_", RecordType)
def test_words_of_a_type_name_what_there_is(type_: RecordType) -> None:
    shown = SHOWN[type_]
    assert hasattr(MODELS[type_], shown.title)
    assert parts_of(shown.called)[1::2] == ["title"]
    for name in parts_of(shown.row or "")[1::2]:
        assert f"'{name}'" in SENDING[type_].snapshot


TABLES_OF_TYPES = {
    "models/sales.py": "their order, and the tables of their rows",
    "models/snapshots.py": "their snapshots, and what makes an entry",
    "quickbooks/kinds/__init__.py": "their modules",
    "presenters/record_types.py": "their words and pages",
}


def test_types_are_listed_in_four_places() -> None:
    """Elsewhere a new type would be forgotten. What only some types have may be anywhere."""
    root = Path(__file__).parent.parent
    found = {
        str(path.relative_to(root))
        for folder in "models outbox quickbooks notices web presenters views".split()
        for path in (root / folder).rglob("*.py")
        if any(_lists_types(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert found == set(TABLES_OF_TYPES)


def _lists_types(node: ast.AST) -> bool:
    """A table, a list, a `match` or a class that has every type."""
    members: Sequence[ast.AST | None]
    match node:
        case ast.Dict(keys=members) | ast.Tuple(elts=members) | ast.List(elts=members):
            pass
        case ast.Match(cases=cases):
            members = [part for case in cases for part in ast.walk(case.pattern)]
        case ast.ClassDef(name="RecordType"):
            return True
        case _:
            return False
    named = {one.attr for one in members if isinstance(one, ast.Attribute)}
    return {type_.name for type_ in RecordType} <= named
