"""A firm whose clients pay online: the app, served, and a simulated Stripe with its events."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from clients.links import make_link
from db import Sessions
from models.processors import Charge, Checkout, ProcessorAccount, Refund
from models.sales import Invoice, Payment
from processors.processor import Processor
from stripe_simulator.testing import StripeHandle
from tests.support.firm import new_firm_with_lane, new_invoice, new_lead, new_line
from tests.support.visitor import Visitor, new_person

PLATFORM_SECRET = "whsec_Xq3pT9wZk7Lr2Vx8Nc5Hd1Yb6Mf4Js0"
CONNECT_SECRET = "whsec_Ga8rU2vQe6Bn1Zk7Tf3Wm9Xc5Hj4Ld0"
STRIPE_KEY = "sk_test_Pw7Zt3Vn8Rk2Lx6Qd9Hb4Jf1Mg5Ys0"
ACH_TAKES = 400_001  # seconds: see running_stripe


def stripe_environ(stripe: StripeHandle) -> dict[str, str]:
    return {
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": f"{PLATFORM_SECRET},{CONNECT_SECRET}",
        "STRIPE_API_BASE": stripe.url,
    }


def endpoints(url: str) -> list[dict[str, object]]:
    address = f"{url}/webhooks/stripe"
    return [
        {"url": address, "secret": PLATFORM_SECRET, "is_connect": False},
        {"url": address, "secret": CONNECT_SECRET, "is_connect": True},
    ]


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The app on a port of its own, in threads of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Till:
    """An owner, a client at the page of an invoice of $100, and Stripe."""

    app: Flask
    session: Session
    sessions: Sessions
    stripe: StripeHandle
    owner: Visitor = field(init=False)
    client: Visitor = field(init=False)
    firm: int = field(init=False)
    invoice_id: int = field(init=False)
    token: str = field(init=False)
    account: str = field(init=False)

    def __post_init__(self) -> None:
        self.firm, _lane = new_firm_with_lane(self.session)
        new_person(self.session, self.firm, "ana@rivera.example")
        self.owner = Visitor(self.app).sign_in("ana@rivera.example")
        self.client = Visitor(self.app)
        self.owner.post("/settings/payments/connect")
        self.account = self.session.scalars(select(ProcessorAccount.account_id)).one()
        self.stripe.act("onboard", account=self.account)
        self.stripe.await_quiet()
        self.invoice_id, self.token = self.new_invoice()

    def new_invoice(self, price: str = "100", number: str = "1043") -> tuple[int, str]:
        lead = new_lead(self.firm, email="maria@client.example")
        invoice = new_invoice(self.firm, lead, [new_line(self.firm, price=price)], number=number)
        self.session.add(invoice)
        self.session.flush()
        link = make_link(self.session, invoice)
        self.session.commit()
        return invoice.id, link.token

    @property
    def processor(self) -> Processor:
        processor: Processor = self.app.extensions["dunahub"].processor
        return processor

    def page(self, client: Visitor | None = None, method: str = "card", token: str = "") -> str:
        """Presses the button on the client's page. The address of Stripe's page."""
        client, path = client or self.client, f"/i/{token or self.token}"
        page = client.client.get(path).get_data(as_text=True)
        field_ = BeautifulSoup(page, "html.parser").select_one("[name=csrf_token]")
        assert field_, page
        fields = {"csrf_token": str(field_["value"]), "method": method}
        client.answer = client.client.post(f"{path}/pay", data=fields)
        assert client.answer.status_code == 303, client.text
        address: str = client.answer.headers["Location"]
        return address

    def see(self, *, args: str = "") -> str:
        return self.client.open(f"/i/{self.token}{args}").text

    def pay(self, **fields: str) -> None:
        """By card, to the end: Stripe's events are delivered."""
        self.stripe.pay(self.page(), **fields)
        self.stripe.await_quiet()

    def send_transfer(self, account: str = "000123456789") -> None:
        self.stripe.send_transfer(self.page(method="ach"), account)
        self.stripe.await_quiet()

    def let_arrive(self) -> None:
        """The events that were held."""
        self.stripe.act("let_go_held")
        self.stripe.await_quiet()

    def pass_time(self, seconds: float) -> None:
        self.stripe.act("advance", seconds=seconds)
        self.stripe.await_quiet()

    def _fresh(self) -> Session:
        self.session.rollback()
        self.session.expire_all()
        return self.session

    @property
    def invoice(self) -> Invoice:
        return self._fresh().get_one(Invoice, self.invoice_id)

    @property
    def payments(self) -> list[Payment]:
        return list(self._fresh().scalars(select(Payment).order_by(Payment.id)))

    @property
    def charges(self) -> list[Charge]:
        return list(self._fresh().scalars(select(Charge).order_by(Charge.payment_id)))

    @property
    def checkouts(self) -> list[Checkout]:
        return list(self._fresh().scalars(select(Checkout).order_by(Checkout.id)))

    @property
    def refunds(self) -> list[Refund]:
        return list(self._fresh().scalars(select(Refund).order_by(Refund.id)))

    def sums(self) -> tuple[list[Decimal], Decimal]:
        """What was paid, less what went back, and what is left of the invoice."""
        paid = [payment.amount - payment.refunded_amount for payment in self.payments]
        return paid, self.invoice.balance

    def charge_id(self) -> str:
        """The last one that succeeded, as Stripe knows it."""
        charges = self.stripe.all(self.account, "charge")
        return str([one for one in charges if one["status"] == "succeeded"][-1]["id"])
