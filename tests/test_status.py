"""Every state of a record has its own word, icon and sentence, said by one function."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

from models.accounts import Organization
from models.outbox import Counterpart, Dispatch, Entry, Lane, LaneState, Operation, State
from models.quickbooks import Connection
from models.sales import RecordType
from presenters.situations import Situation
from presenters.status import Word, not_sent, say

NOW = datetime(2026, 3, 9, 22, 40, tzinfo=UTC)  # 3:40 PM in Los Angeles
ZONE = ZoneInfo("America/Los_Angeles")
RIVERA = Organization(id=1, name="Rivera", region="US", time_zone="America/Los_Angeles")


def lane(**fields: object) -> Lane:
    return Lane(**{"id": 1, "organization_id": 1, "state": LaneState.OPEN, **fields})


def entry(in_lane: Lane | None = None, **fields: object) -> Entry:
    defaults: dict[str, object] = {
        "id": 10,
        "lane": in_lane or lane(),
        "record_type": RecordType.INVOICE,
        "record_id": 5,
        "operation": Operation.SAVE,
        "payload": {"total": "100.00"},
        "knowledge": {},
        "state": State.PENDING,
        "attempts": 0,
        "available_at": NOW - timedelta(seconds=1),
        "created_at": NOW - timedelta(seconds=2),
        "settled_at": None if fields.get("state", "pending") == "pending" else NOW,
    }
    return Entry(**defaults | fields)


def link(**fields: object) -> Counterpart:
    return Counterpart(
        **{"remote_id": "7", "remote_version": "0", "remote_total": "100.00", **fields}
    )


def payment(refunded: str) -> Entry:
    """One of an invoice that was voided before it was sent, or one that was given back."""
    payload = {"amount": "100.00", "refunded_amount": refunded}
    return entry(state=State.SUPERSEDED, record_type=RecordType.PAYMENT, payload=payload)


def word(it: Entry, **facts: object) -> Word:
    situation = Situation(entry=it, organization=RIVERA, connection=None, **facts)  # type: ignore[arg-type]
    return say(situation, NOW, ZONE)


LATER = NOW + timedelta(minutes=2)
SENT = Dispatch(sent_at=NOW - timedelta(seconds=1))
WORDS: dict[str, Callable[[], Word]] = {
    "Waiting to send": lambda: word(entry()),
    "Sending": lambda: word(entry(lane(lease_until=LATER)), dispatch=SENT),
    "Trying again at 3:42 PM": lambda: word(entry(attempts=1, available_at=LATER)),
    "Waits for customer Green Lawn": lambda: word(
        entry(waits_for_type=RecordType.LEAD, waits_for_id=3), waits_for="customer Green Lawn"
    ),
    "On hold": lambda: word(entry(lane(state=LaneState.HELD, hold_reason="signed_out"))),
    "In QuickBooks": lambda: word(entry(state=State.SYNCED), link=link()),
    "In QuickBooks, total differs by $0.01": lambda: word(
        entry(state=State.SYNCED), link=link(remote_total="100.01")
    ),
    "Voided in QuickBooks": lambda: word(
        entry(state=State.SYNCED, operation=Operation.VOID), link=link(voided_at=NOW)
    ),
    "Replaced by a newer version": lambda: word(entry(state=State.SUPERSEDED), has_newer=True),
    "Nothing to send": lambda: word(entry(state=State.SUPERSEDED)),
    "Payment not in QuickBooks": lambda: word(payment("0.00")),
    "Needs attention": lambda: word(entry(state=State.FAILED)),
    "Skipped": lambda: word(entry(state=State.SKIPPED)),
    "Not sent": lambda: not_sent("It was saved before."),
}


@pytest.mark.parametrize("text", WORDS)
def test_each_state_has_its_word(app: Flask, text: str) -> None:
    with app.test_request_context():
        assert WORDS[text]().text == text


def test_words_are_told_apart_without_colour(app: Flask) -> None:
    """By their text; and of one tone, by their icon."""
    with app.test_request_context():
        said = [make() for make in WORDS.values()]
    assert len({one.text for one in said}) == len(said)
    loud = [one for one in said if one.tone in ("good", "bad", "warn")]
    assert len({(one.tone, one.icon) for one in loud}) == len(loud)


@pytest.mark.parametrize(
    ("it", "detail"),
    [
        (entry(lane(state=LaneState.HELD, hold_reason="plan_lapsed")), "plan has lapsed"),
        (entry(lane(state=LaneState.HELD, hold_reason="access_lost")), "refuses our access"),
        (entry(lane(state=LaneState.HELD, hold_reason="something new")), "Reconnect"),
        (entry(lane(state=LaneState.CLOSED)), "Nothing is lost."),
        (entry(lane(line=10), withheld=True), "An owner decides"),
    ],
)
def test_on_hold_says_why_and_that_nothing_is_lost(app: Flask, it: Entry, detail: str) -> None:
    with app.test_request_context():
        held = word(it)
    assert held.text == "On hold"
    assert detail in (held.detail or "")
    # a plan is paid elsewhere, and then it goes on by itself
    assert held.is_final == ("plan" not in detail)


def test_an_entry_that_is_not_withheld_is_not_held_by_the_line(app: Flask) -> None:
    with app.test_request_context():
        assert word(entry(lane(line=9))).text == "Waiting to send"


def test_a_record_of_another_company_says_whose_it_is(app: Flask) -> None:
    rivera = Connection(company_name="Rivera Plumbing LLC")
    with app.test_request_context():
        held = say(
            Situation(
                entry=entry(lane(state=LaneState.CLOSED)), organization=RIVERA, connection=rivera
            ),
            NOW,
            ZONE,
        )
    assert "Belongs to Rivera Plumbing LLC" in (held.detail or "")


def test_a_paused_lane_says_when_it_goes_on_and_why(app: Flask) -> None:
    with app.test_request_context():
        paused = word(entry(lane(pause_until=LATER, pause_reason="throttled")))
    assert (paused.text, paused.detail) == ("Trying again at 3:42 PM", "QuickBooks is busy.")
    assert not paused.is_final


def test_a_rest_for_the_rate_limit_is_no_trouble(app: Flask) -> None:
    with app.test_request_context():
        resting = lane(pause_until=NOW + timedelta(seconds=3), pause_reason="pace")
        assert word(entry(resting)).text == "Waiting to send"


def test_a_call_that_nobody_makes_any_more_is_not_sending(app: Flask) -> None:
    long_ago = Dispatch(sent_at=NOW - timedelta(minutes=5))
    with app.test_request_context():
        it = entry(lane(lease_until=LATER), available_at=LATER)
        assert word(it, dispatch=long_ago).text == "Trying again at 3:42 PM"


def test_a_payment_compares_its_amount(app: Flask) -> None:
    with app.test_request_context():
        payment = entry(
            record_type=RecordType.PAYMENT, payload={"amount": "40.00"}, state=State.SYNCED
        )
        assert word(payment, link=link(remote_total="40.0")).text == "In QuickBooks"
        assert "differs by $2.50" in word(payment, link=link(remote_total="37.5")).text


@pytest.mark.parametrize("refunded", ["0.00", "40.00", "100.00"])
def test_case_e29_money_that_stands_is_not_called_undone(app: Flask, refunded: str) -> None:
    with app.test_request_context():
        told = word(payment(refunded))
    stands = refunded != "100.00"
    assert (told.text == "Payment not in QuickBooks") is stands
    assert ("Its invoice was voided before it was sent" in (told.detail or "")) is stands


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("100.00", "In QuickBooks"),  # as a refund receipt, or a check back to the client
        ("70.00", "In QuickBooks"),  # taken off the payment there
        ("80.00", "In QuickBooks, total differs by $20.00"),
    ],
)
def test_what_was_paid_back_may_be_off_the_payment_there(app: Flask, there: str, said: str) -> None:
    payload = {"amount": "100.00", "refunded_amount": "30.00"}
    paid = entry(state=State.SYNCED, record_type=RecordType.PAYMENT, payload=payload)
    with app.test_request_context():
        assert word(paid, link=link(remote_total=there)).text == said


def test_what_is_void_there_says_what_can_be_done_with_it_here() -> None:
    void = link(voided_at=NOW)
    taken = {"amount": "100.00", "refunded_amount": "0"}
    paid = entry(state=State.SYNCED, record_type=RecordType.PAYMENT, payload=taken)
    assert "Void it here too" in (word(entry(state=State.SYNCED), link=void).detail or "")
    assert "Record the refund or return here" in (word(paid, link=void).detail or "")
    receipt = entry(state=State.SYNCED, record_type=RecordType.REFUND, payload=taken)
    assert "If that was a mistake, send it again" in (word(receipt, link=void).detail or "")
