"""What a bookkeeper changed in QuickBooks is not overwritten by our next change: a person is asked.

A field that only they changed is kept, one that only we changed is written, and of one that both
changed a person says which value is right.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from models.accounts import User
from models.base import Json
from models.outbox import Operation
from models.sales import Record, RecordType
from outbox import bulk
from outbox.company import Doubt, Due, Known, Rejected, Remote, Synced
from quickbooks import kinds
from quickbooks.composing import compose
from quickbooks.documents import Document, dumps, parsed
from quickbooks.faults import explain
from tests.support.firm import entries_of
from tests.support.situation import SETTINGS as STATUS_PAGE
from tests.support.situation import Situation
from tests.test_kinds import INVOICE, LEAD, PRODUCT, SETTINGS, a_lead, a_line, a_payment, an_invoice

PAYMENT = Record(RecordType.PAYMENT, 4)

SEND_OURS, LEAVE_THEIRS = "Send it as it is here", "Leave it as it is there"


def there(at: Situation, entity: str, **changes: Any) -> dict[str, Any]:
    """The bookkeeper changes the one object of this kind."""
    [one] = at.books(entity)
    told = {"Id": one["Id"], "SyncToken": one["SyncToken"], "sparse": True, **changes}
    answer = at.bookkeeper().post(entity.lower(), told)
    assert answer.status == 200, answer.text
    return answer.object(entity)


def booked(at: Situation, entity: str = "Invoice") -> dict[str, Any]:
    [one] = at.books(entity)
    return one


def lines_of(invoice: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in invoice["Line"] if line["DetailType"] == "SalesItemLineDetail"]


def with_late_fee(at: Situation) -> None:
    [line] = lines_of(booked(at))
    fee = {**line, "Description": "Late fee", "Amount": 25}
    fee["SalesItemLineDetail"] = {"ItemRef": line["SalesItemLineDetail"]["ItemRef"]}
    there(at, "Invoice", Line=[line, {key: fee[key] for key in fee if key != "Id"}])


def edit_invoice(at: Situation, invoice: int, **fields: str) -> None:
    at.ana.open(f"/invoices/{invoice}/edit").submit(fields, press="Save invoice")
    assert "is saved." in at.ana.text, at.ana.text
    at.drain()


def press(at: Situation, path: str, button: str) -> None:
    at.ana.open(path).submit(press=button)
    at.drain()


def test_a_late_fee_added_there_is_asked_about_and_may_stay(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    with_late_fee(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    assert (booked(at)["TotalAmt"], at.fault()) == (125, "edited_there")
    panel = at.ana.open(f"/invoices/{invoice}").panel()
    assert "lines, in total $110.00 here, $125.00 there" in panel
    press(at, f"/invoices/{invoice}", LEAVE_THEIRS)
    assert at.entry().state == "skipped"
    edit_invoice(at, invoice, memo="Thank you")  # which concerns nothing of theirs
    assert at.entry().state == "synced"
    invoiced = booked(at)
    assert (invoiced["CustomerMemo"]["value"], invoiced["TotalAmt"]) == ("Thank you", 125)


def test_ours_is_sent_when_a_person_says_so(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    with_late_fee(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    press(at, f"/invoices/{invoice}", SEND_OURS)
    assert (booked(at)["TotalAmt"], at.entry().state) == (110, "synced")
    edit_invoice(at, invoice, **{"lines-0-unit_price": "120"})
    assert (booked(at)["TotalAmt"], at.entry().state) == (120, "synced")


# --- Each field, by what QuickBooks answered last -------------------------------------------------

RECORDS = {RecordType.LEAD: LEAD, RecordType.INVOICE: INVOICE, RecordType.PAYMENT: PAYMENT}
LINKS = {
    LEAD: Remote("58", "4"),
    PRODUCT: Remote("11", "0"),
    INVOICE: Remote("130", "4", "1042", "108.00", balance="100.00"),
    PAYMENT: Remote("163", "4", None, "40.00"),
}
BILLED = an_invoice(a_line("2", "50", taxable=True, product_id=2), tax_rate="8", memo="Thank you")
ADDRESS = {"street": "1 Main St\nSuite 4", "city": "Austin"}
CUSTOMER = a_lead(phone="555-010-0001", email="kim@lawn.example", **ADDRESS)
FIRST = ("Line", 0)  # of the lines
DETAIL = (*FIRST, "SalesItemLineDetail")


def answered(document: Document, id_: str) -> Json:
    """As QuickBooks tells it back, with what it adds."""
    found: Json = parsed(dumps(document)) or {}
    for number, line in enumerate(found.get("Line", ()), start=1):
        line["Id"], line["LineNum"] = str(number), number
    if "DueDate" in found:
        found["Line"].append({"Amount": 100, "DetailType": "SubTotalLineDetail"})
        found["TotalAmt"] = 108
    if "BillAddr" in found:
        found["BillAddr"] |= {"Id": "7", "Lat": "30.2"}
    return {**found, "Id": id_, "SyncToken": "4"}


def edited(found: Json, *edits: tuple[tuple[str | int, ...], object]) -> Json:
    for (*path, last), value in edits:
        part: Any = found
        for key in path:
            part = part[key]
        if isinstance(part, list):
            part.insert(int(last), value)
        else:
            part[last] = value
    return found


def due_of(
    type_: RecordType,
    before: Json,
    now: Json,
    *edits: tuple[tuple[str | int, ...], object],
    is_read: bool = False,
    **of_due: Any,
) -> Due:
    record = RECORDS[type_]
    sent = kinds.document(record, before, LINKS, SETTINGS)
    there = edited(answered(sent, LINKS[record].id), *edits)
    known = Known(LINKS[record], before, dumps(sent), seen=None if is_read else dumps(there))
    if is_read:
        of_due["knowledge"] = {
            "seen": f"Id={LINKS[record].id}",
            "found": there,
            **of_due.get("knowledge", {}),
        }
    return Due(
        9, record, Operation.SAVE, now, known=replace(known, **of_due.pop("known", {})), **of_due
    )


def step_of(due: Due) -> Json | str:
    """What is written, or what a person is asked."""
    composition = compose([due], LINKS, SETTINGS)
    if composition.draft:
        body: Json = json.loads(composition.draft.body or "")
        return body
    outcome = composition.verdicts[due.entry_id]
    if isinstance(outcome, Synced):
        return {}
    assert isinstance(outcome, Rejected), outcome
    assert outcome.fault.code == "edited_there"
    return explain("edited_there", outcome.fault.about).cause


PRICED = {**BILLED, "lines": [a_line("2", "60", taxable=True, product_id=2)], "total": "129.60"}
ADDED = {"Amount": 25, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {}}
WORDS = {"Description": "Paid in part", "DetailType": "DescriptionOnly"}


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize(
    "edit",
    [
        (("Line", 1), ADDED),
        (("Line", 1), WORDS),
        ((*FIRST, "Amount"), 77),
        ((*FIRST, "Description"), "Spring cleaning"),
        ((*DETAIL, "ItemRef"), {"value": "12"}),
        ((*DETAIL, "TaxCodeRef"), {"value": "NON"}),
        ((*DETAIL, "ClassRef"), {"value": "5"}),
        (("TxnTaxDetail", "TotalTax"), "7.50"),
    ],
)
def test_lines_that_were_changed_there_are_not_replaced(
    edit: tuple[tuple[str | int, ...], object], *, is_read: bool
) -> None:
    step = step_of(due_of(RecordType.INVOICE, BILLED, PRICED, edit, is_read=is_read))
    assert "lines, in total $129.60 here, $108.00 there" in step


THEIRS = "“theirs” there"


@pytest.mark.parametrize(
    ("type_", "before", "now", "edit", "asks"),
    [
        # the same field: asked, with both values
        (
            "invoice",
            BILLED,
            {"memo": "Ours"},
            (("CustomerMemo", "value"), "theirs"),
            "message “Ours” here",
        ),
        ("invoice", BILLED, {"memo": ""}, (("CustomerMemo", "value"), "theirs"), "message “” here"),
        (
            "invoice",
            BILLED,
            {"due_on": "2027-01-01"},
            (("DueDate",), "2027-02-02"),
            "due date “Jan 1, 2027” here, “Feb 2, 2027” there",
        ),
        (
            "invoice",
            BILLED,
            {"issued_on": "2026-11-19"},
            (("TxnDate",), "2026-10-10"),
            "date “Nov 19, 2026” here",
        ),
        ("invoice", BILLED, {"number": "1050"}, (("DocNumber",), "theirs"), "number “1050” here"),
        (
            "lead",
            CUSTOMER,
            {"phone": "555-010-0002"},
            (("PrimaryPhone",), {"FreeFormNumber": "theirs 9"}),
            "phone number “555-010-0002” here, “theirs 9” there",
        ),
        (
            "lead",
            CUSTOMER,
            {"phone": ""},
            (("PrimaryPhone",), {"FreeFormNumber": "theirs 9"}),
            "phone number “” here",
        ),
        (
            "lead",
            CUSTOMER,
            {"phone": ""},
            (("PrimaryPhone",), {"FreeFormNumber": "ask Kim"}),
            "phone number “” here, “ask Kim” there",
        ),
        (
            "lead",
            CUSTOMER,
            {"email": "new@lawn.example"},
            (("PrimaryEmailAddr",), {"Address": "theirs"}),
            "e-mail address “new@lawn.example” here, “theirs” there",
        ),
        (
            "lead",
            CUSTOMER,
            {"name": "Greener"},
            (("DisplayName",), "theirs"),
            "name “Greener” here",
        ),
        (
            "lead",
            CUSTOMER,
            {"city": "Fresno"},
            (("BillAddr", "Line3"), "Rear door"),
            "address “1 Main St Suite 4 Fresno” here",
        ),
        (
            "lead",
            a_lead(),
            {"phone": "1"},
            (("PrimaryPhone",), {"FreeFormNumber": "theirs 9"}),
            "phone number “1” here",
        ),
        # another field, or the same value in other words: written
        ("invoice", BILLED, {"memo": "Ours"}, (("DueDate",), "theirs"), None),
        ("invoice", BILLED, {"memo": "Ours"}, (("Line", 1), ADDED), None),
        ("invoice", BILLED, {"memo": "Ours"}, (("CustomerMemo", "value"), " thank  you"), None),
        ("invoice", BILLED, {"memo": "Ours"}, (("CustomerMemo", "value"), "Ours"), None),
        (
            "lead",
            CUSTOMER,
            {"phone": "555-010-0002"},
            (("PrimaryPhone",), {"FreeFormNumber": "(555) 010-0001"}),
            None,
        ),
        (
            "lead",
            CUSTOMER,
            {"email": "new@lawn.example"},
            (("PrimaryEmailAddr",), {"Address": "Kim@lawn.example"}),
            None,
        ),
        (
            "lead",
            CUSTOMER,
            {"name": "Greener"},
            (("PrimaryPhone",), {"FreeFormNumber": "theirs 9"}),
            None,
        ),
        ("lead", CUSTOMER, {"city": "Fresno"}, (("BillAddr", "Line1"), "1  main st"), None),
    ],
)
def test_of_a_field_that_both_changed_a_person_says_which_value_is_right(
    type_: str,
    before: Json,
    now: Json,
    edit: tuple[tuple[str | int, ...], object],
    asks: str | None,
) -> None:
    due = due_of(RecordType(type_), before, {**before, **now}, edit)
    step = step_of(due)
    if asks is None:
        assert isinstance(step, dict), step
    else:
        assert asks in step
    again = replace(due, known=replace(due.known, seen=None))
    there = {"seen": f"Id={LINKS[due.record].id}", "found": parsed(due.known.seen)}
    read = step_of(replace(again, knowledge=there))
    assert read in (step, {})  # {} if they wrote what we would
    said = replace(again, knowledge={**there, "compares": True})
    assert isinstance(step_of(said), dict)  # sent again: as it is here


def test_what_an_unanswered_request_may_have_written_is_ours() -> None:
    doubted = kinds.document(INVOICE, PRICED, LINKS, SETTINGS)
    last = {**PRICED, "lines": [a_line("2", "70", taxable=True, product_id=2)]}
    due = due_of(RecordType.INVOICE, BILLED, last, ((*FIRST, "Amount"), 120), is_read=True)
    detail = due.knowledge["found"]["TxnTaxDetail"]
    detail["TotalTax"] = doubted["TxnTaxDetail"]["TotalTax"]
    assert isinstance(step_of(due), str)
    doubt = Doubt(7, "update", dumps(doubted))
    assert isinstance(step_of(replace(due, known=replace(due.known, doubts=(doubt,)))), dict)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (
            "DunaHub invoice 1042, DH-ABCDEFGHIJKL\nCall her",
            "DunaHub invoice 1050, DH-ABCDEFGHIJKL\nCall her",
        ),
        ("Call her", None),
    ],
)
def test_what_they_wrote_into_the_note_stays(there: str, written: str | None) -> None:
    now = {**BILLED, "number": "1050"}
    step = step_of(due_of(RecordType.INVOICE, BILLED, now, (("PrivateNote",), there)))
    assert isinstance(step, dict)
    assert step["DocNumber"] == "1050"
    assert step.get("PrivateNote") == written


def test_a_number_that_quickbooks_chose_may_be_replaced() -> None:
    sent = kinds.document(INVOICE, BILLED, LINKS, SETTINGS) | {"DocNumber": "AUTO_GENERATE"}
    now = {**BILLED, "number": "1050"}
    due = due_of(RecordType.INVOICE, BILLED, now, (("DocNumber",), "5004"))
    due = replace(due, known=replace(due.known, sent_document=dumps(sent)))
    assert isinstance(step_of(due), dict)


@pytest.mark.parametrize(("total", "asks"), [(108, False), (125, True)])
def test_an_invoice_that_was_only_linked_is_judged_by_its_total(total: int, *, asks: bool) -> None:
    edits = ((("Line", 1), ADDED), (("TotalAmt",), total))
    due = due_of(RecordType.INVOICE, BILLED, PRICED, *edits, is_read=True)
    linked = replace(due, known=replace(due.known, sent_document=None))
    assert isinstance(step_of(linked), str) == asks


@pytest.mark.parametrize(
    ("edit", "asks"),
    [
        ((("TotalAmt",), 55), "amount “40.00” here, “55” there"),
        (
            (("Line", 0, "LinkedTxn", 0), {"TxnId": "999", "TxnType": "Invoice"}),
            "other invoices that it pays",
        ),
        ((("PrivateNote",), "Invoice 1042. By post"), None),
    ],
)
def test_a_payment_that_was_changed_there_keeps_amount_and_invoice(
    edit: tuple[tuple[str | int, ...], object], asks: str | None
) -> None:
    before = a_payment("40.00")
    step = step_of(
        due_of(RecordType.PAYMENT, before, {**before, "received_on": "2026-11-21"}, edit)
    )
    if asks is None:
        assert isinstance(step, dict)
    else:
        assert asks in step


# --- About many records at once -------------------------------------------------------------------


def asked_about(at: Situation) -> int:
    """An invoice that was changed here and there, and its question."""
    at.connect()
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    with_late_fee(at)
    edit_invoice(at, invoice, **{"lines-0-unit_price": "110"})
    assert at.fault() == "edited_there"
    return invoice


def test_send_all_again_leaves_out_what_asks_whether_to_overwrite(at: Situation) -> None:
    asked_about(at)
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"fault": {"code": "2210"}})
    at.save_lead("Other")
    at.drain()
    page = at.ana.open(STATUS_PAGE)
    assert "1 record can be sent again" in page.text
    page.submit(press="Send all again")
    assert "1 record will be sent again." in at.ana.text
    at.drain()
    assert "lead synced" in at.states()[-1]
    assert len(lines_of(booked(at))) == 2
    page = at.ana.open(STATUS_PAGE)
    assert "Changed here and in QuickBooks" in page.text
    assert not {"Send again", "Send all again"} & {
        button.get_text(strip=True) for button in page.page.select("main button")
    }


@pytest.mark.parametrize("how", ["admin", "owner", "forged"])
def test_what_is_sent_again_in_bulk_asks_again(at: Situation, how: str) -> None:
    asked_about(at)
    ids, user = [entry.id for entry in entries_of(at.session)], at.session.scalars(select(User.id))
    person = user.first() or 0
    match how:
        case "admin":
            bulk.decide(at.session, "requeue", ids, person, "support")
        case "owner":
            bulk.requeue(at.session, ids, organization_id=at.firm, user_id=person)
        case _:
            token = at.ana.open(STATUS_PAGE).token()
            form = {"csrf_token": token, "code": "edited_there", "thing": ""}
            at.ana.client.post(f"{STATUS_PAGE}/failed/requeue", data=form)
    at.session.commit()
    bulk.carry_out(at.sessions)
    at.drain()
    assert at.fault() == "edited_there"
    assert len(lines_of(booked(at))) == 2
