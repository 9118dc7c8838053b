"""Fills the showcase with firms and records in every state, created as in real use.

Records are captured and delivered to the simulator by the real code. Only times are moved back, to
give the last month a history, and one call is left in progress.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from clients.links import make_link, revoke_link
from config import Config
from db import Sessions
from development.desk import Desk
from models.accounts import Invitation, Organization, Role, User
from models.clients import Letterhead
from models.outbox import Counterpart, Dispatch, DispatchItem, Entry, Lane, State
from models.passwords import CHEAP_HASHER, DEMO_PASSWORD, hash_password
from models.processors import (
    Charge,
    Checkout,
    CheckoutState,
    ProcessorAccount,
    Refund,
    RefundState,
)
from models.quickbooks import Tokens
from models.sales import (
    GoodwillRefund,
    Invoice,
    InvoiceDraft,
    InvoiceDraftLine,
    Job,
    JobLine,
    JobStatus,
    Lead,
    Proposal,
    ProposalLine,
    ProposalStatus,
    Record,
    RecordType,
)
from outbox import actions, bulk, lanes
from outbox.capture import send_by_hand
from processors import recording
from quickbooks import disconnecting, months
from quickbooks.comparison import Month
from simulator.testing import SimulatorHandle

PAST = timedelta(days=29)  # records sent so far are spread over this time
A_YEAR = timedelta(days=365)
CUSTOMERS = (
    """
Maria Santos, Lakeview Dental, Tom Okafor, Sunrise Bakery, Priya Raman, Alder Street School,
Jonas Weber, Blue Door Cafe, Helen Cho, Northside Gym, Omar Haddad, Fern & Stone Florists,
Grace Lindqvist, The Corner Bookshop
""".strip()
    .replace("\n", " ")
    .split(", ")
)

OTHERS = {  # besides those of the seed: one firm for each message of the settings page
    "Nova Painting": ("nina@nova.example", "Nina Novak"),
    "Hill Electric": ("hugo@hill.example", "Hugo Hill"),
    "Delta Gardens": ("dora@delta.example", "Dora Delgado"),
    "Bay Roofing": ("bea@bay.example", "Bea Byrne"),
    "Pine Fencing": ("pia@pine.example", "Pia Pine"),
    "Cedar Cleaning": ("ceda@cedar.example", "Ceda Ruiz"),
    "Echo Pools": ("eva@echo.example", "Eva Ekström"),
    "Fox Heating": ("finn@fox.example", "Finn Fox"),
    "Gable Windows": ("gina@gable.example", "Gina Gable"),
    "Iron Fences": ("ivan@iron.example", "Ivan Ito"),
    "Jade Masonry": ("jana@jade.example", "Jana Jade"),
    "Kite Sailing": ("kim@kite.example", "Kim Kite"),
    "Buckeye Plumbing": ("lia@buckeye.example", "Lia Lund"),
    "Lake Tiling": ("lou@lake.example", "Lou Lake"),
}


def fill(
    sessions: Sessions, config: Config, simulator: SimulatorHandle, *, invoices: int
) -> dict[str, str]:
    """Fills it. Returns the keys of its records by name."""
    with sessions() as session:
        _add_others(session)
        _add_paula(session)

    @contextmanager
    def desk(email: str) -> Iterator[Desk]:
        with sessions() as session:
            owner = session.scalars(select(User).where(User.email == email)).one()
            yield Desk(sessions, config, simulator, session, owner)

    # Firms with the most to show come last, to be on the outbox's first page. Unfinished
    # comparisons and reads come after the last drain, which would carry them out.
    keys: dict[str, str] = {}
    with desk("dora@delta.example") as delta:
        _expire(delta)
    with desk("bea@bay.example") as bay:
        keys |= {f"bay_{name}": key for name, key in _disconnect(bay).items()}
    with desk("pia@pine.example") as pine:
        keys |= {f"pine_{name}": key for name, key in _disconnect(pine).items()}
        pine.connect(pine.realm)
    with desk("ceda@cedar.example") as cedar:
        _hold(cedar, "plan_lapsed")
    with desk("ivan@iron.example") as iron:
        keys["iron_invoice"] = _hold(iron, "access_lost")
    with desk("jana@jade.example") as jade:
        keys["jade_invoice"] = _hold(jade, "company_reset")
    with desk("eva@echo.example") as echo:
        _pause(echo)
    with desk("finn@fox.example") as fox:
        keys["fox_payment"] = _end_soon(fox)
    with desk("ana@rivera.example") as rivera:
        keys |= _fill_rivera(rivera, invoices)
    with desk("hugo@hill.example") as hill:
        hill.connect()
        ask_for_month(hill)
        hill.commit()
    with desk("gina@gable.example") as gable:
        keys["gable_lead"] = _read_customers(gable)
    with desk("kim@kite.example") as kite:
        _read_customers(kite, since=timedelta(hours=2))
        _paying_account(kite, "acct_1Kite").ended_at = datetime.now(UTC)
        kite.commit()
    with desk("lia@buckeye.example") as buckeye:
        _work_before_connecting(buckeye)
        keys |= _clients_who_cannot_pay(buckeye)
    with desk("lou@lake.example") as lake:
        keys |= _clients_who_owe(lake)
    return keys


def _add_others(session: Session) -> None:
    password_hash = hash_password(DEMO_PASSWORD, CHEAP_HASHER)
    for name, (email, person) in OTHERS.items():
        firm = Organization(name=name, region="US", time_zone="America/New_York")
        session.add(firm)
        session.flush()
        session.add(
            User(
                organization_id=firm.id,
                email=email,
                name=person,
                role=Role.OWNER,
                password_hash=password_hash,
            )
        )
    session.commit()


def _add_paula(session: Session) -> None:
    """A second owner of the main firm, who reads Portuguese."""
    ana = session.scalars(select(User).where(User.email == "ana@rivera.example")).one()
    session.add(
        User(
            organization_id=ana.organization_id,
            email="paula@rivera.example",
            name="Paula Prado",
            role=Role.OWNER,
            password_hash=hash_password(DEMO_PASSWORD, CHEAP_HASHER),
            language="pt_BR",
        )
    )
    session.commit()


def _work_before_connecting(desk: Desk) -> None:
    """Leads of each fate in Intuit's sample company, and an invoice."""
    desk.lead("Bill's Windsurf Shop", email="bill@windsurf.example", phone="(415) 555-0199")
    desk.lead("Grace Pariente", email="Cool_Cars@intuit.com")
    desk.lead("Dukes Basketball Camp", email="Dukes_bball@intuit.com")
    lead = desk.lead("Harbor Café", email="owner@harbor.example")
    lines = ((desk.product("Drain cleaning", "150"), "1", "150"), ("Valve", "2", "45.5"))
    desk.invoice(lead, *lines, discount="5")
    desk.commit()


