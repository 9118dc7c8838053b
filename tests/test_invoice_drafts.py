"""Drafts of invoices: kept without a number, sent to nobody, finished or deleted."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from models.clients import ClientLink
from models.sales import Invoice, InvoiceDraft, Lead, Proposal, ProposalStatus
from tests.support.firm import entries_of, new_product
from tests.support.situation import Situation
from tests.test_cases_counterpart import booked

LINE = {"lines-0-description": "Leak repair", "lines-0-unit_price": "100"}


def drafts(at: Situation) -> list[InvoiceDraft]:
    at.session.rollback()
    at.session.expire_all()
    return list(at.session.scalars(select(InvoiceDraft).order_by(InvoiceDraft.id)))


def invoices(at: Situation) -> list[Invoice]:
    at.session.rollback()
    at.session.expire_all()
    return list(at.session.scalars(select(Invoice).order_by(Invoice.id)))


def save(at: Situation, fields: dict[str, str], lead: int = 0) -> int:
    """A draft for this lead, or for a new one."""
    at.ana.open(f"/invoices/new?lead={lead or at.save_lead()}").submit(fields, press="Save draft")
    assert "The draft is saved." in at.ana.text, at.ana.text
    return int(at.ana.path.rpartition("/")[2])


def finish(at: Situation, draft: int, **fields: str) -> None:
    at.ana.open(f"/invoices/drafts/{draft}").submit(fields, press="Finish invoice")


def test_a_draft_has_no_number_and_nothing_of_it_leaves(at: Situation) -> None:
    at.connect()
    save(at, LINE)
    at.drain()
    assert len(drafts(at)) == 1
    assert invoices(at) == []
    assert [entry.record_type for entry in entries_of(at.session)] == ["lead"]
    assert at.books("Invoice") == []
    assert at.session.scalars(select(ClientLink)).all() == []


def test_a_draft_counts_in_no_sum_and_no_list_of_invoices(at: Situation) -> None:
    lead = at.save_lead()
    page = at.ana.open("/").text
    save(at, LINE | {"issued_on": "2026-01-05", "due_on": "2026-01-06"}, lead)
    assert at.ana.open("/").text.replace("No invoices yet", "") == page.replace(
        "No invoices yet", ""
    )
    text = at.ana.open("/invoices").text
    assert "No invoices yet." in text
    assert "1 draft is not finished" in text
    assert "overdue" not in text


def test_finishing_gives_the_number_then_and_sends_it_then(at: Situation) -> None:
    at.connect()
    first = save(at, LINE | {"discount_value": "10"})
    made = at.save_invoice(at.save_lead("Other Lawn"), "50")
    assert at.invoice(made).number == "1001"
    finish(at, first)
    assert "Invoice 1002 is saved." in at.ana.text
    assert drafts(at) == []
    finished = invoices(at)[-1]
    assert (finished.number, finished.total) == ("1002", Decimal("90.00"))
    at.drain()
    assert sorted(one["TotalAmt"] for one in at.books("Invoice")) == [50, 90]
    assert {one["DocNumber"] for one in at.books("Invoice")} == {"1001", "1002"}


def test_an_unfinished_line_is_kept_and_asked_for_on_finishing(at: Situation) -> None:
    draft = save(at, {"lines-0-description": "Drain, price from Joe", "lines-1-unit_price": "5"})
    page = at.ana.open(f"/invoices/drafts/{draft}").page
    assert (
        [
            (row.select_one("[data-part=quantity]"), row.select_one("[data-part=unit_price]"))
            and row.select_one("[data-part=unit_price]")["value"]  # type: ignore[index]
            for row in page.select(".line")[:2]
        ]
        == ["", "5.00"]
    )
    finish(at, draft)
    assert at.ana.status == 422
    assert "What does one cost?" in at.ana.text
    assert "What did you do or deliver?" in at.ana.text
    assert invoices(at) == []
    at.ana.submit(
        {"lines-0-unit_price": "20", "lines-1-description": "Parts"}, press="Finish invoice"
    )
    assert invoices(at)[0].total == 25


def test_an_empty_draft_is_kept_but_not_finished(at: Situation) -> None:
    draft = save(at, {})
    finish(at, draft)
    assert "Add a line: what is billed?" in at.ana.text
    assert invoices(at) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lines-0-unit_price": "many"}, "Type a number"),
        ({"lines-0-quantity": "9999999", "lines-0-unit_price": "9999999"}, "at most"),
        ({"discount_value": "101"}, "A discount can't be more than 100%."),
        ({"tax_rate": "101"}, "The maximum is 100."),
        ({"issued_on": ""}, "When is it issued?"),
        ({"memo": "x" * 20_001}, "the maximum is"),
        ({"lines-0-product_id": "999"}, "Choose a product or service from the list."),
    ],
)
def test_what_cannot_be_stored_is_refused_in_a_draft_too(
    at: Situation, fields: dict[str, str], said: str
) -> None:
    page = at.ana.open(f"/invoices/new?lead={at.save_lead()}")
    page.submit({"lines-0-description": "Visit", **fields}, press="Save draft")
    assert at.ana.status == 422
    assert said in at.ana.text
    assert drafts(at) == []


def test_what_only_an_invoice_must_keep_to_does_not_stop_a_draft(at: Situation) -> None:
    odd = {"lines-0-unit_price": "-20", "tax_rate": "7.5", "due_on": "2026-01-01"}
    save(at, LINE | odd | {"discount_kind": "amount", "discount_value": "500"})
    assert drafts(at)[0].discount_value == 500


def test_a_draft_is_changed_and_each_line_with_it(at: Situation) -> None:
    draft = save(at, LINE | {"memo": "Thanks"})
    at.ana.open(f"/invoices/drafts/{draft}").submit(
        {"lines-0-unit_price": "120", "lines-1-description": "Parts", "memo": ""},
        press="Save draft",
    )
    [kept] = drafts(at)
    assert [(line.description, line.unit_price) for line in kept.lines] == [
        ("Leak repair", 120),
        ("Parts", None),
    ]
    assert kept.memo == ""
    at.ana.open(f"/invoices/drafts/{draft}").submit({"lines-0-remove": "y"}, press="Save draft")
    assert [line.description for line in drafts(at)[0].lines] == ["Parts"]


def test_two_people_at_one_draft_both_keep_their_lines(at: Situation) -> None:
    draft = save(at, LINE)
    page = at.ana.open(f"/invoices/drafts/{draft}").answer  # his
    at.ana.open(f"/invoices/drafts/{draft}")
    at.ana.submit({"lines-1-description": "Hers", "lines-1-unit_price": "5"}, press="Save draft")
    at.ana.answer = page
    at.ana.submit({"lines-1-description": "His", "lines-1-unit_price": "7"}, press="Finish invoice")
    [made] = invoices(at)
    assert sorted(line.description for line in made.lines) == ["Hers", "His", "Leak repair"]
    assert made.total == 112


def test_a_draft_that_is_finished_twice_is_one_invoice(at: Situation) -> None:
    draft = save(at, LINE)
    at.ana.open(f"/invoices/drafts/{draft}")
    page = at.ana.answer
    at.ana.submit(press="Finish invoice")
    at.ana.answer = page
    at.ana.submit(press="Finish invoice")
    assert "This form was already saved." in at.ana.text
    assert len(invoices(at)) == 1
    assert at.ana.open(f"/invoices/drafts/{draft}").status == 404


def test_a_deleted_draft_is_gone(at: Situation) -> None:
    draft = save(at, LINE)
    at.ana.open(f"/invoices/drafts/{draft}").submit(press="Delete the draft")
    assert "The draft is deleted." in at.ana.text
    assert drafts(at) == []


def test_a_draft_that_rested_is_issued_on_the_day_it_is_finished(at: Situation) -> None:
    draft = save(at, LINE | {"due_in": "15"})
    [kept] = drafts(at)
    days = timedelta(days=40)
    # On the firm's clock: in hours, a change to summer time could make it another day.
    kept.saved_at = kept.saved_at.astimezone(kept.lead.organization.zone) - days
    kept.issued_on, kept.due_on = kept.issued_on - days, kept.due_on - days
    at.session.commit()
    finish(at, draft)
    [made] = invoices(at)
    other = at.invoice(at.save_invoice(at.save_lead("Now"), "1"))
    assert made.issued_on == other.issued_on
    assert made.due_on - made.issued_on == timedelta(days=15)


def test_a_day_that_was_chosen_stays(at: Situation) -> None:
    draft = save(at, LINE | {"issued_on": "2026-02-03", "due_in": "15"})
    finish(at, draft)
    assert f"{invoices(at)[0].issued_on}" == "2026-02-03"


def test_a_draft_of_a_proposal_accepts_it_on_finishing_only(at: Situation) -> None:
    lead = at.save_lead()
    fields = {**LINE, "title": "Plan"}
    at.ana.open(f"/proposals/new?lead={lead}").submit(fields, press="Save proposal")
    proposal = int(at.ana.path.rpartition("/")[2])
    at.ana.open(f"/invoices/new?proposal={proposal}").submit(press="Save draft")
    draft = drafts(at)[0].id
    assert at.session.get_one(Proposal, proposal).status == ProposalStatus.DRAFT
    assert at.ana.open(f"/proposals/{proposal}").page.select(f'a[href="/invoices/drafts/{draft}"]')
    assert at.ana.open(f"/leads/{lead}").page.select(f'a[href="/invoices/drafts/{draft}"]')
    at.ana.open(f"/invoices/new?proposal={proposal}").submit(press="Save invoice")
    finish(at, draft)
    assert "Already invoiced: 1001" in at.ana.text
    assert len(invoices(at)) == 1
    at.ana.submit({"confirms_again": "y"}, press="Finish invoice")
    at.session.rollback()
    assert at.session.get_one(Proposal, proposal).status == ProposalStatus.ACCEPTED
    assert [one.proposal_id for one in invoices(at)] == [proposal, proposal]


def test_a_lead_deleted_meanwhile_is_not_billed(at: Situation) -> None:
    lead = at.save_lead()
    draft = save(at, LINE, lead)
    at.session.get_one(Lead, lead).deleted_at = func.now()
    at.session.commit()
    finish(at, draft)
    assert "was deleted in the meantime" in at.ana.text
    assert invoices(at) == []
    assert len(drafts(at)) == 1


def test_a_product_in_a_draft_keeps_its_words_and_goes_along(at: Situation) -> None:
    product = new_product(at.firm, "Drain cleaning", "149")
    at.session.add(product)
    at.session.commit()
    at.connect()
    draft = save(at, {"lines-0-product_id": str(product.id)})
    finish(at, draft)
    at.drain()
    assert booked(at)["TotalAmt"] == 149
    assert "product" in [entry.record_type for entry in entries_of(at.session)]


def test_an_invoice_does_not_become_a_draft(at: Situation) -> None:
    made = at.save_invoice(at.save_lead(), "100")
    page = at.ana.open(f"/invoices/{made}/edit")
    assert "Save draft" not in page.text
    page.submit({"lines-0-unit_price": "-5"}, press="Save invoice")
    assert "The total of an invoice can't be below zero." in at.ana.text
    days = {"issued_on": "2026-11-20", "due_on": "2026-12-20"}
    at.ana.post(f"/invoices/{made}", LINE | days | {"save_draft": "yes", "tax_rate": "900"})
    assert (at.ana.status, drafts(at)) == (422, [])


def test_the_list_shows_each_with_what_it_comes_to(at: Situation) -> None:
    save(at, LINE | {"discount_value": "10"})
    text = at.ana.open("/invoices/drafts").text
    assert "Green Lawn Co" in text
    assert "$90.00" in text
    assert "No drafts match." in at.ana.open("/invoices/drafts?q=nobody").text
    assert "Green Lawn Co" in at.ana.open("/invoices/drafts?q=green").text
