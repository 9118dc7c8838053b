"""What a person reads when QuickBooks refuses: which thing, in plain words, and which button."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Entry, Operation
from models.quickbooks import Connection
from models.sales import Record, RecordType
from outbox import actions
from outbox.company import Due
from quickbooks import facts
from quickbooks.faults import RemoteFault, explain, fault_of, plain_words
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, new_owner, states
from tests.support.firm import new_invoice, new_lead, new_line, new_payment, new_product
from tests.test_kinds import an_invoice
from tests.test_quickbooks_trouble import Firm, bookkeeper


@pytest.fixture
def firm(session: Session, sessions: Sessions, config: Config, simulator: SimulatorHandle) -> Firm:
    owner = new_owner(session)
    connection = connect(sessions, config, owner)
    simulator.clear_journal()
    return Firm(session, sessions, config, owner, connection, simulator)


def sentence(entry: Entry) -> str:
    about = {"record": entry.record_type, **entry.fault_about}
    return explain(entry.fault_code or "", about, entry.fault_detail or "").cause


def buttons(entry: Entry) -> set[str]:
    return {action.name for action in explain(entry.fault_code or "", entry.fault_about).actions}


# --- R16: which of its references -----------------------------------------------------------------


def make_inactive(firm: Firm, entity: str, id_: str) -> str:
    books = bookkeeper(firm)
    [row] = [one for one in books.rows(entity) if one["Id"] == id_]
    told = {"Id": id_, "SyncToken": row["SyncToken"], "Name": row["Name"], "sparse": True}
    if entity == "Account":
        told |= {"AccountType": row["AccountType"]}
    books.post(entity.lower(), {**told, "Active": False})
    return str(row["Name"])


def chosen(firm: Firm, **choices: object) -> None:
    with firm.sessions.begin() as session:
        facts.choose(session.get_one(Connection, firm.connection.id), **choices)


def facts_of(firm: Firm) -> dict[str, list[dict[str, str]]]:
    with firm.sessions() as session:
        return dict(session.get_one(Connection, firm.connection.id).facts)


def test_case_r16_a_deposit_account_made_inactive_is_named_and_leads_to_settings(
    firm: Firm,
) -> None:
    account, other = facts_of(firm)["deposit_accounts"][:2]
    chosen(firm, deposit_accounts={"card": account["id"], "ach": account["id"]})
    name = make_inactive(firm, "Account", account["id"])
    invoice = firm.an_invoice()
    firm.save(new_payment(firm.id, invoice, "40"), new_payment(firm.id, invoice, "10"))
    firm.drain_to_the_end()
    failed = firm.session.scalars(select(Entry).where(Entry.state == "failed")).all()
    assert {(one.record_type, one.fault_code) for one in failed} == {
        (RecordType.PAYMENT, "account_inactive")
    }
    assert f"The account “{name}”" in sentence(failed[0])
    assert "for card payments" in sentence(failed[0])
    assert "settings" in buttons(failed[0])
    chosen(firm, deposit_accounts={"card": other["id"], "ach": other["id"]})
    actions.requeue(firm.session, [one.id for one in failed], organization_id=firm.id)
    firm.session.commit()
    firm.drain_to_the_end()
    assert {state for _, state in states(firm.session)} == {"synced"}
    assert len(firm.books("Payment")) == 2


def test_case_r16_a_payment_method_made_inactive_is_named(firm: Firm) -> None:
    method = facts_of(firm)["payment_methods"][0]
    chosen(firm, payment_methods={"card": method["id"], "ach": method["id"]})
    name = make_inactive(firm, "PaymentMethod", method["id"])
    firm.save(new_payment(firm.id, firm.an_invoice(), "40"))
    firm.drain_to_the_end()
    last = firm.last()
    assert last.fault_code == "method_inactive", last.fault_detail
    assert f"The payment method “{name}”" in sentence(last)


def test_case_r16_an_income_account_made_inactive_is_named_for_a_new_product(firm: Firm) -> None:
    account = facts_of(firm)["income_accounts"][0]
    chosen(firm, income_account_id=account["id"])
    name = make_inactive(firm, "Account", account["id"])
    product = new_product(firm.id, "Repair")
    invoice = new_invoice(firm.id, new_lead(firm.id), [new_line(firm.id, product=product)])
    firm.save(invoice)
    firm.drain_to_the_end()
    failed = firm.session.scalars(select(Entry).where(Entry.state == "failed")).one()
    assert (failed.record_type, failed.fault_code) == (RecordType.PRODUCT, "account_inactive")
    assert f"The account “{name}”, which is chosen in settings for sales" in sentence(failed)


# --- R23: markup ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('Renew <a href="https://x.example/?a=1&amp;b">here</a>.', "Renew here ."),
        ("Renew &lt;a href='x'&gt;here&lt;/a&gt;.", "Renew here ."),
        ("<p>One</p><br/><b>two</b>", "One two"),
        ("5 &lt; 6 &amp; 7 > 2", "5 < 6 & 7 > 2"),
        ('Encountered " <IDENTIFIER> "TxnDate ""', 'Encountered " <IDENTIFIER> "TxnDate ""'),
        ("<script>alert(1)</script>Closed", "Closed"),
    ],
)
def test_case_r23_a_faults_detail_keeps_its_words_and_loses_its_markup(
    said: str, read: str
) -> None:
    due = Due(1, Record(RecordType.INVOICE, 1), Operation.SAVE, an_invoice())
    fault = fault_of(RemoteFault("6000", "", f"Business Validation Error: {said}"), due)
    assert fault.detail == f"Business Validation Error: {read}"
    told = explain("6000", fault.about, f"Business Validation Error: {said}")
    assert f"“{read.rstrip('.')}”" in told.cause
    assert told.detail == f"Business Validation Error: {read}"


def test_case_r23_a_gateways_page_is_told_in_its_words() -> None:
    page = "<!DOCTYPE html><html><head><title>413</title></head><body><h1>Too large</h1>"
    assert plain_words(page) == "Too large"


# --- R24: a category -----------------------------------------------------------------------------


def test_case_r24_a_category_of_that_name_is_called_one_and_the_item_gets_another(
    firm: Firm,
) -> None:
    bookkeeper(firm).post("item", {"Name": "Repair", "Type": "Category"})
    product = new_product(firm.id, "Repair")
    firm.save(new_invoice(firm.id, new_lead(firm.id), [new_line(firm.id, product=product)]))
    firm.drain_to_the_end()
    failed = firm.session.scalars(select(Entry).where(Entry.state == "failed")).one()
    assert sentence(failed) == "“Repair” is already the name of a category in QuickBooks."
    assert "send_as" in buttons(failed)
    product.quickbooks_name = failed.fault_about["suggestion"]
    firm.save(product)
    firm.drain_to_the_end()
    assert "Repair (service)" in {item["Name"] for item in firm.books("Item")}
    assert {state for _, state in states(firm.session)} <= {"synced", "superseded"}
    assert firm.books("Invoice")


# --- R17: the invoice cannot take the payment -----------------------------------------------------


def test_case_r17_the_payment_of_a_moved_invoice_goes_with_its_customer_there(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.drain_to_the_end()
    books = bookkeeper(firm)
    other = books.post("customer", {"DisplayName": "Moved to"})["Customer"]["Id"]
    [there] = firm.books("Invoice")
    told = {"Id": there["Id"], "SyncToken": there["SyncToken"], "sparse": True}
    books.post("invoice", {**told, "CustomerRef": {"value": other}})
    firm.save(new_payment(firm.id, invoice, "40"))
    firm.drain_to_the_end()
    assert firm.last().state == "synced", firm.last().fault_detail
    [payment] = firm.books("Payment")
    assert payment["CustomerRef"]["value"] == other
    [there] = firm.books("Invoice")
    assert float(there["Balance"]) == 60.0
    counterpart = firm.last().counterpart
    assert counterpart is not None
    assert counterpart.note == "with the customer whom its invoice has in QuickBooks"


def test_a_payment_of_an_invoice_deleted_there_names_the_invoice(firm: Firm) -> None:
    invoice = firm.an_invoice()
    firm.drain_to_the_end()
    [there] = firm.books("Invoice")
    version = {"Id": there["Id"], "SyncToken": there["SyncToken"]}
    bookkeeper(firm).post("invoice", version, operation="delete")
    firm.save(new_payment(firm.id, invoice, "40"))
    firm.drain_to_the_end()
    assert firm.last().fault_code == "its_invoice_gone"
    assert "Invoice 1001" in sentence(firm.last())


@pytest.mark.parametrize("balance", ["deleted", "paid"])
def test_case_r17_one_read_says_which_of_the_causes_it_is(firm: Firm, balance: str) -> None:
    invoice = firm.an_invoice()
    firm.drain_to_the_end()
    books = bookkeeper(firm)
    [there] = firm.books("Invoice")
    version = {"Id": there["Id"], "SyncToken": there["SyncToken"]}
    if balance == "deleted":
        books.post("invoice", version, operation="delete")
    else:
        line = {"Amount": 100, "LinkedTxn": [{"TxnId": there["Id"], "TxnType": "Invoice"}]}
        paid = {"CustomerRef": there["CustomerRef"], "TotalAmt": 100, "Line": [line]}
        books.post("payment", paid)
    fault = {"code": "620", "message": "Txn ID Cannot Be Linked", "type": "ValidationFault"}
    firm.simulator.fault(match={"entity": "Payment", "method": "POST"}, do={"fault": fault})
    firm.save(new_payment(firm.id, invoice, "40"))
    firm.drain_to_the_end()
    expected = {"deleted": "its_invoice_gone", "paid": "its_invoice_paid"}[balance]
    assert firm.last().fault_code == expected
    assert "Invoice 1001" in sentence(firm.last())
