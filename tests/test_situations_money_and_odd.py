"""Money, hurry and odd input: situations 34 to 40, through the app's own pages."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from models.accounts import Organization
from models.outbox import Entry
from models.sales import Payment
from tests.support.firm import entries_of
from tests.support.situation import Situation


@pytest.fixture
def at(at: Situation) -> Situation:
    at.connect()
    return at


def test_situation_34_two_alike_payments_in_one_minute_are_two_over_there(at: Situation) -> None:
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "30")
    at.pay(invoice, "30")
    at.drain()
    sent = at.books("Payment")
    assert [int(payment["TotalAmt"]) for payment in sent] == [30, 30]
    assert len({payment["PaymentRefNum"] for payment in sent}) == 2
    ids = [call["requestid"] for call in at.simulator.journal() if call["method"] == "POST"]
    assert len(set(ids)) == len(ids)
    [booked] = at.books("Invoice")
    assert int(booked["Balance"]) == 40


def test_situation_35_what_is_above_the_balance_is_credit_and_said_so(at: Situation) -> None:
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "120")
    at.drain()
    [sent] = at.books("Payment")
    assert (int(sent["TotalAmt"]), int(sent["UnappliedAmt"])) == (120, 20)
    panel = at.ana.open(f"/payments/{payment}").panel()
    assert "$20.00 is held as credit in QuickBooks" in panel


def test_situation_36_a_payment_paid_back_is_flagged_with_amounts_and_not_booked(
    at: Situation,
) -> None:
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "100", "ach")
    at.drain()
    at.calls()
    pay_back(at, payment, "40")
    at.drain()
    assert at.calls() == []
    panel = at.ana.open(f"/payments/{payment}").panel()
    assert "$40.00 of this payment of $100.00 was refunded or returned here." in panel
    assert "Once you have entered it there, press “I've entered it”." in panel
    at.ana.submit(press="Skip")
    assert "Skipped" in at.ana.panel()


def pay_back(at: Situation, payment: int, amount: str) -> None:
    at.ana.open(f"/payments/{payment}/refund").submit({"amount": amount}, press="Record refund")
    assert at.ana.status == 200
    at.session.rollback()
    at.session.expire_all()
    assert at.session.get_one(Payment, payment).refunded_amount == Decimal(amount)


def test_situation_36_what_was_paid_back_in_part_before_it_was_sent_is_a_persons_matter(
    at: Situation,
) -> None:
    payment = at.pay(at.save_invoice(at.save_lead(), "100"), "100", "ach")
    pay_back(at, payment, "40")
    at.drain()
    assert at.books("Payment") == []
    panel = at.ana.open(f"/payments/{payment}").panel()
    assert "$40.00 of this payment of $100.00 was refunded or returned before" in panel
    assert "Enter the rest of the payment there." in panel
    at.ana.submit(press="Skip")
    assert "Skipped" in at.ana.panel()


def test_situation_36_what_was_paid_back_whole_before_it_was_sent_is_no_news(
    at: Situation,
) -> None:
    payment = at.pay(at.save_invoice(at.save_lead(), "100"), "100")
    pay_back(at, payment, "100")
    at.drain()
    assert at.books("Payment") == []
    assert "Nothing to send" in at.ana.open(f"/payments/{payment}").panel()


def test_situation_37_the_bookkeeper_at_the_same_time_loses_nothing(at: Situation) -> None:
    lead = at.save_lead(email="kim@lawn.example")
    at.drain()
    [customer] = at.books("Customer")
    noted = {"Id": customer["Id"], "SyncToken": "0", "sparse": True, "Notes": "Pays late"}
    at.bookkeeper().post("customer", noted)
    at.calls()
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.calls() == ["POST customer", "GET query", "POST customer"]
    [customer] = at.books("Customer")
    assert customer["Notes"] == "Pays late"
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "916-555-0199"


def test_situation_37_who_never_stops_editing_makes_it_a_persons_matter_with_both_values(
    at: Situation,
) -> None:
    lead = at.save_lead(phone="916-555-0101")
    at.drain()
    at.simulator.fault(match={"method": "POST"}, do={"bump_sync_token": True})
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.fault() == "5010"
    panel = at.ana.open(f"/leads/{lead}").panel()
    assert "phone number “916-555-0199” here, “916-555-0101” there" in panel


def test_situation_38_send_again_pressed_twice_is_one_entry(at: Situation) -> None:
    at.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"})
    lead = at.save_lead()
    at.drain()
    entry = at.entry().id
    page = f"/outbox/{entry}/requeue"
    at.ana.open(f"/leads/{lead}").submit(press="Send again")
    at.ana.post(page)
    assert "already waiting to be sent" in at.ana.open(f"/leads/{lead}").text
    at.session.rollback()
    assert at.session.scalar(select(func.count(Entry.id))) == 1


@pytest.mark.parametrize(
    ("name", "arrives_as"),
    [
        ("O'Brien & Sons: Plumbing", "O'Brien & Sons - Plumbing"),
        ("Kim 🌱 Green", "Kim Green"),
        ("Tab\tand  space", "Tab and space"),
    ],
)
def test_situation_39_names_are_cleaned_where_safe(
    at: Situation, name: str, arrives_as: str
) -> None:
    lead = at.save_lead(name)
    at.drain()
    assert [customer["DisplayName"] for customer in at.books("Customer")] == [arrives_as]
    assert "In QuickBooks" in at.ana.open(f"/leads/{lead}").panel()


def test_situation_39_what_cannot_be_written_is_saved_and_asked_about_with_its_field(
    at: Situation,
) -> None:
    lead = at.save_lead("شركة الحدائق الخضراء")
    at.drain()
    assert at.books("Customer") == []
    assert entries_of(at.session)[0].fault_field == "name"
    assert "Give it a name in Latin letters" in at.ana.open(f"/leads/{lead}").panel()


@pytest.mark.parametrize(
    ("quantity", "price", "total"),
    [
        ("0", "0", "0"),
        ("3.3333", "0.0333", "0.11"),
        ("0.5", "0.01", "0.01"),  # half a cent: rounded up here, and there
        ("1.005", "1", "1.01"),
    ],
)
def test_situation_39_odd_amounts_arrive_to_the_cent(
    at: Situation, quantity: str, price: str, total: str
) -> None:
    lead = at.save_lead()
    invoice = at.save_invoice(lead, price, **{"lines-0-quantity": quantity})
    at.drain()
    [sent] = at.books("Invoice")
    assert Decimal(str(sent["TotalAmt"])) == Decimal(total) == at.invoice(invoice).total
    assert "6070" not in {entry.fault_code for entry in entries_of(at.session)}


def test_situation_39_what_was_sent_shows_cleaned_signs_and_what_changed_since(
    at: Situation,
) -> None:
    lead = at.save_lead("O'Brien & Sons: Plumbing")
    at.drain()
    at.disconnect()
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    panel = at.ana.open(f"/leads/{lead}").panel()
    assert "QuickBooks can't store some characters. It got:" in panel
    assert "O'Brien & Sons: Plumbing O'Brien & Sons - Plumbing" in panel
    assert "Changed here since: Phone nothing 916-555-0199" in panel


# --- 40 ------------------------------------------------------------------------------------------

FARTHEST = ("Pacific/Kiritimati", "Pacific/Pago_Pago")  # at any hour one of them has another day


@pytest.mark.parametrize("name", FARTHEST)
def test_situation_40_dates_are_the_firms_own(at: Situation, name: str) -> None:
    at.ana.open("/settings/organization").submit({"time_zone": name})
    zone = ZoneInfo(name)
    before = datetime.now(zone).date().isoformat()
    invoice = at.save_invoice(at.save_lead())
    payment = at.pay(invoice, "40")
    after = datetime.now(zone).date().isoformat()
    at.drain()
    [sent], [paid] = at.books("Invoice"), at.books("Payment")
    assert {sent["TxnDate"], paid["TxnDate"]} <= {before, after}
    at.session.rollback()
    stored = {at.invoice(invoice).issued_on, at.session.get_one(Payment, payment).received_on}
    assert {day.isoformat() for day in stored} <= {before, after}


def test_situation_40_one_of_those_zones_has_another_day_than_utc() -> None:
    now = datetime.now(UTC)
    days = {now.astimezone(ZoneInfo(name)).date() for name in FARTHEST}
    assert days - {now.date()}


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("America/Los_Angeles", "2026-07-02T06:59:59+00:00", "2026-07-01"),
        ("America/Los_Angeles", "2026-07-02T07:00:00+00:00", "2026-07-02"),
        # The short day in spring: it begins in winter time and ends in summer time.
        ("America/Los_Angeles", "2026-03-08T07:59:59+00:00", "2026-03-07"),
        ("America/Los_Angeles", "2026-03-08T08:00:00+00:00", "2026-03-08"),
        ("America/Los_Angeles", "2026-03-09T06:59:59+00:00", "2026-03-08"),
        ("America/Los_Angeles", "2026-03-09T07:00:00+00:00", "2026-03-09"),
        # The long day in autumn, whose second hour comes twice.
        ("America/New_York", "2026-11-01T03:59:59+00:00", "2026-10-31"),
        ("America/New_York", "2026-11-01T05:30:00+00:00", "2026-11-01"),
        ("America/New_York", "2026-11-01T06:30:00+00:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T04:59:59+00:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T05:00:00+00:00", "2026-11-02"),
        ("America/Phoenix", "2026-03-08T06:59:59+00:00", "2026-03-07"),  # knows no summer time
        ("Pacific/Honolulu", "2027-01-01T09:59:59+00:00", "2026-12-31"),
    ],
)
def test_situation_40_the_day_changes_at_the_firms_own_midnight(
    zone: str, moment: str, day: str
) -> None:
    firm = Organization(name="Rivera Plumbing LLC", region="US", time_zone=zone)
    assert firm.day_at(datetime.fromisoformat(moment)).isoformat() == day


def test_situation_40_what_is_sent_after_midnight_keeps_its_day(at: Situation) -> None:
    """QuickBooks would date it by its own clock, and in a time zone of its own."""
    at.simulator.fault(match={"path": "/v3/"}, do={"status": 503})
    invoice = at.save_invoice(at.save_lead(), issued_on="2026-03-07", due_on="2026-03-08")
    at.drain()
    at.simulator.clear_faults()
    at.simulator.advance(3000)
    at.pass_time()
    at.drain()
    [sent] = at.books("Invoice")
    assert (sent["TxnDate"], sent["DueDate"]) == ("2026-03-07", "2026-03-08")
    assert "In QuickBooks" in at.ana.open(f"/invoices/{invoice}").panel()
