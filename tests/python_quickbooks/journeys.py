"""python-quickbooks from PyPI against the simulator. Run by `test_simulator_clients.py`.

Its modules are imported by name: here `quickbooks` is theirs, everywhere else it is ours.
"""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from intuitlib.client import AuthClient

URL = os.environ["SIMULATOR_URL"]
CRAIG = "9341450000000003"
Theirs: TypeAlias = Any  # their classes have no types

theirs = import_module("quickbooks")
exceptions = import_module("quickbooks.exceptions")
batch = import_module("quickbooks.batch")
change_data_capture = import_module("quickbooks.cdc").change_data_capture
qb_date_format = import_module("quickbooks.helpers").qb_date_format
objects = import_module("quickbooks.objects")
company_currency = import_module("quickbooks.objects.companycurrency")
exchange_rate = import_module("quickbooks.objects.exchangerate")
recurring = import_module("quickbooks.objects.recurringtransaction")


def control(path: str, body: object) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, str] = json.load(response)
        return answer


def unique(word: str) -> str:
    return f"{word} {secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def qb() -> Theirs:
    granted = control("/_simulator/grant", {"realm_id": CRAIG})
    client = AuthClient(
        client_id=granted["client_id"],
        client_secret=granted["client_secret"],
        redirect_uri="http://localhost:8000/settings/quickbooks/callback",
        environment=f"{URL}/.well-known/openid_sandbox_configuration/",
    )
    theirs.QuickBooks.sandbox_api_url_v3 = f"{URL}/v3"
    books = theirs.QuickBooks(
        auth_client=client,
        refresh_token=granted["refresh_token"],
        company_id=CRAIG,
        minorversion=75,
    )
    books.sandbox = True
    return books


# python-quickbooks: the main job ---------------------------------------------------------------


def sales_line(amount: float, item: Theirs, quantity: float = 0, price: float = 0) -> Theirs:
    line = objects.SalesItemLine()
    line.LineNum = 1
    line.Description = "description"
    line.Amount = amount
    line.SalesItemLineDetail = objects.SalesItemLineDetail()
    line.SalesItemLineDetail.ItemRef = item.to_ref()
    line.SalesItemLineDetail.Qty = quantity
    line.SalesItemLineDetail.UnitPrice = price
    return line


def new_invoice(qb: Theirs, amount: float = 100, request_id: str | None = None) -> Theirs:
    invoice = objects.Invoice()
    invoice.Line.append(sales_line(amount, objects.Item.all(max_results=1, qb=qb)[0]))
    invoice.CustomerRef = objects.Customer.all(max_results=1, qb=qb)[0].to_ref()
    invoice.CustomerMemo = objects.CustomerMemo()
    invoice.CustomerMemo.value = "Customer Memo"
    return invoice.save(qb=qb, request_id=request_id)


def test_customer(qb: Theirs) -> None:
    customer = objects.Customer()
    customer.Title, customer.GivenName, customer.MiddleName = "Mr", "James", "B"
    customer.FamilyName, customer.Suffix = "King", "Jr"
    customer.DisplayName = customer.CompanyName = unique("King")
    customer.BillAddr = objects.Address()
    customer.BillAddr.Line1, customer.BillAddr.City = "123 Main", "City"
    customer.BillAddr.CountrySubDivisionCode = "CA"
    customer.PrimaryPhone = objects.PhoneNumber()
    customer.PrimaryPhone.FreeFormNumber = "555-555-5555"
    customer.PrimaryEmailAddr = objects.EmailAddress()
    customer.PrimaryEmailAddr.Address = "test@email.com"
    customer.save(qb=qb)

    stored = objects.Customer.get(customer.Id, qb=qb)
    assert stored.DisplayName == stored.FullyQualifiedName == customer.DisplayName
    assert stored.BillAddr.Line1 == "123 Main"
    assert stored.PrimaryPhone.FreeFormNumber == "555-555-5555"

    stored.GivenName = "Jim"
    stored.save(qb=qb)
    assert objects.Customer.get(customer.Id, qb=qb).GivenName == "Jim"
    assert objects.Customer.filter(DisplayName=customer.DisplayName, qb=qb)[0].Id == customer.Id
    assert objects.Customer.count(qb=qb) > 29


