"""The next request: one of one type, or a verdict without one. Pure, readable as a table."""

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Json
from models.outbox import Operation
from models.sales import Record, RecordType
from outbox.company import (
    Doubt,
    Draft,
    Due,
    Known,
    Learned,
    Outcome,
    Rejected,
    Remote,
    Synced,
    Unneeded,
    Waiting,
)
from quickbooks import kinds
from quickbooks.composing import compose
from quickbooks.documents import dumps
from quickbooks.questions import Question, asked, on_day, statement
from tests.test_kinds import SETTINGS, a_lead, a_line, a_payment, an_invoice

LEAD, INVOICE = Record(RecordType.LEAD, 1), Record(RecordType.INVOICE, 3)
PAYMENT, PRODUCT = Record(RecordType.PAYMENT, 4), Record(RecordType.PRODUCT, 2)
CUSTOMER, BILL = Remote("58", "0"), Remote("130", "2", "1042", "100.00")
ALL = {LEAD: CUSTOMER, INVOICE: BILL, PRODUCT: Remote("11", "0")}


def known(of_due: dict[str, Any]) -> dict[str, Any]:
    """`before`, what was sent last, and `decision`, a person's, are kept by the counterpart."""
    before, decision = of_due.pop("before", None), of_due.pop("decision", {})
    return {"known": Known(sent_values=before, decision=decision), **of_due}


def lead(entry_id: int = 1, record_id: int | None = None, **fields: Any) -> Due:
    names = {*Due.__dataclass_fields__, "before", "decision"}
    of_due = known({key: fields.pop(key) for key in list(fields) if key in names})
    payload = a_lead(**{"name": f"Lead {entry_id}", **fields})
    record = Record(RecordType.LEAD, record_id or entry_id)
    return Due(entry_id, record, of_due.pop("operation", Operation.SAVE), payload, **of_due)


def bill(entry_id: int = 3, number: str = "1042", **of_due: Any) -> Due:
    record = Record(RecordType.INVOICE, of_due.pop("record_id", 3))
    operation = of_due.pop("operation", Operation.SAVE)
    return Due(entry_id, record, operation, an_invoice(number=number), **known(of_due))


def paid(entry_id: int = 4, *, fields: Json | None = None, **of_due: Any) -> Due:
    record = Record(RecordType.PAYMENT, entry_id)
    payload = a_payment("40.00", **(fields or {}))
    return Due(entry_id, record, Operation.SAVE, payload, **known(of_due))


def product(entry_id: int = 2, **of_due: Any) -> Due:
    payload = {"name": "Design", "description": "", "unit_price": "75", "taxable": False}
    return Due(entry_id, PRODUCT, Operation.SAVE, payload, **known(of_due))


def draft_of(*entries: Due, links: Mapping[Record, Remote] = ALL, **settings: Any) -> Draft:
    draft = compose(entries, links, {**SETTINGS, **settings}).draft
    assert draft is not None
    return draft


def settled(due: Due, links: Mapping[Record, Remote] = ALL) -> Remote | None:
    """The object that needs no writing."""
    outcome = verdict_on(due, links)
    assert isinstance(outcome, Synced)
    return outcome.remote


def verdict_on(due: Due, links: Mapping[Record, Remote] = ALL, **settings: Any) -> Outcome:
    composition = compose([due], links, {**SETTINGS, **settings})
    assert composition.draft is None
    return composition.verdicts[due.entry_id]


def body_of(draft: Draft) -> Any:
    return json.loads(draft.body or "", parse_float=Decimal)


# --- Writes -------------------------------------------------------------------------------------


def test_one_entry_goes_by_the_plain_endpoint() -> None:
    draft = draft_of(lead(9, name="Green Lawn"), links={})
    assert (draft.method, draft.path, draft.is_batch) == ("POST", "customer", False)
    assert draft.query == {"minorversion": "75"}
    assert body_of(draft) == {"DisplayName": "Green Lawn"}
    assert [(item.entry_id, item.intent) for item in draft.items] == [(9, "create")]


