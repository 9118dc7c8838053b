"""The QuickBooks panel of a record: its status, what it waits for, what was sent, what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from flask import url_for
from markupsafe import Markup

from models.outbox import Counterpart, Entry, LaneState, Operation, State
from models.quickbooks import Connection
from models.sales import Invoice, Payment, Record, RecordType
from presenters.addresses import (
    address_in_quickbooks,
    address_of,
    explanation_of,
    fix_address_of,
    is_failed,
)
from presenters.buttons import Button, buttons_of
from presenters.chosen import choice_in, customer_there, who_chose
from presenters.customers import LeadAlike, leads_alike
from presenters.here import Amount, amounts_here
from presenters.history import Attempt, Chapter, history_of
from presenters.names import first_up, names_of
from presenters.record_types import SHOWN
from presenters.sent import Change, changes_since, cleaned_of
from presenters.situations import current_entries, live_lane_id
from presenters.status import (
    Word,
    how_of,
    is_taken_back,
    our_total,
    sent_without_them,
    words_of,
)
from quickbooks.faults import Explanation
from web.access import firm, own, session
from web.formats import moment, money
from web.languages import _

# in practice three: a payment waits for an invoice, which waits for a customer
MAX_CHAIN_LENGTH = 6


@dataclass(frozen=True)
class ChainStep:
    """One link of the chain of records that wait for each other."""

    record: Record
    name: str  # "Customer Green Lawn Co"
    word: Word
    entry: Entry
    explanation: Explanation | None
    address: str | None  # its page in DunaHub
    fix_address: str | None  # the form, at the field that fixes it

    @property
    def buttons(self) -> Sequence[Button]:
        return buttons_of(self.entry, self.explanation, self.fix_address)

    @property
    def leads_alike(self) -> Sequence[LeadAlike]:
        return leads_alike(self.entry)

    @property
    def state(self) -> str:
        """Its status, as part of a sentence."""
        return self.word.text[:1].lower() + self.word.text[1:]


@dataclass(frozen=True)
class Fact:
    label: str
    words: str | Markup
    is_number: bool = False


@dataclass(frozen=True)
class Panel:
    record: Record
    word: Word
    entry: Entry | None = None
    link: Counterpart | None = None
    connection: Connection | None = None
    address: str | None = None  # in QuickBooks
    here: Amount | None = None  # which may have changed since it was sent
    # what it waits for, the first cause first; ends with the record itself
    chain: Sequence[ChainStep] = ()
    history: Sequence[Chapter] = field(default_factory=tuple)
    send_address: str | None = None  # where an owner may send it by hand
    goes_alone: bool = False  # of a payment: its invoice was sent
    choice: str = ""  # what a person chose, until it is done

    @property
    def detail(self) -> str | None:
        """Below the pill, unless the facts say it."""
        is_a_fact = self.link is not None and self.word.detail == how_of(self.link)
        return None if is_a_fact else self.word.detail

    @property
    def explanation(self) -> Explanation | None:
        return self.chain[-1].explanation if self.chain else None

    @property
    def fix_address(self) -> str | None:
        return self.chain[-1].fix_address if self.chain else None

    @property
    def can_be_sent_again(self) -> bool:
        """Whether it is in the connected company. Sending it again compares first."""
        entry = self.entry
        return (
            entry is not None
            and self.link is not None
            and entry.state == State.SYNCED
            and entry.lane.state != LaneState.CLOSED
        )

    @property
    def is_void_there(self) -> bool:
        """Whether it is void in DunaHub and in QuickBooks, so that its
        total is zero on both sides."""
        entry, link = self.entry, self.link
        told = entry is not None and (entry.operation == Operation.VOID or is_taken_back(entry))
        return told and link is not None and link.voided_at is not None

    @property
    def facts(self) -> Iterator[Fact]:
        """What is known about it in QuickBooks."""
        link, word = self.link, self.word
        if link is None:
            return
        if name := customer_there(link, self.connection):
            yield Fact(_("Customer in QuickBooks"), name)
        if link.remote_number:
            yield Fact(_("Number there"), link.remote_number, is_number=True)
        if self.here:
            label = _("Total") if self.entry and "total" in self.entry.payload else _("Amount")
            yield Fact(label, self._totals(self.here, link), is_number=True)
        if self.connection:
            yield Fact(_("Company"), self.connection.company_name)
        if by := who_chose(link, self.connection):
            yield Fact(_("How"), _("Chosen by %(name)s", name=by))
        elif how := how_of(link):
            yield Fact(_("How"), first_up(how))
        if word.at and word.tone == "good":
            yield Fact(_("Since"), moment(word.at))

    def _totals(self, here: Amount, link: Counterpart) -> str:
        ours = money(here.total)
        if self.is_void_there or (here.is_void and link.voided_at):
            return _("Voided in both")
        if link.gone_at:
            return _("%(amount)s here, deleted there", amount=ours)
        if link.voided_at:
            return _("%(amount)s here, voided there", amount=ours)
        if not link.remote_total:
            return _("%(amount)s here", amount=ours)
        there = money(link.remote_total)
        if here.is_void:
            return _("Voided here, %(theirs)s there", theirs=there)
        if here.paid_back and here.total - here.paid_back == Decimal(link.remote_total):
            return _(
                "%(amount)s in both, after a refund of %(paid_back)s",
                amount=there,
                paid_back=money(here.paid_back),
            )
        if here.total != Decimal(link.remote_total):
            return _("%(ours)s here, %(theirs)s there", ours=ours, theirs=there)
        if here.paid_back:
            return _(
                "%(amount)s in both, before a refund of %(paid_back)s",
                amount=ours,
                paid_back=money(here.paid_back),
            )
        return _("%(amount)s in both", amount=ours)

    @property
    def send_words(self) -> str:
        if self.record.type == RecordType.INVOICE:
            return _("Send this invoice")
        if self.goes_alone:
            return _("Send this payment")
        return _("Send the invoice and this payment")

    @property
    def credit(self) -> Decimal:
        """The part of a payment that exceeded the invoice; QuickBooks
        keeps it as the customer's credit."""
        is_payment = self.record.type == RecordType.PAYMENT
        if self.entry is None or self.link is None or not is_payment or self.is_void_there:
            return Decimal(0)
        if self.link.remote_balance is not None and Decimal(self.link.remote_balance) == 0:
            return Decimal(0)  # as QuickBooks said last
        paid = self.entry.payload
        open_then = Decimal(paid["invoice_total"]) - Decimal(paid["paid_before"])
        return max(Decimal(paid["amount"]) - max(open_then, Decimal(0)), Decimal(0))

    @property
    def stamp(self) -> str:
        """Changes whenever the panel would look different. The browser sends it with each poll."""
        steps = (
            f"{step.entry.id}.{step.entry.attempts} {step.entry.question} {step.word.text}"
            for step in self.chain
        )
        return f"{self.word.text} {' '.join(steps)}"

    @property
    def last_attempt(self) -> Attempt | None:
        attempts = [attempt for chapter in self.history for attempt in chapter.attempts]
        return next((attempt for attempt in attempts if attempt.body), None)

    @property
    def cleaned(self) -> Sequence[Change]:
        return cleaned_of(self.entry) if self.entry else ()

    @property
    def changed_since(self) -> Sequence[Change]:
        """Fields that differ from what was sent, if nothing is waiting to be sent."""
        is_last_word = self.entry is not None and self.entry.state == State.SYNCED
        return changes_since(self.entry) if self.entry and is_last_word else ()

    @property
    def trace_id(self) -> str | None:
        return (self.entry.trace_id if self.entry else None) or next(
            (a.dispatch.trace_id for c in self.history for a in c.attempts if a.dispatch.trace_id),
            None,
        )


