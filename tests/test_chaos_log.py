"""What a chaos run calls wrong: the books against the writers' own log."""

from decimal import Decimal
from typing import Any

import pytest

from benchmarks.chaos_log import FirmLog, Invoice, Lead, Payment, Phase, Saved, Verdict, judge
from simulator.testing import Books


def _log(*payments: Payment, lost_money: bool = False) -> FirmLog:
    """An invoice of 100 with these payments, saved while the firm was connected."""
    log = FirmLog("1")
    log.phases.changes.append((1.0, Phase.ON))
    saved = Saved(1, 2.0, 3.0)
    lead = Lead(1, "Customer 1", [saved])
    invoice = Invoice(1, "1001", "DH-I", lead, Decimal(100), [saved], list(payments))
    invoice.lost_money = lost_money
    log.leads.append(lead)
    log.invoices.append(invoice)
    return log


def _payment(mark: str, amount: int = 100, **more: Any) -> Payment:
    return Payment(1, mark, Decimal(amount), Saved(0, 2.0, 3.0), **more)


def _books(balance: int, *payments: tuple[str, int, str]) -> Books:
    return {
        "Customer": [
            {"Id": "1", "DisplayName": "Customer 1", "PrimaryPhone": {"FreeFormNumber": "555-1"}}
        ],
        "Invoice": [
            {"Id": "7", "DocNumber": "1001", "TotalAmt": Decimal(100), "Balance": Decimal(balance),
             "CustomerMemo": {"value": "note 1"}}
        ],
        "Payment": [
            {"Id": str(number), "PaymentRefNum": mark, "TotalAmt": Decimal(amount),
             "Line": [{"LinkedTxn": [{"TxnId": pays, "TxnType": "Invoice"}]}] if pays else []}
            for number, (mark, amount, pays) in enumerate(payments, 20)
        ],
    }  # fmt: skip


def _found(log: FirmLog, books: Books) -> list[str]:
    verdict = Verdict()
    judge(log, books, [], verdict)
    return verdict.details


BACK = Saved(0, 4.0, 5.0)


def test_books_that_are_right_are_right() -> None:
    assert _found(_log(_payment("A")), _books(0, ("A", 100, "7"))) == []


WRONG = [
    _books(100, ("A", 100, "")),  # on no invoice
    _books(0, ("A", 100, "8")),  # on another one
    _books(100, ("A", 100, "7")),  # not taken off the invoice
    _books(0, ("A", 100, "7"), ("A", 100, "7")),  # twice
    _books(100),  # not there
]
VOID = _books(100, ("A", 0, ""))


@pytest.mark.parametrize("books", [*WRONG, VOID])
def test_money_that_is_wrong_is_found(books: Books) -> None:
    assert _found(_log(_payment("A")), books)


@pytest.mark.parametrize("books", WRONG)
def test_money_that_is_wrong_is_found_where_other_money_was_lost(books: Books) -> None:
    assert _found(_log(_payment("A"), lost_money=True), books)


def test_what_was_paid_again_because_a_server_lost_it_is_credit() -> None:
    log = _log(_payment("A", gone=True), _payment("B"), lost_money=True)
    assert _found(log, _books(0, ("A", 100, "7"), ("B", 100, ""))) == []
    assert _found(log, _books(0, ("B", 100, "7"))) == []
    assert _found(log, _books(100, ("B", 100, "")))  # there is room for it
    books = _books(0, ("A", 100, "7"))
    assert _found(log, books)  # the one that is here is not there
    log.invoices[0].payments[1].skipped = True  # its owner was told
    assert _found(log, books) == []


def test_a_void_that_a_server_lost_stays_made() -> None:
    log = _log(_payment("A"), lost_money=True)
    assert _found(log, _books(100, ("A", 0, ""))) == []
    assert _found(log, _books(0, ("A", 0, "")))  # the invoice was not opened again


def test_a_payment_taken_back_is_void_or_was_never_sent() -> None:
    log = _log(_payment("A", taken_back=BACK))
    assert _found(log, _books(100, ("A", 0, ""))) == []
    assert _found(log, _books(100)) == []
    assert _found(log, _books(0, ("A", 100, "7")))


def _sent(version: int, status: int | None = 200, *, replayed: bool = False) -> Any:
    body = f'{{"DocNumber": "1001", "CustomerMemo": {{"value": "note {version}"}}}}'
    return {
        "method": "POST",
        "requestid": "r",
        "replayed": replayed,
        "status": status,
        "body": body,
    }


@pytest.mark.parametrize(
    ("again", "is_wrong"),
    [
        (_sent(1), True),
        (_sent(1, None), True),  # its answer was lost
        (_sent(1, 401), False),  # refused before anything was done
        (_sent(1, replayed=True), False),  # only the answer came again
    ],
)
def test_an_older_version_after_a_newer_one_is_found(again: Any, is_wrong: bool) -> None:
    verdict = Verdict()
    judge(_log(), _books(100), [_sent(2), again], verdict)
    assert bool(verdict.out_of_order) is is_wrong
