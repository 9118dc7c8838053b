"""A discount on an invoice: in the form, on paper, and in QuickBooks to the cent."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.sales import DiscountKind, Invoice, InvoiceDraft, Proposal, ProposalStatus
from models.sums import Discount, totals_of
from quickbooks import checking, months
from tests.support.connected import RIVERA
from tests.support.firm import entries_of, new_firm, new_invoice, new_lead, new_line
from tests.support.situation import ANA, SETTINGS, Situation
from tests.support.visitor import Visitor
from tests.test_cases_counterpart import booked, edit_invoice, send_again

OFF = "discount_value"
KIND = "discount_kind"
TAXED = {"tax_rate": "7.5", "lines-0-taxable": "yes"}


def discount_line(invoice: dict[str, Any]) -> dict[str, Any]:
    [line] = [one for one in invoice["Line"] if one["DetailType"] == "DiscountLineDetail"]
    return dict(line)


def has_discount_line(invoice: dict[str, Any]) -> bool:
    return any(one["DetailType"] == "DiscountLineDetail" for one in invoice["Line"])


# --- The sums -------------------------------------------------------------------------------------

CENTS = st.decimals(Decimal("-9999.99"), Decimal("9999.99"), places=2)
LINES = st.lists(st.tuples(CENTS, st.booleans()), min_size=1, max_size=4)
RATES = st.decimals(0, 100, places=4)
DISCOUNTS = st.one_of(
    st.builds(Discount, st.just(DiscountKind.PERCENT), st.decimals(0, 100, places=4)),
    st.builds(Discount, st.just(DiscountKind.AMOUNT), st.decimals(0, 99999, places=2)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, rate=RATES, discount=DISCOUNTS)
def test_the_database_and_the_form_add_up_alike(
    session: Session, lines: list[tuple[Decimal, bool]], rate: Decimal, discount: Discount
) -> None:
    session.rollback()
    firm = new_firm(session)
    made = [
        new_line(firm, price=str(amount), position=place, taxable=taxable)
        for place, (amount, taxable) in enumerate(lines, start=1)
    ]
    invoice = new_invoice(firm, new_lead(firm), made, tax_rate=str(rate))
    invoice.discount_kind, invoice.discount_value = DiscountKind(discount.kind), discount.value
    session.add(invoice)
    session.commit()
    totals = totals_of(lines, rate, discount)
    stored = (invoice.subtotal, invoice.discount_amount, invoice.tax_amount, invoice.total)
    assert stored == (
        totals.subtotal,
        totals.discount_amount,
        totals.tax_amount,
        totals.total,
    )
    assert 0 <= invoice.discount_amount <= max(invoice.subtotal, Decimal(0))


def test_tax_is_computed_on_what_is_left() -> None:
    lines = [(Decimal("149.00"), True), (Decimal("240.00"), True)]
    totals = totals_of(lines, Decimal("7.5"), Discount(value=Decimal(5)))
    assert (totals.discount_amount, totals.tax_amount, totals.total) == (
        Decimal("19.45"),
        Decimal("27.72"),
        Decimal("397.27"),
    )


# --- The form -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kind", "off"),
    [
        ("5", "percent", "5.00"),
        ("5 %", "amount", "5.00"),
        ("$5", "percent", "5.00"),
        ("12.50", "amount", "12.50"),
        ("33.333", "percent", "33.33"),
        ("100", "percent", "100.00"),
        ("100", "amount", "100.00"),
        ("0", "percent", "0.00"),
        ("0.001", "percent", "0.00"),
        ("", "amount", "0.00"),
        ("10", "nonsense", "10.00"),
    ],
)
def test_what_is_typed_is_taken_off(at: Situation, typed: str, kind: str, off: str) -> None:
    made = at.save_invoice(at.save_lead(), "100", **{OFF: typed, KIND: kind})
    assert at.invoice(made).discount_amount == Decimal(off)
    assert at.invoice(made).total == 100 - Decimal(off)
    shown = at.ana.open(f"/invoices/{made}").text
    assert ("Discount" in shown) == (Decimal(off) > 0)


@pytest.mark.parametrize(
    ("typed", "kind", "said"),
    [
        ("101", "percent", "A discount can't be more than 100%."),
        ("100.01", "amount", "The discount is more than the subtotal of $100.00."),
        ("-5", "percent", "The minimum is 0."),
        ("-5", "amount", "The minimum is 0."),
        ("99999999999", "amount", "The maximum is"),
        ("1.005", "amount", "Use at most 2 decimals."),
        ("5.00001", "percent", "Use at most 4 decimals."),
        ("a lot", "percent", "Type a number"),
        ("5%%", "percent", "Type a number"),
        ("$5%", "percent", "Type a number"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_field(
    at: Situation, typed: str, kind: str, said: str
) -> None:
    page = at.ana.open(f"/invoices/new?lead={at.save_lead()}")
    line = {"lines-0-description": "Visit", "lines-0-unit_price": "100"}
    page.submit({**line, OFF: typed, KIND: kind}, press="Save invoice")
    assert at.ana.status == 422
    assert said in at.ana.text
    field = at.ana.page.select_one(f"#{OFF}")
    assert field
    assert (field["value"], field["aria-invalid"]) == (typed, "true")
    assert at.session.scalars(select(Invoice)).all() == []


def test_a_discount_is_not_more_than_lines_with_a_credit_leave(at: Situation) -> None:
    page = at.ana.open(f"/invoices/new?lead={at.save_lead()}")
    lines = {
        "lines-0-description": "Visit",
        "lines-0-unit_price": "100",
        "lines-1-description": "Trade-in",
        "lines-1-unit_price": "-60",
    }
    page.submit({**lines, OFF: "50", KIND: "amount"}, press="Save invoice")
    assert "The discount is more than the subtotal of $40.00." in at.ana.text
    at.ana.submit({OFF: "40"}, press="Save invoice")
    assert at.session.scalars(select(Invoice)).one().total == 0


def test_the_form_shows_the_discount_again_and_a_removed_one_is_gone(at: Situation) -> None:
    made = at.save_invoice(at.save_lead(), "100", **{OFF: "12.5", KIND: "amount"})
    page = at.ana.open(f"/invoices/{made}/edit").page
    field, chosen = page.select_one(f"#{OFF}"), page.select_one(f"#{KIND} [selected]")
    assert field
    assert chosen
    assert (field["value"], chosen["value"]) == ("12.5", "amount")
    edit_invoice(at, made, **{OFF: ""})
    assert at.invoice(made).total == 100


def test_a_discount_below_what_was_paid_asks_first(at: Situation) -> None:
    made = at.save_invoice(at.save_lead(), "100")
    at.pay(made, "100")
    at.ana.open(f"/invoices/{made}/edit").submit({OFF: "10"}, press="Save invoice")
    assert "The new total is less than the $100.00 already paid." in at.ana.text


def test_paper_and_the_clients_page_show_it(at: Situation) -> None:
    made = at.save_invoice(at.save_lead(), "200", **TAXED, **{OFF: "10", KIND: "percent"})
    said = "Subtotal $200.00 Discount 10% −$20.00 Sales tax 7.5% $13.50 Total $193.50"
    assert said in at.ana.open(f"/invoices/{made}/print").text
    at.ana.open(f"/invoices/{made}").submit(press="Create a link")
    link = at.ana.page.select_one("#client-link")
    assert link
    assert said in at.ana.open("/i/" + str(link["value"]).rpartition("/")[2]).text
    assert at.ana.client.get(f"/invoices/{made}/pdf").status_code == 200


def save_proposal(at: Situation, *lines: str, **fields: str) -> int:
    page = at.ana.open(f"/proposals/new?lead={at.save_lead()}")
    typed = {"title": "Main line", **TAXED, **fields}
    for place, price in enumerate(lines):
        typed |= {f"lines-{place}-description": "Visit", f"lines-{place}-unit_price": price}
    page.submit(typed, press="Save proposal")
    return at.session.scalars(select(Proposal.id).order_by(Proposal.id.desc())).first() or 0


@pytest.mark.parametrize(
    ("typed", "kind", "said"),
    [
        ("10", "percent", "Discount 10% −$20.00 {tax} 7.5% $13.50 Total $193.50"),
        ("$10", "percent", "Discount −$10.00 {tax} 7.5% $14.25 Total $204.25"),
    ],
)
def test_a_proposals_discount_is_shown_and_carries_over_to_its_invoice(
    at: Situation, typed: str, kind: str, said: str
) -> None:
    proposal = save_proposal(at, "200", **{OFF: typed, KIND: kind})
    assert said.format(tax="Tax") in at.ana.open(f"/proposals/{proposal}").text
    assert said.format(tax="Sales tax") in at.ana.open(f"/proposals/{proposal}/print").text
    total = said.split()[-1]
    assert total in at.ana.open("/proposals").text
    at.ana.open(f"/invoices/new?proposal={proposal}").submit(press="Save invoice")
    invoice = at.session.scalars(select(Invoice)).one()
    assert f"${invoice.total}" == total
    assert said.format(tax="Tax") in at.ana.text


def test_a_draft_of_a_discounted_proposal_keeps_the_discount(at: Situation) -> None:
    proposal = save_proposal(at, "200", **{OFF: "$10", KIND: "percent"})
    at.ana.open(f"/invoices/new?proposal={proposal}").submit(press="Save draft")
    draft = at.session.scalars(select(InvoiceDraft)).one()
    at.ana.open(f"/invoices/drafts/{draft.id}").submit(press="Finish invoice")
    assert at.session.scalars(select(Invoice)).one().total == Decimal("204.25")


def test_a_proposals_discount_that_is_more_than_its_lines_is_refused(at: Situation) -> None:
    save_proposal(at, "100", **{OFF: "100.01", KIND: "amount"})
    assert "The discount is more than the subtotal of $100.00." in at.ana.text
    assert at.session.scalars(select(Proposal)).all() == []


def test_a_client_does_not_accept_a_discount_that_changed(at: Situation) -> None:
    proposal = save_proposal(at, "100", **{OFF: "10", KIND: "percent"})
    at.ana.open(f"/proposals/{proposal}").submit(press="Create a link")
    link = at.ana.page.select_one("#client-link")
    assert link
    client = Visitor(at.app).open("/i/" + str(link["value"]).rpartition("/")[2])
    at.ana.open(f"/proposals/{proposal}/edit").submit({OFF: "5"}, press="Save proposal")
    client.submit(press="Accept")
    at.session.rollback()
    assert at.session.get_one(Proposal, proposal).status != ProposalStatus.ACCEPTED


# --- In QuickBooks --------------------------------------------------------------------------------

COMPANIES: dict[str, dict[str, Any]] = {
    "none": {"UsingSalesTax": True, "PartnerTaxEnabled": None},
    "line": {"UsingSalesTax": False},
    "manual": {"UsingSalesTax": True, "PartnerTaxEnabled": None},
    "billed": {"UsingSalesTax": True, "PartnerTaxEnabled": True, "tax_override_kept": True},
}


@pytest.mark.parametrize("mode", COMPANIES)
@pytest.mark.parametrize(
    ("typed", "kind"), [("5", "percent"), ("33.333", "percent"), ("0.07", "amount")]
)
def test_the_total_in_quickbooks_is_ours_in_each_kind_of_company(
    at: Situation, mode: str, typed: str, kind: str
) -> None:
    at.simulator.company(RIVERA, **COMPANIES[mode])
    at.connect()
    fields = {} if mode == "none" else TAXED
    second = {"lines-1-description": "Permit", "lines-1-unit_price": "33.35"}
    made = at.save_invoice(at.save_lead(), "149.05", **fields, **second, **{OFF: typed, KIND: kind})
    at.drain()
    there = booked(at)
    assert there["TotalAmt"] == at.invoice(made).total
    line = discount_line(there)
    assert line["Amount"] == at.invoice(made).discount_amount
    assert line["DiscountLineDetail"]["DiscountAccountRef"]["value"] == "86"
    assert at.states()[-1] == "invoice synced"
    assert "Total differs" not in at.ana.open(f"/invoices/{made}").text


def test_quickbooks_own_tax_comes_after_the_discount(at: Situation) -> None:
    at.simulator.company(RIVERA, UsingSalesTax=True, PartnerTaxEnabled=True)
    at.connect()
    at.ana.open(f"{SETTINGS}/arrivals").submit({"tax": "quickbooks"}, press="Save")
    at.save_invoice(at.save_lead(), "100", **TAXED, **{OFF: "50"})
    at.drain()
    there = booked(at)
    assert there["ApplyTaxAfterDiscount"] is True
    rate = there["TxnTaxDetail"]["TaxLine"][0]["TaxLineDetail"]
    assert rate["NetAmountTaxable"] == 50


def test_a_discount_that_is_added_changed_or_removed_arrives(at: Situation) -> None:
    at.simulator.company(RIVERA, UsingSalesTax=True, PartnerTaxEnabled=None)
    at.connect()
    made = at.save_invoice(at.save_lead(), "100", **TAXED)
    at.drain()
    assert not has_discount_line(booked(at))
    for typed, off in (("10", "10.00"), ("25", "25.00"), ("", None), ("100", "100.00")):
        edit_invoice(at, made, **{OFF: typed})
        at.drain()
        assert has_discount_line(booked(at)) == (off is not None)
        assert booked(at)["TotalAmt"] == at.invoice(made).total
        if off:
            assert discount_line(booked(at))["Amount"] == Decimal(off)


def test_another_percentage_of_the_same_cents_sends_nothing_new(at: Situation) -> None:
    at.connect()
    made = at.save_invoice(at.save_lead(), "1", **{OFF: "10"})
    at.drain()
    before = booked(at)
    edit_invoice(at, made, **{OFF: "10.001"})
    at.drain()
    assert booked(at)["SyncToken"] == before["SyncToken"]
    assert at.states()[-1] == "invoice synced"


def test_send_again_puts_the_discount_back(at: Situation) -> None:
    at.connect()
    made = at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.drain()
    _change_there(at, keep=lambda line: "SalesItemLineDetail" in line)
    assert booked(at)["TotalAmt"] == 100
    assert send_again(at).done
    at.drain()
    assert booked(at)["TotalAmt"] == at.invoice(made).total == 90


def test_send_again_writes_nothing_where_all_is_as_sent(at: Situation) -> None:
    at.connect()
    at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.drain()
    before = booked(at)
    assert send_again(at).done
    at.drain()
    assert booked(at)["SyncToken"] == before["SyncToken"]


def test_voiding_it_takes_the_discount_too(at: Situation) -> None:
    at.connect()
    made = at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.drain()
    at.ana.open(f"/invoices/{made}/void").submit(press="Void the invoice")
    at.drain()
    assert booked(at)["TotalAmt"] == 0


def test_does_it_match_knows_the_discount(at: Situation) -> None:
    at.connect()
    at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.drain()
    page = _compare(at)
    assert "1 of 1" in page or "Agree 1" in page, page
    # the same total with other lines: the discount became a lower price
    _change_there(
        at,
        keep=lambda line: "SalesItemLineDetail" in line,
        Amount=Decimal("90.00"),
    )
    page = _compare(at)
    assert "Different lines" in page
    assert "−$10.00" in page


def _compare(at: Situation) -> str:
    month = f"{SETTINGS}/matches/{at.invoice(1).issued_on:%Y-%m}"
    page = at.ana.open(month)
    page.submit(press="Compare again" if "Compare again" in page.text else None)
    at.session.rollback()
    months.compare_due(at.sessions, at.config)
    return at.ana.open(month).text


def _change_there(at: Situation, keep: Any, **line: Any) -> None:
    """A bookkeeper changes the lines in QuickBooks."""
    there = booked(at)
    lines = [dict(one) for one in there["Line"] if keep(one)]
    if line:
        lines[0] |= {**line}
        for name in ("Qty", "UnitPrice"):
            lines[0]["SalesItemLineDetail"].pop(name, None)
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True, "Line": lines}
    answer = at.bookkeeper().post("invoice", told)
    assert answer.status == 200, answer


def test_where_discounts_are_off_it_waits_with_a_sentence_and_is_sent_once_they_are_on(
    at: Situation,
) -> None:
    at.simulator.company(RIVERA, AllowDiscount=False)
    at.connect()
    made = at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    plain = at.save_invoice(at.save_lead("Other Lawn"), "50")
    at.drain()
    assert [one["TotalAmt"] for one in at.books("Invoice")] == [50]
    assert at.fault(entries_of(at.session).index(_entry_of(at, made))) == "discounts_off"
    assert "Turn discounts on in QuickBooks" in at.ana.open(f"/invoices/{made}").text
    assert "an invoice with a discount waits" in at.ana.open(f"{SETTINGS}/check").text
    at.simulator.company(RIVERA, AllowDiscount=True)
    assert checking.check_contradicted(at.sessions, at.config) == 1
    at.drain()
    assert sorted(one["TotalAmt"] for one in at.books("Invoice")) == [50, 90]
    assert at.invoice(plain).total == 50


def test_where_discounts_are_off_taking_it_off_sends_the_invoice(at: Situation) -> None:
    at.simulator.company(RIVERA, AllowDiscount=False)
    at.connect()
    made = at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.drain()
    page = at.ana.open(f"/invoices/{made}/edit?fix=discount_value").page
    assert page.select_one("details.discount.to-fix[open]")
    edit_invoice(at, made, **{OFF: ""})
    at.drain()
    assert booked(at)["TotalAmt"] == 100


def _entry_of(at: Situation, invoice: int) -> Any:
    [entry] = [
        one
        for one in entries_of(at.session)
        if (one.record_type, one.record_id) == ("invoice", invoice)
    ]
    return entry


def test_the_preview_shows_the_discount(at: Situation) -> None:
    at.save_invoice(at.save_lead(), "100", **{OFF: "10"})
    at.connect()
    text = at.ana.open(f"{SETTINGS}/test-drive").text
    assert "Discount −$10.00" in text
    assert "Total $90.00" in text


@pytest.mark.parametrize("then", [{"discount_value": "50"}, {"memo": "Thank you"}])
def test_two_people_who_change_one_discount_never_mix_theirs(
    at: Situation, then: dict[str, str]
) -> None:
    """Percent or dollars, and how many, are one thing."""
    was = {"discount_kind": "percent", "discount_value": "10"}
    invoice = at.save_invoice(at.save_lead(), "1000", **was)
    bob = Visitor(at.app).sign_in(ANA)
    bob.open(f"/invoices/{invoice}/edit")
    now = {"discount_kind": "amount", "discount_value": "10"}
    at.ana.open(f"/invoices/{invoice}/edit").submit(now, press="Save invoice")
    assert at.invoice(invoice).total == 990
    bob.submit(then, press="Save invoice")
    assert at.invoice(invoice).total == (500 if "discount_value" in then else 990)
