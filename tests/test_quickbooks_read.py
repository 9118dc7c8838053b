"""What an answer means for each entry and for the company. Pure, read as a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Json
from models.outbox import Operation
from models.sales import Record, RecordType
from outbox.company import (
    Answer,
    Due,
    Hold,
    Item,
    Learned,
    Outcome,
    Pause,
    Problem,
    Reading,
    Rejected,
    Remote,
    Retry,
    Sent,
    Synced,
)
from quickbooks.reading import read
from tests.test_kinds import a_lead, a_payment, an_invoice

TYPES = {"Customer": RecordType.LEAD, "Invoice": RecordType.INVOICE, "Payment": RecordType.PAYMENT}
PAYLOADS = {"Customer": a_lead(), "Invoice": an_invoice(), "Payment": a_payment("40.00")}
HTML = "<html><body><h1>Bad gateway</h1></body></html>"


def due_of(entry_id: int, entity: str, **of_due: Any) -> Due:
    record = Record(TYPES[entity], entry_id)
    return Due(entry_id, record, Operation.SAVE, PAYLOADS[entity], **of_due)


def sent_of(
    entity: str = "Invoice",
    *,
    intent: str = "create",
    entries: Sequence[int] = (1,),
    body: Json | None = None,
    looks_up: bool = False,
    **of_due: Any,
) -> Sent:
    """A write of these entries: plain for one, a batch for several."""
    documents = {entry: {"Id": str(entry), "SyncToken": "3", **(body or {})} for entry in entries}
    is_batch = len(entries) > 1
    text = json.dumps(
        {
            "BatchItemRequest": [
                {"bId": str(place), "operation": intent, entity: documents[entry]}
                for place, entry in enumerate(entries)
            ]
        }
        if is_batch
        else documents[entries[0]]
    )
    return Sent(
        id=1,
        lane_id=1,
        request_id="r",
        method="POST",
        path="batch" if is_batch else entity.lower(),
        query="minorversion=75&requestid=r",
        body=text,
        items=[Item(entry, intent) for entry in entries],
        due={entry: due_of(entry, entity, **of_due) for entry in entries},
        looks_up=looks_up,
    )


def question_of(
    entity: str, condition: str, entries: Sequence[int], intent: str = "look_up", **of_due: Any
) -> Sent:
    statement = f"SELECT * FROM {entity} WHERE {condition} MAXRESULTS 1000"
    return replace(
        sent_of(entity, entries=entries[:1]),
        method="GET",
        path="query",
        query=urlencode({"query": statement, "minorversion": "75"}),
        body=None,
        items=[Item(entry, intent) for entry in entries],
        due={entry: due_of(entry, entity, **of_due) for entry in entries},
    )


def fault(code: str, detail: str = "", element: str = "") -> Json:
    error = {"Message": "Refused", "Detail": detail, "code": code, "element": element}
    return {"Fault": {"Error": [error], "type": "ValidationFault"}}


def answer_of(document: object, status: int = 200) -> Answer:
    body = document if isinstance(document, str) else json.dumps(document)
    return Answer(status=status, body=body, trace_id="tid")


def outcome_of(sent: Sent, document: object, status: int = 200) -> Outcome:
    reading = read(sent, answer_of(document, status))
    assert reading.trouble is None
    return reading.outcomes[1]


def refused_with(sent: Sent, code: str, detail: str = "", element: str = "") -> Outcome:
    as_fault = outcome_of(sent, fault(code, detail, element), 400)
    assert as_fault == outcome_of(sent, fault(code, detail, element), 200), "a 200 may be a fault"
    return as_fault


OURS = {"Id": "266", "SyncToken": "0", "PrivateNote": f"DunaHub, {PAYLOADS['Invoice']['mark']}"}

# --- Yes ----------------------------------------------------------------------------------------


def test_the_object_in_the_answer_is_the_link() -> None:
    document = {
        "Invoice": OURS | {"DocNumber": "1043", "TotalAmt": 100.1},
        "time": "2020-09-29T05:58:07.300-07:00",
    }
    assert outcome_of(sent_of(), document) == Synced(Remote("266", "0", "1043", "100.10"))


def test_a_total_that_is_no_number_is_no_total() -> None:
    document = {"Invoice": OURS | {"TotalAmt": {"odd": 1}}}
    assert outcome_of(sent_of(), document) == Synced(Remote("266", "0"))


def test_a_void_leaves_a_voided_link() -> None:
    document = {"Invoice": {"Id": "264", "SyncToken": "1", "TotalAmt": 0}}
    outcome = outcome_of(sent_of(intent="void", body={"Id": "264"}), document)
    assert outcome == Synced(Remote("264", "1", None, "0.00", voided=True))


def test_a_batch_is_read_item_by_item_in_any_order() -> None:
    document = {
        "BatchItemResponse": [
            {"bId": "2", "Customer": {"Id": "72", "SyncToken": "0"}},
            {"bId": "1", **fault("6240", "The name supplied already exists. : Id=1209")},
            {"bId": "0", "Customer": {"Id": "71", "SyncToken": "0"}},
        ]
    }
    reading = read(sent_of("Customer", entries=(5, 6, 7)), answer_of(document))
    assert reading.outcomes == {
        5: Synced(Remote("71", "0")),
        6: Learned({"name_holder": "1209"}),
        7: Synced(Remote("72", "0")),
    }
    assert reading.kept_answer is not None


# --- Unknown: nothing is concluded, the same dispatch goes again --------------------------------


NOT_CERTAIN = [
    Answer(problem=Problem.UNANSWERED),
    Answer(status=500, body=HTML),
    Answer(status=500, body=json.dumps(fault("10000", "System Failure"))),
    Answer(status=502, body=HTML),
    Answer(status=503, body=HTML),
    Answer(status=503, body=json.dumps(fault("6210", "The account period has closed"))),
    Answer(status=504, body=""),
    Answer(status=200, body='{"Invoice":{"Id":"266"'),
    Answer(status=200, body='{"Invoice":{"Id":"266"}}'),
    Answer(status=200, body='{"Invoice":{"Id":{},"SyncToken":"0"}}'),
    Answer(status=200, body="{}"),
    Answer(status=200, body=""),
    Answer(status=200, body=HTML),
    Answer(status=200, body="[1]"),
    Answer(status=204, body=""),
    Answer(status=302, body=""),
    Answer(status=401, body=HTML),
    Answer(status=403, body=HTML),
    Answer(status=404, body=HTML),
    Answer(status=408, body=""),
    Answer(status=413, body=HTML),
]


@pytest.mark.parametrize("answer", NOT_CERTAIN)
def test_rule_5_what_is_not_certain_stays_open(answer: Answer) -> None:
    reading = read(sent_of(), answer)
    assert reading.outcomes == {}
    assert reading.taken, "QuickBooks may have it"
    assert reading.is_silent, "this record's own trouble, or the company's: others will tell"


def test_rule_5_what_a_batch_does_not_mention_stays_open() -> None:
    document = {"BatchItemResponse": [{"bId": "1", "Customer": {"Id": "72", "SyncToken": "0"}}]}
    reading = read(sent_of("Customer", entries=(5, 6, 7)), answer_of(document))
    assert reading.outcomes == {6: Synced(Remote("72", "0"))}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"BatchItemResponse": None},
        {"BatchItemResponse": True},
        {"BatchItemResponse": {"bId": "0"}},
        {"BatchItemResponse": [1]},
    ],
)
def test_rule_5_a_batch_that_says_nothing_stays_open(document: Json) -> None:
    assert read(sent_of("Customer", entries=(5, 6)), answer_of(document)).outcomes == {}


def test_a_question_without_an_answer_is_asked_again() -> None:
    sent = question_of("Customer", "DisplayName IN ('A')", [1])
    for answer in (Answer(problem=Problem.UNANSWERED), Answer(status=500, body=HTML)):
        reading = read(sent, answer)
        assert reading.outcomes == {1: Learned({"unseen": True})}
        assert reading.trouble == Pause("outage")
    assert read(replace(sent, looks_up=True), answer).outcomes == {}


@pytest.mark.parametrize(
    "answer",
    [Answer(200, HTML), Answer(200, ""), Answer(200, "[1]"), Answer(408), Answer(200, "{}")],
)
def test_rule_16_a_question_whose_answer_says_nothing_rests_the_company(answer: Answer) -> None:
    """Asked again at once it would be asked, and paid for, several times a second."""
    sent = question_of("Customer", "DisplayName IN ('A')", [1])
    for looks_up in (False, True):
        reading = read(replace(sent, looks_up=looks_up), answer)
        assert reading.trouble == Pause("outage")
        assert set(reading.outcomes) == (set() if looks_up else {1})


def test_a_question_that_quickbooks_never_answers_to_the_point_ends_some_time() -> None:
    sent = question_of("Customer", "DisplayName IN ('A')", [1], knowledge={"reads": 3})
    for answer in (answer_of({"time": "2026-11-23"}), Answer(200, HTML), Answer(404, HTML)):
        reading = read(sent, answer)
        assert reading.outcomes[1] == Learned({"unseen": True})
        assert reading.is_silent, "counted by the engine, unless the whole company is silent"


# --- Not taken, and the company's trouble -------------------------------------------------------

XML_429 = """<IntuitResponse xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE">
<Error code="3001"><Message>message=ThrottleExceeded; errorCode=003001; statusCode=429</Message>
</Error></Fault></IntuitResponse>"""
LOWER_401 = json.dumps({"fault": {"error": [{"message": "m", "detail": "d", "code": "3200"}]}})
NO_ADMIN = json.dumps(
    fault("120", ": -11014-You do not have access to use QuickBooks Online Plus.")
)
NOT_AUTHORISED = json.dumps(
    {"fault": {"error": [{"message": "errorCode=003100; statusCode=403", "code": "3100"}]}}
)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (Answer(problem=Problem.NOT_SENT), Pause("outage")),
        (Answer(problem=Problem.TOKENS_UNAVAILABLE), Pause("outage")),
        (Answer(problem=Problem.SIGNED_OUT), Hold("signed_out", certain=True)),
        (Answer(status=429, body=XML_429), Pause("throttled", timedelta(seconds=60))),
        (Answer(status=429, body=""), Pause("throttled", timedelta(seconds=60))),
        (
            Answer(status=429, body="", retry_after=timedelta(seconds=7)),
            Pause("throttled", timedelta(seconds=7)),
        ),
        (Answer(status=403, body=XML_429), Pause("throttled", timedelta(seconds=60))),
        (Answer(status=401, body=LOWER_401), Hold("signed_out")),
        (Answer(status=401, body=NO_ADMIN), Hold("access_lost")),
        (Answer(status=403, body=NOT_AUTHORISED), Hold("signed_out")),
        (Answer(status=400, body=json.dumps(fault("6190", "ended"))), Hold("plan_lapsed")),
        (Answer(status=200, body=json.dumps(fault("6190", "ended"))), Hold("plan_lapsed")),
    ],
)
@pytest.mark.parametrize("entries", [(1,), (1, 2)])
def test_rule_12_the_companys_trouble_is_not_the_entrys(
    answer: Answer, trouble: Pause | Hold, entries: tuple[int, ...]
) -> None:
    reading = read(sent_of(entries=entries), answer)
    # What has an answer under its request id, and be it a no, would get that one for ever.
    is_answered = answer.status in (200, 400)
    assert reading.outcomes == (dict.fromkeys(entries, Learned()) if is_answered else {})
    assert reading.trouble == trouble
    assert reading.taken == is_answered


@pytest.mark.parametrize("status", [200, 400])
def test_rule_12_maintenance_rests_the_company_and_says_nothing_of_the_entry(status: int) -> None:
    reading = read(sent_of(), answer_of(fault("150", "maintenance"), status))
    assert (reading.outcomes, reading.trouble, reading.taken) == ({}, Pause("outage"), True)


def test_rule_12_the_companys_trouble_inside_a_batch_frees_its_items_unspent() -> None:
    document = {
        "BatchItemResponse": [
            {"bId": "0", "Customer": {"Id": "71", "SyncToken": "0"}},
            {"bId": "1", **fault("3001", "The request limit was reached.")},
            {"bId": "2", **fault("6190", "Subscription period has ended")},
        ]
    }
    reading = read(sent_of("Customer", entries=(5, 6, 7)), answer_of(document))
    assert reading.outcomes == {5: Synced(Remote("71", "0")), 6: Learned(), 7: Learned()}
    assert reading.trouble == Pause("throttled", timedelta(seconds=60))


# --- No -------------------------------------------------------------------------------------------


INTERNAL = "Business Validation Error: Unexpected Internal Error. (-30003)"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        *((code, "") for code in ("600", "1000", "1010", "1020", "4002", "10000", "")),
        ("6000", INTERNAL),
        ("6000", "Erreur de validation : (-30034)"),
        ("6000", "Business Validation Error: An unexpected error occurred. Try again."),
        ("2500", "Unexpected Internal Error"),
    ],
)
def test_case_r01_r02_an_error_of_quickbooks_inside_says_nothing_of_what_was_done(
    code: str, detail: str
) -> None:
    for status in (200, 400, 404):
        reading = read(sent_of(), answer_of(fault(code, detail), status))
        assert reading.outcomes == {}, "open: the same request again, and looked for"
        assert reading.taken
        assert reading.unsure[1].code == "trouble_there"
    item = {"bId": "0", **fault(code, detail)}
    other = {"bId": "1", "Customer": {"Id": "72", "SyncToken": "0"}}
    reading = read(
        sent_of("Customer", entries=(5, 6)), answer_of({"BatchItemResponse": [item, other]})
    )
    assert reading.outcomes == {6: Synced(Remote("72", "0"))}
    assert reading.trouble is None


@pytest.mark.parametrize("type_", ["SystemFault", "SERVICE", ""])
def test_case_r01_an_unknown_code_is_a_rule_only_where_it_says_that_it_is_one(type_: str) -> None:
    told = {"Fault": {"Error": [{"Message": "?", "code": "6560"}], "type": type_}}
    assert read(sent_of(), answer_of(told, 400)).outcomes == {}


def test_case_r01_one_error_of_the_inside_makes_the_others_doubtful() -> None:
    told = fault("6210", "closed")
    told["Fault"]["Error"].append({"Message": "m", "code": "10000"})
    assert read(sent_of(), answer_of(told, 400)).outcomes == {}


@pytest.mark.parametrize("amount", ["-100.00", "$-1,000", "2026-11-28", "ID-3000X", "-12"])
def test_an_amount_or_a_date_is_no_internal_number(amount: str) -> None:
    detail = f"Business Validation Error: You must not use {amount} here."
    assert isinstance(refused_with(sent_of(), "6000", detail), Rejected)


@pytest.mark.parametrize("code", ["6210", "6140", "6240", "5010", "610", "2500", "2010"])
def test_case_r01_a_repeat_that_is_refused_may_have_arrived_the_first_time(code: str) -> None:
    again = replace(sent_of(), sends=2, is_repeat=True)
    assert read(again, answer_of(fault(code), 400)).outcomes == {}
    again = replace(sent_of(entries=(1, 2)), sends=2, is_repeat=True)
    told = {"BatchItemResponse": [{"bId": str(place), **fault(code)} for place in (0, 1)]}
    assert read(again, answer_of(told)).outcomes == {}
    assert read(again, answer_of(fault(code), 400)).outcomes == {}


@pytest.mark.parametrize("code", ["3100", "120", "6190", "10200", "3001", "150"])
def test_case_r06_a_5xx_outranks_the_code_in_its_body(code: str) -> None:
    for status in (500, 502, 503, 504):
        reading = read(sent_of(), answer_of(fault(code), status))
        assert (reading.outcomes, reading.trouble) == ({}, Pause("outage"))
        assert reading.is_silent


@pytest.mark.parametrize(
    "detail",
    ["", "Stale Object Error : You and Ana were working on this at the same time.",
     "The account period has closed"],
)  # fmt: skip
def test_case_r08_a_create_that_met_somebodys_work_goes_once_more_and_then_to_a_person(
    detail: str,
) -> None:
    assert refused_with(sent_of(body={"Id": None}), "5010", detail) == Learned({"stale": 1})
    second = refused_with(sent_of(knowledge={"stale": 1}), "5010", detail)
    assert isinstance(second, Rejected)
    assert detail in second.fault.detail


@pytest.mark.parametrize("intent", ["update", "void"])
def test_case_e16_an_answer_about_another_object_is_none(intent: str) -> None:
    sent = sent_of(intent=intent, body={"Id": "264"})
    reading = read(sent, answer_of({"Invoice": {"Id": "999", "SyncToken": "0"}}))
    assert reading.outcomes == {}
    assert reading.taken
    both = {
        "BatchItemResponse": [
            {"bId": "0", "Invoice": {"Id": "7", "SyncToken": "4"}},
            {"bId": "1", "Invoice": {"Id": "6", "SyncToken": "4"}},
        ]
    }
    assert read(sent_of(intent="update", entries=(6, 7)), answer_of(both)).outcomes == {}


def test_names_in_a_hurry_are_tried_again() -> None:
    detail = "Business Validation Error: You can only add or edit one name at a time."
    assert isinstance(refused_with(sent_of("Customer"), "6000", detail), Retry)


@pytest.mark.parametrize(
    ("code", "detail", "element", "field", "about"),
    [
        ("6210", "The account period has closed", "", "issued_on", {"date": "2026-11-18"}),
        ("6000", "Business Validation Error: You must set a transaction amount.", "", None, {}),
        ("2500", "Invalid Reference Id : PaymentMethod element id 9 not found", "", None,
         {"what": "customer, product or account"}),
        ("2050", "… Min:0 Max:21 supported. Supplied length:45", "DocNumber", "number",
         {"label": "The number", "max": "21"}),
        ("2020", "Required parameter Line is missing", "Line", None, {"which": " (Line)"}),
        ("2010", 'Property Name:Unrecognized field "BadJson"', "", None, {}),
        ("6560", "nobody knows", "", None, {}),
    ],
)  # fmt: skip
def test_rule_13_a_persons_trouble_stops_and_names_its_field(
    code: str, detail: str, element: str, field: str | None, about: Mapping[str, str]
) -> None:
    outcome = refused_with(sent_of(), code, detail, element)
    assert isinstance(outcome, Rejected)
    assert (outcome.fault.code, outcome.fault.field) == (code, field)
    assert about.items() <= outcome.fault.about.items()
    assert outcome.fault.about["record"] == "invoice"
    assert detail in outcome.fault.detail


# --- Conflicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detail", "knowledge"),
    [
        ("The name supplied already exists. : Id=1209", {"name_holder": "1209"}),
        ("Ce nom existe déjà. : Id=425", {"name_holder": "425"}),
        ("The name supplied already exists. : null", {"name_taken": True}),
        (
            "The name supplied already exists. : Another customer, vendor or employee is already"
            " using this name. Please use a different name.",
            {"name_taken": True},
        ),
    ],
)
def test_a_taken_name_is_looked_at(detail: str, knowledge: Json) -> None:
    assert refused_with(sent_of("Customer"), "6240", detail) == Learned(knowledge)


def test_a_taken_name_of_a_linked_customer_is_a_persons() -> None:
    outcome = refused_with(sent_of("Customer", intent="update"), "6240", ": Id=1209")
    assert isinstance(outcome, Rejected)
    assert outcome.fault.field == "name"


@pytest.mark.parametrize(
    "detail",
    [
        "DocNumber=1042 is assigned to TxnType=Invoice with TxnId=1109",
        "… TxnType=Facture with TxnId=1109",
    ],
)
def test_a_taken_number_is_looked_at(detail: str) -> None:
    assert refused_with(sent_of(), "6140", detail) == Learned({"number_holder": "1109"})


def test_a_taken_number_without_a_holder_is_a_persons() -> None:
    outcome = refused_with(sent_of(), "6140", "Duplicate Document Number Error")
    assert isinstance(outcome, Rejected)
    assert outcome.fault.field == "number"


@pytest.mark.parametrize("entries", [(1,), (1, 2)])
def test_a_stale_version_is_read_once_and_then_asked_about(entries: tuple[int, ...]) -> None:
    def outcome(**of_due: Any) -> Outcome:
        sent = sent_of(intent="update", entries=entries, **of_due)
        told: Json = fault("5010", "Stale Object Error")
        if len(entries) > 1:
            told = {"BatchItemResponse": [{"bId": str(n), **told} for n in range(len(entries))]}
        return read(sent, answer_of(told)).outcomes[1]

    first = outcome()
    assert first == Learned({"stale": 1, "seen": None, "found": None}, Remote("1", "3", stale=True))
    second = outcome(knowledge={"stale": 1})
    assert isinstance(second, Rejected)
    assert second.fault.code == "5010"


def test_a_batch_refused_as_a_whole_is_taken_apart() -> None:
    reading = read(sent_of(entries=(5, 6)), answer_of(fault("2010", "BadJson"), 400))
    assert reading.outcomes == {5: Learned({"alone": True}), 6: Learned({"alone": True})}


# --- Questions ------------------------------------------------------------------------------------


def rows_of(entity: str, *rows: Json) -> Json:
    return {"QueryResponse": {entity: list(rows), "startPosition": 1, "maxResults": len(rows)}}


def test_what_was_found_is_kept_for_judging_and_what_was_not_is_known() -> None:
    sent = question_of("Customer", "DisplayName IN ('Green Lawn', 'Amy\\'s') AND Active IN"
                       " (true, false)", [1, 2])  # fmt: skip
    row = {"Id": "9", "SyncToken": "0", "DisplayName": "GREEN LAWN", "Balance": 1.5, "MetaData": {}}
    assert read(sent, answer_of(rows_of("Customer", row))).outcomes == {
        1: Learned(
            {
                "seen": "DisplayName=Green Lawn",
                "found": {
                    "Id": "9",
                    "SyncToken": "0",
                    "DisplayName": "GREEN LAWN",
                    "Balance": "1.5",
                },
                "unseen": False,
                "checked": True,
                "reads": 1,
            }
        ),
        2: Learned(
            {
                "seen": "DisplayName=Amy's",
                "found": None,
                "unseen": False,
                "checked": True,
                "reads": 1,
            }
        ),
    }


def test_a_read_of_our_own_counterpart_freshens_the_link() -> None:
    sent = question_of("Invoice", "Id IN ('130', '131')", [1, 2], "read", checks=True)
    row = {"Id": "130", "SyncToken": "7", "DocNumber": "1042", "TotalAmt": 100}
    reading = read(sent, answer_of(rows_of("Invoice", row)))
    first, second = reading.outcomes[1], reading.outcomes[2]
    assert isinstance(first, Learned)
    assert first.remote == Remote("130", "7", "1042", "100.00")
    assert first.knowledge["checked"]
    assert isinstance(second, Learned)
    assert (second.remote, second.knowledge["found"]) == (None, None)


@pytest.mark.parametrize(
    "condition", ["DocNumber IN ('1042')", "CustomerRef = '58' AND TxnDate = '2026-11-18'"]
)
def test_an_invoice_is_found_by_our_mark_and_nothing_else(condition: str) -> None:
    sent = question_of("Invoice", condition, [1])
    common = {"DocNumber": "1042", "SyncToken": "0", "TotalAmt": 100}
    theirs = {"Id": "7", **common, "PrivateNote": "DunaHub invoice 1042, DH-OTHER"}
    ours = {"Id": "8", **common, "PrivateNote": "DunaHub invoice 1042, DH-ABCDEFGHIJKL"}
    outcome = outcome_of(sent, rows_of("Invoice", theirs, ours))
    assert isinstance(outcome, Learned)
    assert outcome.knowledge["found"]["Id"] == "8"
    outcome = outcome_of(sent, rows_of("Invoice", theirs))
    assert isinstance(outcome, Learned)
    assert outcome.knowledge["found"] is None


def test_an_empty_answer_is_an_answer() -> None:
    outcome = outcome_of(
        question_of("Payment", "PaymentRefNum IN ('A')", [1]), {"QueryResponse": {}}
    )
    assert isinstance(outcome, Learned)
    assert outcome.knowledge["found"] is None


def test_a_question_that_quickbooks_cannot_read_is_our_mistake() -> None:
    outcome = refused_with(question_of("Customer", "Nose IN ('A')", [1]), "4001", "not queryable")
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == "4001"


def test_what_is_settled_already_is_left_alone() -> None:
    sent = sent_of("Customer", entries=(5, 6))
    sent = replace(sent, due={6: sent.due[6]})
    document = {
        "BatchItemResponse": [
            {"bId": "0", "Customer": {"Id": "71", "SyncToken": "0"}},
            {"bId": "1", "Customer": {"Id": "72", "SyncToken": "0"}},
        ]
    }
    assert read(sent, answer_of(document)).outcomes == {6: Synced(Remote("72", "0"))}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "Fault fault Error error code Detail Invoice BatchItemResponse bId QueryResponse Id"
                " SyncToken TotalAmt".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([200, 400, 401, 403, 404, 429, 500]), st.booleans())
def test_rule_10_no_answer_however_strange_makes_reading_fail(
    document: object, status: int, is_batch: bool
) -> None:
    answer = answer_of(json.dumps(document), status)
    for sent in (
        sent_of(entries=(1, 2) if is_batch else (1,)),
        question_of("Invoice", "Id IN ('1')", [1], "read"),
    ):
        assert isinstance(read(sent, answer), Reading)


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("Invalid Reference Id : Names element id 583 not found", "Customer"),
        ("Invalid Reference Id : Line.SalesItemLineDetail.ItemRef", "Item"),
        ("Invalid Reference Id : Accounts element id 9 not found", "Account"),
        ("Invalid Reference Id : TxnTaxCodeRef TaxCode", "TaxCode"),
        ("Object Not Found : Something you're trying to use has been made inactive.", "Item"),
    ],
)
def test_something_inactive_is_looked_for_before_anyone_is_asked(detail: str, kind: str) -> None:
    assert refused_with(sent_of(), "2500", detail) == Learned({"doubted": kind})


@pytest.mark.parametrize(
    ("entity", "intent", "code", "detail"),
    [
        ("Payment", "update", "620", "Transaction ID cannot be linked"),
        ("Payment", "void", "620", "Transaction ID cannot be linked"),
        ("Invoice", "create", "6140", "This number is assigned to TxnType=Invoice with TxnId=12"),
        ("Customer", "create", "6240", "The name supplied already exists. : Id=7"),
    ],
)
def test_a_refusal_that_teaches_nothing_new_goes_to_a_person(
    entity: str, intent: str, code: str, detail: str
) -> None:
    first = refused_with(sent_of(entity, intent=intent), code, detail)
    assert isinstance(first, Learned)
    again = refused_with(
        sent_of(entity, intent=intent, knowledge=dict(first.knowledge)), code, detail
    )
    assert isinstance(again, Rejected)
    assert again.fault.code == code