# --- The firm where everything happens ------------------------------------------------------------


def _fill_rivera(desk: Desk, invoices: int) -> dict[str, str]:
    """Every status of a record, and every cause that needs a person."""
    gap = _gap(desk)
    realm = desk.simulator.add_company(desk.firm.name)
    desk.simulator.company(realm, CustomTxnNumbers=True, AutoApplyCredit=True)
    desk.realm = realm
    with desk.bookkeeper() as books:
        for name in ("Elm Street Dental", "Elm Street Dental (old)"):
            address = {"Address": "front@elmdental.example"}
            books.post("customer", {"DisplayName": name, "PrimaryEmailAddr": address})
    desk.connect(realm)
    assert send_by_hand(desk.session, RecordType.INVOICE, [int(gap["alone_invoice"])])
    desk.commit()
    sent = _month(desk, invoices)
    keys = gap | sent | _troubles(desk) | _moving(desk) | _unsold(desk)
    tom = desk.session.scalars(select(User.id).where(User.email == "tom@rivera.example")).one()
    keys["colleague"] = str(tom)
    keys |= _clients(desk, keys)
    return keys | {"invitation": _invite(desk), "month": _compare(desk), "bulk": _decide(desk)}


def _clients(desk: Desk, keys: dict[str, str]) -> dict[str, str]:
    """Clients' pages, and a Stripe account for payments."""
    session, firm = desk.session, desk.firm.id
    account = _paying_account(desk, "acct_1Rivera")

    def link(document: Invoice | Proposal) -> str:
        return make_link(session, document).token

    def invoice(name: str) -> Invoice:
        return session.get_one(Invoice, int(keys[name]))

    links = {
        "client_due": link(invoice("waiting")),
        "client_on_its_way": link(invoice("taken")),
        "client_paid": link(invoice("gap_invoice")),
        "client_void": link(invoice("voided_invoice")),
        "client_proposal": link(session.get_one(Proposal, int(keys["proposal"]))),
    }
    coming = invoice("taken")
    session.add(
        Checkout(
            organization_id=firm,
            invoice_id=coming.id,
            account_id=account.account_id,
            method="ach",
            amount=coming.balance,
            state=CheckoutState.ON_ITS_WAY,
            expires_at=datetime.now(UTC),
            told={},
        )
    )
    session.add(
        Charge(
            payment_id=int(keys["gap_payment"]),
            organization_id=firm,
            account_id=account.account_id,
            payment_intent_id="pi_1",
            label="STRIPE TEST BANK •••• 6789",
            fee=Decimal("2.72"),
        )
    )
    _record_by_hand(desk, int(keys["refund_payment"]), account.account_id)
    desk.commit()
    return links


