"""The writers' own log of a chaos run, and how the books are checked against it.

Independent of the outbox: which record, when it was certainly saved, and whether the firm was
connected. Records saved while a connect or disconnect was in progress may be sent or not.
"""

import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from time import monotonic

from simulator.documents import Document, Json
from simulator.testing import Books, JournalEntry


class Phase(StrEnum):
    ON = "on"
    OFF = "off"
    MAYBE = "maybe"  # a connect or disconnect was in progress


@dataclass
class Phases:
    """When a firm was connected."""

    changes: list[tuple[float, Phase]] = field(default_factory=lambda: [(0.0, Phase.OFF)])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, phase: Phase) -> None:
        with self.lock:
            self.changes.append((monotonic(), phase))

    @property
    def now(self) -> Phase:
        return self.changes[-1][1]

    def during(self, begin: float, end: float) -> Phase:
        with self.lock:
            phases = {
                phase
                for (since, phase), (until, _) in zip(
                    self.changes, [*self.changes[1:], (float("inf"), Phase.OFF)], strict=True
                )
                if since <= end and until >= begin
            }
        return phases.pop() if len(phases) == 1 else Phase.MAYBE


@dataclass(frozen=True)
class Saved:
    """One certain save of a record, within this time."""

    version: int
    begin: float
    end: float


@dataclass
class Lead:
    id: int
    name: str
    saves: list[Saved] = field(default_factory=list)
    gone: bool = False  # with a database server whose standby was behind


@dataclass
class Refund:
    """Of a payment, after which the invoice stays paid."""

    mark: str
    amount: Decimal
    saved: Saved
    gone: bool = False


@dataclass
class Payment:
    id: int
    mark: str
    amount: Decimal
    saved: Saved
    is_online: bool = False
    taken_back: Saved | None = None  # all of it
    refunds: list[Refund] = field(default_factory=list)
    is_asked_back: bool = False  # through the processor
    asked_back_at: float = 0.0
    gone: bool = False
    skipped: bool = False  # its owner was told that the invoice is paid already

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it went back yet."""
        refunds = [one for one in self.refunds if not one.gone]
        return not (self.taken_back or refunds or self.is_asked_back or self.gone)


@dataclass
class Invoice:
    id: int
    number: str
    mark: str
    lead: Lead
    total: Decimal
    saves: list[Saved] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    voided: Saved | None = None
    gone: bool = False
    # A payment of it, or that one was taken back, went with a server, and was sent before, perhaps:
    # so it may be paid too much, or less than it is here.
    lost_money: bool = False
    awaits_payment: bool = False  # through the processor


@dataclass
class FirmLog:
    """Everything written for one firm, by one thread."""

    realm: str
    phases: Phases = field(default_factory=Phases)
    leads: list[Lead] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    # Edits that were sent, perhaps, and went down with a server whose standby was behind.
    lost_versions: set[int] = field(default_factory=set)

    @property
    def records(self) -> int:
        payments = [one for invoice in self.invoices for one in invoice.payments]
        refunds = sum(len(one.refunds) for one in payments)
        return len(self.leads) + len(self.invoices) + len(payments) + refunds


@dataclass
class Verdict:
    records: int = 0
    lost: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    wrong_totals: int = 0
    unwanted: int = 0  # in the books, though it must not have been sent
    undecided: int = 0  # saved while a connect or disconnect was in progress
    details: list[str] = field(default_factory=list)

    def note(self, kind: str, words: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.details.append(f"{kind}: {words}")


def judge(log: FirmLog, books: Books, journal: Sequence[JournalEntry], verdict: Verdict) -> None:
    """Checks a company's books against the log, record by record."""
    verdict.records += log.records
    customers = _by(books.get("Customer", []), lambda one: str(one.get("DisplayName", "")))
    invoices = _by(books.get("Invoice", []), lambda one: str(one.get("DocNumber", "")))
    money = _by(
        [*books.get("Payment", []), *books.get("RefundReceipt", [])],
        lambda one: str(one.get("PaymentRefNum", "")),
    )
    # A voided invoice may never have been sent, and then its customer wasn't either.
    sure = [one for one in log.invoices if not one.voided and _fate(log, one.saves[:1]) == "on"]
    needed = {id(invoice.lead) for invoice in sure}
    may_be_needed = {id(invoice.lead) for invoice in log.invoices}
    for lead in log.leads:
        fate = "on" if id(lead) in needed else _fate(log, lead.saves)
        if fate == "off" and id(lead) in may_be_needed:
            fate = "maybe"
        if found := _presence(verdict, f"customer {lead.name}", fate, customers.get(lead.name, [])):
            _judge_content(log, verdict, lead.name, lead.saves, version_of(_phone_of(found)))
    for invoice in log.invoices:
        _judge_invoice(log, verdict, invoice, invoices, money)
    _judge_order(log, books, journal, verdict)


