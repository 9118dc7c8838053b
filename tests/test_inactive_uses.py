"""What an invoice uses besides its customer and items, made inactive in QuickBooks: it is named."""

from dataclasses import replace
from urllib.parse import urlencode

import pytest

from models.base import Json
from models.outbox import Operation
from models.sales import RecordType
from outbox.company import Answer, Due, Learned, Rejected, Remote, Sent
from quickbooks.composing import compose
from quickbooks.documents import dumps
from quickbooks.faults import explain
from quickbooks.kinds import KINDS
from quickbooks.questions import first_doubted
from quickbooks.reading import read
from tests.test_kinds import INVOICE, LEAD, SETTINGS, a_line, an_invoice

LINKS = {LEAD: Remote("58", "0")}
DISCOUNTED = an_invoice(a_line("1", "100", taxable=True), tax_rate="8", discount_amount="10.00")
CHOSEN: Json = {**SETTINGS, "discount_account_id": "86"}


def answered(due: Due, kind: str, row: Json | None) -> Due:
    """The entry after the question what of this kind is inactive."""
    draft = compose([due], LINKS, CHOSEN).draft
    assert draft
    assert f"FROM {kind} WHERE" in draft.query["query"]
    query = urlencode(draft.query)
    sent = Sent(1, 1, "r", "GET", "query", query, None, draft.items, {due.entry_id: due})
    body = dumps({"QueryResponse": {kind: [row]} if row else {}})
    outcome = read(sent, Answer(200, body)).outcomes[due.entry_id]
    assert isinstance(outcome, Learned)
    return replace(due, knowledge={**due.knowledge, **outcome.knowledge})


@pytest.mark.parametrize(
    ("detail", "kind", "row", "code", "named"),
    [
        (
            "Account",
            "Account",
            {"Id": "86", "Name": "Discounts"},
            "account_inactive",
            "“Discounts”",
        ),
        (
            "TaxCode",
            "TaxCode",
            {"Id": "2", "Name": "California"},
            "tax_code_inactive",
            "“California”",
        ),
        ("TaxCode", "TaxCode", None, "tax_code_inactive", "“California”"),
    ],
)
def test_an_inactive_account_or_tax_code_of_an_invoice_is_named(
    detail: str, kind: str, row: Json | None, code: str, named: str
) -> None:
    doubted = first_doubted(KINDS[RecordType.INVOICE].USES, f"Something is inactive: {detail}")
    due = Due(9, INVOICE, Operation.SAVE, DISCOUNTED, knowledge={"doubted": doubted})
    found = row and {**row, "SyncToken": "1", "Active": False}
    due = answered(due, kind, found)
    outcome = compose([due], LINKS, CHOSEN).verdicts[9]
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == code
    said = explain(code, outcome.fault.about)
    assert named in said.cause
    assert "settings" in {action.name for action in said.actions}


def test_what_an_invoice_does_not_use_is_not_asked_about() -> None:
    plain = Due(9, INVOICE, Operation.SAVE, an_invoice(), knowledge={"doubted": "Account"})
    learned = compose([plain], LINKS, CHOSEN).verdicts[9]
    assert isinstance(learned, Learned)  # nothing is inactive any more: it is sent once more
    known = {**plain.knowledge, **learned.knowledge, "doubted": "Account"}
    again = Due(9, INVOICE, Operation.SAVE, an_invoice(), knowledge=known)
    outcome = compose([again], LINKS, CHOSEN).verdicts[9]
    assert isinstance(outcome, Rejected)
    assert outcome.fault.code == "2500"