def test_two_or_more_go_as_a_batch_in_the_order_of_their_bids() -> None:
    draft = draft_of(lead(7), lead(8), links={})
    assert (draft.path, draft.is_batch) == ("batch", True)
    assert body_of(draft) == {
        "BatchItemRequest": [
            {"bId": "0", "operation": "create", "Customer": {"DisplayName": "Lead 7"}},
            {"bId": "1", "operation": "create", "Customer": {"DisplayName": "Lead 8"}},
        ]
    }


def test_a_batch_holds_thirty_at_most() -> None:
    assert len(draft_of(*(lead(number) for number in range(40)), links={}).items) == 30


@pytest.mark.parametrize(
    ("entries", "links"),
    [
        ([lead(7, name="Green Lawn"), lead(8, name="GREEN  lawn")], {}),
        ([bill(7, record_id=7), bill(8, record_id=8)], ALL),  # one number
        ([paid(7), paid(8)], ALL),  # one invoice
        ([lead(7), lead(8, knowledge={"alone": True})], {}),
        ([lead(7), lead(8, 1, before=a_lead(name="Old"))], ALL),  # a create and an update
    ],
)
def test_what_could_get_into_each_others_way_goes_one_after_the_other(
    entries: list[Due], links: Mapping[Record, Remote]
) -> None:
    assert [item.entry_id for item in draft_of(*entries, links=links).items] == [7]


def renamed(entry_id: int, record_id: int, old: str, new: str) -> Due:
    sent = Known(sent_document=json.dumps({"DisplayName": old}))
    return replace(lead(entry_id, record_id, name=new), known=sent)


def test_invoices_that_quickbooks_numbers_go_together() -> None:
    bills = [bill(number, str(number), record_id=number) for number in (7, 8, 9)]
    draft = draft_of(*bills, numbers="generated")
    assert [item.entry_id for item in draft.items] == [7, 8, 9]
    composition = compose([bill(10, "10", record_id=10)], ALL,
                          {**SETTINGS, "numbers": "generated"}, draft.claims)  # fmt: skip
    assert composition.draft


@pytest.mark.parametrize(
    ("under_way", "due"),
    [
        ([lead(7, name="Green Lawn")], lead(8, name="GREEN lawn")),
        ([bill(7)], paid(8)),  # the invoice that it pays
        ([paid(7)], bill(8)),  # its payment
        ([paid(7)], paid(8)),  # one invoice
        ([lead(7, 1)], bill(8)),  # its customer
        ([bill(7, checks=True)], paid(8)),  # what is read of its invoice may be of before or after
        ([renamed(7, 1, "Old", "New")], lead(8, name="old")),  # the name that it gives up
    ],
)
def test_what_meets_a_request_under_way_is_left_for_later(under_way: list[Due], due: Due) -> None:
    taken = draft_of(*under_way).claims
    assert taken
    composition = compose([due], ALL, SETTINGS, taken)
    assert (composition.draft, composition.verdicts) == (None, {})
    assert compose([due], ALL, SETTINGS, frozenset({"lead 99"})).draft


def test_rule_11_what_is_missing_is_waited_for_by_name() -> None:
    assert verdict_on(bill(), {}) == Waiting(LEAD)
    assert verdict_on(paid(), {LEAD: CUSTOMER}) == Waiting(INVOICE)


def test_one_impossible_entry_does_not_keep_the_others() -> None:
    composition = compose([lead(7, name="🌱"), lead(8)], {}, SETTINGS)
    assert composition.draft is not None
    assert [item.entry_id for item in composition.draft.items] == [8]
    refused = composition.verdicts[7]
    assert isinstance(refused, Rejected)
    assert (refused.fault.code, refused.fault.field) == ("no_name", "name")


# --- Updates ------------------------------------------------------------------------------------


def test_an_update_is_sparse_and_says_only_what_changed_here() -> None:
    due = lead(9, 1, name="Green", email="b@lawn.example", before=a_lead(name="Green", phone="1"))
    assert body_of(draft_of(due)) == {
        "Id": "58",
        "SyncToken": "0",
        "sparse": True,
        "PrimaryEmailAddr": {"Address": "b@lawn.example"},
        "PrimaryPhone": {},
    }


def test_a_change_that_quickbooks_does_not_see_needs_no_call() -> None:
    due = lead(9, 1, name="Green", city="Fresno ", before=a_lead(name="Green", city="Fresno"))
    assert settled(due) == CUSTOMER


