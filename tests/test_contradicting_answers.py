"""Answers that contradict themselves, or that don't show what they tell of: they prove nothing."""

from dataclasses import replace

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


# --- Questions ------------------------------------------------------------------------------------

MINE = {**OURS, "DocNumber": "1042", "TotalAmt": 100, "CustomerRef": {"value": "58"}}
THEIRS = {**MINE, "Id": "7", "PrivateNote": "by hand"}
NO_OBJECT = {key: value for key, value in MINE.items() if key != "SyncToken"}


def rows(*shown: Json, **told: int) -> Json:
    return {"QueryResponse": {"Invoice": list(shown), **told}}


@pytest.mark.parametrize(
    "document",
    [
        rows(THEIRS, NO_OBJECT),
        rows(THEIRS, maxResults=2),
        rows(maxResults=1),
        {"QueryResponse": {"startPosition": 1, "maxResults": 1}},
        {"QueryResponse": {"totalCount": 1}},
        {"QueryResponse": {"totalCount": "1"}},
        rows({**THEIRS, "DocNumber": "999", "CustomerRef": {"value": "4"}}),
    ],
    ids=["no object", "one of two", "none of one", "no list", "count", "text", "other question"],
)
@pytest.mark.parametrize(
    "condition", ["DocNumber IN ('1042')", "CustomerRef = '58' AND TxnDate = '2026-11-18'"]
)
def test_case_e06_what_an_answer_leaves_out_is_not_absent(condition: str, document: Json) -> None:
    reading = read(question_of("Invoice", condition, [1]), answer_of(document))
    assert reading.outcomes == {1: Learned({"unseen": True})}


@pytest.mark.parametrize(
    "document",
    [
        {"QueryResponse": {}},
        {"QueryResponse": {"startPosition": 1, "maxResults": 0}},
        {"QueryResponse": {"totalCount": 0}},
        rows(THEIRS, startPosition=1, maxResults=1, totalCount=1),
        rows({**THEIRS, "DocNumber": " 1042"}),
    ],
)
def test_an_answer_that_shows_all_says_what_is_absent(document: Json) -> None:
    reading = read(question_of("Invoice", "DocNumber IN ('1042')", [1]), answer_of(document))
    (outcome,) = reading.outcomes.values()
    assert isinstance(outcome, Learned)
    assert outcome.knowledge["found"] is None
    assert outcome.knowledge["checked"]


def test_an_invoice_is_ours_by_its_mark_however_its_number_is_written() -> None:
    document = rows({**MINE, "DocNumber": "1042 "})
    reading = read(question_of("Invoice", "DocNumber IN ('1042')", [1]), answer_of(document))
    (outcome,) = reading.outcomes.values()
    assert isinstance(outcome, Learned)
    assert outcome.knowledge["found"]["Id"] == OURS["Id"]


def test_case_e06_a_customer_that_an_answer_leaves_out_is_not_inactive() -> None:
    sent = question_of("Customer", "Id IN ('58')", [1], knowledge={"doubted": "Customer"})
    sent = replace(sent, due=question_of("Invoice", "Id IN ('1')", [1]).due)
    told = {"QueryResponse": {"startPosition": 1, "maxResults": 1}}
    assert read(sent, answer_of(told)).outcomes == {1: Learned({"unseen": True})}