def test_a_name_that_is_taken(qb: Theirs) -> None:
    customer = objects.Customer()
    customer.DisplayName = "Books by Bessie"  # a vendor
    with pytest.raises(exceptions.QuickbooksException) as refused:
        customer.save(qb=qb)
    assert refused.value.error_code == 6240
    assert refused.value.detail == "The name supplied already exists. : Id=30"


def test_item(qb: Theirs) -> None:
    def account(where: str) -> Theirs:
        return objects.Account.where(where, max_results=1, qb=qb)[0]

    income = account("AccountType = 'Income' and AccountSubType = 'SalesOfProductIncome'")
    item = objects.Item()
    item.Name, item.Type = unique("Item"), "Inventory"
    item.TrackQtyOnHand, item.QtyOnHand, item.InvStartDate = True, 10, "2015-01-01"
    item.IncomeAccountRef = income.to_ref()
    item.ExpenseAccountRef = account("AccountSubType = 'SuppliesMaterialsCogs'").to_ref()
    item.AssetAccountRef = account("AccountSubType = 'Inventory'").to_ref()
    item.save(qb=qb)
    stored = objects.Item.get(item.Id, qb=qb)
    assert (stored.QtyOnHand, stored.TrackQtyOnHand) == (10, True)
    assert stored.IncomeAccountRef.value == income.Id


def test_invoice_and_payment(qb: Theirs) -> None:
    invoice = objects.Invoice.get(new_invoice(qb, 120).Id, qb=qb)
    assert invoice.CustomerMemo.value == "Customer Memo"
    assert invoice.Line[0].Amount == 120
    payment = objects.Payment()
    payment.TotalAmt = 70
    payment.CustomerRef = invoice.CustomerRef
    payment.PaymentMethodRef = objects.PaymentMethod.all(max_results=1, qb=qb)[0].to_ref()
    line = objects.PaymentLine()
    line.Amount = 70
    line.LinkedTxn.append(invoice.to_linked_txn())
    payment.Line.append(line)
    payment.save(qb=qb)
    assert objects.Invoice.get(invoice.Id, qb=qb).Balance == 50

    payment = objects.Payment.get(payment.Id, qb=qb)
    payment.void(qb=qb)
    voided = objects.Payment.get(payment.Id, qb=qb)
    assert voided.TotalAmt == 0
    assert "Voided" in voided.PrivateNote
    assert objects.Invoice.get(invoice.Id, qb=qb).Balance == 120


def test_the_same_request_id_makes_one_invoice(qb: Theirs) -> None:
    request_id = secrets.token_hex(16)
    assert new_invoice(qb, request_id=request_id).Id == new_invoice(qb, request_id=request_id).Id


def test_an_invoice_is_sent_voided_printed_and_deleted(qb: Theirs) -> None:
    invoice = new_invoice(qb)
    invoice.send(qb=qb, send_to="somebody@example.com")
    assert objects.Invoice.get(invoice.Id, qb=qb).EmailStatus == "EmailSent"
    assert invoice.download_pdf(qb=qb).startswith(b"%PDF-")
    invoice = objects.Invoice.get(invoice.Id, qb=qb)
    invoice.void(qb=qb)
    invoice = objects.Invoice.get(invoice.Id, qb=qb)
    assert (invoice.TotalAmt, invoice.Balance, invoice.PrivateNote) == (0, 0, "Voided")
    invoice.delete(qb=qb)
    assert objects.Invoice.filter(Id=invoice.Id, qb=qb) == []
    with pytest.raises(exceptions.ObjectNotFoundException):
        objects.Invoice.get(invoice.Id, qb=qb)


def test_an_invoice_link_is_given_when_asked_for(qb: Theirs) -> None:
    link = objects.Invoice.get(
        new_invoice(qb).Id, qb=qb, params={"include": "invoiceLink"}
    ).InvoiceLink
    assert link.startswith("https://")