def test_without_knowing_what_arrived_before_nothing_is_blanked() -> None:
    assert body_of(draft_of(lead(9, 1, name="Green"))) == {
        "Id": "58",
        "SyncToken": "0",
        "sparse": True,
        "DisplayName": "Green",
    }


def test_what_was_needed_before_and_no_more_is_not_waited_for() -> None:
    before = an_invoice(a_line(), a_line(product_id=77), lead_id=88)
    found = {"Id": "130", "SyncToken": "2", "TotalAmt": "200", "Line": []}
    knowledge = {"seen": "Id=130", "found": found}
    body = body_of(draft_of(bill(before=before, knowledge=knowledge)))
    assert body["CustomerRef"] == {"value": "58"}
    assert len(body["Line"]) == 1
    assert "TxnDate" not in body


def taxed(price: str) -> Json:
    return an_invoice(a_line("1", price, taxable=True), tax_rate="8")


def test_an_invoice_that_was_only_linked_is_read_before_it_is_changed() -> None:
    due = Due(3, INVOICE, Operation.SAVE, taxed("110"), known=Known(sent_values=taxed("100")))
    draft = draft_of(due, tax={"mode": "line"})
    assert (draft.method, draft.items[0].intent) == ("GET", "read")
    tax = {"TxnTaxDetail": {"TotalTax": "8.00"}}
    found = {"Id": "130", "SyncToken": "2", "TotalAmt": "108", "Line": [], **tax}
    due = replace(due, knowledge={"seen": "Id=130", "found": found})
    body = body_of(draft_of(due, tax={"mode": "line"}))
    assert [line["Amount"] for line in body["Line"]] == [Decimal("110.00"), Decimal("8.80")]
    assert body["TxnTaxDetail"] == {"TotalTax": 0}


@pytest.mark.parametrize("now", ["line", "none"])
def test_tax_that_was_sent_is_cleared_though_a_change_since_was_declined(now: str) -> None:
    sent = dumps(kinds.document(INVOICE, taxed("100"), ALL, SETTINGS))
    known = Known(sent_values=taxed("100"), sent_document=sent, declined_values=taxed("105"))
    due = Due(3, INVOICE, Operation.SAVE, taxed("110"), known=known)
    body = body_of(draft_of(due, tax={"mode": now}))
    assert body["TxnTaxDetail"] == {"TotalTax": 0}


def declined_invoice(sent: Json, declined: Json, now: Json) -> Due:
    """An invoice of which a change was declined, and which was changed here again."""
    document = dumps(kinds.document(INVOICE, sent, ALL, SETTINGS))
    known = Known(BILL, sent, document, declined)
    return Due(3, INVOICE, Operation.SAVE, now, known=known)


def lines(*prices: str, description: str = "Work", **fields: Any) -> Json:
    each = [{**a_line("1", price, taxable=True), "description": description} for price in prices]
    return an_invoice(*each, **fields)


def off(discount: str, *prices: str) -> Json:
    """With a discount of so many dollars, and without tax."""
    return lines(*prices, discount_amount=discount, tax_rate="0", tax_amount="0")


def untaxed(values: Json) -> Json:
    """Its second line is not taxed."""
    one, two, *rest = values["lines"]
    return {**values, "lines": [one, {**two, "taxable": False}, *rest]}


@pytest.mark.parametrize(
    ("sent", "declined", "now"),
    [
        (lines("100"), lines("150"), lines("150", description="Repair")),
        (lines("100", "20"), lines("150", "20"), lines("150", "30")),
        (lines("100", "20"), lines("100"), lines("110")),
        (lines("100"), lines("100", "20"), lines("110", "20")),
        (lines("100"), lines("100", tax_rate="9"), lines("110", tax_rate="9")),
        (lines("100", tax_rate="8"), lines("100", tax_rate="9"),
         lines("100", tax_rate="9", description="Repair")),
        (off("10", "100"), off("20", "100"), off("30", "100", "50")),  # 20 %
        (off("0", "100"), off("20", "100"), off("30", "100", "50")),
        (off("10", "100"), off("0", "100"), off("0", "100", "50")),
        (off("10", "100"), off("15", "100"), off("15", "100", "50")),  # an amount
        (lines("100", "50"), lines("100"), lines("100", "70")),
        (lines("100", "50", "20"), lines("100", "20"), lines("100", "20", "30", "40")),
        (lines("100", tax_rate="8"), lines("100", tax_rate="0", tax_amount="0"),
         lines("100", tax_rate="0", tax_amount="0", description="Repair")),
        (lines("100", "50", tax_rate="8"), untaxed(lines("100", "50", tax_rate="8")),
         untaxed(lines("100", "50", "10", tax_rate="8"))),
    ],
)  # fmt: skip
def test_a_declined_change_of_an_invoice_never_goes_along(
    sent: Json, declined: Json, now: Json
) -> None:
    due = declined_invoice(sent, declined, now)
    verdict = verdict_on(due)
    assert isinstance(verdict, Rejected)
    assert verdict.fault.code == "declined_goes_along"
    found = {"Id": "130", "SyncToken": "2", "TotalAmt": "100", "Line": []}
    sent_again = {"compares": True, "seen": "Id=130", "found": found}
    assert body_of(draft_of(replace(due, knowledge=sent_again)))["Line"]


