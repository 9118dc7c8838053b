"""The payment processor's webhook: signed, fresh, each event once, and only where it belongs."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import create_app
from config import Config
from models.accounts import AuditEvent
from models.sales import Invoice, Payment, RecordType
from tests.support.firm import (
    entries_of,
    new_firm,
    new_firm_with_lane,
    new_invoice,
    new_lead,
)
from tests.support.visitor import Visitor, new_person
from views.webhooks import MAX_BODY, MAX_EVENT_AGE, signature

SECRET = "q3pT9wZk7Lr2Vx8Nc5Hd1Yb6Mf4Js0Ga"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PAYMENTS_WEBHOOK_SECRET": SECRET}


@dataclass(frozen=True)
class Processor:
    """Signs and sends as a payment processor would."""

    app: Flask

    def tell(
        self,
        event: object,
        *,
        secret: str = SECRET,
        seconds_ago: float = 0,
        signed: str | None = None,
    ) -> TestResponse:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if signed is None:
            at = str(int(time.time() - seconds_ago))
            signed = f"t={at},v1={signature(secret, at, body)}"
        return self.app.test_client().post(
            "/webhooks/payments",
            data=body,
            headers={"DunaHub-Signature": signed, "Content-Type": "application/json"},
        )


@pytest.fixture
def processor(app: Flask) -> Processor:
    return Processor(app)


@pytest.fixture
def invoice(session: Session) -> Invoice:
    """Of $100, of a firm whose lane takes entries."""
    firm, _ = new_firm_with_lane(session)
    return saved(session, new_invoice(firm, new_lead(firm)))


def saved(session: Session, invoice: Invoice) -> Invoice:
    session.add(invoice)
    session.commit()
    return invoice


def event_for(invoice: Invoice, **changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "id": "evt_1",
        "organization_id": invoice.organization_id,
        "invoice_id": invoice.id,
        "amount": "60.00",
        "method": "card",
    }
    return event | changes


def payments(session: Session) -> list[Payment]:
    session.rollback()
    session.expire_all()
    return list(session.scalars(select(Payment).order_by(Payment.id)))


def error(answer: TestResponse) -> tuple[int, str]:
    assert answer.is_json, answer.get_data(as_text=True)
    return answer.status_code, answer.json["error"]  # type: ignore[index]


def test_a_signed_event_records_a_payment_and_makes_its_entry(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    event = event_for(invoice, method="ach", received_on="2026-11-19", note="Batch 7")
    answer = processor.tell(event)
    [payment] = payments(session)
    assert (answer.status_code, answer.json) == (200, {"payment_id": payment.id})
    assert (str(payment.amount), payment.method, payment.note) == ("60.00", "ach", "Batch 7")
    assert payment.received_on == date(2026, 11, 19)
    assert (payment.organization_id, payment.invoice_id) == (invoice.organization_id, invoice.id)
    assert str(session.get_one(Invoice, invoice.id).balance) == "40.00"
    [entry] = entries_of(session, RecordType.PAYMENT, payment.id)
    assert (entry.state, entry.payload["amount"]) == ("pending", "60.00")


def test_an_invoice_can_be_named_by_its_number(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    other = new_firm(session, name="Oak HVAC Inc")
    saved(session, new_invoice(other, new_lead(other), number=invoice.number))
    event = event_for(invoice, invoice_id=None, invoice_number=invoice.number)
    assert processor.tell(event).status_code == 200
    [payment] = payments(session)
    assert payment.invoice_id == invoice.id


def test_an_event_told_again_makes_no_second_payment(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    first = processor.tell(event_for(invoice))
    again = processor.tell(event_for(invoice, amount="60.0"), seconds_ago=100)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json == again.json
    assert len(payments(session)) == 1
    assert len(entries_of(session, RecordType.PAYMENT)) == 1


def test_an_event_told_again_after_the_invoice_became_void_is_still_answered(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    first = processor.tell(event_for(invoice))
    session.refresh(invoice)
    invoice.voided_at = invoice.created_at
    session.commit()
    assert processor.tell(event_for(invoice)).json == first.json


def test_one_event_in_many_threads_at_once_makes_one_payment(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    threads, answers = 6, []
    start = threading.Barrier(threads)

    def tell() -> None:
        start.wait()
        answers.append(processor.tell(event_for(invoice)))

    tellers = [threading.Thread(target=tell) for _ in range(threads)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    [payment] = payments(session)
    assert [(one.status_code, one.json) for one in answers] == [
        (200, {"payment_id": payment.id})
    ] * threads
    assert len(entries_of(session, RecordType.PAYMENT)) == 1
    assert str(session.get_one(Invoice, invoice.id).paid_amount) == "60.00"


def test_one_event_for_two_invoices_at_once_makes_one_payment(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    firm = invoice.organization_id
    other = saved(session, new_invoice(firm, new_lead(firm), number="1002"))
    answers: list[TestResponse] = []
    start = threading.Barrier(2)

    def tell(event: Mapping[str, object]) -> None:
        start.wait()
        answers.append(processor.tell(event))

    tellers = [threading.Thread(target=tell, args=[event_for(named)]) for named in (invoice, other)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(payments(session)) == 1


@pytest.mark.parametrize("change", [{"amount": "61.00"}, {"method": "ach"}])
def test_an_event_id_that_told_of_another_payment_is_refused(
    processor: Processor, session: Session, invoice: Invoice, change: dict[str, object]
) -> None:
    processor.tell(event_for(invoice))
    answer = processor.tell(event_for(invoice, **change))
    assert error(answer) == (409, "An event with this id told of another payment.")
    assert len(payments(session)) == 1


@pytest.mark.parametrize("seconds_ago", [MAX_EVENT_AGE + 5, -MAX_EVENT_AGE - 5])
def test_a_signature_outside_the_window_is_refused(
    processor: Processor, session: Session, invoice: Invoice, seconds_ago: float
) -> None:
    status, sentence = error(processor.tell(event_for(invoice), seconds_ago=seconds_ago))
    assert (status, "five minutes" in sentence) == (401, True)
    assert payments(session) == []


@pytest.mark.parametrize("seconds_ago", [MAX_EVENT_AGE - 30, -MAX_EVENT_AGE + 30])
def test_clocks_may_differ_by_minutes(
    processor: Processor, invoice: Invoice, seconds_ago: float
) -> None:
    assert processor.tell(event_for(invoice), seconds_ago=seconds_ago).status_code == 200


def test_while_the_secret_is_changed_either_is_good(
    environ: dict[str, str], invoice: Invoice
) -> None:
    new = "N7xQ4bV9mK2tR6wY1cZ8pL3sD5gH0jFa"
    app = create_app(Config.from_environ(environ | {"PAYMENTS_WEBHOOK_SECRET": f"{SECRET}, {new}"}))
    body = event_for(invoice)
    for secret in (SECRET, new):
        assert Processor(app).tell(body, secret=secret).status_code == 200
    assert Processor(app).tell(body, secret=f"{SECRET}, {new}").status_code == 401
    app.extensions["dunahub"].database.dispose()


def test_a_forged_signature_is_refused(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    now = str(int(time.time()))
    body = json.dumps(event_for(invoice)).encode()
    good = signature(SECRET, now, body)
    forged = [
        "",
        good,
        f"v1={good}",
        f"t={now},v1={good[:-1]}",
        f"t={now},v1={good.upper()}",
        f"t={now},v1={'0' * 64}",
        f"t={int(now) - 1},v1={good}",  # the time is signed too
        f"t={now},v1={signature('', now, body)}",
        f"t={now},v1={signature(SECRET, now, body + b' ')}",
        f"t={'9' * 40},v1={good}",
    ]
    for header in forged:
        assert processor.tell(body, signed=header).status_code == 401, header
    assert processor.tell(body, secret=SECRET + "x").status_code == 401
    assert payments(session) == []
    assert processor.tell(body, signed=f"t={now},v1={good}").status_code == 200


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": None}, "id"),
        ({"id": "  "}, "id"),
        ({"id": 7}, "id"),
        ({"id": "x" * 201}, "id"),
        ({"id": "a\x00b"}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"organization_id": None}, "organization_id"),
        ({"organization_id": "1"}, "organization_id"),
        ({"organization_id": True}, "organization_id"),
        ({"invoice_id": None}, "invoice_id"),
        ({"invoice_number": "1001"}, "invoice_number"),  # both
        ({"invoice_id": 0}, "invoice_id"),
        ({"invoice_id": 10**30}, "invoice_id"),
        ({"invoice_id": 1.0}, "invoice_id"),
        ({"amount": None}, "amount"),
        ({"amount": 120.0}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5.00"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "٣٠"}, "amount"),
        ({"amount": "999999999.00"}, "amount"),
        *(
            ({"currency": currency}, "currency")
            for currency in (
                "EUR",
                "BRL",
                "eur",
                "US",
                "USDT",
                "$",
                "€",
                840,
                True,
                ["USD"],
                {"a": 1},
            )
        ),
        ({"method": "cash"}, "method"),
        ({"method": ["card"]}, "method"),
        ({"received_on": "20261119"}, "received_on"),
        ({"received_on": "2026-02-30"}, "received_on"),
        ({"received_on": "1999-12-31"}, "received_on"),
        ({"note": {"a": 1}}, "note"),
        ({"note": "x" * 20_001}, "note"),
    ],
)
def test_case_s11_a_field_that_cannot_be_is_named(
    processor: Processor,
    session: Session,
    invoice: Invoice,
    change: dict[str, object],
    named: str,
) -> None:
    status, sentence = error(processor.tell(event_for(invoice, **change)))
    assert (status, named in sentence) == (422, True)
    assert payments(session) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 60_000])
def test_a_body_that_is_no_object_is_refused(processor: Processor, body: bytes) -> None:
    assert error(processor.tell(body))[0] == 400


@pytest.mark.parametrize("currency", ["USD", "usd", " USD ", None])
def test_a_payment_in_the_books_currency_is_recorded(
    processor: Processor, session: Session, invoice: Invoice, currency: str | None
) -> None:
    assert processor.tell(event_for(invoice, currency=currency)).status_code == 200
    assert len(payments(session)) == 1


def test_a_body_that_is_too_long_is_refused(processor: Processor, invoice: Invoice) -> None:
    event = json.dumps(event_for(invoice)).encode()
    assert processor.tell(event.ljust(MAX_BODY)).status_code == 200
    assert error(processor.tell(event.ljust(MAX_BODY + 1)))[0] == 413


def test_rule_18_an_invoice_of_another_organization_is_not_found(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    other = new_firm(session, name="Oak HVAC Inc")
    for event in (
        event_for(invoice, organization_id=other),
        event_for(invoice, organization_id=other, invoice_id=None, invoice_number=invoice.number),
        event_for(invoice, organization_id=10**15),
        event_for(invoice, invoice_id=10**15),
    ):
        assert error(processor.tell(event)) == (404, "The organization has no such invoice.")
    assert payments(session) == []


def test_a_void_invoice_takes_no_payment(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    invoice.voided_at = invoice.created_at
    session.commit()
    answer = processor.tell(event_for(invoice))
    assert error(answer) == (409, "Invoice 1001 is void: it takes no payments.")
    assert payments(session) == []


def test_rule_19_a_brazilian_firms_payment_is_recorded_and_makes_no_entry(
    processor: Processor, session: Session
) -> None:
    silva = new_firm(session, name="Silva Reformas", region="BR")
    invoice = saved(session, new_invoice(silva, new_lead(silva)))
    assert processor.tell(event_for(invoice, currency="USD")).status_code == 422
    assert processor.tell(event_for(invoice, currency="BRL")).status_code == 200
    assert len(payments(session)) == 1
    assert entries_of(session) == []


def test_without_a_day_it_was_received_today_where_the_firm_is(
    processor: Processor, session: Session, invoice: Invoice
) -> None:
    processor.tell(event_for(invoice))
    [payment] = payments(session)
    zone = payment.invoice.lead.organization.zone
    assert payment.received_on == payment.created_at.astimezone(zone).date()


def test_the_record_and_the_page_say_who_recorded_it(
    processor: Processor, app: Flask, session: Session, invoice: Invoice
) -> None:
    new_person(session, invoice.organization_id, "ana@rivera.example")
    processor.tell(event_for(invoice))
    [recorded] = session.scalars(select(AuditEvent)).all()
    assert (recorded.action, recorded.user_id) == ("payment.recorded", None)
    assert recorded.details["amount"] == "60.00"
    ana = Visitor(app).sign_in("ana@rivera.example")
    record = ana.open("/settings/record").text
    assert "Payment recorded" in record
    assert "Payment processor, event evt_1" in record
    [payment] = payments(session)
    assert "the payment processor" in ana.open(f"/payments/{payment.id}").text


NOT_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_body_breaks_it(processor: Processor, invoice: Invoice, data: st.DataObject) -> None:
    """Right events with fields replaced by anything, and bytes that are anything."""
    event = event_for(invoice, received_on="2026-11-19", note="")
    names = data.draw(st.sets(st.sampled_from([*event, "invoice_number"]), min_size=1, max_size=3))
    changes = {name: data.draw(NOT_JSON, label=name) for name in names}
    for body in (json.dumps(event | changes).encode(), data.draw(st.binary(max_size=200))):
        answer = processor.tell(body)
        assert answer.status_code in (200, 400, 404, 409, 422)
        assert answer.is_json


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nothing_else_is_answered(app: Flask, method: str) -> None:
    assert app.test_client().open("/webhooks/payments", method=method).status_code in (302, 405)
