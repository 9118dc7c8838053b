"""A firm's records through its pages: from lead to payment."""

from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.sales import Invoice, Job, Lead, Payment, Product, Proposal
from tests.support.firm import (
    new_firm,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)
from tests.support.samples import one_in
from tests.support.visitor import Visitor, new_person
from web.paging import ROWS_PER_PAGE

ANA = "ana@rivera.example"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int) -> Visitor:
    return Visitor(app).sign_in(ANA)


def saved(session: Session, record: Lead | Product | Invoice | Job | Proposal) -> int:
    session.add(record)
    session.commit()
    return record.id


def fresh(session: Session) -> Session:
    session.rollback()
    session.expire_all()
    return session


def test_a_lead_is_saved_found_changed_and_deleted(ana: Visitor, session: Session) -> None:
    ana.open("/leads/new").submit({"name": "Green Lawn Co", "email": "kim@lawn.example"})
    assert "Lead Green Lawn Co is saved." in ana.text
    lead = session.scalars(select(Lead)).one()
    assert "Green Lawn Co" in ana.open("/leads?q=lawn.ex").text
    assert "No leads match" in ana.open("/leads?q=nobody").text
    ana.open(f"/leads/{lead.id}/edit").submit({"given_name": "Kim", "family_name": "Ng"})
    assert "Contact Kim Ng" in ana.text
    assert "Green Lawn Co Kim Ng" in ana.open("/leads?q=kim+ng").text
    assert "Green Lawn Co" in ana.open("/invoices/new?q=m+ng").text
    ana.open(f"/leads/{lead.id}/edit").submit({"family_name": "N" * 101})
    assert "101 characters long; the maximum is 100" in ana.text
    ana.open(f"/leads/{lead.id}/edit").submit({"phone": "(916) 555-0142"})
    assert fresh(session).get_one(Lead, lead.id).phone == "(916) 555-0142"
    ana.open(f"/leads/{lead.id}/delete").submit(press="Delete the lead")
    assert "Green Lawn Co is deleted" in ana.text
    assert "No leads yet" in ana.open("/leads").text
    assert ana.open(f"/leads/{lead.id}").status == 200
    assert ana.open(f"/leads/{lead.id}/edit").status == 404


def test_a_refused_form_keeps_what_was_typed_and_says_why(ana: Visitor, session: Session) -> None:
    ana.open("/leads/new").submit({"name": " ", "email": "kim at lawn", "city": "Oakland"})
    assert ana.status == 422
    assert "Who is it? Type a name." in ana.text
    assert "This isn't an e-mail address" in ana.text
    field = ana.page.find(id="email")
    assert field["value"] == "kim at lawn"  # type: ignore[index]
    assert field["aria-invalid"] == "true"  # type: ignore[index]
    assert field["aria-describedby"] == "email-error"  # type: ignore[index]
    assert ana.page.find(id="city")["value"] == "Oakland"  # type: ignore[index]
    assert session.scalars(select(Lead)).all() == []


def test_two_people_who_edit_different_fields_both_keep_their_change(
    ana: Visitor, app: Flask, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm, email="old@lawn.example", phone="1"))
    new_person(session, firm, "tom@rivera.example")
    tom = Visitor(app).sign_in("tom@rivera.example")
    ana.open(f"/leads/{lead_id}/edit")
    tom.open(f"/leads/{lead_id}/edit")
    ana.submit({"email": "new@lawn.example"})
    tom.submit({"phone": "2"})
    lead = fresh(session).get_one(Lead, lead_id)
    assert (lead.email, lead.phone) == ("new@lawn.example", "2")