def _record_by_hand(desk: Desk, payment_id: int, account_id: str) -> None:
    """What went back of this payment was recorded while we had no access to Stripe."""
    session, firm = desk.session, desk.firm.id
    given = session.scalars(
        select(GoodwillRefund).where(GoodwillRefund.payment_id == payment_id)
    ).one()
    charge = Charge(
        payment_id=payment_id,
        organization_id=firm,
        account_id=account_id,
        payment_intent_id="pi_2",
        label="Visa •••• 4242",
    )
    refund = Refund(
        organization_id=firm,
        payment_id=payment_id,
        amount=given.amount,
        booked=given.amount,
        state=RefundState.DONE,
        keeps_paid=True,
        goodwill_id=given.id,
        by_hand=True,
        settled_at=datetime.now(UTC),
    )
    session.add_all([charge, refund])


def _gap(desk: Desk) -> dict[str, str]:
    """Saved before QuickBooks was connected: never sent automatically."""
    lead = desk.lead("Old Mill Brewery", email="taps@oldmill.example")
    invoice = desk.invoice(lead, ("Winterize the lines", "1", "340"))
    payment = desk.pay(invoice, "340", "ach")
    without_it = desk.invoice(lead, ("Flush the heater", "1", "120"))
    alone = desk.pay(without_it, "60", "check")
    draft = InvoiceDraft(
        organization_id=desk.firm.id,
        lead=lead,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        discount_value=Decimal(5),
        lines=[
            InvoiceDraftLine(
                organization_id=desk.firm.id,
                position=1,
                description="Open the lines in spring",
                unit_price=Decimal(310),
            ),
            InvoiceDraftLine(
                organization_id=desk.firm.id,
                position=2,
                description="New valve, price from the supplier",
            ),
        ],
    )
    desk.session.add(draft)
    desk.commit()
    return {
        "gap_lead": str(lead.id),
        "gap_invoice": str(invoice.id),
        "gap_payment": str(payment.id),
        "alone_invoice": str(without_it.id),  # sent without its payment
        "alone_payment": str(alone.id),
        "draft": str(draft.id),
    }


def _paying_account(desk: Desk, account_id: str) -> ProcessorAccount:
    account = ProcessorAccount(
        organization_id=desk.firm.id,
        is_live=False,
        account_id=account_id,
        takes_cards=True,
        takes_ach=True,
        pays_out=True,
        is_submitted=True,
        asked_at=datetime.now(UTC),
    )
    desk.session.add(account)
    return account


def _clients_who_owe(desk: Desk) -> dict[str, str]:
    """Clients' pages of invoices that are late, paid in part, or that the bank sent back."""
    account = _paying_account(desk, "acct_1Lake")
    lead = desk.lead("Maria Santos", email="maria@santos.example")
    late, part, failed, hidden, back = (
        desk.invoice(lead, ("Tile the bathroom floor", "1", price), memo="Thank you!")
        for price in ("840", "1260", "315.50", "90", "410")
    )
    late.issued_on -= timedelta(days=45)
    late.due_on -= timedelta(days=45)
    desk.pay(part, "500", "check")
    returned = desk.pay(back, "410", "ach")
    desk.session.flush()
    returned.refunded_amount = returned.amount
    desk.session.add(
        Checkout(
            organization_id=desk.firm.id,
            invoice_id=failed.id,
            account_id=account.account_id,
            method="ach",
            amount=Decimal("315.50"),
            state=CheckoutState.FAILED,
            failure="insufficient_funds",
            expires_at=datetime.now(UTC),
            told={},
        )
    )
    shown = {"late": late, "part_paid": part, "failed": failed, "hidden": hidden, "back": back}
    links = {name: make_link(desk.session, each).token for name, each in shown.items()}
    revoke_link(desk.session, hidden, links["hidden"])
    desk.commit()
    return {f"client_{name}": token for name, token in links.items()}