@pytest.mark.parametrize(
    ("sent", "declined", "now"),
    [
        (lines("100"), lines("150"), lines("160")),  # the price was changed again
        (lines("100"), lines("150"), lines("100", description="Repair")),  # and taken back
        (lines("100"), lines("150"), lines("150", memo="Thanks")),  # goes without lines
        (lines("100"), lines("100", memo="No"), lines("110", memo="No")),
        (lines("100", "20"), lines("100"), lines("110", "20")),
        (off("10", "100"), off("20", "100"), off("15", "100", "50")),  # 10 % again
        (off("10", "100"), off("10", "100", "50"), off("10", "120")),
        (
            lines("100", tax_rate="8"),
            lines("100", tax_rate="0", tax_amount="0"),
            lines("110", tax_rate="8"),
        ),
    ],
)
def test_what_was_declined_and_does_not_go_along_asks_nobody(
    sent: Json, declined: Json, now: Json
) -> None:
    draft = draft_of(declined_invoice(sent, declined, now))
    assert (draft.method, draft.items[0].intent) == ("POST", "update")


@pytest.mark.parametrize("amount", ["50.00", "60.00"])
def test_a_declined_amount_of_a_payment_never_goes_along(amount: str) -> None:
    def payment(amount: str, **fields: Any) -> Json:
        return {**a_payment(amount), **fields}

    document = dumps(kinds.document(PAYMENT, payment("40.00"), ALL, SETTINGS))
    known = Known(Remote("9", "0"), payment("40.00"), document, payment("50.00"))
    links = {**ALL, PAYMENT: Remote("9", "0")}
    due = Due(4, PAYMENT, Operation.SAVE, payment(amount, received_on="2026-11-02"), known=known)
    if amount == "50.00":
        verdict = verdict_on(due, links)
        assert isinstance(verdict, Rejected)
        assert verdict.fault.code == "declined_goes_along"
    else:
        assert draft_of(due, links=links).items[0].intent == "update"


@pytest.mark.parametrize("phone", ["", "555-201-0001", "555-999-9999"])
def test_case_r11_another_name_is_asked_about_whatever_else_agrees(phone: str) -> None:
    there = {
        "id": "77", "version": "0", "name": "Harborview HOA", "email": "manager@pm.example",
        "phone": "5552010001", "active": True, "lead_id": None, "lead_name": None,
    }  # fmt: skip
    due = lead(9, name="Maple Court HOA", email="manager@pm.example", phone=phone)
    verdict = verdict_on(due, {}, customers=[there])
    assert isinstance(verdict, Rejected)
    assert verdict.fault.code == "perhaps_another"


def test_lines_that_differ_over_there_go_with_their_tax() -> None:
    payload = an_invoice(a_line(taxable=True), tax_rate="8")
    found = {"Id": "130", "SyncToken": "2", "TotalAmt": "5", "Line": []}
    knowledge = {"seen": "Id=130", "found": found, "compares": True}
    due = Due(3, INVOICE, Operation.SAVE, payload, knowledge=knowledge)
    assert body_of(draft_of(due))["TxnTaxDetail"]["TotalTax"] == 8