def test_two_people_who_edit_different_lines_both_keep_their_change(
    ana: Visitor, app: Flask, session: Session, firm: int
) -> None:
    lines = [new_line(firm, "One"), new_line(firm, "Two", position=2)]
    invoice_id = saved(session, new_invoice(firm, new_lead(firm), lines))
    new_person(session, firm, "tom@rivera.example")
    tom = Visitor(app).sign_in("tom@rivera.example")
    ana.open(f"/invoices/{invoice_id}/edit")
    tom.open(f"/invoices/{invoice_id}/edit")
    ana.submit({"lines-0-quantity": "2"}, press="Save invoice")
    tom.submit({"lines-1-unit_price": "50"}, press="Save invoice")
    invoice = fresh(session).get_one(Invoice, invoice_id)
    assert [(line.quantity, line.unit_price) for line in invoice.lines] == [
        (Decimal(2), Decimal(100)),
        (Decimal(1), Decimal(50)),
    ]
    assert invoice.total == 250


def test_an_invoice_is_made_from_a_proposal_with_the_same_lines(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    product = new_product(firm, "Sprinkler repair", "120")
    saved(session, product)
    ana.open(f"/proposals/new?lead={lead_id}").submit(
        {
            "title": "New sprinklers",
            "tax_rate": "8.5 %",
            "lines-0-product_id": str(product.id),
            "lines-0-quantity": "3.5",
            "lines-1-description": "PVC parts",
            "lines-1-quantity": "12",
            "lines-1-unit_price": "$55.00",
            "lines-1-taxable": "y",
            "lines-2-description": "Discount",
            "lines-2-unit_price": "-10",
        },
        press="Save proposal",
    )
    assert "Proposal 1 is saved." in ana.text
    proposal = session.scalars(select(Proposal)).one()
    ana.open(f"/invoices/new?proposal={proposal.id}").submit(press="Save invoice")
    assert "Invoice 1001 is saved." in ana.text
    invoice = session.scalars(select(Invoice)).one()
    assert [(line.description, line.amount) for line in invoice.lines] == [
        ("Sprinkler repair", Decimal(420)),
        ("PVC parts", Decimal(660)),
        ("Discount", Decimal(-10)),
    ]
    assert (invoice.proposal_id, invoice.lead_id) == (proposal.id, lead_id)
    assert session.get_one(Proposal, proposal.id, populate_existing=True).status == "accepted"
    assert (invoice.tax_amount, invoice.total) == (Decimal("56.10"), Decimal("1126.10"))


def test_an_invoice_is_made_from_a_job_and_from_a_lead(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    ana.open(f"/jobs/new?lead={lead_id}").submit(
        {
            "title": "Valve",
            "status": "in_progress",
            "lines-0-description": "New valve",
            "lines-0-quantity": "2",
            "lines-0-unit_price": "120",
        },
        press="Save job",
    )
    job = session.scalars(select(Job)).one()
    ana.open(f"/invoices/new?job={job.id}").submit(press="Save invoice")
    ana.open(f"/invoices/new?lead={lead_id}").submit(
        {"lines-0-description": "Visit", "lines-0-unit_price": "80"}, press="Save invoice"
    )
    first, second = session.scalars(select(Invoice).order_by(Invoice.id))
    assert (first.number, first.job_id, first.total) == ("1001", job.id, Decimal(240))
    assert [line.description for line in first.lines] == ["New valve"]
    assert (second.number, second.job_id, second.total) == ("1002", None, Decimal(80))


def test_a_job_has_lines_and_a_status_that_lists_and_pages_show(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    ana.open(f"/jobs/new?lead={lead_id}").submit(
        {"title": "Valve", "lines-0-description": "Parts", "lines-0-unit_price": "80.50"},
        press="Save job",
    )
    assert "Status Scheduled" in ana.text
    assert "Total before tax $80.50" in ana.text
    job = session.scalars(select(Job)).one()
    ana.open(f"/jobs/{job.id}/edit").submit(
        {"status": "done", "lines-1-description": "Work", "lines-1-unit_price": "40"},
        press="Save job",
    )
    assert "Status Done" in ana.text
    assert "$120.50" in ana.open("/jobs?state=done").text
    assert "No jobs match" in ana.open("/jobs?state=scheduled").text
    ana.open(f"/jobs/{job.id}/edit").submit({"lines-0-remove": "y"}, press="Save job")
    assert "Total before tax $40.00" in ana.text
    ana.open(f"/jobs/{job.id}/edit").submit({"status": "lost"}, press="Save job")
    assert (ana.status, "Choose one of these." in ana.text) == (422, True)


def test_a_proposal_has_a_status_that_lists_and_pages_show(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    ana.open(f"/proposals/new?lead={lead_id}").submit({"title": "Pipes"}, press="Save proposal")
    assert "Draft" in ana.text
    proposal = session.scalars(select(Proposal)).one()
    ana.open(f"/proposals/{proposal.id}/edit").submit({"status": "sent"}, press="Save proposal")
    assert "Sent" in ana.text
    assert "Pipes" in ana.open("/proposals?state=sent").text
    assert "No proposals match" in ana.open("/proposals?state=accepted").text


def test_an_invoices_status_follows_from_what_was_paid(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm), number="77"))

    def said() -> tuple[str, list[str]]:
        """Its status in the list, and the filters that find it."""
        finds = ["open", "partly_paid", "paid", "void"]
        finds = [one for one in finds if "77" in ana.open(f"/invoices?state={one}").text]
        status = ana.open("/invoices").page.select_one("tbody tr td.quiet")
        assert status
        assert status.get_text() in ana.open(f"/invoices/{invoice_id}").text
        return status.get_text(), finds

    assert said() == ("Open", ["open"])
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card", "amount": "40"})
    assert said() == ("Partly paid", ["open", "partly_paid"])
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card", "amount": "60"})
    assert said() == ("Paid", ["paid"])
    ana.open(f"/invoices/{invoice_id}/void").submit(press="Void the invoice")
    assert said() == ("Void", ["void"])


def test_new_documents_start_with_the_firms_tax_rate_and_keep_their_own(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    ana.open("/settings/organization").submit({"tax_rate": "100.5"})
    assert "The maximum is 100." in ana.text
    ana.open("/settings/organization").submit({"tax_rate": "8.625"})
    taxed = {"lines-0-description": "A", "lines-0-unit_price": "100", "lines-0-taxable": "y"}
    ana.open(f"/invoices/new?lead={lead_id}").submit(taxed, press="Save invoice")
    assert "Tax 8.625% $8.63" in ana.text
    ana.open(f"/proposals/new?lead={lead_id}")
    ana.submit(taxed | {"title": "Pipes"}, press="Save proposal")
    assert "Tax 8.625% $8.63" in ana.text
    ana.open("/settings/organization").submit({"tax_rate": "9"})
    invoice, proposal = (
        session.scalars(select(Invoice)).one(),
        session.scalars(select(Proposal)).one(),
    )
    ana.open(f"/invoices/new?proposal={proposal.id}").submit(press="Save invoice")
    assert "Tax 8.625%" in ana.text
    assert "Sales tax 8.625%" in ana.open(f"/invoices/{invoice.id}/print").text
    ana.open(f"/invoices/new?lead={lead_id}").submit(press="Save invoice")
    assert "Tax 9 %" in ana.text


def test_more_lines_than_the_form_has_come_with_add_lines_and_nothing_is_lost(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead_id = saved(session, new_lead(firm))
    ana.open(f"/invoices/new?lead={lead_id}").submit(
        {"lines-2-description": "Third", "lines-2-unit_price": "5", "memo": "Thanks"},
        press="Add a line",
    )
    assert ana.status == 200
    ana.submit({"lines-5-description": "Sixth", "lines-5-unit_price": "7"}, press="Save invoice")
    invoice = session.scalars(select(Invoice)).one()
    assert [line.description for line in invoice.lines] == ["Third", "Sixth"]
    assert invoice.memo == "Thanks"


@pytest.mark.parametrize("path", ["/invoices/new", "/proposals/new", "/jobs/new"])
def test_enter_in_a_form_with_lines_presses_a_button_that_saves(
    ana: Visitor, session: Session, firm: int, path: str
) -> None:
    lead_id = saved(session, new_lead(firm))
    buttons = ana.open(f"{path}?lead={lead_id}").page.select("main form[method=post] button")
    assert not buttons[0].get("name")  # the first of a form is what Enter presses
    others = [one["name"] for one in buttons if one.get("name")]
    assert others == ["add_rows", *(["save_draft"] if path == "/invoices/new" else [])]


def test_a_line_is_removed_and_one_is_added(ana: Visitor, session: Session, firm: int) -> None:
    lines = [new_line(firm, "One"), new_line(firm, "Two", position=2)]
    invoice_id = saved(session, new_invoice(firm, new_lead(firm), lines))
    ana.open(f"/invoices/{invoice_id}/edit").submit(
        {"lines-0-remove": "y", "lines-2-description": "Three", "lines-2-unit_price": "0.125"},
        press="Save invoice",
    )
    invoice = fresh(session).get_one(Invoice, invoice_id)
    assert [line.description for line in invoice.lines] == ["Two", "Three"]
    assert invoice.total == Decimal("100.13")


def test_another_organizations_product_is_no_choice(
    ana: Visitor, session: Session, firm: int
) -> None:
    other = new_product(new_firm(session, name="Oak"), "Theirs")
    saved(session, other)
    lead_id = saved(session, new_lead(firm))
    ana.open(f"/invoices/new?lead={lead_id}").submit(
        {"lines-0-product_id": str(other.id)}, press="Save invoice"
    )
    assert ana.status == 422
    assert "Choose a product or service from the list." in ana.text
    assert "Theirs" not in ana.text


def test_a_taken_number_is_refused_and_the_counter_steps_over_it(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead = new_lead(firm)
    saved(session, new_invoice(firm, lead, number="1001"))
    invoice_id = saved(session, new_invoice(firm, lead, number="7"))
    ana.open(f"/invoices/{invoice_id}/edit").submit({"number": "1001"}, press="Save invoice")
    assert ana.status == 422
    assert "Another invoice has this number." in ana.text
    line = {"lines-0-description": "Visit", "lines-0-unit_price": "80"}
    ana.open(f"/invoices/new?lead={lead.id}").submit(line, press="Save invoice")
    assert "Invoice 1002 is saved." in ana.text


def test_partial_payments_by_card_and_ach_settle_an_invoice(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm)))
    ana.open(f"/invoices/{invoice_id}/payments/new")
    ana.submit({"amount": "40", "method": "card"}, press="Record payment")
    ana.open(f"/invoices/{invoice_id}/payments/new")
    assert ana.page.find(id="amount")["value"] == "60.00"  # type: ignore[index]
    ana.submit({"method": "ach"}, press="Record payment")
    payments = session.scalars(select(Payment).order_by(Payment.id)).all()
    assert [(p.amount, p.method) for p in payments] == [
        (Decimal(40), "card"),
        (Decimal(60), "ach"),
    ]
    assert fresh(session).get_one(Invoice, invoice_id).balance == 0
    assert "1001" in ana.open("/invoices?state=paid").text
    assert "No invoices match" in ana.open("/invoices?state=open").text


def test_what_is_paid_back_opens_the_invoice_again_and_is_never_more_than_was_paid(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm)))
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card", "amount": "80"})
    payment = session.scalars(select(Payment)).one()
    refund = f"/payments/{payment.id}/refund"
    assert ana.open(refund).page.find(id="amount")["value"] == "80.00"  # type: ignore[index]
    for amount, why in [("80.01", "Only $80.00"), ("", "How much"), ("-1", "minimum")]:
        assert why in ana.open(refund).submit({"amount": amount}).text
        assert ana.status == 422
    tom = new_person(session, firm, "tom@rivera.example")
    two = [ana.open(refund), Visitor(ana.app).sign_in(tom.email).open(refund)]
    assert "The refund is recorded." in two[0].submit({"amount": "50"}).page.text
    assert "Only $30.00 of this payment is left" in two[1].submit({"amount": "50"}).text
    assert "Refunded or returned $50.00" in ana.open(f"/payments/{payment.id}").text
    assert fresh(session).get_one(Invoice, invoice_id).balance == 70
    ana.open(refund).submit()
    assert "has already been refunded or returned" in ana.open(refund).page.text
    assert fresh(session).get_one(Invoice, invoice_id).balance == 100


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ("", "How much was paid?"),
        ("0", "The minimum is 0.01."),
        ("-5", "The minimum is 0.01."),
        ("1e3", "Type a number"),
        ("NaN", "Type a number"),
        ("Infinity", "Type a number"),
        ("٣٠", "Type a number"),
        ("12 50", "Type a number"),
        ("12. 50", "Type a number"),
        ("1\t234", "Type a number"),
        ("0,500", "Type a number"),
        ("12,50", "Type a number"),
        ("1,234 500", "Type a number"),
        ("1.005", "Use at most 2 decimals."),
        ("999999999999", "The maximum is 99,999,999.99."),
        ("9" * 4000, "Type a number"),
    ],
)
def test_an_amount_that_is_none_is_refused_with_a_sentence(
    ana: Visitor, session: Session, firm: int, amount: str, why: str
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm)))
    ana.open(f"/invoices/{invoice_id}/payments/new")
    ana.submit({"amount": amount, "method": "card"}, press="Record payment")
    assert ana.status == 422
    assert why in ana.text
    assert session.scalars(select(Payment)).all() == []