def _clients_who_cannot_pay(desk: Desk) -> dict[str, str]:
    """The page of an invoice while Stripe still wants something from the firm."""
    account = _paying_account(desk, "acct_1Buckeye")
    account.takes_cards = account.takes_ach = account.pays_out = account.is_submitted = False
    account.wanted = {"due": ["external_account", "individual.verification.document"]}
    invoice = desk.invoice(desk.lead("Nora Quinn"), ("Snake the drain", "1", "180"))
    head = Letterhead(organization_id=desk.firm.id, phone="(614) 555-0190")
    head.email = "office@buckeye-plumbing.example"
    desk.session.add(head)
    desk.session.flush()
    token = make_link(desk.session, invoice).token
    desk.commit()
    return {"client_asks": token}


def _month(desk: Desk, invoices: int) -> dict[str, str]:
    """Successful records of the last month: leads and invoices, most of them paid."""
    products = [
        (desk.product("Water heater, 50 gal", "1249", taxable=True), "1", "1249"),
        (desk.product("Labor", "96.50"), "2.5", "96.50"),
        (desk.product("Filter cartridge", "24.90", taxable=True), "4", "24.90"),
        (desk.product("Drain cleaning", "185"), "1", "185"),
    ]
    made: list[Invoice] = []
    for number in range(invoices):
        name = CUSTOMERS[number % len(CUSTOMERS)]
        if number < len(CUSTOMERS):
            lead = desk.lead(name, email=f"office{number}@customer.example", phone="(415) 555-0134")
        else:
            lead = made[number % len(CUSTOMERS)].lead
        lines = products if number == 0 else [products[number % 4], products[(number + 1) % 4]]
        made.append(desk.invoice(lead, *lines, memo="Thank you!"))
        desk.commit()
    for number, invoice in enumerate(made):
        desk.session.refresh(invoice)
        if number == 0:
            desk.pay(invoice, "500")
            desk.pay(invoice, invoice.total - 500, "ach")
        elif number % 4:
            desk.pay(invoice, invoice.total, "ach" if number % 3 else "card")
    desk.commit()
    paid = made[0]
    payments = [payment.id for payment in paid.payments]
    lead_id, paid_id, open_id = paid.lead.id, paid.id, made[4].id
    renamed, voided, differs = made[1], made[2], made[3]
    desk.drain()
    renamed.memo = "Please pay by check."
    desk.commit()
    desk.drain()
    for payment in voided.payments:
        desk.session.refresh(payment)
    unpaid = desk.invoice(made[5].lead, ("Inspection", "1", "90"))
    never = desk.invoice(made[5].lead, ("Estimate visit", "1", "60"))
    desk.commit()
    never.voided_at = datetime.now(UTC)
    desk.commit()
    desk.drain()
    unpaid.voided_at = datetime.now(UTC)
    desk.commit()
    desk.drain()
    loose = made[7].payments[0].id
    _change_in_quickbooks(desk, differs.id, loose)
    _set_back(desk)
    edited = _edit_on_both_sides(desk, open_id)
    return {
        "lead": str(lead_id),
        "invoice": str(paid_id),
        "payment": str(payments[0]),
        "open_invoice": str(open_id),
        "changed_invoice": str(renamed.id),
        "voided_invoice": str(unpaid.id),
        "never_sent_invoice": str(never.id),
        "differing_invoice": str(differs.id),
        "edited_invoice": str(edited),
        "loose_payment": str(loose),
        "sent_entry": str(desk.entry_of(RecordType.INVOICE, paid_id).id),
    }


