"""Stripe's webhook: signed by one of the secrets, fresh, and nothing it says breaks us."""

import hashlib
import hmac
import json
import time

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from models.processors import ProcessorEvent, Refund
from models.sales import Payment
from processors.stripe_objects import event_of
from tests.support.till import CONNECT_SECRET, PLATFORM_SECRET, STRIPE_KEY

EVENT = {"id": "evt_1", "object": "event", "type": "customer.created", "data": {"object": {}}}


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": f"{PLATFORM_SECRET},{CONNECT_SECRET}",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }


def tell(app: Flask, body: bytes, *, secret: str = CONNECT_SECRET, age: int = 0) -> int:
    at = int(time.time()) - age
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={at},v1={signed}", "Content-Type": "application/json"}
    return app.test_client().post("/webhooks/stripe", data=body, headers=headers).status_code


@pytest.mark.parametrize("secret", [PLATFORM_SECRET, CONNECT_SECRET])
def test_either_endpoints_signature_is_good(app: Flask, session: Session, secret: str) -> None:
    assert tell(app, json.dumps(EVENT).encode(), secret=secret) == 200
    assert session.query(ProcessorEvent).one().type == "customer.created"


@pytest.mark.parametrize(
    ("secret", "age"),
    [("whsec_of_somebody_else_altogether", 0), (CONNECT_SECRET, 400)],
    ids=["foreign", "old"],
)
def test_any_other_signature_changes_nothing(
    app: Flask, session: Session, secret: str, age: int
) -> None:
    assert tell(app, json.dumps(EVENT).encode(), secret=secret, age=age) == 401
    assert session.query(ProcessorEvent).count() == 0


@pytest.mark.parametrize("header", ["", "t=1", "v1=2", "t=x,v1=y", "t=1,v1=é", "t=,v1="])
def test_what_is_no_signature_is_refused(app: Flask, header: str) -> None:
    answer = app.test_client().post(
        "/webhooks/stripe", data=b"{}", headers={"Stripe-Signature": header}
    )
    assert answer.status_code in (400, 401)


ODD: list[object] = [None, [], {}, "x", 7, {"object": []}, {"object": {"id": 7, "metadata": []}}]
KINDS = [
    "checkout.session.completed",
    "checkout.session.async_payment_failed",
    "charge.refunded",
    "refund.created",
    "charge.dispute.closed",
    "account.updated",
    "account.application.deauthorized",
]


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_odd_shapes_are_refused_or_ignored(
    app: Flask, session: Session, kind: str
) -> None:
    for number, data in enumerate(ODD):
        event = {"id": f"evt_{number}", "type": kind, "data": data, "account": "acct_x"}
        assert tell(app, json.dumps(event).encode()) in (200, 400), data
    assert session.query(Payment).count() == 0


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[]", b"null", b"{", b'{"id": 7}', b'{"id": "e\\u0000"}']
)
def test_what_is_no_event_is_refused(app: Flask, body: bytes) -> None:
    assert tell(app, body) in (400, 401)


@pytest.mark.parametrize("kind", KINDS)
def test_events_about_what_is_not_ours_change_nothing(
    app: Flask, session: Session, kind: str
) -> None:
    thing = {
        "id": "cs_1",
        "metadata": {"dunahub": "no_mark_of_ours", "invoice_id": "1"},
        "payment_intent": "pi_1",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 100,
        "amount": 100,
    }
    told = {"id": "evt_1", "type": kind, "account": "acct_x", "data": {"object": thing}}
    assert tell(app, json.dumps(told).encode()) == 200
    assert session.query(Payment).count() == session.query(Refund).count() == 0


def test_an_event_in_test_mode_says_nothing_to_a_live_endpoint() -> None:
    """Its account has the same id in both modes, and may be restricted in one of them."""
    told = {
        "id": "evt_1",
        "type": "account.updated",
        "account": "acct_x",
        "data": {"object": {"id": "acct_x", "charges_enabled": False}},
    }
    for mode in (True, False):
        assert event_of({**told, "livemode": mode}, is_live=mode).told is not None
        assert event_of({**told, "livemode": mode}, is_live=not mode).told is None


def test_a_body_beyond_all_reason_is_refused(app: Flask) -> None:
    assert tell(app, b" " * 300_000) == 413