def test_a_paid_invoice_offers_no_payment(ana: Visitor, session: Session, firm: int) -> None:
    invoice = f"/invoices/{saved(session, new_invoice(firm, new_lead(firm)))}"
    assert "Record payment" in ana.open(invoice).text
    ana.open(f"{invoice}/payments/new").submit({"method": "card", "amount": "100"})
    assert "Record payment" not in ana.open(invoice).text


def test_a_total_below_what_was_paid_asks_before_it_is_saved(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm)))
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card", "amount": "80"})
    ana.open(f"/invoices/{invoice_id}/edit")
    ana.submit({"lines-0-unit_price": "50"}, press="Save invoice")
    assert ana.status == 422
    assert "less than the $80.00 already paid" in ana.text
    assert "Invoice changed" not in ana.open("/settings/record").text
    ana.open(f"/invoices/{invoice_id}/edit")
    ana.submit({"lines-0-unit_price": "50"}, press="Save invoice")
    ana.submit({"confirms_below_paid": "y"}, press="Save invoice")
    assert fresh(session).get_one(Invoice, invoice_id).total == 50
    assert "Invoice changed" in ana.open("/settings/record").text


def test_a_void_asks_first_and_ends_changes_and_payments(
    ana: Visitor, session: Session, firm: int
) -> None:
    invoice_id = saved(session, new_invoice(firm, new_lead(firm)))
    ana.open(f"/invoices/{invoice_id}/payments/new").submit({"method": "card", "amount": "80"})
    ana.open(f"/invoices/{invoice_id}/void")
    assert "$80.00 was already paid on it" in ana.text
    ana.submit(press="Void the invoice")
    assert "is void" in ana.text
    assert "can't be changed anymore" in ana.open(f"/invoices/{invoice_id}/edit").text
    assert "can't take payments" in ana.open(f"/invoices/{invoice_id}/payments/new").text
    assert "VOID" in ana.open(f"/invoices/{invoice_id}/print").text


