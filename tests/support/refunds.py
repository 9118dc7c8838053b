"""Payments that go back, whole or in part, and what QuickBooks has of them then."""

from decimal import Decimal
from typing import Any

from sqlalchemy import select

from models.sales import GoodwillRefund, Payment
from tests.support.situation import SETTINGS, Situation
from tests.support.till import Till

CHECKING = "Checking"


# --- What the owner chose -------------------------------------------------------------------------


def choose(at: Situation, **choices: str) -> None:
    at.ana.open(f"{SETTINGS}/arrivals").submit(choices, press="Save")
    assert "Saved. From now on" in at.ana.text, at.ana.text


def choose_receipts(at: Situation, **choices: str) -> None:
    """Refunds become refund receipts, paid from the checking account."""
    choose(at, refunds="receipt", refund_account=account(at, CHECKING), **choices)


def account(at: Situation, name: str) -> str:
    return str(next(one["Id"] for one in at.books("Account") if one["Name"] == name))


# --- What people do -------------------------------------------------------------------------------


def paid(at: Situation, amount: str = "100", number: str = "A") -> tuple[int, int]:
    """An invoice of $100 with a payment; both arrived."""
    invoice = at.save_invoice(at.save_lead(f"Client {number}"))
    payment = at.pay(invoice, amount)
    at.drain()
    at.simulator.clear_journal()
    return invoice, payment


def by_stripe(at: Situation, invoice: int, intent: str = "pi_1") -> int:
    at.session.rollback()
    payment = Payment(
        organization_id=at.firm,
        invoice_id=invoice,
        amount=Decimal(100),
        method="card",
        received_on=at.invoice(invoice).issued_on,
        note="",
        event_id=f"stripe:{intent}",
    )
    at.session.add(payment)
    at.session.commit()
    return payment.id


def take_back(at: Situation, payment: int, amount: str = "100") -> None:
    told = {"amount": amount, "afterwards": "open"}
    at.ana.open(f"/payments/{payment}/refund").submit(told, press="Record refund")
    assert "The refund is recorded." in at.ana.text, at.ana.text


def refund(at: Situation, payment: int, amount: str = "30", afterwards: str = "paid") -> None:
    told = {"amount": amount, "afterwards": afterwards}
    at.ana.open(f"/payments/{payment}/refund").submit(told, press="Record refund")
    assert "The refund is recorded." in at.ana.text, at.ana.text


def refund_through_stripe(till: Till, amount: str) -> None:
    """The invoice stays paid."""
    till.owner.open(f"/payments/{till.payments[0].id}/refund")
    till.owner.submit({"amount": amount, "afterwards": "paid"}, press="Refund it")


def delete_receipt(at: Situation, receipt: dict[str, Any]) -> None:
    """The bookkeeper deletes it in QuickBooks."""
    told = {"Id": receipt["Id"], "SyncToken": receipt["SyncToken"]}
    at.bookkeeper().post("refundreceipt", told, operation="delete")


def pass_and_drain(at: Situation, rounds: int = 8) -> None:
    for _ in range(rounds):
        at.pass_time()
        at.drain()


# --- What there is then ---------------------------------------------------------------------------


def there(at: Situation, kind: str, key: int) -> dict[str, Any]:
    link = at.link(kind, key)
    assert link
    return next(one for one in at.books(kind.capitalize()) if one["Id"] == link.remote_id)


def refunds(at: Situation) -> list[GoodwillRefund]:
    at.session.rollback()
    at.session.expire_all()
    return list(at.session.scalars(select(GoodwillRefund).order_by(GoodwillRefund.id)))


def receipts_of(at: Situation) -> list[dict[str, Any]]:
    return at.books("RefundReceipt")
