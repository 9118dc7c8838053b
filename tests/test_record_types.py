"""Every type of record is wherever all of them must be. A type that is missing in one of these
tables would be noticed late: at the first refusal, or when somebody opens a list."""

import pytest

from models.outbox import Operation
from models.sales import TRACKED, Record, RecordType
from models.snapshots import SNAPSHOTS, TABLES
from outbox import capture
from outbox.company import Due
from presenters import names
from quickbooks import catalogue, faults, kinds
from views.live import MODELS


@pytest.mark.parametrize(
    "table",
    [
        SNAPSHOTS,
        TABLES,
        capture.MAKES_ENTRY,
        kinds.KINDS,
        catalogue.EFFECTS,
        names.NOUNS,
        names.KIND_NAMES,
        {RecordType.PRODUCT: None, **MODELS},  # a product has no panel
    ],
)
def test_a_table_has_every_type(table: dict[RecordType, object]) -> None:
    assert set(RecordType) <= set(table)


@pytest.mark.parametrize("type_", RecordType)
def test_a_fault_names_any_type(type_: RecordType) -> None:
    due = Due(1, Record(type_, 1), Operation.SAVE, {})
    assert faults.ours("2500", due).about["what"]


@pytest.mark.parametrize("type_", RecordType)
def test_a_record_is_a_row_with_what_capture_writes(type_: RecordType) -> None:
    [model] = [
        model for model, its in TRACKED.items() if (its.record_type, its.key) == (type_, "id")
    ]
    assert model.__tablename__ == TABLES[type_]
    assert {"organization_id", "first_entry_at"} <= set(model.__table__.columns.keys())


def test_what_is_tracked_has_the_fields_that_are_sent() -> None:
    for model, its in TRACKED.items():
        for field in (its.key, *its.fields):
            assert hasattr(model, field), f"{model.__name__}.{field}"