def test_batches(qb: Theirs) -> None:
    customers = []
    for _ in range(3):
        customer = objects.Customer()
        customer.DisplayName = unique("Batch")
        customers.append(customer)
    taken = objects.Customer()
    taken.DisplayName = "Amy's Bird Sanctuary"
    created = batch.batch_create([*customers, taken], qb=qb)
    assert len(created.successes) == 3
    assert [fault.Error[0].code for fault in created.faults] == ["6240"]
    for customer in created.successes:
        customer.Notes = "seen"
    updated = batch.batch_update(created.successes, qb=qb)
    assert [customer.Notes for customer in updated.successes] == ["seen"] * 3
    deleted = batch.batch_delete([new_invoice(qb), new_invoice(qb)], qb=qb)
    assert not deleted.faults


def test_change_data_capture(qb: Theirs) -> None:
    since = datetime.now(UTC) - timedelta(seconds=5)
    invoice = new_invoice(qb)
    changes = change_data_capture(
        [objects.Invoice, objects.Customer], since.strftime("%Y-%m-%dT%H:%M:%S+00:00"), qb
    )
    assert invoice.Id in [each.Id for each in changes.Invoice]
    assert [each.Id for each in changes.Customer]


def test_lists_in_order(qb: Theirs) -> None:
    names = [each.DisplayName for each in objects.Customer.all(order_by="DisplayName DESC", qb=qb)]
    assert names == sorted(names, key=str.casefold, reverse=True)
    chosen = objects.Customer.choose(["1", "2"], qb=qb)
    assert sorted(each.Id for each in chosen) == ["1", "2"]
    page = objects.Customer.all(start_position=2, max_results=2, qb=qb)
    assert [each.Id for each in page] == [each.Id for each in objects.Customer.all(qb=qb)[1:3]]
    assert len(objects.Payment.all(max_results=5, qb=qb)) == 5


# python-quickbooks: everything else it offers ----------------------------------------------------


def expense_line(amount: float) -> Theirs:
    line = objects.AccountBasedExpenseLine()
    line.Amount, line.DetailType = amount, "AccountBasedExpenseLineDetail"
    line.AccountBasedExpenseLineDetail = objects.AccountBasedExpenseLineDetail()
    line.AccountBasedExpenseLineDetail.AccountRef = objects.Ref()
    line.AccountBasedExpenseLineDetail.AccountRef.value = 1
    return line


def new_bill(qb: Theirs) -> Theirs:
    bill = objects.Bill()
    bill.Line.append(expense_line(200))
    bill.VendorRef = objects.Vendor.all(max_results=1, qb=qb)[0].to_ref()
    return bill.save(qb=qb)


def test_bills_and_their_payments(qb: Theirs) -> None:
    bill = objects.Bill.get(new_bill(qb).Id, qb=qb)
    assert bill.Line[0].Amount == 200
    payment = objects.BillPayment()
    payment.PayType, payment.TotalAmt, payment.PrivateNote = "Check", 200, "Private Note"
    payment.VendorRef = bill.VendorRef
    payment.CheckPayment = objects.CheckPayment()
    account = objects.Account.where("AccountSubType = 'Checking'", qb=qb)[0]
    payment.CheckPayment.BankAccountRef = account.to_ref()
    line = objects.BillPaymentLine()
    line.Amount = 200
    line.LinkedTxn.append(bill.to_linked_txn())
    payment.Line.append(line)
    payment.save(qb=qb)
    stored = objects.BillPayment.get(payment.Id, qb=qb)
    assert (stored.TotalAmt, stored.PrivateNote) == (200, "Private Note")
    stored.void(qb=qb)
    voided = objects.BillPayment.get(payment.Id, qb=qb)
    assert voided.TotalAmt == 0
    assert "Voided" in voided.PrivateNote