def test_a_changed_payment_takes_its_lines_along() -> None:
    links = {**ALL, PAYMENT: Remote("163", "1")}
    before = a_payment("40.00", note="old")
    body = body_of(draft_of(paid(before=before, fields={"note": "new"}), links=links))
    assert body["Line"] == [{"Amount": 40, "LinkedTxn": [{"TxnId": "130", "TxnType": "Invoice"}]}]
    assert body["PrivateNote"] == "Invoice 1042, DH-MNOPQRSTUVWX. new"
    assert "PaymentRefNum" not in body


def test_a_payment_sent_without_the_mark_in_its_note_keeps_it_so() -> None:
    """As the first releases sent it: nothing is rewritten unasked, nor shown as a difference."""
    links = {**ALL, PAYMENT: Remote("163", "1")}
    due = paid(before=a_payment("40.00", note="old"), fields={"note": "old"})
    sent = kinds.document(PAYMENT, due.payload, links, SETTINGS)
    sent["PrivateNote"] = "Invoice 1042. old"
    old = replace(due, known=replace(due.known, sent_document=dumps(sent)))
    assert settled(old, links)
    changed = replace(old, payload=a_payment("40.00", note="new"))
    assert body_of(draft_of(changed, links=links))["PrivateNote"] == "Invoice 1042. new"


def test_a_stale_version_is_read_first() -> None:
    draft = draft_of(bill(), links={**ALL, INVOICE: replace(BILL, stale=True)})
    assert (draft.method, draft.path) == ("GET", "query")
    assert draft.query["query"] == "SELECT * FROM Invoice WHERE Id IN ('130') MAXRESULTS 1000"
    assert draft.items[0].intent == "read"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.SAVE, "invoice_gone"),
        (
            Operation.VOID,
            Synced(replace(BILL, stale=True, voided=True), note="was deleted in QuickBooks"),
        ),
    ],
)
def test_one_that_was_looked_for_and_is_gone_is_not_looked_for_again(
    operation: Operation, expected: Outcome | str
) -> None:
    """A payment made its version stale, and then it was deleted: every look would end like this."""
    due = bill(operation=operation, knowledge={"seen": "Id=130", "found": None, "gone": True})
    outcome = verdict_on(due, {**ALL, INVOICE: replace(BILL, stale=True)})
    told = outcome.fault.code if isinstance(outcome, Rejected) else outcome
    assert told == expected


def test_a_void_is_tried_though_a_list_does_not_have_the_document() -> None:
    """Lists may lag behind. Only QuickBooks' refusal says that it is gone."""
    void = bill(operation=Operation.VOID, knowledge={"seen": "Id=130", "found": None})
    draft = draft_of(void, links={**ALL, INVOICE: replace(BILL, stale=True)})
    assert draft.items[0].intent == "void"


def test_a_dialogue_without_end_is_our_own_mistake() -> None:
    stale = {**ALL, INVOICE: replace(BILL, stale=True)}
    assert draft_of(bill(knowledge={"reads": 19}), links=stale).method == "GET"
    outcome = verdict_on(bill(knowledge={"reads": 20}), stale)
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == "internal"


def test_what_is_never_answered_and_never_found_is_no_mistake_of_ours() -> None:
    due = bill(knowledge={"reads": 20})
    outcome = verdict_on(replace(due, known=Known(doubts=(Doubt(7, "create", "{}"),))))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == "unanswered"


# --- Voids, deletions, refunds ------------------------------------------------------------------


def test_an_invoice_is_voided_never_deleted() -> None:
    draft = draft_of(bill(operation=Operation.VOID))
    assert (draft.path, draft.query["operation"]) == ("invoice", "void")
    assert body_of(draft) == {"Id": "130", "SyncToken": "2"}


@pytest.mark.parametrize(
    ("due", "links", "expected"),
    [
        (bill(operation=Operation.VOID), {}, Unneeded()),
        (
            bill(operation=Operation.VOID),
            {INVOICE: replace(BILL, voided=True)},
            Synced(replace(BILL, voided=True)),
        ),
        (lead(1, operation=Operation.VOID), {}, Unneeded()),
        (lead(1, operation=Operation.VOID), ALL, Synced(None, note="kept in QuickBooks")),
        (paid(fields={"refunded_amount": "40.00"}), ALL, Unneeded()),
        (product(), ALL, Synced(ALL[PRODUCT])),
    ],
)
def test_what_needs_no_call_gets_none(
    due: Due, links: Mapping[Record, Remote], expected: Outcome
) -> None:
    assert verdict_on(due, links) == expected


