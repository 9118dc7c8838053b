"""Faults: every format Intuit sends, how we handle each code, and the texts for people."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import HIDDEN, redact
from models.sales import RecordType
from outbox.company import WAS_LOOKED_FOR
from quickbooks.catalogue import CATALOGUE, DEFAULT_WORDS, UNKNOWN, Class
from quickbooks.faults import IS_LINKED, RemoteFault, class_of, explain, faults_in
from quickbooks.kinds import KINDS

TOKEN = "eyJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwiYWxnIjoiZGlyIn0..abc.def"

CAPITAL = json.dumps(
    {
        "Fault": {
            "Error": [
                {
                    "Message": "Duplicate Name Exists Error",
                    "Detail": "The name supplied already exists. : Id=1209",
                    "code": "6240",
                    "element": "",
                }
            ],
            "type": "ValidationFault",
        },
        "time": "2020-09-29T06:58:50.262-07:00",
    }
)
SMALL = json.dumps(
    {
        "warnings": None,
        "fault": {
            "error": [
                {
                    "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
                    "detail": "Token expired: AB01601390262kxzxOlnHYdhtEVRXISU7piPqQrCmmbDN35Yjd",
                    "code": "3200",
                    "element": None,
                }
            ],
            "type": "AUTHENTICATION",
        },
        "batchItemResponse": [],
        "time": 1601391072830,
    }
)
XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<IntuitResponse time="2016-12-07T15:27:09.527-08:00" xmlns="http://schema.intuit.com/finance/v3">
  <Fault type="SERVICE"><Error code="3001">
    <Message>message=ThrottleExceeded; errorCode=003001; statusCode=429</Message>
    <Detail>The request limit was reached.  Try again later</Detail>
  </Error></Fault></IntuitResponse>"""


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (CAPITAL, ["6240"]),
        (SMALL, ["3200"]),
        (XML, ["3001"]),
        (XML.replace("Error", "q:Error").replace("Message", "q:Message"), ["3001"]),
        (XML.replace('code="3001"', ""), ["3001"]),
        (CAPITAL.replace('"6240"', "6240"), ["6240"]),
        (SMALL.replace('"3200"', '"003200"'), ["3200"]),
        (SMALL.replace('"code": "3200", ', ""), ["3200"]),
        ('{"Fault":{"Error":{"code":"610"}}}', ["610"]),
        ('{"Fault":{"Error":[{"code":"2020"},{"code":"2050"}]}}', ["2020", "2050"]),
        ('{"Fault":{"type":"SystemFault"}}', [""]),
        ('{"Customer":{"Id":"1"}}', []),
        ('{"Fault":null,"Customer":{"Id":"1"}}', []),
        ("<html><body><h1>503 Service Unavailable</h1></body></html>", []),
        ('{"Customer":{"Id":"1"', []),
        ("", []),
        ("[]", []),
        ("null", []),
    ],
)
def test_a_fault_is_read_from_any_shape(body: str, codes: list[str]) -> None:
    assert [fault.code for fault in faults_in(body)] == codes


def test_details_of_xml_faults_are_unescaped() -> None:
    body = XML.replace("The request limit", "A &amp; B &lt;limit&gt;")
    assert faults_in(body)[0].detail.startswith("A & B <limit>")


@given(st.text())
def test_no_body_makes_the_parser_fail(body: str) -> None:
    faults_in(body)
    faults_in('{"Fault":{"Error":[' + body + "]}}")
    faults_in("<Error " + body + "</Error>")


@pytest.mark.parametrize(
    "text",
    [
        f"Token expired: {TOKEN}",
        "Token expired: AB01601390262kxzxOlnHYdhtEVRXISU7piPqQrCmmbDN35Yjd",
        '{"detail":"Token revoked: secret-value-of-some-kind","code":"3200"}',
        '{"access_token":"secret-value-of-some-kind","expires_in":3600}',
        '{"refresh_token" : "RT1-39-H3-1785429816rcysb9dns1ofreknypnm"}',
        "grant_type=refresh_token&refresh_token=secret-value-of-some-kind",
        f"Authorization: Bearer {TOKEN}",
        "Authorization: Basic c2VjcmV0OnZhbHVlLW9mLXNvbWUta2luZA==",
        "the token secret-value-of-some-kind itself",
    ],
)
def test_rule_17_no_token_survives_redaction(text: str) -> None:
    redacted = redact(text, "secret-value-of-some-kind")
    assert HIDDEN in redacted
    for secret in (TOKEN, "AB016", "secret-value", "RT1-39", "c2VjcmV0"):
        assert secret not in redacted


@pytest.mark.parametrize(
    "text",
    [
        repr({"password": "it's hunter2", "x": 1}),
        repr({"password": "it's \"hunter2"}).replace('"', ""),
        json.dumps({"password": 'it\'s "hunter2"'}),
        json.dumps({"body": json.dumps({"client_secret": "it's hunter2"})}),
        json.dumps({"password": ["hunter2"]}),
        "password=it's-hunter2&x=1",
        "otpauth://totp/DunaHub:a%40b.example?secret=hunter2&issuer=DunaHub",
        "sk_live_51hunter2hunter2 and rk_test_hunter2hunter2 and whsec_hunter2hunter2==",
        "GET /i/hunter2_hunter2-hunter2hunter2/pdf",
        "/sign-in?next=/drafts/hunter2_hunter2-hunter2hunter2hun",
    ],
)
def test_case_s05_a_secret_is_hidden_to_its_end(text: str) -> None:
    redacted = redact(text)
    assert "hunter2" not in redacted
    assert HIDDEN in redacted
    if text.startswith('{"'):
        assert json.loads(redacted)


