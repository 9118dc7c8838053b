"""The story behind what a chaos run finds."""

import json
from typing import Any

from benchmarks.chaos_story import named, story
from simulator.testing import JournalEntry

MARK, NUMBER, CUSTOMER = "DH-ABCDEFGHIJKL", "0a1b2c3d4e", "Customer 0123456789"
FINDING = f"wrong_totals: payment {MARK} of invoice {NUMBER}: linked to []"


def _request(at: float, path: str, body: object, answer: object, *, is_lost: bool) -> JournalEntry:
    return JournalEntry(
        method="POST",
        path=f"/v3/company/1/{path}",
        query="",
        body=json.dumps(body),
        status=None if is_lost else 200,
        requestid=f"r{at}",
        tid="",
        arrived_at=at,
        answered_at=None if is_lost else at + 1,
        metered=False,
        metered_reads=0,
        replayed=False,
        realm="1",
        fault="timeout" if is_lost else None,
        answer=json.dumps(answer),
    )


def _evidence() -> dict[str, Any]:
    payment = {"Id": "9", "PaymentRefNum": MARK, "TotalAmt": 50, "Line": []}
    other = {"Id": "7", "PaymentRefNum": "DH-OTHER", "TotalAmt": 1, "Line": []}
    paid = {"Amount": 50, "LinkedTxn": [{"TxnType": "Invoice", "TxnId": "3"}]}
    journal = [
        _request(10, "invoice", {"DocNumber": NUMBER}, {}, is_lost=False),
        _request(30, "payment", payment | {"Line": [paid]}, {"Payment": payment}, is_lost=True),
        _request(20, "payment", other, {"Payment": other}, is_lost=False),
    ]
    rows: dict[str, list[dict[str, Any]]] = {
        "leads": [{"id": 1, "name": CUSTOMER, "organization_id": 5}],
        "invoices": [{"id": 2, "number": NUMBER, "lead_id": 1, "organization_id": 5}],
        "payments": [{"id": 4, "mark": MARK, "invoice_id": 2, "organization_id": 5}],
        "outbox": [],
        "outbox_links": [],
        "outbox_dispatches": [],
        "outbox_dispatch_items": [],
        "refunds": [],
        "goodwill_refunds": [],
    }
    books = {"Payment": [payment, other], "Invoice": [{"Id": "3", "DocNumber": NUMBER}]}
    acts = [(15.0, f"owner: send again {NUMBER}"), (16.0, "owner: send again 9999999999")]
    firm = {"id": 5, "realm": "1", "books": books, "acts": acts}
    return {"rows": rows, "firms": [firm], "journal": journal}


def test_a_story_tells_by_time_what_happened_to_a_payment_its_invoice_and_customer() -> None:
    lines = story(_evidence(), {MARK})
    told = "\n".join(lines)
    places = [told.index(words) for words in ("request r10", "owner: send again", "request r30")]
    assert places == sorted(places)
    assert "NOT ANSWERED timeout" in told
    assert "50 on Invoice 3" in told  # as it was sent
    assert f"in QuickBooks: Payment Id=9 PaymentRefNum={MARK} TotalAmt=50 Line=0 lines" in told
    assert "row of leads" in told
    assert "DH-OTHER" not in told
    assert "9999999999" not in told


def test_a_finding_names_whom_its_story_is_about() -> None:
    evidence = _evidence()
    assert named(evidence, FINDING) == {MARK, NUMBER}
    assert named(evidence, "stuck: pending withheld lead 1 entry 8 due") == {CUSTOMER}
    assert named(evidence, "lost: the books") == set()