@pytest.mark.parametrize(
    ("due", "links", "code"),
    [
        (paid(fields={"refunded_amount": "40.00"}), {**ALL, PAYMENT: CUSTOMER}, "reversed"),
        (paid(fields={"refunded_amount": "10.00"}), ALL, "reversed_unsent"),
        (paid(), {**ALL, INVOICE: replace(BILL, voided=True)}, "invoice_voided"),
        (bill(), {**ALL, INVOICE: replace(BILL, voided=True)}, "voided_there"),
        (product(), {}, "no_income_account"),
    ],
)
def test_what_only_a_person_can_solve_is_asked(
    due: Due, links: Mapping[Record, Remote], code: str
) -> None:
    outcome = verdict_on(due, links, income_account_id=None)
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == code


def test_a_void_that_is_sent_again_looks_whether_it_still_is_one() -> None:
    """A bookkeeper may have given the invoice its amounts back."""
    voided = {**ALL, INVOICE: replace(BILL, voided=True)}
    due = bill(operation=Operation.VOID, checks=True)
    assert draft_of(due, links=voided).method == "GET"


def test_a_choice_whose_request_had_no_answer_is_looked_up() -> None:
    sleeping = {"Id": "58", "SyncToken": "0", "DisplayName": "Lead 7", "Active": False}
    knowledge = {"use": "58", "activate": True, "seen": "Id=58", "found": sleeping}
    chosen = lead(7, knowledge=knowledge)
    assert draft_of(chosen, links={}).method == "POST"
    assert draft_of(replace(chosen, looks_first=True), links={}).method == "GET"


def test_a_void_does_not_wait_for_a_customer_without_whom_nothing_can_be_there() -> None:
    due = bill(operation=Operation.VOID, looks_first=True)
    assert verdict_on(due, {}, numbers="quickbooks") == Unneeded()


# --- Questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "links", "settings", "statement"),
    [
        (
            lead(7, name="Amy's Bird", looks_first=True),
            {},
            {},
            "SELECT * FROM Customer WHERE DisplayName IN ('Amy\\'s Bird') AND Active IN"
            " (true, false) MAXRESULTS 1000",
        ),
        (
            product(looks_first=True),
            {},
            {},
            "SELECT * FROM Item WHERE Name IN ('Design') AND Active IN (true, false)"
            " MAXRESULTS 1000",
        ),
        (
            bill(looks_first=True),
            {LEAD: CUSTOMER},
            {},
            "SELECT * FROM Invoice WHERE DocNumber IN ('1042') MAXRESULTS 1000",
        ),
        (
            bill(looks_first=True),
            {LEAD: CUSTOMER},
            {"numbers": "quickbooks"},
            "SELECT * FROM Invoice WHERE CustomerRef = '58' AND TxnDate = '2026-11-18'"
            " MAXRESULTS 1000",
        ),
        (
            bill(looks_first=True, operation=Operation.VOID),
            {LEAD: CUSTOMER},
            {},
            "SELECT * FROM Invoice WHERE DocNumber IN ('1042') MAXRESULTS 1000",
        ),
        (
            paid(looks_first=True, fields={"refunded_amount": "40.00"}),
            ALL,
            {},
            "SELECT * FROM Payment WHERE PaymentRefNum IN ('DH-MNOPQRSTUVWX') MAXRESULTS 1000",
        ),
        (
            paid(looks_first=True),
            ALL,
            {},
            "SELECT * FROM Payment WHERE PaymentRefNum IN ('DH-MNOPQRSTUVWX') MAXRESULTS 1000",
        ),
        (
            bill(looks_first=True),
            ALL,
            {},
            "SELECT * FROM Invoice WHERE Id IN ('130') MAXRESULTS 1000",
        ),
        (
            lead(7, knowledge={"name_holder": "1209"}),
            {},
            {},
            "SELECT * FROM Customer WHERE Id IN ('1209') AND Active IN (true, false)"
            " MAXRESULTS 1000",
        ),
        (
            bill(knowledge={"number_holder": "1109"}),
            {LEAD: CUSTOMER},
            {},
            "SELECT * FROM Invoice WHERE Id IN ('1109') MAXRESULTS 1000",
        ),
        (
            lead(1, checks=True),
            ALL,
            {},
            "SELECT * FROM Customer WHERE Id IN ('58') AND Active IN (true, false) MAXRESULTS 1000",
        ),
    ],
)
def test_what_may_be_there_already_is_looked_for(
    due: Due, links: Mapping[Record, Remote], settings: Json, statement: str
) -> None:
    draft = draft_of(due, links=links, **settings)
    assert (draft.method, draft.body) == ("GET", None)
    assert draft.query["query"] == statement