def test_a_name_that_another_product_has_is_refused(
    ana: Visitor, session: Session, firm: int
) -> None:
    saved(session, new_product(firm, "Labor"))
    ana.open("/products/new").submit({"name": "Labor", "unit_price": "96.5"})
    assert ana.status == 422
    assert "Another product or service has this name." in ana.text
    other_id = saved(session, new_product(firm, "Visit"))
    ana.open(f"/products/{other_id}/edit").submit({"name": "Labor"})
    assert "Another product or service has this name." in ana.text
    ana.open(f"/products/{other_id}/edit").submit({"unit_price": "12.3456"})
    assert fresh(session).get_one(Product, other_id).unit_price == Decimal("12.3456")


def test_every_list_goes_on_by_key_and_finds_by_the_leads_company(
    ana: Visitor, session: Session, firm: int
) -> None:
    lead = new_lead(firm, "Kim Ng", company_name="Green Lawn Co")
    for number in range(ROWS_PER_PAGE + 1):
        name = f"No {number:03}"
        invoice = new_invoice(firm, lead, number=name)
        session.add_all(
            [
                new_lead(firm, name, company_name="Green Lawn Co"),
                new_product(firm, name),
                Job(organization_id=firm, lead=lead, title=name),
                Proposal(organization_id=firm, lead=lead, number=name, title=name),
                invoice,
                new_payment(firm, invoice),
            ]
        )
    session.commit()
    for path in ("leads", "products", "jobs", "proposals", "invoices", "payments"):
        wanted = "No 0" if path == "products" else "green lawn"
        first = ana.open(f"/{path}?q={wanted}")
        assert "No 050" in first.text, path
        assert "No 000" not in first.text, path
        older = first.page.find("a", rel="next")
        assert "No 000" in ana.open(str(older["href"])).text, path  # type: ignore[index]
        assert "No 050" not in ana.text, path
        assert "match" in ana.open(f"/{path}?q=nobody+has+this").text, path