def test_redaction_keeps_what_is_no_secret_and_stays_json() -> None:
    text = json.dumps(
        {
            "Message": "message=X; errorCode=003200; statusCode=401",
            "Detail": "Basic lawn care for Bearer Street 12, code=1234",
        }
    )
    assert redact(text) == text
    assert json.loads(redact(SMALL))["fault"]["error"][0]["code"] == "3200"


# --- The catalogue ------------------------------------------------------------------------------

# Every code of Intuit's list that can come back from what we do.
LISTED = """
100 110 120 130 140 150 500 600 610 620 630 700 800 900 1000 1010 1020 1040 1050 2000 2010 2020
2030 2040 2050 2060 2070 2080 2090 2100 2110 2120 2130 2140 2150 2160 2170 2180 2190 2200 2210 2220
2230 2240 2250 2260 2270 2280 2290 2300 2500 2600 3000 3001 3100 3200 3202 4000 4001 4002 5000 5010
5020 5030 6000 6010 6020 6030 6040 6050 6060 6070 6080 6090 6100 6110 6120 6130 6140 6150 6160 6170
6180 6190 6200 6210 6220 6230 6240 6250 6270 6280 6290 6300 6310 6390 6400 6420 6430 6440 6450 6460
6470 6480 6490 6500 6510 6520 6530 6540 10000 10100 10200
""".split()


@pytest.mark.parametrize("code", LISTED)
def test_every_listed_code_has_a_sentence(code: str) -> None:
    assert code in CATALOGUE


def test_a_code_nobody_listed_goes_to_a_person_with_quickbooks_own_words() -> None:
    explanation = explain("6560", {"record": "lead"}, "Something: AB01601390262kxzxOlnHYdhtEV")
    assert explanation.title == UNKNOWN.title
    assert explanation.detail == f"Something: {HIDDEN}"


@pytest.mark.parametrize("code", [*CATALOGUE, "nobody knows"])
def test_sentences_are_for_people(code: str) -> None:
    explanation = explain(code, {"record": "invoice", "what": "invoice"})
    words = f"{explanation.title} {explanation.cause} {explanation.effect}"
    assert explanation.title
    assert explanation.cause.endswith(".")
    assert explanation.effect.endswith(".")
    assert "{" not in words
    assert not re.search(r"\b(payload|queue|realm|entry|lane|API|OAuth|JSON|null|None)\b", words)
    assert code not in words
    assert not explanation.cause[0].islower()
    assert all(len(action.label) <= 36 for action in explanation.actions)


@pytest.mark.parametrize("code", [*CATALOGUE, "nobody knows"])
def test_what_a_person_must_solve_has_a_button(code: str) -> None:
    cause = CATALOGUE.get(code, UNKNOWN)
    if cause.class_ in (Class.PERSON, Class.CONFLICT, Class.OURS):
        assert any(action.name in ("send_again", "skip") for action in cause.actions)


def test_every_placeholder_has_a_word_to_fall_back_on() -> None:
    for cause in CATALOGUE.values():
        for name in re.findall(r"\{(\w+)\}", f"{cause.title} {cause.cause} {cause.effect}"):
            assert name in DEFAULT_WORDS, name


def test_names_reach_their_sentence() -> None:
    explanation = explain(
        "6240", {"record": "lead", "name": "Green {Lawn}", "holder": "another customer"}
    )
    assert "“Green {Lawn}” is already the name of another customer" in explanation.cause
    assert explanation.field == "name"


def test_a_business_rule_is_told_in_quickbooks_words() -> None:
    explanation = explain(
        "6000", {}, "A business validation error — Business Validation Error: You must set X."
    )
    assert "“You must set X”" in explanation.cause


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (RemoteFault("6240"), Class.CONFLICT),
        (RemoteFault("6190"), Class.HOLD),
        (RemoteFault("3001"), Class.PAUSE),
        (RemoteFault("1020"), Class.INSIDE),
        (RemoteFault("6210"), Class.PERSON),
        (RemoteFault("2010"), Class.OURS),
        (RemoteFault("6000", detail="Business Validation Error: no amount"), Class.PERSON),
        (
            RemoteFault("6000", detail="You can only add or edit one name at a time. Try again."),
            Class.RETRY,
        ),
        (RemoteFault(""), Class.PERSON),
        (RemoteFault("99999"), Class.PERSON),
    ],
)
def test_the_code_decides_what_we_do(fault: RemoteFault, expected: Class) -> None:
    assert class_of(fault) is expected


@pytest.mark.parametrize("type_", [RecordType.LEAD, RecordType.INVOICE, RecordType.PAYMENT])
def test_a_fault_without_details_names_the_kind_of_its_record(type_: RecordType) -> None:
    cause = explain("unanswered", {"record": type_}).cause
    assert cause.startswith(f"QuickBooks did not answer for this {KINDS[type_].NOUN} several times")


@pytest.mark.parametrize("code", ["unanswered", "turned_away", "trouble_there"])
def test_it_did_not_arrive_only_if_a_look_up_says_so(code: str) -> None:
    unknown = explain(code, {"record": RecordType.PAYMENT})
    assert "It is unknown whether it arrived there." in unknown.cause
    assert "may have it already" in unknown.effect
    absent = explain(code, {"record": RecordType.PAYMENT, WAS_LOOKED_FOR: True})
    assert "It did not arrive there." in absent.cause
    assert "not in QuickBooks" in absent.effect


def test_a_change_of_what_quickbooks_has_is_not_said_to_be_missing_there() -> None:
    there = explain("6000", {"record": RecordType.LEAD, IS_LINKED: True})
    assert there.effect == "Saved here, but QuickBooks does not have this version."
    assert "Its invoices wait" in explain("6000", {"record": RecordType.LEAD}).effect