def _change_in_quickbooks(desk: Desk, invoice: int, payment: int) -> None:
    """The bookkeeper adds a cent to an invoice, and takes a payment off another one."""
    desk.session.rollback()
    lane = desk.connection.lane_id
    with desk.bookkeeper() as books:

        def there(type_: RecordType, key: int) -> dict[str, Any]:
            link = desk.session.scalars(Counterpart.of(lane, Record(type_, key))).one()
            name = type_.value
            return books.get(f"{name}/{link.remote_id}").object(name.capitalize())

        def change(name: str, found: dict[str, Any], **fields: object) -> None:
            version = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True}
            assert books.post(name, {**version, **fields}).status == 200

        billed = there(RecordType.INVOICE, invoice)
        lines = [line for line in billed["Line"] if line["DetailType"] == "SalesItemLineDetail"]
        lines[0]["Amount"] += Decimal("0.01")
        for name in ("Qty", "UnitPrice"):
            lines[0]["SalesItemLineDetail"].pop(name, None)
        change("invoice", billed, Line=lines)
        paid = there(RecordType.PAYMENT, payment)
        own = {key: paid[key] for key in ("CustomerRef", "TotalAmt")}
        change("payment", paid, **own, Line=[])


def _edit_on_both_sides(desk: Desk, like: int) -> int:
    """An invoice that the bookkeeper changed in QuickBooks, and the firm here afterwards."""
    lead = desk.session.get_one(Invoice, like).lead
    invoice = desk.invoice(lead, ("Replace the garbage disposal", "1", "280"))
    desk.commit()
    desk.drain()
    key = invoice.id
    link = desk.session.scalars(
        Counterpart.of(desk.connection.lane_id, Record(RecordType.INVOICE, key))
    ).one()
    with desk.bookkeeper() as books:
        there = books.get(f"invoice/{link.remote_id}").object("Invoice")
        version = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True}
        due = (date.today() + A_YEAR).isoformat()
        assert books.post("invoice", {**version, "DueDate": due}).status == 200
    invoice = desk.session.get_one(Invoice, key)
    invoice.due_on += timedelta(days=15)
    desk.commit()
    desk.drain()
    return key


def _set_back(desk: Desk) -> None:
    """Moves what was sent so far into the past, in order, during working hours."""
    desk.session.execute(
        text(
            """
            WITH share AS (
                SELECT id, (max(id) OVER () - id)::float / (max(id) OVER () - min(id) OVER () + 1)
                           * :past AS back
                FROM outbox WHERE organization_id = :firm
            )
            UPDATE outbox SET created_at = created_at - back, settled_at = settled_at - back,
                              first_settled_at = first_settled_at - back
            FROM share WHERE share.id = outbox.id
            """
        ),
        {"firm": desk.firm.id, "past": PAST},
    )
    desk.commit()


def _troubles(desk: Desk) -> dict[str, str]:
    """Records that need a person, each cause at least once."""
    drain_cleaning = desk.product("Drain cleaning", "185")
    with desk.bookkeeper() as books:
        books.post("vendor", {"DisplayName": "Green Lawn Co"})
        books.post("customer", {"DisplayName": "Harbor Cafe"})
        [item] = [
            one
            for one in desk.simulator.books(desk.realm)["Item"]
            if one["Name"] == "Drain cleaning"
        ]
        gone = {"Id": item["Id"], "SyncToken": item["SyncToken"], "sparse": True, "Active": False}
        books.post("item", gone)
        number = str(desk.firm.last_invoice_number + 1)
        walk_in = books.post("customer", {"DisplayName": "Walk-in"}).object("Customer")
        line = {
            "Amount": 7,
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {
                "ItemRef": {"value": desk.connection.settings["fallback_item_id"]}
            },
        }
        customer = {"value": walk_in["Id"]}
        books.post("invoice", {"CustomerRef": customer, "DocNumber": number, "Line": [line]})
    taken = desk.invoice(
        desk.lead("Bright Smiles", email="desk@bright.example"), ("Faucet", "1", "120")
    )
    vendor = desk.lead("Green Lawn Co", email="office@greenlawn.example", phone="(916) 555-0142")
    desk.commit()
    waiting = desk.invoice(vendor, ("Sprinkler repair", "3.5", "120"))
    desk.commit()
    waits = desk.pay(waiting, "100")
    holder = desk.lead("Harbor Cafe", email="new@harbor.example")
    several = desk.lead("Elm Dental", email="front@elmdental.example")
    desk.commit()
    regular = desk.lead("Rose Garden Apartments", email="manager@rosegarden.example")
    stopped = [desk.invoice(regular, (drain_cleaning, "1", "185")) for _ in range(3)]
    empty = desk.invoice(regular)
    skipped = desk.invoice(regular)
    reversed_ = desk.invoice(regular, ("Sump pump", "1", "410"))
    desk.commit()
    payment = desk.pay(reversed_, "410")
    kind = desk.invoice(regular, ("Faucet", "1", "120"))
    desk.commit()
    kindly_paid = desk.pay(kind, "120")
    desk.drain()
    payment.refunded_amount, payment.refunded_at = Decimal(410), func.clock_timestamp()
    refund = recording.give_back(desk.session, kindly_paid, Decimal(20), keeps_paid=True)
    assert refund
    acted = actions.skip(
        desk.session,
        [desk.entry_of(RecordType.INVOICE, skipped.id).id],
        organization_id=desk.firm.id,
    )
    assert acted.done, acted.refused
    desk.commit()
    desk.simulator.company(desk.realm, BookCloseDate=(date.today() + A_YEAR).isoformat())
    closed = desk.invoice(regular, ("Boiler check", "1", "150"))
    desk.drain()
    desk.simulator.company(desk.realm, BookCloseDate=None)
    named: dict[str, tuple[RecordType, int]] = {
        "vendor": (RecordType.LEAD, vendor.id),
        "holder": (RecordType.LEAD, holder.id),
        "several": (RecordType.LEAD, several.id),
        "taken": (RecordType.INVOICE, taken.id),
        "stopped": (RecordType.INVOICE, stopped[0].id),
        "empty": (RecordType.INVOICE, empty.id),
        "skipped": (RecordType.INVOICE, skipped.id),
        "reversed": (RecordType.PAYMENT, payment.id),
        "closed": (RecordType.INVOICE, closed.id),
        "waiting": (RecordType.INVOICE, waiting.id),
        "waits": (RecordType.PAYMENT, waits.id),
        "refund": (RecordType.REFUND, refund.id),
        "refund_payment": (RecordType.PAYMENT, kindly_paid.id),
    }
    keys = {name: str(key) for name, (_, key) in named.items()}
    return keys | {f"{name}_entry": str(desk.entry_of(*of).id) for name, of in named.items()}


