"""The simulated Stripe's data, and what happens to money. No HTTP, with an explicit clock."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stripe_simulator.wire import Fields, Problem, missing

API_VERSION = "2026-10-28.endive"
FEE_KNOWN_AFTER = 2  # seconds: Stripe captures first and reports the fee later
CARDS = {  # card number → result of a payment with it
    "4242424242424242": "paid",
    "5555555555554444": "paid",
    "4000000000000002": "card_declined",
    "4000000000009995": "insufficient_funds",
    "4000000000000069": "expired_card",
    "4000000000000127": "incorrect_cvc",
    "4000000000000119": "processing_error",
    "4000002500003155": "3ds",
    "4000000000003220": "3ds",
    "4000008400001629": "3ds_declined",
    "4000000000000259": "disputed",
    "4000000000002685": "disputed",
    "4000000000005126": "refund_fails",
}
ACCOUNTS = {  # bank account number → result of a transfer from it
    "000123456789": "paid",
    "000111111113": "account_closed",
    "000111111116": "no_account",
    "000222222227": "insufficient_funds",
    "000333333335": "debit_not_authorized",
    "000555555559": "disputed",
    "000000000009": "stays",
}
ROUTING = "110000000"


@dataclass
class Books:
    """All objects by account ("": the platform's own) and id. Saved as they are."""

    objects: dict[str, dict[str, Fields]] = field(default_factory=dict)
    due: list[tuple[float, str, str, str]] = field(default_factory=list)  # time, act, account, id
    answers: dict[str, tuple[str, int, str]] = field(default_factory=dict)  # by idempotency key
    ahead: float = 0  # seconds that the clock was moved ahead
    ach_seconds: float = 20
    dispute_seconds: float = 10
    onward: Callable[[Fields, str], None] = lambda _event, _account: None

    def now(self) -> int:
        return int(time.time() + self.ahead)

    # --- Keeping ----------------------------------------------------------------------------------

    def keep(self, owner: str, kind: str, prefix: str, **fields: Any) -> Fields:
        key = f"{prefix}_{secrets.token_hex(12)}"
        thing = {"id": key, "object": kind, "created": self.now(), "livemode": False, **fields}
        self.objects.setdefault(owner, {})[key] = thing
        return thing

    def find(self, account: str, kind: str, key: str) -> Fields:
        thing = self.objects.get(account, {}).get(key)
        if thing is None or thing["object"] != kind:
            raise missing(kind, key)
        return thing

    def all(self, account: str, kind: str) -> Iterator[Fields]:
        """Newest first."""
        things = list(self.objects.get(account, {}).values())
        return (thing for thing in reversed(things) if thing["object"] == kind)

    def later(self, seconds: float, act: str, account: str, key: str) -> None:
        self.due.append((time.time() + self.ahead + seconds, act, account, key))

    def run_due(self) -> None:
        """Runs the acts that are due."""
        now = time.time() + self.ahead
        ripe = sorted(one for one in self.due if one[0] <= now)
        self.due = [one for one in self.due if one[0] > now]
        for _at, act, account, key in ripe:
            getattr(self, act)(account, key)
        if ripe:
            self.run_due()

    def tell(self, account: str, kind: str, thing: Fields, **data: Any) -> None:
        event = self.keep(
            account,
            "event",
            "evt",
            type=kind,
            api_version=API_VERSION,
            pending_webhooks=1,
            request={"id": None, "idempotency_key": None},
            data={"object": dict(thing), **data},
        )
        if account:
            event["account"] = account
        self.onward(dict(event), account)

    # --- Accounts ---------------------------------------------------------------------------------

    def open_account(self, email: str, name: str) -> Fields:
        account = self.keep(
            "",
            "account",
            "acct",
            type="standard",
            email=email,
            business_profile={"name": name},
            country="US",
            default_currency="usd",
            charges_enabled=False,
            payouts_enabled=False,
            details_submitted=False,
            capabilities={
                "card_payments": "inactive",
                "transfers": "inactive",
                "us_bank_account_ach_payments": "inactive",
            },
            requirements=_wanted("business_type", "external_account", "tos_acceptance.date"),
            metadata={},
        )
        self.objects.setdefault(account["id"], {})
        return account

    def onboard(self, key: str, *, leave_out: str = "") -> Fields:
        """The firm enters its details; all of them, or all but one."""
        account = self.find("", "account", key)
        account["details_submitted"] = True
        account["charges_enabled"] = not leave_out
        account["payouts_enabled"] = not leave_out
        state = "pending" if leave_out else "active"
        account["capabilities"] = dict.fromkeys(account["capabilities"], state)
        account["requirements"] = _wanted(*([leave_out] if leave_out else []))
        self.tell(key, "account.updated", account, previous_attributes={})
        return account

    def restrict(self, key: str, reason: str) -> None:
        account = self.find("", "account", key)
        account["charges_enabled"] = account["payouts_enabled"] = False
        account["requirements"] = _wanted("individual.verification.document", reason=reason)
        self.tell(key, "account.updated", account, previous_attributes={})

    def let_go(self, key: str) -> None:
        """The firm revokes the platform's access."""
        self.find("", "account", key)["gone"] = True
        application = {"id": "ca_simulated", "object": "application", "name": "DunaHub"}
        self.tell(key, "account.application.deauthorized", application)

    # --- Paying -----------------------------------------------------------------------------------

    def pay(self, account: str, session: Fields, outcome: str, details: Fields) -> str:
        """The client's action on the page. Returns paid, on_its_way, or the reason for failure."""
        if session["status"] != "open":
            return "closed"
        intent = self._intent(account, session)
        if details["type"] == "us_bank_account":
            return self._send_transfer(account, session, intent, outcome, details)
        if outcome not in ("paid", "disputed", "refund_fails"):
            self._decline(account, intent, outcome, details)
            return outcome
        charge = self._charge(account, intent, details, "ch", status="succeeded", paid=True)
        charge["refund_fails"] = outcome == "refund_fails"
        intent["status"] = "succeeded"
        session.update(
            status="complete", payment_status="paid", payment_intent=intent["id"], url=None
        )
        self.tell(account, "charge.succeeded", charge)
        self.tell(account, "payment_intent.succeeded", intent)
        self.tell(account, "payment_intent.created", intent)  # sent late, like the real one
        self.tell(account, "checkout.session.completed", session)
        self.later(FEE_KNOWN_AFTER, "tell_fee", account, charge["id"])
        if outcome == "disputed":
            self.later(self.dispute_seconds, "dispute", account, charge["id"])
        return "paid"

    def _intent(self, account: str, session: Fields) -> Fields:
        for known in self.all(account, "payment_intent"):
            if known["session"] == session["id"]:
                return known
        return self.keep(
            account,
            "payment_intent",
            "pi",
            amount=session["amount_total"],
            currency="usd",
            status="requires_payment_method",
            latest_charge=None,
            last_payment_error=None,
            metadata=dict(session["payment_intent_data"].get("metadata") or {}),
            description=session["payment_intent_data"].get("description"),
            session=session["id"],
        )

    def _charge(
        self, account: str, intent: Fields, details: Fields, prefix: str, **fields: Any
    ) -> Fields:
        charge = self.keep(
            account,
            "charge",
            prefix,
            amount=intent["amount"],
            amount_refunded=0,
            refunded=False,
            disputed=False,
            captured=True,
            currency="usd",
            payment_intent=intent["id"],
            balance_transaction=None,
            failure_code=None,
            failure_message=None,
            metadata=dict(intent["metadata"]),
            payment_method_details=details,
            **fields,
        )
        intent["latest_charge"] = charge["id"]
        return charge

    def _decline(self, account: str, intent: Fields, code: str, details: Fields) -> None:
        charge = self._charge(account, intent, details, "ch", status="failed", paid=False)
        charge["failure_code"] = code
        intent["status"] = "requires_payment_method"
        intent["last_payment_error"] = {"code": code, "type": "card_error"}
        self.tell(account, "charge.failed", charge)
        self.tell(account, "payment_intent.payment_failed", intent)

    def _send_transfer(
        self, account: str, session: Fields, intent: Fields, outcome: str, details: Fields
    ) -> str:
        charge = self._charge(account, intent, details, "py", status="pending", paid=False)
        intent["status"] = "processing"
        session.update(
            status="complete", payment_status="unpaid", payment_intent=intent["id"], url=None
        )
        for kind in ("payment_intent.created", "payment_intent.processing"):
            self.tell(account, kind, intent)
        self.tell(account, "charge.pending", charge)
        self.tell(account, "checkout.session.completed", session)
        if outcome in ("paid", "disputed"):
            self.later(self.ach_seconds, "settle_transfer", account, charge["id"])
            if outcome == "disputed":
                seconds = self.ach_seconds + self.dispute_seconds
                self.later(seconds, "return_transfer", account, charge["id"])
        elif outcome != "stays":
            intent["will_fail"] = outcome
            self.later(self.ach_seconds, "fail_transfer", account, charge["id"])
        return "on_its_way"

    def settle_transfer(self, account: str, key: str) -> None:
        charge, intent, session = self._of(account, key)
        charge.update(status="succeeded", paid=True)
        intent["status"] = "succeeded"
        session["payment_status"] = "paid"
        self.tell_fee(account, key, says=False)
        self.tell(account, "charge.succeeded", charge)
        self.tell(account, "payment_intent.succeeded", intent)
        self.tell(account, "checkout.session.async_payment_succeeded", session)

    def fail_transfer(self, account: str, key: str) -> None:
        charge, intent, session = self._of(account, key)
        code = intent.get("will_fail") or "insufficient_funds"
        charge.update(status="failed", failure_code=code)
        intent.update(status="requires_payment_method")
        intent["last_payment_error"] = {"code": code, "type": "invalid_request_error"}
        self.tell(account, "charge.failed", charge)
        self.tell(account, "payment_intent.payment_failed", intent)
        self.tell(account, "checkout.session.async_payment_failed", session)

    def _of(self, account: str, key: str) -> tuple[Fields, Fields, Fields]:
        charge = self.find(account, "charge", key)
        intent = self.find(account, "payment_intent", charge["payment_intent"])
        return charge, intent, self.find(account, "checkout.session", intent["session"])

    def tell_fee(self, account: str, key: str, *, says: bool = True) -> None:
        charge = self.find(account, "charge", key)
        is_card = charge["payment_method_details"]["type"] == "card"
        amount = charge["amount"]
        fee = round(amount * 0.029) + 30 if is_card else min(round(amount * 0.008), 500)
        transaction = self.keep(
            account,
            "balance_transaction",
            "txn",
            amount=amount,
            fee=fee,
            net=amount - fee,
            currency="usd",
            type="charge" if is_card else "payment",
            reporting_category="charge",
            status="pending",
            source=key,
            fee_details=[{"amount": fee, "currency": "usd", "type": "stripe_fee"}],
        )
        charge["balance_transaction"] = transaction["id"]
        if says:
            before = {"balance_transaction": None}
            self.tell(account, "charge.updated", charge, previous_attributes=before)

    def close(self, account: str, session: Fields) -> None:
        if session["status"] != "open":
            raise Problem(
                400,
                "",
                'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
                f" Session has a status of {session['status']}.",
            )
        session.update(status="expired", url=None)
        self.tell(account, "checkout.session.expired", session)

    def end_session(self, account: str, key: str) -> None:
        session = self.find(account, "checkout.session", key)
        if session["status"] == "open":
            self.close(account, session)

    # --- Paying back ------------------------------------------------------------------------------

    def refund(self, account: str, charge: Fields, amount: int, metadata: Fields) -> Fields:
        left = charge["amount"] - charge["amount_refunded"]
        if charge["disputed"]:
            raise Problem(400, "charge_disputed", "This charge has been charged back.")
        if not left:
            raise Problem(
                400, "charge_already_refunded", f"Charge {charge['id']} has already been refunded."
            )
        if not 0 < amount <= left:
            text = f"Refund amount ({amount}) is greater than unrefunded amount ({left})"
            raise Problem(400, "amount_too_large", text, param="amount")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        refund = self.keep(
            account,
            "refund",
            "re" if charge["id"].startswith("ch_") else "pyr",
            amount=amount,
            currency="usd",
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            status="succeeded",
            reason="requested_by_customer",
            metadata=metadata,
            failure_reason=None,
        )
        self.tell(account, "refund.created", refund)
        self.tell(account, "charge.refunded", charge)
        if charge.get("refund_fails"):
            self.later(self.dispute_seconds, "fail_refund", account, refund["id"])
        return refund

    def fail_refund(self, account: str, key: str) -> None:
        refund = self.find(account, "refund", key)
        refund.update(status="failed", failure_reason="expired_or_canceled_card")
        charge = self.find(account, "charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        self.tell(account, "refund.failed", refund)

    def dispute(self, account: str, key: str) -> None:
        """A cardholder reclaims the money; the bank decides later."""
        self._open_dispute(account, key, "fraudulent", "needs_response")

    def return_transfer(self, account: str, key: str) -> None:
        """A bank returns a settled transfer; the dispute is lost at once."""
        dispute = self._open_dispute(account, key, "debit_not_authorized", "lost")
        self.tell(account, "charge.dispute.closed", dispute)

    def _open_dispute(self, account: str, key: str, reason: str, status: str) -> Fields:
        charge = self.find(account, "charge", key)
        charge["disputed"] = True
        dispute = self.keep(
            account,
            "dispute",
            "dp",
            amount=charge["amount"] - charge["amount_refunded"],
            currency="usd",
            charge=key,
            payment_intent=charge["payment_intent"],
            reason=reason,
            status=status,
            is_charge_refundable=False,
            metadata={},
        )
        self.tell(account, "charge.dispute.created", dispute)
        return dispute

    def decide(self, account: str, key: str, status: str) -> None:
        """Ends an open dispute as won or lost."""
        dispute = self.find(account, "dispute", key)
        dispute["status"] = status
        self.tell(account, "charge.dispute.closed", dispute)


def _wanted(*due: str, reason: str | None = None) -> Fields:
    return {
        "currently_due": list(due),
        "past_due": list(due) if reason else [],
        "eventually_due": [],
        "pending_verification": [],
        "disabled_reason": reason,
        "current_deadline": None,
        "errors": [],
    }