@pytest.mark.parametrize(
    "kind", [objects.SalesReceipt, objects.RefundReceipt, objects.CreditMemo, objects.Estimate]
)
def test_other_sales_forms(qb: Theirs, kind: Theirs) -> None:
    form = kind()
    form.CustomerRef = objects.Customer.all(max_results=1, qb=qb)[0].to_ref()
    form.Line.append(sales_line(100, objects.Item.all(max_results=1, qb=qb)[0], 1, 100))
    form.save(qb=qb)
    stored = kind.get(form.Id, qb=qb)
    assert stored.TotalAmt == 100
    stored.PrivateNote = "Test"
    stored.save(qb=qb)
    assert kind.get(form.Id, qb=qb).PrivateNote == "Test"
    stored = kind.get(form.Id, qb=qb)
    if kind is objects.SalesReceipt:
        stored.void(qb=qb)
        assert kind.get(form.Id, qb=qb).TotalAmt == 0
    kind.get(form.Id, qb=qb).delete(qb=qb)
    assert kind.filter(Id=form.Id, qb=qb) == []


@pytest.mark.parametrize(
    "kind", [objects.Class, objects.Department, objects.Term, objects.PaymentMethod]
)
def test_short_lists(qb: Theirs, kind: Theirs) -> None:
    entry = kind()
    entry.Name = unique("Entry")[:31]
    if kind is objects.Term:
        entry.DueDays = 10
    entry.save(qb=qb)
    stored = kind.get(entry.Id, qb=qb)
    assert stored.Name == entry.Name
    stored.Name = unique("Changed")[:31]
    stored.save(qb=qb)
    assert kind.filter(Name=stored.Name, qb=qb)[0].Id == entry.Id


def test_accounts(qb: Theirs) -> None:
    account = objects.Account()
    account.Name, account.AcctNum = unique("Account"), "1234"
    account.AccountSubType = "CashOnHand"
    account.save(qb=qb)
    stored = objects.Account.get(account.Id, qb=qb)
    assert (stored.AcctNum, stored.AccountType) == ("1234", "Bank")
    stored.Name = unique("Account")
    stored.save(qb=qb)
    assert objects.Account.get(account.Id, qb=qb).Name == stored.Name
    assets = objects.Account.where(
        "Classification = 'Asset' AND FullyQualifiedName != 'Accounts Receivable (A/R)'", qb=qb
    )
    assert "Accounts Receivable (A/R)" not in [each.Name for each in assets]
    assert objects.Account.where("Name = 'checking'", qb=qb)[0].Id == "35"


def test_people(qb: Theirs) -> None:
    employee = objects.Employee()
    employee.GivenName, employee.FamilyName = "John", unique("Smith")
    employee.HiredDate = qb_date_format(date(2020, 7, 22))
    employee.PrimaryAddr = objects.Address()
    employee.PrimaryAddr.Line1 = "45 N. Elm Street"
    employee.save(qb=qb)
    stored = objects.Employee.get(employee.Id, qb=qb)
    assert stored.DisplayName == f"John {employee.FamilyName}"
    assert stored.PrimaryAddr.Line1 == "45 N. Elm Street"
    vendor = objects.Vendor()
    vendor.DisplayName = unique("Vendor")
    vendor.save(qb=qb)
    assert int(vendor.Id) == int(employee.Id) + 1  # names share one sequence


def test_time_money_and_notes(qb: Theirs) -> None:
    activity = objects.TimeActivity()
    activity.NameOf, activity.Description = "Employee", "Test description"
    activity.EmployeeRef = objects.Employee.all(max_results=1, qb=qb)[0].to_ref()
    activity.StartTime, activity.EndTime = "2016-07-22T10:00:00-07:00", "2016-07-22T11:00:00-07:00"
    activity.save(qb=qb)
    assert objects.TimeActivity.get(activity.Id, qb=qb).Description == "Test description"

    banks = objects.Account.filter(AccountType="Bank", max_results=2, qb=qb)
    transfer = objects.Transfer()
    transfer.Amount = 100
    transfer.FromAccountRef, transfer.ToAccountRef = banks[0].to_ref(), banks[1].to_ref()
    transfer.save(qb=qb)
    assert objects.Transfer.get(transfer.Id, qb=qb).Amount == 100

    deposit = objects.Deposit()
    deposit.DepositToAccountRef = banks[1].to_ref()
    line = objects.DepositLine()
    line.Amount, line.DetailType = 20, "DepositLineDetail"
    line.DepositLineDetail = objects.DepositLineDetail()
    line.DepositLineDetail.AccountRef = banks[0].to_ref()
    deposit.Line.append(line)
    deposit.save(qb=qb)
    assert objects.Deposit.get(deposit.Id, qb=qb).TotalAmt == 20

    note = objects.Attachable()
    note.Note = unique("Note")
    note.save(qb=qb)
    assert objects.Attachable.get(note.Id, qb=qb).Note == note.Note
    assert objects.JournalEntry.all(qb=qb) == []


