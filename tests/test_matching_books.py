"""Does it match? A month of the firm's books compared with QuickBooks."""

import csv
import io
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text

from models.accounts import AuditEvent, Organization, Region, Role
from models.comparisons import Comparison, Difference, Kind, Reason
from models.outbox import Counterpart, Lane
from models.sales import Invoice, InvoiceLine, Lead, Payment, RecordType
from outbox import lanes
from quickbooks import disconnecting, months
from quickbooks.comparison import Month, Ours, Theirs, compare
from quickbooks.delivery import QuickBooks
from tests.support.meanwhile import just_before_statement
from tests.support.situation import RIVERA, SETTINGS, Situation
from tests.support.visitor import Visitor, new_person
from tests.test_accountants import new_link

ZONE = ZoneInfo("America/Los_Angeles")  # of every firm here
MATCHES = f"{SETTINGS}/matches"


@pytest.fixture
def firm(at: Situation) -> Situation:
    at.connect()
    return at


def this_month() -> Month:
    return Month.of(datetime.now(ZONE).date())


def ask(firm: Situation, month: Month | None = None) -> Visitor:
    """The owner presses Compare, and the job runs."""
    page = firm.ana.open(f"{MATCHES}/{month or this_month()}")
    button = "Compare again" if "Compare again" in page.text else None
    page.submit(press=button)
    run(firm)
    return firm.ana.open(f"{MATCHES}/{month or this_month()}")


def run(firm: Situation) -> int:
    firm.session.rollback()
    return months.compare_due(firm.sessions, firm.config)


def comparison(firm: Situation) -> Comparison:
    firm.session.rollback()
    firm.session.expire_all()
    return firm.session.scalars(select(Comparison)).one()


def differences(firm: Situation) -> list[tuple[str, str, str]]:
    """Kind, record and title of each."""
    firm.session.rollback()
    found = firm.session.scalars(select(Difference).order_by(Difference.id))
    return [(one.kind, one.record_type, one.title) for one in found]


def reads(firm: Situation) -> int:
    """What Intuit would charge for since the journal was cleared."""
    return sum(call["metered_reads"] for call in firm.simulator.journal())


def paid_invoice(firm: Situation, amount: str = "40") -> tuple[int, int, int]:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    payment = firm.pay(invoice, amount)
    firm.drain()
    firm.simulator.clear_journal()
    return lead, invoice, payment


def in_quickbooks(firm: Situation, kind: str, key: int) -> dict[str, Any]:
    link = firm.link(kind, key)
    assert link
    return firm.bookkeeper().get(f"{kind}/{link.remote_id}").object(kind.capitalize())


def change_line(firm: Situation, invoice: int, by: str) -> None:
    """The bookkeeper types another amount into the first line."""
    found = in_quickbooks(firm, "invoice", invoice)
    lines = [line for line in found["Line"] if line["DetailType"] == "SalesItemLineDetail"]
    lines[0]["Amount"] += Decimal(by)
    for name in ("Qty", "UnitPrice"):
        lines[0]["SalesItemLineDetail"].pop(name, None)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"], "sparse": True, "Line": lines}
    firm.bookkeeper().post("invoice", told).object("Invoice")


def enter_by_hand(firm: Situation, like: int, **fields: object) -> dict[str, Any]:
    """The bookkeeper enters an invoice for the same customer, of the same item."""
    found = in_quickbooks(firm, "invoice", like)
    item = found["Line"][0]["SalesItemLineDetail"]["ItemRef"]
    line = {"DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": item}}
    told = {
        "CustomerRef": found["CustomerRef"],
        "TxnDate": found["TxnDate"],
        "Line": [{"Amount": Decimal("77.25"), **line}],
        **fields,
    }
    return firm.bookkeeper().post("invoice", told).object("Invoice")


# --- What it says ---------------------------------------------------------------------------------


def test_equal_books_match_to_the_cent_for_three_questions(firm: Situation) -> None:
    paid_invoice(firm)
    page = ask(firm)
    assert "matches: 1 invoice ($100.00) and 1 payment ($40.00) on both sides." in page.text
    assert "All agree" in page.text
    assert differences(firm) == []
    assert (reads(firm), comparison(firm).reads) == (3, 3)
    assert "This comparison took 3 QuickBooks lookups." in page.text
    assert "Compared with Rivera Plumbing LLC by Ana" in page.text