def _moving(desk: Desk) -> dict[str, str]:
    """Records in progress: just saved, in a call, waiting for a retry."""
    saved = desk.lead("Ivy Court", email="desk@ivycourt.example")
    later = desk.lead("Mesa Fitness", email="team@mesafitness.example")
    calling = desk.lead("Quarry Lofts", email="rent@quarrylofts.example")
    desk.commit()
    entry = desk.entry_of(RecordType.LEAD, later.id)
    entry.attempts = 3
    entry.available_at = func.clock_timestamp() + timedelta(minutes=12)
    under_way = desk.entry_of(RecordType.LEAD, calling.id)
    dispatch = Dispatch(
        organization_id=desk.firm.id,
        lane_id=under_way.lane_id,
        request_id=secrets.token_hex(16),
        method="POST",
        path="customer",
        query="minorversion=75",
        body='{"DisplayName": "Quarry Lofts"}',
        sends=1,
        sent_at=func.clock_timestamp(),
        items=[
            DispatchItem(
                position=1,
                organization_id=desk.firm.id,
                lane_id=under_way.lane_id,
                entry_id=under_way.id,
                intent="create",
            )
        ],
    )
    desk.session.add(dispatch)
    desk.session.get_one(Lane, under_way.lane_id).lease_until = func.clock_timestamp() + A_YEAR
    desk.commit()
    return {"saved": str(saved.id), "later": str(later.id), "calling": str(calling.id)}


def _unsold(desk: Desk) -> dict[str, str]:
    """Jobs and proposals, which are never sent."""
    lead = desk.session.scalars(
        select(Lead).where(
            Lead.organization_id == desk.firm.id, Lead.name == "Rose Garden Apartments"
        )
    ).one()
    job = Job(
        organization_id=desk.firm.id,
        lead=lead,
        title="Replace the boiler valve",
        status=JobStatus.IN_PROGRESS,
        notes="Key at the office.",
        lines=[
            JobLine(
                organization_id=desk.firm.id,
                position=1,
                description="Boiler valve",
                quantity=Decimal(1),
                unit_price=Decimal(640),
            )
        ],
    )
    proposal = Proposal(
        organization_id=desk.firm.id,
        lead=lead,
        number="P-100",
        title="Replumb building B",
        status=ProposalStatus.ACCEPTED,
        tax_rate=desk.firm.tax_rate,
        discount_value=Decimal(5),
        lines=[
            ProposalLine(
                organization_id=desk.firm.id,
                position=position,
                description=description,
                quantity=Decimal(quantity),
                unit_price=Decimal(price),
            )
            for position, (description, quantity, price) in enumerate(
                [("Copper pipe, per foot", "120", "8.75"), ("Plumber, per hour", "40", "96.50")], 1
            )
        ],
    )
    desk.session.add_all([job, proposal])
    desk.commit()
    product = desk.product("Labor", "96.50")
    return {"job": str(job.id), "proposal": str(proposal.id), "product": str(product.id)}