def test_files(qb: Theirs, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("kept outside")
    attachable = objects.Attachable()
    attachable.FileName, attachable.ContentType = path.name, "text/plain"
    attachable._FilePath = str(path)
    attachable.save(qb=qb)
    assert objects.Attachable.get(attachable.Id, qb=qb).FileName == "note.txt"


def test_preferences_and_company(qb: Theirs) -> None:
    preferences = objects.Preferences.get(qb=qb)
    assert preferences.Id == "1"
    assert preferences.AccountingInfoPrefs.TaxYearMonth == "January"
    assert preferences.TimeTrackingPrefs.WorkWeekStartDate == "Monday"
    first = preferences.OtherPrefs.NameValue[0].Name
    assert first == "SalesFormsPrefs.DefaultCustomerMessage"
    preferences.EmailMessagesPrefs.EstimateMessage.Subject = "Another subject"
    preferences.save(qb=qb)
    changed = objects.Preferences.get(qb=qb)
    assert changed.EmailMessagesPrefs.EstimateMessage.Subject == "Another subject"
    info = objects.CompanyInfo.get(CRAIG, qb=qb)
    assert (info.Country, info.Id) == ("US", "1")


def test_taxes_and_currencies(qb: Theirs) -> None:
    assert len(objects.TaxCode.all(max_results=1, qb=qb)) == 4  # Intuit adds three pseudo codes
    assert len(objects.TaxRate.all(max_results=1, qb=qb)) == 1
    agency = objects.TaxAgency()
    agency.DisplayName = unique("Agency")
    agency.save(qb=qb)
    assert objects.TaxAgency.get(agency.Id, qb=qb).DisplayName == agency.DisplayName
    service, detail = objects.TaxService(), objects.TaxRateDetails()
    service.TaxCode = detail.TaxRateName = unique("Code")
    detail.RateValue, detail.TaxAgencyId = 10, 1
    service.TaxRateDetails.append(detail)
    created = service.save(qb=qb)
    assert created.TaxCode == service.TaxCode
    assert created.TaxRateDetails[0].TaxAgencyId == "1"
    assert company_currency.CompanyCurrency.get(1, qb=qb).Name == "Canadian Dollar"
    rate = exchange_rate.ExchangeRate.where("SourceCurrencyCode = 'EUR'", qb=qb)[0]
    rate.Rate += 1
    rate.save(qb=qb)
    again = exchange_rate.ExchangeRate.where("SourceCurrencyCode = 'EUR'", qb=qb)[0]
    assert again.Rate == rate.Rate


def test_recurring_transactions(qb: Theirs) -> None:
    invoice = recurring.RecurringInvoice()
    invoice.Line.append(sales_line(100, objects.Item.all(max_results=1, qb=qb)[0]))
    invoice.CustomerRef = objects.Customer.all(max_results=1, qb=qb)[0].to_ref()
    invoice.RecurringInfo = recurring.RecurringInfo()
    invoice.RecurringInfo.Name = unique("Recurring")
    invoice.RecurringInfo.ScheduleInfo = recurring.ScheduleInfo()
    invoice.RecurringInfo.ScheduleInfo.DayOfMonth = 1
    template = recurring.RecurringTransaction()
    template.Invoice = invoice
    saved = template.save(qb=qb)
    stored = recurring.RecurringTransaction.get(saved.Invoice.Id, qb=qb)
    stored.Invoice.RecurringInfo.ScheduleInfo.DayOfMonth = 15
    stored.save(qb=qb)
    stored = recurring.RecurringTransaction.where("Type = 'Invoice'", qb=qb)[0]
    assert stored.Invoice.RecurringInfo.ScheduleInfo.DayOfMonth == 15
    stored.delete(qb=qb)
    assert recurring.RecurringTransaction.all(qb=qb) == []