def test_a_payment_deleted_there_is_named_and_can_be_sent_again(firm: Situation) -> None:
    _, _, payment = paid_invoice(firm)
    found = in_quickbooks(firm, "payment", payment)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"]}
    assert firm.bookkeeper().post("payment", told, operation="delete").status == 200
    page = ask(firm)
    number = firm.invoice(1).number
    assert differences(firm) == [
        ("deleted_there", "payment", number),
        ("other_balance", "invoice", number),  # it is open there again
    ]
    assert "2 differences in" in page.text
    assert "Deleted in QuickBooks" in page.text
    page.submit(press=f"Send again Payment for invoice {number}")
    assert page.path == f"{MATCHES}/{this_month()}"
    assert "It will be sent again." in page.text
    assert "Waiting to send" in page.text  # what became of it since
    firm.drain()
    assert "Needs attention" in firm.ana.open(f"/payments/{payment}").panel()


def test_a_cent_changed_there_is_a_difference(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    change_line(firm, invoice, "0.01")
    page = ask(firm)
    assert differences(firm) == [("other_total", "invoice", firm.invoice(invoice).number)]
    row = firm.session.scalars(select(Difference)).one()
    assert (row.our_amount, row.their_amount) == (Decimal("100.00"), Decimal("100.01"))
    assert "Different total" in page.text
    assert "$100.00 $100.01" in page.text
    page.submit(press=f"Send again Invoice {firm.invoice(invoice).number}")
    firm.drain()
    assert "All agree" in ask(firm).text


def test_what_was_entered_there_by_hand_is_told_kindly(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    enter_by_hand(firm, invoice, DocNumber="Q-9")
    page = ask(firm)
    assert differences(firm) == [("made_there", "invoice", "Q-9")]
    assert "Only in QuickBooks" in page.text
    assert "That is fine" in page.text
    assert "was it entered twice?" not in page.text
    invoices = comparison(firm).figures["invoice"]
    assert (invoices["here"], invoices["there"], invoices["sum_there"]) == (1, 2, "177.25")


def test_what_looks_like_an_invoice_of_ours_is_asked_about(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    found = in_quickbooks(firm, "invoice", invoice)
    enter_by_hand(firm, invoice, Line=found["Line"][:1])
    page = ask(firm)
    number = firm.invoice(invoice).number
    assert f"Same customer, day and total as invoice {number} here" in page.text


def test_a_copy_with_our_mark_counts_the_money_twice(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    found = in_quickbooks(firm, "invoice", invoice)
    enter_by_hand(firm, invoice, Line=found["Line"][:1], PrivateNote=found["PrivateNote"])
    page = ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["twice_there"]
    assert "Twice in QuickBooks" in page.text
    assert comparison(firm).figures["invoice"]["sum_there"] == "200.00"


def test_a_void_there_counts_as_nothing(firm: Situation) -> None:
    lead = firm.save_lead()
    invoice = firm.save_invoice(lead)
    firm.drain()
    found = in_quickbooks(firm, "invoice", invoice)
    told = {"Id": found["Id"], "SyncToken": found["SyncToken"]}
    assert firm.bookkeeper().post("invoice", told, operation="void").status == 200
    ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["voided_there"]
    invoices = comparison(firm).figures["invoice"]
    assert (invoices["here"], invoices["there"], invoices["sum_there"]) == (1, 0, "0.00")


def test_a_void_on_both_sides_agrees(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.drain()
    firm.ana.open(f"/invoices/{invoice}/void").submit()
    firm.drain()
    assert in_quickbooks(firm, "invoice", invoice)["TotalAmt"] == 0
    page = ask(firm).text
    assert "All agree" in page
    assert "Voided here, so counted as zero: 1 invoice." in page
    assert comparison(firm).figures["invoice"]["here"] == 0


def test_another_customer_and_another_month_there(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    other = firm.save_lead("Blue Lawn Co")
    second = firm.save_invoice(other)
    firm.drain()
    there = in_quickbooks(firm, "invoice", second)
    moved = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True}
    blue = this_month().previous.first.isoformat()
    firm.bookkeeper().post("invoice", {**moved, "TxnDate": blue}).object("Invoice")
    found = firm.bookkeeper().post("customer", {"DisplayName": "Red Lawn Co"}).object("Customer")
    with firm.sessions.begin() as session:  # as if that were who the lead is over there
        link = session.scalars(select(Counterpart).where(Counterpart.record_type == "lead")).first()
        assert link
        link.remote_id = str(found["Id"])
    page = ask(firm)
    kinds = [kind for kind, _, _ in differences(firm)]
    assert "other_month" in kinds
    assert "other_customer" in kinds
    assert "Dated in another month" in page.text
    assert firm.invoice(invoice).number in page.text
    page = ask(firm, this_month().previous)  # where it counts there, the same is said
    assert "Dated in another month" in page.text


def test_what_waits_will_match(firm: Situation) -> None:
    paid_invoice(firm)
    firm.save_invoice(1, "55")
    page = ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["on_its_way"]
    assert "matches once 1 record has arrived." in page.text


def test_a_record_that_needs_a_person_has_its_button(firm: Situation) -> None:
    firm.bookkeeper().post("vendor", {"DisplayName": "Green Lawn Co"}).object("Vendor")
    lead = firm.save_lead()
    firm.drain()
    page = ask(firm)
    assert [kind for kind, _, _ in differences(firm)] == ["needs_attention"]
    button = page.page.select_one(".helps a.button")
    assert button
    assert "Fix" in button.get_text()
    assert f"/leads/{lead}" in str(button["href"])


def test_what_was_not_sent_says_why(firm: Situation) -> None:
    """Saved while disconnected, its payment, and one that was skipped."""
    firm.disconnect()
    lead = firm.save_lead("Maple Dental")
    invoice = firm.save_invoice(lead)
    firm.connect()
    firm.pay(invoice, "30")
    skipped = firm.save_invoice(firm.save_lead("Oak Dental"))
    entry = firm.entry()
    firm.ana.post(f"/outbox/{entry.id}/skip", {"question": entry.question})
    firm.drain()
    page = ask(firm)
    assert {kind for kind, _, _ in differences(firm)} == {"left_out"}
    rows = firm.session.scalars(select(Difference))
    reasons = {(row.record_type, row.record_id): row.reason for row in rows}
    assert reasons == {
        ("lead", lead): "not_connected",
        ("invoice", invoice): "not_connected",
        ("payment", 1): "its_invoice",
        ("invoice", skipped): "skipped",
    }
    assert "4 records were not sent: 1 customer, 2 invoices, 1 payment." in page.text
    cells = [cell.get_text(" ", strip=True) for cell in page.page.select("[data-label='Not sent']")]
    invoices, payments = comparison(firm).figures["invoice"], comparison(firm).figures["payment"]
    sums = [Decimal(one["sum_left_out"]) for one in (invoices, payments)]
    assert cells == ["1", f"2 · ${sums[0]:,.2f}", f"1 · ${sums[1]:,.2f}"]
    assert sums == [Decimal(200), Decimal(30)]
    assert page.page.find("a", href=f"/quickbooks/send/invoices/{invoice}")
    page.submit(press=f"Undo skip Invoice {firm.invoice(skipped).number}")
    assert "It will be sent." in page.text


def test_money_paid_back_here_is_still_recorded_there(firm: Situation) -> None:
    _, _, payment = paid_invoice(firm)
    for back in ("15", "40"):  # a part of it, then all
        with firm.sessions.begin() as session:
            session.get_one(Payment, payment).refunded_amount = Decimal(back)
        firm.drain()
        ask(firm)
        assert [kind for kind, _, _ in differences(firm)] == ["paid_back"]
    payments = comparison(firm).figures["payment"]
    assert (payments["here"], payments["sum_here"], payments["sum_there"]) == (0, "0.00", "40.00")


def test_an_empty_month_says_so(firm: Situation) -> None:
    page = ask(firm, Month(date(2024, 2, 1)))
    assert "Nothing to compare in February 2024" in page.text


def test_what_went_to_another_company_was_left_out() -> None:
    own = Ours(1, "1001", "Green Lawn", date(2026, 6, 5), Decimal(9), True, was_elsewhere=True)
    compared = compare(RecordType.INVOICE, Month(date(2026, 6, 1)), [own], [])
    assert [(one.kind, one.reason) for one in compared.found] == [
        (Kind.LEFT_OUT, Reason.OTHER_COMPANY)
    ]


def test_an_answer_that_we_have_not_heard_is_no_stranger() -> None:
    """Sent, and not linked yet: it is known by its mark."""
    month, day = Month(date(2026, 6, 1)), date(2026, 6, 5)
    mark = "DH-ABCDEFGHIJKL"
    own = Ours(1, "1001", "Green Lawn", day, Decimal(9), True, mark=mark, state="pending")
    one = Theirs("7", "1001", "Green Lawn", day, Decimal(9), True, mark=mark)
    compared = compare(RecordType.INVOICE, month, [own], [one])
    assert (compared.found, compared.figures.agree) == ([], 1)


# --- Months, days and zones -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "since", "until"),
    [
        (date(2026, 11, 5), "2026-11-01T00:00:00-07:00", "2026-12-01T00:00:00-08:00"),
        (date(2026, 3, 31), "2026-03-01T00:00:00-08:00", "2026-04-01T00:00:00-07:00"),
        (date(2026, 12, 31), "2026-12-01T00:00:00-08:00", "2027-01-01T00:00:00-08:00"),
    ],
)
def test_a_month_begins_at_midnight_of_the_firm(day: date, since: str, until: str) -> None:
    """Across the two days on which the clocks change, and the end of the year."""
    month = Month.of(day)
    assert month.begins_at(ZONE).isoformat() == since
    assert month.next.begins_at(ZONE).isoformat() == until
    assert month.next.previous == month
    assert month.includes(day)


def test_a_document_belongs_to_the_month_of_its_date(firm: Situation) -> None:
    """The last and the first day of a month, and a customer saved in the night between."""
    lead = firm.save_lead()
    firm.save_invoice(lead, issued_on="2026-10-31", due_on="2026-11-30")
    firm.save_invoice(lead, "200", issued_on="2026-11-01", due_on="2026-11-30")
    firm.drain()
    with firm.sessions.begin() as session:
        # 11:59 PM in Los Angeles, which is November in UTC
        session.get_one(Lead, lead).created_at = datetime(2026, 11, 1, 6, 59, tzinfo=UTC)
    ask(firm, Month(date(2026, 10, 1)))
    figures = comparison(firm).figures
    assert (figures["invoice"]["here"], figures["invoice"]["sum_there"]) == (1, "100.00")
    assert figures["lead"]["here"] == 1
    assert differences(firm) == []


def test_a_month_that_has_not_begun_does_not_exist(firm: Situation) -> None:
    for month in (this_month().next, "2026-13", "1999-12", "2026-1", "x"):
        assert firm.ana.open(f"{MATCHES}/{month}").status == 404, month


# --- Cost -----------------------------------------------------------------------------------------


def test_a_long_month_is_read_page_by_page(
    firm: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "MAX_ROWS", 3)
    lead = firm.save_lead()
    for _ in range(7):
        firm.save_invoice(lead)
    firm.drain()
    firm.simulator.clear_journal()
    assert "All agree" in ask(firm).text
    assert comparison(firm).figures["invoice"]["sum_there"] == "700.00"
    assert reads(firm) == comparison(firm).reads == 5  # customers, three pages, payments


@pytest.mark.timeout(300)  # 16 s on an idle machine
def test_2500_invoices_take_a_question_for_each_thousand(firm: Situation) -> None:
    lead = firm.save_lead()
    firm.drain()
    customer = firm.link("lead", lead)
    assert customer
    day = this_month().first
    item = {"ItemRef": {"value": firm.books("Item")[0]["Id"]}}
    line: dict[str, Any] = {
        "Amount": 10,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": item,
    }
    document = {"CustomerRef": {"value": customer.remote_id}, "TxnDate": day.isoformat()}
    sent: list[dict[str, Any]] = [
        {"bId": str(number), "operation": "create", "Invoice": {**document, "Line": [line]}}
        for number in range(30)
    ]
    made: list[str] = []
    while len(made) < 2500:
        answers = firm.bookkeeper().batch(*sent[: 2500 - len(made)])
        made += [str(answer["Invoice"]["Id"]) for answer in answers]  # type: ignore[index,call-overload]
    with firm.sessions.begin() as session:
        invoices = [
            Invoice(
                organization_id=firm.firm,
                lead_id=lead,
                number=f"N{number}",
                issued_on=day,
                due_on=day,
                lines=[
                    InvoiceLine(
                        organization_id=firm.firm,
                        position=1,
                        description="Work",
                        quantity=Decimal(1),
                        unit_price=Decimal(10),
                    )
                ],
            )
            for number in range(2500)
        ]
        session.add_all(invoices)
        session.flush()
        lane = session.scalars(select(Lane.id)).one()
        session.add_all(
            Counterpart(
                organization_id=firm.firm,
                lane_id=lane,
                record_type=RecordType.INVOICE,
                record_id=invoice.id,
                remote_id=remote_id,
                remote_version="0",
            )
            for invoice, remote_id in zip(invoices, made, strict=True)
        )
        session.execute(text("UPDATE outbox SET state = 'synced', settled_at = clock_timestamp()"))
    firm.simulator.clear_journal()
    ask(firm)
    figures = comparison(firm).figures["invoice"]
    assert (figures["here"], figures["there"], figures["agree"]) == (2500, 2500, 2500)
    assert figures["sum_there"] == "25000.00"
    assert differences(firm) == []
    assert reads(firm) == 5  # customers, three pages of invoices, payments
    assert comparison(firm).reads == 5


def test_a_customer_of_earlier_years_is_looked_up_once(firm: Situation) -> None:
    """Matched with one who was there long before: not in the month's list of customers."""
    paid_invoice(firm)
    with firm.sessions.begin() as session:
        session.get_one(Lead, 1).created_at = datetime(2024, 2, 5, tzinfo=UTC)
    ask(firm, Month(date(2024, 2, 1)))
    assert reads(firm) == 4
    assert comparison(firm).figures["lead"] == {
        "here": 1,
        "there": 1,
        "agree": 1,
        "sum_here": "0.00",
        "sum_there": "0.00",
        "sum_left_out": "0.00",
        "void": 0,
        "kinds": {},
    }


@pytest.mark.parametrize("visitor", ["owner", "accountant"])
def test_a_file_of_differences_is_of_one_comparison(firm: Situation, visitor: str) -> None:
    """Also when the next one replaces them all while the file is on its way, or is made."""
    _, invoice, _ = paid_invoice(firm)
    change_line(firm, invoice, "5")
    ask(firm)
    path = f"{MATCHES}/{this_month()}/csv"
    if visitor == "accountant":
        path = f"{new_link(firm.ana)}/months/{this_month()}.csv"

    def compare_again() -> None:
        with firm.sessions.begin() as session:
            due = text("UPDATE quickbooks_comparisons SET asked_at = now(), available_at = now()")
            session.execute(due)
        assert run(firm) == 1

    firm.session.rollback()
    with just_before_statement(firm.app, "quickbooks_differences.id > ", compare_again) as came:
        answer = firm.ana.client.get(path, buffered=False)
        parts = answer.iter_encoded()
        read = b"".join(islice(parts, 3))
    assert came
    compare_again()
    read += b"".join(parts)
    answer.close()
    rows = list(csv.reader(io.StringIO(read.decode("utf-8-sig"))))[1:]
    assert rows
    assert len({tuple(row) for row in rows}) == len(rows)


def test_an_owner_can_ask_so_often_a_day(firm: Situation) -> None:
    ask(firm)
    with firm.sessions.begin() as session:
        asked = {"organization_id": firm.firm, "action": "quickbooks.comparison_asked"}
        session.add_all(AuditEvent(**asked) for _ in range(29))
    page = firm.ana.open(f"{MATCHES}/{this_month()}").submit(press="Compare again")
    assert "You asked 30 times today" in page.text
    assert run(firm) == 0


# --- In its turn ----------------------------------------------------------------------------------


def test_a_question_waits_behind_what_is_sent(firm: Situation) -> None:
    lane = firm.connection.lane_id
    pace = replace(QuickBooks.limits.calls, interval=timedelta(minutes=1))  # no machine is so slow
    with firm.sessions.begin() as session:
        assert not lanes.take_question(session, lane, pace)
    with firm.sessions.begin() as session:
        wait = lanes.take_question(session, lane, pace)
        assert wait is not None
        assert pace.interval / 2 < wait <= pace.interval  # though the burst is not spent
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET pause_until = now() + interval '9 minutes',"
                             " pause_reason = 'throttled'"))  # fmt: skip
    with firm.sessions.begin() as session:
        wait = lanes.take_question(session, lane, pace)
        assert wait is not None
        assert wait.total_seconds() > 500


def test_nothing_is_asked_while_the_lane_is_paused_and_it_goes_on_after(firm: Situation) -> None:
    paid_invoice(firm)
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET pause_until = now() + interval '9 minutes',"
                             " pause_reason = 'throttled'"))  # fmt: skip
    page = ask(firm)
    assert "QuickBooks is busy. The comparison will continue automatically." in page.text
    assert reads(firm) == 0
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL"))
        session.execute(text("UPDATE quickbooks_comparisons SET available_at = now()"))
    assert run(firm) == 1
    assert "All agree" in firm.ana.open(f"{MATCHES}/{this_month()}").text


