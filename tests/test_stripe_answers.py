"""Answers of Stripe that are none: the client is asked to try again, and nothing is stored."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from responses import RequestsMock

from config import Config
from processors.processor import Unreachable
from processors.stripe import Stripe

ANY = re.compile("https://api.stripe.com/.*")
WHEN = datetime(2026, 3, 9, tzinfo=UTC)
CALLS: dict[str, Callable[[Stripe], object]] = {
    "account": lambda stripe: stripe.open_account(email="a@b.example", name="Rivera", key="k"),
    "onboarding": lambda stripe: stripe.onboarding_url("acct_1", return_url="x", refresh_url="x"),
    "standing": lambda stripe: stripe.standing("acct_1"),
    "session": lambda stripe: stripe.session("acct_1", "cs_1"),
    "close": lambda stripe: stripe.close_checkout("acct_1", "cs_1"),
    "receipt": lambda stripe: stripe.receipt("acct_1", "pi_1"),
    "refund": lambda stripe: stripe.refund("acct_1", "pi_1", amount=Decimal(1), mark="m"),
    "refunds": lambda stripe: list(stripe.refunds("acct_1", "pi_1")),
    "sessions since": lambda stripe: list(stripe.sessions_since("acct_1", WHEN)),
    "disputes since": lambda stripe: list(stripe.disputes_since("acct_1", WHEN)),
}
LIST = {"object": "list", "url": "/v1/x", "has_more": False}
ANSWERS: list[object] = [
    {},
    {"id": None},
    {"id": ["x"], "amount": "x", "amount_total": "x", "status": {}},
    {**LIST, "data": [{}]},
    {**LIST, "data": [{"id": "re_1", "amount": "x", "amount_total": "x"}]},
    {**LIST, "data": [7]},
]


@pytest.fixture
def processor(config: Config) -> Stripe:
    key, secret = "sk_test_Pw7Zt3Vn8Rk2Lx6Qd9Hb4Jf1Mg5Ys0", "whsec_Xq3pT9wZk7Lr2Vx8Nc5Hd1Yb6Mf4Js0"
    return Stripe(replace(config, stripe_secret_key=key, stripe_webhook_secrets=(secret,)))


@pytest.fixture
def wire() -> Iterator[RequestsMock]:
    with RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.mark.parametrize("name", CALLS)
def test_case_e06_an_answer_without_what_was_asked_is_no_answer(
    processor: Stripe, wire: RequestsMock, name: str
) -> None:
    for answer in ANSWERS:
        for method in ("GET", "POST"):
            wire.upsert(method, ANY, json=answer)
        with pytest.raises(Unreachable):
            CALLS[name](processor)
