"""Answers that contradict themselves, or that don't show what they tell of: they prove nothing."""

from collections.abc import Callable

import pytest

from models.base import Json
from outbox.company import Learned, Rejected, Synced
from quickbooks.reading import read
from tests.test_quickbooks_read import OURS, answer_of, fault, question_of, sent_of

A, B = {"Id": "71", "SyncToken": "0"}, {"Id": "72", "SyncToken": "0"}
REFUSED = fault("6000", "A business validation error has occurred.")

# --- Writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        [{"bId": "0", "Customer": A}, {"bId": "0", **REFUSED}, {"bId": "1", "Customer": B}],
        [{"bId": "0", **REFUSED}, {"bId": "0", "Customer": A}, {"bId": "1", "Customer": B}],
        [{"bId": "0", "Customer": A}, {"bId": "0", "Customer": B}, {"bId": "1", "Customer": B}],
        [{"bId": "0", "Customer": A}, {"bId": 0, **REFUSED}, {"bId": "1", "Customer": B}],
        [{"bId": "0", "Customer": A, **REFUSED}, {"bId": "1", "Customer": B}],
        [{"bId": "0", "Customer": A, **fault("3001")}, {"bId": "1", "Customer": B}],
    ],
    ids=["then refused", "refused first", "two objects", "as number", "both", "both, throttled"],
)
def test_case_e16_an_item_with_two_answers_stays_open(items: list[Json]) -> None:
    reading = read(sent_of("Customer", entries=(1, 2)), answer_of({"BatchItemResponse": items}))
    assert {entry: type(one) for entry, one in reading.outcomes.items()} == {2: Synced}
    assert reading.kept_answer, "for a person who asks what QuickBooks said"


@pytest.mark.parametrize("status", [200, 400, 401, 404])
@pytest.mark.parametrize("code", ["6000", "6140", "610", "3001", "6190"])
def test_case_e16_an_object_with_a_fault_proves_nothing(status: int, code: str) -> None:
    alone = read(sent_of(), answer_of({"Invoice": OURS, **fault(code)}, status))
    items = [{"bId": str(place), "Customer": one} for place, one in enumerate((A, B))]
    together = answer_of({"BatchItemResponse": items, **fault(code)}, status)
    batch = read(sent_of("Customer", entries=(1, 2)), together)
    assert alone.outcomes == batch.outcomes == {}
    assert alone.taken
    assert batch.taken


def test_case_e16_rows_with_a_fault_are_no_answer() -> None:
    sent = question_of("Customer", "DisplayName IN ('A')", [1])
    told = {"QueryResponse": {"Customer": [{**A, "DisplayName": "A"}]}, **fault("4001")}
    assert read(sent, answer_of(told)).outcomes == {1: Learned({"unseen": True})}
    empty = {"QueryResponse": {}, **fault("4001")}
    assert isinstance(read(sent, answer_of(empty)).outcomes[1], Rejected)