def test_a_throttled_question_pauses_nobody(firm: Situation) -> None:
    """Its monthly allowance may be used up: what people save must not wait for that."""
    paid_invoice(firm)
    firm.simulator.fault(match={"body": "from Invoice"}, do={"status": 429})
    page = ask(firm)
    assert "QuickBooks is busy." in page.text
    assert firm.connection.lane.pause_until is None
    assert differences(firm) == []
    for _ in range(months.MAX_ATTEMPTS):
        with firm.sessions.begin() as session:
            session.execute(text("UPDATE quickbooks_comparisons SET available_at = now()"))
        run(firm)
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    assert "QuickBooks was busy with other things for too long." in page.text
    assert comparison(firm).asked_at is None
    firm.simulator.clear_faults()
    assert "All agree" in ask(firm).text


@pytest.mark.parametrize(
    ("fault", "problem", "is_put_back"),
    [
        (
            {"status": 500},
            "QuickBooks can't be reached. The comparison will continue automatically.",
            True,
        ),
        ({"truncate": True}, "QuickBooks can't be reached. The comparison will continue", True),
        ({"reset": "before"}, "QuickBooks can't be reached. The comparison will continue", True),
        (
            {"status": 200, "body": {"QueryResponse": {"Invoice": [{"Id": "7"}]}}},
            "QuickBooks can't be reached. The comparison will continue",
            True,
        ),
        (
            {"status": 200, "body": {}},
            "QuickBooks can't be reached. The comparison will continue",
            True,
        ),
        (
            {"status": 200, "body": {"QueryResponse": {"Invoice": [{"Id": "7", "SyncToken": 0}]}}},
            "QuickBooks answered in a way we don't understand.",
            False,
        ),
    ],
)
def test_an_answer_that_tells_nothing_is_no_result(
    firm: Situation, fault: dict[str, Any], problem: str, is_put_back: bool
) -> None:
    """Least of all that everything was deleted there."""
    paid_invoice(firm)
    firm.simulator.fault(match={"body": "from Invoice"}, do=fault)
    page = ask(firm)
    assert problem in page.text
    assert comparison(firm).compared_at is None
    assert (comparison(firm).asked_at is not None) is is_put_back
    assert differences(firm) == []