def test_many_questions_of_one_sort_are_one_read_and_go_before_writes() -> None:
    entries = [lead(1), lead(2, looks_first=True), lead(3, looks_first=True)]
    draft = draft_of(*entries, links={})
    assert [item.entry_id for item in draft.items] == [2, 3]
    assert "DisplayName IN ('Lead 2', 'Lead 3')" in draft.query["query"]


def test_a_question_stays_short_enough_for_an_address() -> None:
    entries = [lead(number, name=str(number) + "ß" * 490, looks_first=True) for number in range(30)]
    draft = draft_of(*entries, links={})
    assert 1 <= len(draft.items) < 30
    assert len(urlencode(draft.query)) < 8_000


values = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5)


@given(values)
def test_a_statement_tells_again_what_it_asks(names: list[str]) -> None:
    questions = [Question("DisplayName", name) for name in names]
    assert asked(statement("Customer", questions)) == questions
    bills = [Question("CustomerRef", "58", on_day("2026-11-18"))]
    assert asked(statement("Invoice", bills)) == bills


# --- Judging what was found ---------------------------------------------------------------------

GREEN = {
    "Id": "1209",
    "SyncToken": "4",
    "DisplayName": "Green Lawn",
    "Active": True,
    "PrimaryEmailAddr": {"Address": "Green@Lawn.example"},
    "PrimaryPhone": {"FreeFormNumber": "+1 (415) 555-0142"},
}


def holding(found: Json | None, **fields: Any) -> Due:
    knowledge = {"name_holder": "1209", "seen": "Id=1209", "found": found}
    return lead(7, knowledge=knowledge, **{"name": "Green Lawn", **fields})


@pytest.mark.parametrize(
    ("fields", "found", "links_it"),
    [
        ({"email": "green@lawn.example"}, GREEN, True),
        ({"phone": "415.555.0142"}, GREEN, True),
        ({"email": "other@lawn.example", "phone": "4155550142"}, GREEN, True),
        ({"email": "other@lawn.example"}, GREEN, False),
        ({}, GREEN, False),  # a name alone is not plainly the same
        ({"email": "green@lawn.example"}, {**GREEN, "DisplayName": "Green"}, False),
        ({"email": "green@lawn.example"}, {**GREEN, "Active": False}, False),
        ({"email": "green@lawn.example"}, None, False),  # a vendor or an employee
    ],
)
def test_a_taken_name_is_linked_only_when_it_is_plainly_the_same(
    fields: Json, found: Json | None, links_it: bool
) -> None:
    outcome = verdict_on(holding(found, **fields), {})
    if links_it:
        assert isinstance(outcome, Synced)
        assert outcome.remote == Remote("1209", "4")
        assert outcome.note
    else:
        assert isinstance(outcome, Rejected)
        assert outcome.fault.field == "name"
        expected = "customer_inactive" if found and found["Active"] is False else "6240"
        assert outcome.fault.code == expected
        assert outcome.fault.about["name"] == "Green Lawn"


FOUND_BILL = {
    "Id": "1109",
    "SyncToken": "1",
    "DocNumber": "1042",
    "TxnDate": "2026-11-18",
    "CustomerRef": {"value": "58", "name": "Green Lawn"},
    "TotalAmt": "100.00",
}


