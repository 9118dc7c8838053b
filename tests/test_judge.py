"""The table of what an answer proves: every cell is written down, and keeps the head's promises."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from models.base import Json
from outbox.company import Answer, Hold, Learned, Pause, Problem, Reading, Rejected, Retry, Sent
from quickbooks.catalogue import CATALOGUE, Class
from quickbooks.faults import RemoteFault, faults_in
from quickbooks.judge import (
    TABLE,
    Fate,
    Lane,
    Operation,
    Said,
    Status,
    judge,
    rows_in,
    said_by,
    status_of,
)
from quickbooks.reading import read
from tests.test_quickbooks_read import fault, question_of, sent_of

WRITES = [operation for operation in Operation if operation is not Operation.QUERY]
STATUSES = [
    200,
    201,
    204,
    302,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    422,
    429,
    500,
    502,
    503,
    504,
]
CODES = [code for code in CATALOGUE if code.isdigit()] + ["", "6560", "99999"]


def test_every_cell_is_a_verdict_written_down() -> None:
    cells = {
        (status, said, operation, is_repeat)
        for status in Status
        for said in Said
        for operation in Operation
        for is_repeat in (False, True)
    }
    assert set(TABLE) == cells


def test_only_a_rule_of_the_document_on_a_first_send_is_a_definite_no() -> None:
    for (status, said, operation, is_repeat), verdict in TABLE.items():
        if operation is Operation.QUERY:
            continue
        if verdict.fate in (Fate.REFUSED, Fate.APART):
            assert said is Said.RULE, (status, said)
            assert not is_repeat
        if verdict.fate is Fate.FREED:
            assert not is_repeat, "the first send may have arrived"
            assert verdict.lane not in (Lane.WORKS, Lane.PERHAPS), "turned away, and it says why"
        if said is Said.INSIDE:
            assert verdict.fate in (Fate.UNKNOWN, Fate.NOT_TAKEN)


def test_a_5xx_outranks_whatever_its_body_says() -> None:
    verdicts = {verdict for (status, *_), verdict in TABLE.items() if status is Status.DOWN}
    assert [(one.fate, one.lane) for one in verdicts] == [(Fate.UNKNOWN, Lane.PERHAPS)]


def test_only_what_was_asked_for_is_seen() -> None:
    for (status, said, _operation, _is_repeat), verdict in TABLE.items():
        if verdict.fate is Fate.SEEN:
            assert (status, said) == (Status.GOOD, Said.OBJECT)


def test_not_taken_is_what_a_door_or_a_limit_turned_away_and_names() -> None:
    for (status, said, _operation, _is_repeat), verdict in TABLE.items():
        if verdict.fate is Fate.NOT_TAKEN:
            assert verdict.lane is not Lane.PERHAPS, (status, said)
            assert verdict.lane is not Lane.WORKS, (status, said)


def test_every_code_says_something() -> None:
    for code in CODES:
        said = said_by([RemoteFault(code, type="ValidationFault")])
        cause = CATALOGUE.get(code)
        if cause is None:
            assert said is (Said.RULE if code else Said.INSIDE), code
        elif cause.class_ in (Class.HOLD, Class.PAUSE):
            assert said not in (Said.RULE, Said.INSIDE), code
        else:
            assert said is (Said.INSIDE if cause.class_ is Class.INSIDE else Said.RULE), code


def test_every_status_and_problem_has_a_row() -> None:
    assert {status_of(Answer(code)) for code in range(100, 600)} | {
        status_of(Answer(problem=problem)) for problem in Problem
    } == set(Status)


# --- Every code × every operation × every status gives a reading --------------------------------


def requests() -> Iterator[Sent]:
    for entity in ("Customer", "Invoice", "Payment"):
        for intent in ("create", "update", "void"):
            body: Json = {"Id": None} if intent == "create" else {}
            for entries in ((1,), (1, 2)):
                for is_repeat in (False, True):
                    sent = sent_of(entity, intent=intent, entries=entries, body=body)
                    yield replace(sent, sends=1 + is_repeat, is_repeat=is_repeat)
        yield question_of(entity, "Id IN ('1')", [1], "read")
        yield replace(question_of(entity, "Id IN ('1')", [1], "read"), looks_up=True)


REQUESTS = list(requests())


@pytest.mark.parametrize("status", STATUSES)
def test_case_r08_every_code_and_operation_gives_a_verdict(status: int) -> None:
    for code in CODES:
        whole = fault(code, "The account period has closed")
        items = {"BatchItemResponse": [{"bId": "0", **whole}, {"bId": "1", **whole}]}
        for sent in REQUESTS:
            answer = Answer(status, json.dumps(items if sent.path == "batch" else whole))
            must_hold(sent, answer, read(sent, answer))
        answer = Answer(status, json.dumps(whole))
        for sent in REQUESTS:
            must_hold(sent, answer, read(sent, answer))


def must_hold(sent: Sent, answer: Answer, reading: Reading) -> None:
    told = faults_in(answer.body)
    is_write = sent.method != "GET"
    refused = [one for one in reading.outcomes.values() if isinstance(one, Rejected | Retry)]
    if is_write and (sent.sends > 1 or status_of(answer) is Status.DOWN):
        assert not reading.outcomes, "a repeat, or a 5xx, refuses nothing"
    if is_write and told and said_by(told) is not Said.RULE:
        assert not refused
    if not reading.taken:
        assert isinstance(reading.trouble, Pause | Hold)
        assert not reading.outcomes or not is_write
    if reading.is_silent:
        assert reading.trouble == Pause("outage")
    for outcome in reading.outcomes.values():
        assert isinstance(outcome, Rejected | Retry | Learned)


@pytest.mark.parametrize("status", STATUSES)
def test_what_is_not_told_and_not_there_is_never_an_answer(status: int) -> None:
    for sent in REQUESTS:
        for body in ("", "{}", "<html>", "null", '{"time": "2026"}', '{"QueryResponse": []}'):
            reading = read(sent, Answer(status, body))
            assert all(one == Learned({"unseen": True}) for one in reading.outcomes.values())
            assert reading.trouble is not None


# --- Rows -----------------------------------------------------------------------------------------

CUSTOMER = {"Id": "1", "SyncToken": "0"}


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ({}, None),
        ({"QueryResponse": None}, None),
        ({"QueryResponse": []}, None),
        ({"QueryResponse": {"Item": [CUSTOMER]}}, None),
        ({"QueryResponse": {"Customer": {"Id": "1"}}}, None),
        ({"QueryResponse": {"Customer": [1, {"Name": "no Id"}]}}, None),
        ({"QueryResponse": {}}, []),
        ({"QueryResponse": {"Customer": []}}, []),
        ({"QueryResponse": {"startPosition": 1, "maxResults": 0}}, []),
        ({"QueryResponse": {"Customer": [CUSTOMER, 1]}}, [CUSTOMER]),
    ],
)
def test_case_e06_a_list_is_told_or_it_is_no_answer(
    document: Json, rows: list[Json] | None
) -> None:
    assert rows_in(document, "Customer") == rows


def test_a_repeat_at_the_door_leaves_the_first_send_as_it_was() -> None:
    first = judge(Status.REFUSED, Said.PLAN_LAPSED, Operation.CREATE, is_repeat=False)
    again = judge(Status.REFUSED, Said.PLAN_LAPSED, Operation.CREATE, is_repeat=True)
    assert (first.fate, again.fate) == (Fate.FREED, Fate.UNKNOWN)
    assert first.lane is again.lane is Lane.PLAN_LAPSED