def test_lists_go_on_by_key(ana: Visitor, session: Session, firm: int) -> None:
    session.add_all(new_lead(firm, f"Customer {number}") for number in range(60))
    session.commit()
    first = ana.open("/leads")
    older = first.page.find("a", rel="next")
    assert "Customer 59" in first.text
    assert "Customer 9 " not in first.text + " "
    second = ana.open(str(older["href"]))  # type: ignore[index]
    assert "Customer 9" in second.text
    assert second.page.find("a", rel="next") is None


ODD = {
    "null byte": "a\x00b",
    "long": "x" * 10_000,
    "emoji": "🚿" * 400,
    "right to left": "מים \u202e חמים",
    "markup": "<script>alert(1)</script>{{ 7*7 }}%s' OR 1=1 --",
    "controls": "a\tb\x07\x1b[0m",
    "blank": "   ",
    "number": "99999999999999999999999999",
    "date": "0000-00-00",
    "far date": "9999-12-31",
}


@pytest.mark.parametrize(
    "odd", one_in(5, (pytest.param(typed, id=name) for name, typed in ODD.items()))
)
def test_odd_input_is_kept_or_refused_with_a_sentence_and_never_breaks(
    ana: Visitor, session: Session, firm: int, odd: str
) -> None:
    """Every field of every form, every word of every search."""
    lead = new_lead(firm)
    invoice_id = saved(session, new_invoice(firm, lead))
    product_id = saved(session, new_product(firm))
    forms = [
        "/leads/new",
        f"/leads/{lead.id}/edit",
        "/products/new",
        f"/products/{product_id}/edit",
        f"/jobs/new?lead={lead.id}",
        f"/proposals/new?lead={lead.id}",
        f"/invoices/new?lead={lead.id}",
        f"/invoices/{invoice_id}/edit",
        f"/invoices/{invoice_id}/payments/new",
        "/settings/organization",
    ]
    for path in forms:
        for name in ana.open(path).field_names() - {"csrf_token", "lead"}:
            page = ana.answer
            ana.submit({name: odd})
            assert ana.status in (200, 404, 422), f"{path} {name}: {ana.status}"
            assert "<script>alert" not in ana.answer.get_data(as_text=True)
            ana.answer = page  # back
    for path in ("/leads", "/products", "/jobs", "/proposals", "/invoices", "/payments"):
        for argument in ("q", "before", "state", "lead"):
            ana.answer = ana.client.get(path, query_string={argument: odd})
            assert ana.status == 200, f"{path}?{argument}"


@pytest.mark.parametrize("key", ["0", "-1", "999999999999999999999999", "1.5", "abc", "%00", "١"])
def test_a_key_that_is_none_names_nothing(ana: Visitor, key: str) -> None:
    for path in ("/leads/", "/invoices/", "/payments/", "/jobs/", "/proposals/"):
        assert ana.open(path + key).status == 404
    assert ana.open(f"/invoices/new?lead={key}").status in (200, 404)