@pytest.mark.parametrize(
    ("found", "links_it"),
    [
        (FOUND_BILL, True),
        ({**FOUND_BILL, "TotalAmt": "100.01"}, False),
        ({**FOUND_BILL, "TxnDate": "2026-11-19"}, False),
        ({**FOUND_BILL, "CustomerRef": {"value": "59"}}, False),
        (None, False),
    ],
)
def test_a_taken_number_is_linked_only_when_it_is_ours(found: Json | None, links_it: bool) -> None:
    knowledge = {"number_holder": "1109", "seen": "Id=1109", "found": found}
    outcome = verdict_on(bill(knowledge=knowledge), {LEAD: CUSTOMER})
    if links_it:
        assert isinstance(outcome, Synced)
        assert outcome.remote is not None
        assert outcome.remote.id == "1109"
    else:
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.code, outcome.fault.field) == ("6140", "number")


def test_a_taken_number_of_an_earlier_version_is_linked_and_compared() -> None:
    found = {**FOUND_BILL, "TotalAmt": 5, "PrivateNote": "x DH-ABCDEFGHIJKL y"}
    knowledge = {"number_holder": "1109", "seen": "Id=1109", "found": found}
    outcome = verdict_on(bill(knowledge=knowledge), {LEAD: CUSTOMER})
    assert isinstance(outcome, Learned)
    assert outcome.remote is not None
    assert outcome.remote.id == "1109"


def test_what_was_looked_for_and_not_found_is_created() -> None:
    due = lead(7, knowledge={"seen": "DisplayName=Lead 7", "found": None, "unseen": False})
    assert draft_of(due, links={}).items[0].intent == "create"


def test_a_question_without_an_answer_is_asked_again() -> None:
    assert draft_of(lead(7, knowledge={"unseen": True}), links={}).method == "GET"


def test_what_bears_our_mark_is_ours() -> None:
    found = {"Id": "163", "SyncToken": "0", "TotalAmt": "40"}
    knowledge = {"seen": "PaymentRefNum=DH-MNOPQRSTUVWX", "found": found}
    found_again = verdict_on(paid(knowledge=knowledge))
    assert isinstance(found_again, Learned)
    assert (found_again.remote, found_again.note) == (
        Remote("163", "0", None, "40.00"),
        "found in QuickBooks",
    )


def test_a_checked_record_that_agrees_is_left_alone() -> None:
    found = {**GREEN, "Id": "58", "SyncToken": "9", "Notes": "theirs"}
    knowledge = {"seen": "Id=58", "found": found, "compares": True}
    fields = {"name": "Green Lawn", "email": "Green@Lawn.example"}
    due = lead(9, 1, knowledge=knowledge, before=a_lead(), **fields)
    assert settled(due) == Remote("58", "9")


def test_a_checked_record_that_differs_gets_only_what_differs() -> None:
    found = {**GREEN, "Id": "58", "SyncToken": "9"}
    knowledge = {"seen": "Id=58", "found": found, "compares": True}
    due = lead(9, 1, knowledge=knowledge, name="Green Lawn", email="new@lawn.example")
    body = body_of(draft_of(due, links={**ALL, LEAD: Remote("58", "9")}))
    assert body == {
        "Id": "58",
        "SyncToken": "9",
        "sparse": True,
        "PrimaryEmailAddr": {"Address": "new@lawn.example"},
    }


def test_a_checked_record_that_is_gone_goes_to_a_person_and_is_never_created_again() -> None:
    due = lead(9, 1, knowledge={"seen": "Id=58", "found": None, "compares": True})
    outcome = verdict_on(due)
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == "customer_gone"


def test_lines_compare_by_what_we_said_of_them() -> None:
    payload = an_invoice(a_line("2", "50", taxable=True), tax_rate="8")
    sent = {
        "Id": "130",
        "SyncToken": "5",
        "CustomerRef": {"value": "58", "name": "Green"},
        "DocNumber": "1042",
        "TxnDate": "2026-11-18",
        "DueDate": "2026-12-18",
        "TotalAmt": "108",
        "Line": [
            {
                "Id": "1",
                "LineNum": 1,
                "Description": "Work",
                "Amount": "100.0",
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "99", "name": "DunaHub services"},
                    "Qty": "2",
                    "UnitPrice": "50.00",
                    "TaxCodeRef": {"value": "TAX"},
                },
            },
            {"Amount": "100.0", "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
        ],
    }
    knowledge = {"seen": "Id=130", "found": sent, "compares": True}
    due = Due(3, INVOICE, Operation.SAVE, payload, knowledge=knowledge)
    assert settled(due) == Remote("130", "5", "1042", "108.00")