def _by(rows: Sequence[Document], key: object) -> dict[str, list[Document]]:
    assert callable(key)
    found: dict[str, list[Document]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _fate(log: FirmLog, saves: Sequence[Saved]) -> str:
    phases = {log.phases.during(saved.begin, saved.end) for saved in saves}
    if Phase.ON in phases:
        return "on"
    return "maybe" if Phase.MAYBE in phases else "off"


def _presence(verdict: Verdict, name: str, fate: str, found: Sequence[Document]) -> Document | None:
    if len(found) > 1:
        verdict.note("duplicates", f"{name}: {len(found)} times")
    if fate == "on" and not found:
        verdict.note("lost", name)
    if fate == "off" and found:
        verdict.note("unwanted", name)
    if fate == "maybe":
        verdict.undecided += 1
    return found[0] if found else None


def _judge_content(
    log: FirmLog, verdict: Verdict, name: str, saves: Sequence[Saved], arrived: int | None
) -> None:
    """The newest version certainly sent must be in the books, or a newer one that perhaps was:
    changes made while disconnected are sent once the owner decides."""
    surely = [one.version for one in saves if _fate(log, [one]) == "on"]
    perhaps = [one.version for one in saves if _fate(log, [one]) != "on"]
    least = max(surely, default=0)
    if arrived is None or arrived < least:
        verdict.note("out_of_order", f"{name}: version {arrived}, {least} was saved")
    elif surely and arrived > least and arrived not in perhaps:
        later = [one for one in perhaps if one > arrived]  # it may have been sent with that one
        if not later:
            verdict.note("unwanted", f"{name}: version {arrived}, {least} was the last to go")


def _judge_invoice(
    log: FirmLog,
    verdict: Verdict,
    invoice: Invoice,
    invoices: dict[str, list[Document]],
    money: dict[str, list[Document]],
) -> None:
    name = f"invoice {invoice.number}"
    fate = _fate(log, invoice.saves[:1])
    voided = invoice.voided and _fate(log, [invoice.voided])
    rows = invoices.get(invoice.number, [])
    if invoice.voided:
        if len(rows) > 1:
            verdict.note("duplicates", name)
        if voided == "on" and any(_money(row, "TotalAmt") for row in rows):
            verdict.note("lost", f"the void of {name}")
        return
    row = _presence(verdict, name, fate, rows)
    paid = Decimal(0)
    for payment in invoice.payments:
        its = fate if fate != "on" else _fate(log, [payment.saved])
        if fate == "on" and its == "off":
            its = "maybe"  # its invoice is in the books: the owner is asked
        if (payment.taken_back or payment.gone or payment.skipped) and its == "on":
            its = "maybe"  # taken back before it was sent, it is never sent
        called = f"payment {payment.mark} of {name}"
        found = _presence(verdict, called, its, money.get(payment.mark, []))
        for refund in payment.refunds:
            _judge_refund(log, verdict, f"refund {refund.mark} of {called}", refund, its, money)
        if found is None or invoice.lost_money:
            continue
        if payment.taken_back and _money(found, "TotalAmt") == 0:
            continue
        if payment.taken_back and _fate(log, [payment.taken_back]) == "on":
            verdict.note("lost", f"the void of {called}")
        paid += payment.amount
        linked = re.findall(r"'TxnId': '(\d+)'", str(found.get("Line")))
        if row is None or linked != [str(row["Id"])] or _money(found, "TotalAmt") != payment.amount:
            verdict.note("wrong_totals", f"payment {payment.mark} of {name}: linked to {linked}")
    if row is None:
        return
    _judge_content(log, verdict, name, invoice.saves, version_of(_memo_of(row)))
    if invoice.lost_money:
        _judge_what_is_there(verdict, invoice, row, money)
        return
    if _money(row, "TotalAmt") != invoice.total or _money(row, "Balance") != invoice.total - paid:
        verdict.note(
            "wrong_totals",
            f"{name}: {row.get('TotalAmt')} of {invoice.total}, open {row.get('Balance')}"
            f" with {paid} paid; linked to it: {_linked_to(row, money)}",
        )


def _judge_what_is_there(
    verdict: Verdict, invoice: Invoice, row: Document, money: Mapping[str, Sequence[Document]]
) -> None:
    """All that was paid there pays the invoice, as far as it takes it, and nothing else; nothing
    but the whole payment or its void is there."""
    paid = Decimal(0)
    for payment in invoice.payments:
        for found in money.get(payment.mark, ()):
            paid += _money(found, "TotalAmt")
            linked = set(re.findall(r"'TxnId': '(\d+)'", str(found.get("Line"))))
            if _money(found, "TotalAmt") not in (0, payment.amount) or linked - {str(row["Id"])}:
                words = f"{found.get('TotalAmt')} of {payment.amount}, linked to {sorted(linked)}"
                verdict.note("wrong_totals", f"payment {payment.mark}, of what was lost: {words}")
    open_ = max(invoice.total - paid, Decimal(0))
    if (_money(row, "TotalAmt"), _money(row, "Balance")) != (invoice.total, open_):
        words = f"{row.get('TotalAmt')} of {invoice.total}, open {row.get('Balance')} of {open_}"
        verdict.note("wrong_totals", f"invoice {invoice.number}, of what was lost: {words}")


def _linked_to(invoice: Document, money: Mapping[str, Sequence[Document]]) -> list[str]:
    """The payments on it, known to the log or not."""
    its_id = f"'TxnId': '{invoice.get('Id')}'"
    return [
        f"{mark} {one.get('TotalAmt')}"
        for mark, rows in money.items()
        for one in rows
        if its_id in str(one.get("Line"))
    ]


def _judge_refund(
    log: FirmLog,
    verdict: Verdict,
    name: str,
    refund: Refund,
    fate_of_payment: str,
    money: dict[str, list[Document]],
) -> None:
    fate = fate_of_payment if fate_of_payment != "on" else _fate(log, [refund.saved])
    if fate_of_payment == "on" and (fate == "off" or refund.gone):
        fate = "maybe"  # its payment is in the books: the owner is asked
    found = _presence(verdict, name, fate, money.get(refund.mark, []))
    if found and _money(found, "TotalAmt") != refund.amount:
        verdict.note("wrong_totals", f"{name}: {found.get('TotalAmt')} of {refund.amount}")


def _money(row: Document, name: str) -> Decimal:
    return Decimal(str(row.get(name, 0)))


def _phone_of(row: Document) -> str:
    phone = row.get("PrimaryPhone")
    return str(phone.get("FreeFormNumber", "")) if isinstance(phone, dict) else ""


def _memo_of(row: Document) -> str:
    memo = row.get("CustomerMemo")
    return str(memo.get("value", "")) if isinstance(memo, dict) else ""


def version_of(words: str) -> int | None:
    found = re.search(r"(\d+)\s*$", words)
    return int(found[1]) if found else None


def _judge_order(
    log: FirmLog, books: Books, journal: Sequence[JournalEntry], verdict: Verdict
) -> None:
    """No older version of a record may be sent after a newer one that our database still knows."""
    newest: Counter[str] = Counter()
    names = {str(one["Id"]): str(one.get("DisplayName")) for one in books.get("Customer", [])}
    numbers = {str(one["Id"]): str(one.get("DocNumber")) for one in books.get("Invoice", [])}
    for entry in journal:
        if entry["method"] != "POST" or not entry["requestid"] or _did_nothing(entry):
            continue
        for document in _documents(entry["body"]):
            if "PrimaryPhone" in document:
                key = str(document.get("DisplayName") or names.get(str(document.get("Id"))))
                version = version_of(_phone_of(document))
            elif "CustomerMemo" in document:
                key = str(document.get("DocNumber") or numbers.get(str(document.get("Id"))))
                version = version_of(_memo_of(document))
            else:
                continue
            if version is not None and version not in log.lost_versions:
                if version < newest[key]:
                    verdict.note("out_of_order", f"{key}: {version} after {newest[key]}")
                newest[key] = max(newest[key], version)


def _did_nothing(entry: JournalEntry) -> bool:
    """Whether QuickBooks only repeated an answer, or refused the request before looking at it."""
    return entry["replayed"] or entry["status"] in (401, 429)


def _documents(body: str) -> Iterator[Document]:
    try:
        told: Json = json.loads(body)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    items = told.get("BatchItemRequest")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                yield from (one for one in item.values() if isinstance(one, dict))
    else:
        yield told