@pytest.mark.parametrize("reason", ["plan_lapsed", "access_lost"])
def test_a_held_lane_is_not_asked(firm: Situation, reason: str) -> None:
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    with firm.sessions.begin() as session:
        lanes.hold(session, firm.connection.lane_id, reason)
    firm.simulator.clear_journal()
    page.submit()  # on a page that was opened before
    assert run(firm) == 0
    assert reads(firm) == 0
    assert comparisons(firm) == 0
    assert not firm.ana.page.find("button", string=lambda words: "Compare" in (words or ""))


def comparisons(firm: Situation) -> int:
    firm.session.rollback()
    return firm.session.scalar(select(func.count()).select_from(Comparison)) or 0


def test_held_while_it_runs_it_ends_and_says_so(firm: Situation) -> None:
    paid_invoice(firm)
    firm.ana.open(f"{MATCHES}/{this_month()}").submit()
    with firm.sessions.begin() as session:
        lanes.hold(session, firm.connection.lane_id, "plan_lapsed")
    run(firm)
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    assert "The QuickBooks plan has lapsed." in page.text
    assert reads(firm) == 0


def test_signed_out_while_it_runs(firm: Situation) -> None:
    firm.ana.open(f"{MATCHES}/{this_month()}").submit()
    firm.simulator.revoke(RIVERA)
    firm.simulator.advance(7200)
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_tokens SET access_expires_at = now()"))
    run(firm)
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    assert "QuickBooks no longer accepts our access." in page.text
    assert "Reconnect" in page.text