def _compare(desk: Desk) -> str:
    """Compares this month with QuickBooks."""
    month = ask_for_month(desk)
    desk.commit()
    months.compare_due(desk.sessions, desk.config)
    return month


def ask_for_month(desk: Desk) -> str:
    today: date = desk.session.scalars(select(func.current_date())).one()
    month = Month.of(today)
    months.ask(desk.session, desk.firm.id, month, desk.owner.id)
    return f"{today:%Y-%m}"


def _decide(desk: Desk) -> str:
    """A bulk act of DunaHub's staff that is not carried out."""
    staff = desk.session.scalars(select(User).where(User.role == Role.ADMIN)).one()
    failed = select(Entry.id).where(Entry.state == State.FAILED).order_by(Entry.id)
    entries = desk.session.scalars(failed).all()
    key = bulk.decide(desk.session, "requeue", entries, staff.id, "Their plan was renewed.")
    desk.commit()
    return str(key)


def _invite(desk: Desk) -> str:
    secret = "inv_" + secrets.token_urlsafe(24)
    desk.session.add(
        Invitation(
            organization_id=desk.firm.id,
            email="lea@rivera.example",
            role=Role.MEMBER,
            digest=Invitation.digest_of(secret),
            invited_by_id=desk.owner.id,
        )
    )
    desk.commit()
    return secret


# --- What the settings page may have to say -------------------------------------------------------


def _week(desk: Desk) -> list[Invoice]:
    """Three customers with an invoice each, enough to see what waits."""
    made = [desk.invoice(desk.lead(name), ("Day's work", "1", "480")) for name in CUSTOMERS[:3]]
    desk.commit()
    return made


def _expire(desk: Desk) -> None:
    """Access was removed inside QuickBooks and noticed at the next refresh."""
    desk.connect()
    desk.simulator.revoke(desk.realm)
    desk.session.execute(
        update(Tokens)
        .where(Tokens.organization_id == desk.firm.id)
        .values(access_expires_at=func.clock_timestamp())
    )
    _week(desk)
    desk.drain()


def _disconnect(desk: Desk) -> dict[str, str]:
    """Disconnected while three invoices and their customers waited; one was saved afterwards."""
    desk.connect()
    waiting = _week(desk)
    assert disconnecting.disconnect(desk.sessions, desk.config, desk.firm.id, desk.owner)
    desk.session.rollback()
    since = desk.invoice(desk.lead("Came since"), ("Day's work", "1", "480"))
    desk.commit()
    return {"waiting": str(waiting[0].id), "since": str(since.id)}


def _hold(desk: Desk, reason: str) -> str:
    connection = desk.connect()
    waiting = _week(desk)
    lanes.hold(desk.session, connection.lane_id, reason)
    desk.commit()
    return str(waiting[0].id)


def _read_customers(desk: Desk, since: timedelta = timedelta()) -> str:
    """Connected some time ago, but the company's customers have not been read yet."""
    connection = desk.connect()
    connection.connected_at -= since
    connection.customers_read_at = None
    lead = desk.lead(CUSTOMERS[0])
    desk.commit()
    return str(lead.id)


def _pause(desk: Desk) -> None:
    connection = desk.connect()
    lane = connection.lane
    _week(desk)
    connection.disconnects_after = desk.session.scalar(select(func.max(Entry.id)))
    connection.disconnects_by_id = desk.owner.id
    lane.pause_reason = "outage"
    lane.outage_since = func.clock_timestamp() - timedelta(minutes=3)
    lane.pause_until = func.clock_timestamp() + timedelta(minutes=9)
    desk.commit()


def _end_soon(desk: Desk) -> str:
    connection = desk.connect()
    payment = desk.pay(_week(desk)[0], "480")
    desk.drain()
    connection.hard_expires_at = func.clock_timestamp() + timedelta(days=6, hours=12)
    desk.commit()
    return str(payment.id)