def panel_of(kind: RecordType, key: int) -> Panel | None:
    """The panel of one of the firm's records; None without QuickBooks (rule 19)."""
    if not firm().has_quickbooks:
        return None
    record = Record(kind, key)
    chain = _chain(record)
    if not chain:
        goes_alone = kind is RecordType.PAYMENT and key in sent_without_them([key])
        return Panel(
            record,
            words_of(kind, [key])[key],
            send_address=_send_address(record, goes_alone=goes_alone),
            goes_alone=goes_alone,
            choice=choice_in(firm().connection, record),
        )
    entry = chain[-1].entry
    link, connection = entry.counterpart, entry.connection
    return Panel(
        record,
        chain[-1].word,
        entry,
        link,
        connection,
        address_in_quickbooks(connection, link),
        _amount_here(record, entry),
        chain,
        history_of(record),
        choice=choice_in(connection, record),
    )


def _amount_here(record: Record, entry: Entry) -> Amount | None:
    """Of the record itself: while QuickBooks is disconnected, no entry tells what changed."""
    if here := amounts_here(session(), record.type, [record.id]).get(record.id):
        return here
    total = our_total(entry)
    return Amount(Decimal(total)) if total else None


def _send_address(record: Record, *, goes_alone: bool) -> str | None:
    """The preview that sends an invoice from before QuickBooks was connected, together with this
    payment if it is one; or the payment alone, if its invoice was sent."""
    if live_lane_id() is None:
        return None
    match record.type:
        case RecordType.INVOICE if own(Invoice, record.id).voided_at is None:
            return url_for("sending.show", invoice_id=record.id)
        case RecordType.PAYMENT:
            payment = own(Payment, record.id)
            if payment.invoice.voided_at is None and goes_alone:
                return url_for("sending.show_payment", payment_id=payment.id)
            if payment.invoice.voided_at is None:
                return url_for("sending.show", invoice_id=payment.invoice_id, payment=payment.id)
    return None


# --- The chain ------------------------------------------------------------------------------------


def _chain(record: Record) -> list[ChainStep]:
    steps: list[ChainStep] = []
    awaited: Record | None = record
    while awaited and len(steps) < MAX_CHAIN_LENGTH and awaited not in [s.record for s in steps]:
        step = _step(awaited)
        if step is None:
            break
        steps.insert(0, step)
        awaited = step.word.about
    return steps


def _step(record: Record) -> ChainStep | None:
    entry = current_entries(session(), firm().id, record.type, [record.id], live_lane_id()).get(
        record.id
    )
    if entry is None:
        return None
    name = names_of(session(), [record]).get(record) or _(SHOWN[record.type].noun)
    return ChainStep(
        record,
        first_up(name),
        words_of(record.type, [record.id])[record.id],
        entry,
        explanation_of(entry, entry.counterpart),
        address_of(record),
        fix_address_of(entry),
    )


def fix_of(kind: RecordType, key: int, fix: str) -> dict[str, object]:
    """For a form opened with *Fix*: the field to change, and the problem."""
    panel = panel_of(kind, key) if fix else None
    entry = panel.entry if panel else None
    failed = entry if entry and is_failed(entry) else None
    return {"fix": fix, "trouble": explanation_of(failed) if failed else None}
