"""An edit here changes in QuickBooks what was edited: no more for new settings, and no less."""

import json
from typing import Any

import pytest

from models.base import Json
from models.outbox import Operation
from models.sales import Record
from outbox.company import Due, Known, Remote, Synced
from quickbooks.composing import compose
from tests.test_kinds import INVOICE, LEAD, LINKS, SETTINGS, a_lead, a_line, an_invoice

THERE = {INVOICE: Remote("130", "0", number="5004", total="100.00"), LEAD: Remote("58", "0")}
PLAIN = {**SETTINGS, "customers": [], "tax": {"mode": "line", "code_id": None}}


def document_of(record: Record, payload: Json, settings: Json) -> str:
    """The document as it was sent."""
    links = {key: link for key, link in LINKS.items() if key != record}
    draft = compose([Due(1, record, Operation.SAVE, payload)], links, settings).draft
    assert draft
    document = draft.items[0].document
    assert document
    return document


def written(
    record: Record, before: Json, after: Json, settings: Json, then: Json, **of_due: Any
) -> Json | None:
    """What an edit writes, of what was sent with the settings of then; None if nothing."""
    known = Known(THERE[record], before, document_of(record, before, then))
    due = Due(2, record, Operation.SAVE, after, known=known, **of_due)
    composition = compose([due], LINKS | THERE, settings)
    if composition.draft is None:
        assert isinstance(composition.verdicts[2], Synced)
        return None
    body: Json = json.loads(composition.draft.body or "")
    return {key: body[key] for key in body if key not in ("Id", "SyncToken", "sparse")}


# --- Settings -------------------------------------------------------------------------------------

TAXED = an_invoice(a_line(taxable=True), tax_rate="8")
MIXED = an_invoice(a_line(), a_line(product_id=2, product_name="Hose"))
DISCOUNTED = an_invoice(discount_amount="10.00")
CHANGED: list[Any] = [
    pytest.param({"numbers": "quickbooks"}, {}, id="numbers"),
    pytest.param({"fallback_item_id": "98"}, {}, id="item"),
    pytest.param({"discount_account_id": "7"}, {"discount_account_id": "8"}, id="discounts"),
]


@pytest.mark.parametrize("payload", [an_invoice(), TAXED, MIXED, DISCOUNTED])
@pytest.mark.parametrize(("then", "now"), CHANGED)
def test_case_e14_a_changed_setting_is_for_new_invoices(
    payload: Json, then: Json, now: Json
) -> None:
    edited = {**payload, "memo": "Thanks"}
    told = written(INVOICE, payload, edited, {**PLAIN, **now}, {**PLAIN, **then})
    assert told == {"CustomerMemo": {"value": "Thanks"}}
    assert written(INVOICE, payload, payload, {**PLAIN, **now}, {**PLAIN, **then}) is None


def test_case_e14_a_number_changed_here_is_sent() -> None:
    after = an_invoice(number="2000")
    told = written(INVOICE, an_invoice(), after, PLAIN, {**PLAIN, "numbers": "quickbooks"})
    assert told
    assert told["DocNumber"] == "2000"


@pytest.mark.parametrize("line", [a_line(price="110"), a_line(product_id=2, product_name="Hose")])
def test_case_e14_changed_lines_are_sent(line: Json) -> None:
    told = written(INVOICE, an_invoice(), an_invoice(line), PLAIN, PLAIN)
    assert told
    assert told["Line"][0]["Amount"] == float(line["amount"])


# --- What was removed -----------------------------------------------------------------------------

ADDRESS = {"street": "1 Main St\nSuite 4", "city": "Austin", "state": "TX", "postal_code": "78701"}


def as_found(record: Record, payload: Json, settings: Json, **more: Any) -> Json:
    """What QuickBooks has, as a read tells it."""
    document: Json = json.loads(document_of(record, payload, settings), parse_float=str)
    return {**document, "Id": THERE[record].id, "SyncToken": "0", "Active": True, **more}


@pytest.mark.parametrize("compares", [False, True])
@pytest.mark.parametrize(
    "removed", [{"street": "1 Main St"}, {"city": ""}, {"city": "", "postal_code": ""}]
)
def test_case_e02_a_part_of_an_address_removed_here_is_removed_there(
    removed: Json, compares: bool
) -> None:
    before = a_lead(**ADDRESS)
    knowledge = {"seen": "Id=58", "found": as_found(LEAD, before, PLAIN), "compares": compares}
    after = {**before, **removed}
    told = written(LEAD, before, after, PLAIN, PLAIN, knowledge=knowledge)
    assert told == {"BillAddr": json.loads(document_of(LEAD, after, PLAIN))["BillAddr"]}
    there = as_found(LEAD, after, PLAIN)
    there["BillAddr"] |= {"Id": "9", "Lat": "30.2", "Country": "USA"}
    done = {**knowledge, "found": there}
    assert written(LEAD, before, after, PLAIN, PLAIN, knowledge=done) is None


def test_case_e02_a_description_removed_here_is_removed_there() -> None:
    before, after = an_invoice(), an_invoice(a_line(description=""))
    knowledge = {"seen": "Id=130", "found": as_found(INVOICE, before, PLAIN, TotalAmt="100.00")}
    told = written(INVOICE, before, after, PLAIN, PLAIN, knowledge=knowledge)
    assert told
    assert "Description" not in told["Line"][0]