def test_not_connected_it_keeps_what_it_knew_and_offers_no_button(firm: Situation) -> None:
    paid_invoice(firm)
    ask(firm)
    firm.disconnect()
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    assert "Connect QuickBooks to compare a month." in page.text
    assert "this company is not connected now" in page.text
    assert "All agree" in page.text
    assert "Compare again" not in page.text


def test_a_firm_outside_the_us_finds_no_comparison(firm: Situation) -> None:
    paid_invoice(firm)
    ask(firm)
    with firm.sessions.begin() as session:
        organization = session.get_one(Organization, firm.firm)
        disconnecting.close_for_region(session, organization)
        organization.region = Region.BR
    for path in ("", f"/{this_month()}", f"/{this_month()}/print", f"/{this_month()}/csv"):
        assert firm.ana.open(f"{MATCHES}{path}").status == 404


# --- One at a time, and whole ---------------------------------------------------------------------


def test_pressed_twice_and_by_two_people_it_runs_once(firm: Situation) -> None:
    new_person(firm.session, firm.firm, "bea@rivera.example", Role.OWNER)
    bea = Visitor(firm.app).sign_in("bea@rivera.example")
    address = f"{MATCHES}/{this_month()}"
    for visitor in (firm.ana, firm.ana, bea):
        visitor.post(address)
        assert visitor.status == 303
    assert comparisons(firm) == 1
    asked = select(func.count()).where(AuditEvent.action == "quickbooks.comparison_asked")
    assert firm.session.scalar(asked) == 1
    assert "It will start in a moment." in bea.open(address).text
    firm.simulator.clear_journal()
    workers = [threading.Thread(target=run_alone, args=(firm,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert reads(firm) == 3


def run_alone(firm: Situation) -> None:
    months.compare_due(firm.sessions, firm.config)


def test_what_ends_half_way_shows_the_last_result_and_begins_again(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    ask(firm)
    change_line(firm, invoice, "5")
    address = f"{MATCHES}/{this_month()}"
    firm.ana.open(address).submit(press="Compare again")
    claimed = months._claim(firm.sessions, firm.config)  # and its process dies
    assert claimed
    page = firm.ana.open(address)
    assert "All agree" in page.text
    assert differences(firm) == []
    assert run(firm) == 0  # its lease still holds
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_comparisons SET lease_until = now()"))
    assert run(firm) == 1
    assert [kind for kind, _, _ in differences(firm)] == ["other_total"]
    firm.ana.open(address).submit(press="Compare again")
    with pytest.raises(months._Lost):  # should the first come to life again, it changes nothing
        months._end(firm.sessions, claimed, "busy")
    assert comparison(firm).asked_at is not None


def test_what_keeps_crashing_is_given_up(firm: Situation) -> None:
    firm.ana.open(f"{MATCHES}/{this_month()}").submit()
    for _ in range(months.MAX_ATTEMPTS):
        assert months._claim(firm.sessions, firm.config)
        with firm.sessions.begin() as session:
            session.execute(text("UPDATE quickbooks_comparisons SET lease_until = now()"))
    assert run(firm) == 0
    page = firm.ana.open(f"{MATCHES}/{this_month()}")
    assert "Something went wrong on our side." in page.text


def test_disconnected_while_it_reads_it_stores_nothing(firm: Situation) -> None:
    paid_invoice(firm)
    firm.ana.open(f"{MATCHES}/{this_month()}").submit()
    claimed = months._claim(firm.sessions, firm.config)
    assert claimed
    company = months._company(firm.sessions, firm.config, claimed)
    reader = months._Reader(firm.sessions, firm.config, claimed, company)
    compared = months._compare(firm.sessions, reader)
    firm.disconnect()
    with pytest.raises(months._CannotCompare, match="not_connected"):
        months._store(firm.sessions, claimed, company, compared, reader.reads)
    assert comparison(firm).compared_at is None


def test_progress_is_told_until_it_is_over(firm: Situation) -> None:
    address = f"{MATCHES}/{this_month()}"
    firm.ana.open(address).submit()
    with firm.sessions.begin() as session:
        row = session.scalars(select(Comparison)).one()
        row.lease_until = datetime(2100, 1, 1, tzinfo=UTC)
        row.progress = {
            "kind": "invoice",
            "read": 1000,
            "expected": 2500,
            "started_at": datetime.now(UTC).isoformat(),
        }
    headers = {"HX-Request": "true"}
    told = firm.ana.client.get(f"{address}/progress", headers=headers).get_data(as_text=True)
    assert "Reading invoices" in told
    assert "1,000 of about 2,500 records" in told
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_comparisons SET lease_until = NULL"))
    run(firm)
    over = firm.ana.client.get(f"{address}/progress", headers=headers)
    assert (over.status_code, over.headers["HX-Refresh"]) == (204, "true")


# --- By itself ------------------------------------------------------------------------------------


def save_in_the_past(firm: Situation) -> None:
    """An invoice in each of the last two months, of a firm that was connected already. Which of
    them is due depends on the day: a month is over for a day, and an hour of the firm's own."""
    lead = firm.save_lead()
    for month in (this_month().previous, this_month().previous.previous):
        day = month.first.isoformat()
        firm.save_invoice(lead, issued_on=day, due_on=day)
    firm.drain()
    with firm.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET created_at = created_at - interval '90 d'"))


def test_a_month_that_is_over_is_compared_once_by_itself(firm: Situation) -> None:
    save_in_the_past(firm)
    assert months.ask_due(firm.sessions, firm.config) == 1
    assert months.ask_due(firm.sessions, firm.config) == 0
    assert run(firm) == 1
    assert months.ask_due(firm.sessions, firm.config) == 0
    month = Month(comparison(firm).month)
    assert month in (this_month().previous, this_month().previous.previous)
    page = firm.ana.open(f"{MATCHES}/{month}")
    assert "Compared with Rivera Plumbing LLC automatically" in page.text
    with firm.sessions.begin() as session:  # by hand, before it was over: that does not count
        before = "UPDATE quickbooks_comparisons SET compared_at = month, available_at = month"
        session.execute(text(before))
    assert months.ask_due(firm.sessions, firm.config) == 1


def test_what_came_to_nothing_by_itself_is_asked_again_the_next_day(firm: Situation) -> None:
    save_in_the_past(firm)
    months.ask_due(firm.sessions, firm.config)
    with firm.sessions.begin() as session:
        session.execute(
            text("UPDATE quickbooks_comparisons SET asked_at = NULL, problem = 'unreachable'")
        )
    assert months.ask_due(firm.sessions, firm.config) == 0
    with firm.sessions.begin() as session:
        session.execute(
            text("UPDATE quickbooks_comparisons SET available_at = available_at - interval '25 h'")
        )
    assert months.ask_due(firm.sessions, firm.config) == 1


@pytest.mark.parametrize("problem", ["too_large", "refused", "broken"])
def test_rule_16_what_will_end_the_same_way_again_is_not_paid_for_each_day(
    firm: Situation, problem: str
) -> None:
    save_in_the_past(firm)
    months.ask_due(firm.sessions, firm.config)
    with firm.sessions.begin() as session:
        ended = (
            "UPDATE quickbooks_comparisons SET asked_at = NULL, problem = :problem,"
            " available_at = available_at - interval '25 h'"
        )
        session.execute(text(ended), {"problem": problem})
    assert months.ask_due(firm.sessions, firm.config) == 0


def test_nothing_is_asked_for_a_firm_that_saved_nothing_or_is_held(firm: Situation) -> None:
    assert months.ask_due(firm.sessions, firm.config) == 0
    save_in_the_past(firm)
    with firm.sessions.begin() as session:
        lanes.hold(session, firm.connection.lane_id, "plan_lapsed")
    assert months.ask_due(firm.sessions, firm.config) == 0


# --- To take away ---------------------------------------------------------------------------------


def test_the_file_holds_every_difference_and_no_formula(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    firm.bookkeeper().post("customer", {"DisplayName": "=HYPERLINK(1)"}).object("Customer")
    enter_by_hand(firm, invoice, DocNumber="+77")
    change_line(firm, invoice, "0.01")
    ask(firm)
    answer = firm.ana.open(f"{MATCHES}/{this_month()}/csv").answer
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
    told = [row[:3] + row[5:7] for row in rows[1:]]
    number = firm.invoice(invoice).number
    assert told == [
        ["Different total", "Invoices", number, "100.00", "100.01"],
        ["Only in QuickBooks", "Customers", "'=HYPERLINK(1)", "", ""],
        ["Only in QuickBooks", "Invoices", "'+77", "", "77.25"],
    ]
    exported = select(AuditEvent).where(AuditEvent.action == "quickbooks.comparison_exported")
    assert firm.session.scalars(exported).one().details == {"month": str(this_month())}


def test_the_accountants_page_holds_what_the_screen_does(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    change_line(firm, invoice, "0.01")
    ask(firm)
    page = firm.ana.open(f"{MATCHES}/{this_month()}/print")
    assert "1 difference in" in page.text
    assert f"Invoice {firm.invoice(invoice).number}" in page.text
    assert not page.page.select("main button")


def test_a_long_list_has_a_page_of_its_own(firm: Situation) -> None:
    _, invoice, _ = paid_invoice(firm)
    for number in range(21):
        enter_by_hand(firm, invoice, DocNumber=f"Q-{number:02}")
    page = ask(firm)
    assert "Q-19" in page.text
    assert "Q-20" not in page.text
    address = f"{MATCHES}/{this_month()}?kind=made_there"
    assert page.page.find("a", href=address)
    assert "Q-20" in page.open(address).text


def test_the_settings_and_the_list_of_months_tell_the_answer(firm: Situation) -> None:
    paid_invoice(firm)
    assert "Does it match?" in firm.ana.open(SETTINGS).text
    ask(firm)
    for path in (SETTINGS, MATCHES):
        assert "All agree" in firm.ana.open(path).text, path


def test_a_member_sees_the_answer_and_asks_an_owner(firm: Situation) -> None:
    new_person(firm.session, firm.firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(firm.app).sign_in("tom@rivera.example")
    page = tom.open(f"{MATCHES}/{this_month()}")
    assert "An owner of your organization can ask for it." in page.text
    assert tom.post(f"{MATCHES}/{this_month()}").status == 403


def test_the_number_of_differences_is_the_sum_of_its_parts(firm: Situation) -> None:
    lead = firm.save_lead()
    invoices = [firm.save_invoice(lead) for _ in range(3)]
    firm.drain()
    books = firm.bookkeeper()
    for invoice, change in zip(invoices, ("void", "delete", ""), strict=True):
        link = firm.link("invoice", invoice)
        assert link
        told = {"Id": link.remote_id, "SyncToken": link.remote_version}
        if change:
            books.post("invoice", told, operation=change)
    firm.save_lead("Not sent yet")
    page = ask(firm)
    assert "2 differences in" in page.text
    parts = [link.get_text() for link in page.page.select("a[href^='#kind-']")]
    assert parts == ["Deleted in QuickBooks: 1", "Voided in QuickBooks: 1"]
    assert "Not counted as differences:" in page.text
