"""The next step of a record that was voided, deleted, or taken back here. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from languages import N_
from models.base import Json
from models.quickbooks import TakenBack
from models.sales import Record, RecordType
from outbox.company import Due, Rejected, Remote, Synced, Unneeded
from quickbooks import matching, steps
from quickbooks.documents import Document
from quickbooks.faults import ours
from quickbooks.kinds.refund import about_refund
from quickbooks.steps import Ask, Step, Write
from quickbooks.unanswered import look_for, unheard


def void_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """Voids what QuickBooks has of it."""
    if due.record.type == RecordType.LEAD:
        # A customer stays in the books; what was never sent need not be.
        return Unneeded() if link is None else Synced(None, note=N_("kept in QuickBooks"))
    if link is None:
        return look_for(due, settings) or _unlinked_void_step(due, unheard(due, links, settings))
    return _linked_void_step(due, link)


def _unlinked_void_step(due: Due, answer: Ask | Json | None) -> Step:
    match answer:
        case Ask():
            return answer
        case None:
            return Unneeded()
        case there:
            remote = matching.remote_of(there)
            if matching.is_voided(due.payload, there):
                return Synced(replace(remote, voided=True))
            return _void(due, remote)


def _linked_void_step(due: Due, link: Remote) -> Step:
    is_seen = steps.has_seen(due, steps.own(link))
    if link.voided and not due.checks:  # a bookkeeper may have undone it
        return Synced(link)
    if due.record.type == RecordType.REFUND and not (due.checks or is_seen):
        return _receipt_stands(due)
    if (due.knowledge.get("gone") and not is_seen) or steps.must_read(due, link):
        return steps.read_own(due, link)
    return _found_void_step(due, link, steps.found(due)) if is_seen else _void(due, link)


def _found_void_step(due: Due, link: Remote, there: Json | None) -> Step:
    """Once it was read."""
    if there is None and not _may_only_lag(due):
        return Synced(replace(link, voided=True), note="was deleted in QuickBooks")
    if there is not None and matching.is_voided(due.payload, there):
        return Synced(replace(matching.remote_of(there), voided=True))
    return _void(due, link)  # if it is gone, QuickBooks itself says so then


def _may_only_lag(due: Due) -> bool:
    """Whether only a list says that it is gone. Intuit does not promise that lists are current."""
    return due.record.type != RecordType.REFUND and "gone" not in due.knowledge


def _void(due: Due, remote: Remote) -> Write | Rejected:
    if due.record.type == RecordType.REFUND:
        return _receipt_stands(due)
    body: Document = {"Id": remote.id, "SyncToken": remote.version}
    if due.record.type == RecordType.PAYMENT:
        body["sparse"] = True  # it is an update with `include=void`: see its VOIDING
    return Write(due, "void", body, None)


def _receipt_stands(due: Due) -> Rejected:
    """How a refund receipt is voided is not documented: a person does it."""
    return Rejected(ours("receipt_stands", due, about_refund(due.payload)))


def is_reversed(due: Due) -> bool:
    """Whether this is a payment of which something was taken back. A check of ours is about what
    stands of it there."""
    is_back = Decimal(due.payload.get("refunded_amount", 0)) > 0
    return due.record.type == RecordType.PAYMENT and is_back and not due.is_own_check


def reversed_step(
    due: Due, link: Remote | None, links: Mapping[Record, Remote], settings: Json
) -> Step:
    """A payment that was taken back as a whole is voided there, where the owner chose so. A part of
    a payment cannot be voided: that stays with a person."""
    if settings.get("taken_back") == TakenBack.VOID and _is_whole(due):
        if part := _part_by_hand(due):
            return _rest_step(due, link, part, links, settings)
        return void_step(due, link, links, settings)
    if link is None:
        return look_for(due, settings) or _unlinked_reversed_step(
            due, unheard(due, links, settings)
        )
    if _is_whole(due) and (void := _void_there(due, link)):
        return void
    return _reversed_by_hand(due, "reversed")


def _unlinked_reversed_step(due: Due, answer: Ask | Json | None) -> Step:
    match answer:
        case Ask():
            return answer
        case None if _is_whole(due):
            return Unneeded()  # created and deleted before it was sent
        case None:
            return _reversed_by_hand(due, "reversed_unsent")
        case _:
            return _reversed_by_hand(due, "reversed")


def _reversed_by_hand(due: Due, code: str) -> Rejected:
    """A person enters what was taken back; of a payment that was never sent, what is left of it."""
    refunded, amount = Decimal(due.payload["refunded_amount"]), Decimal(due.payload["amount"])
    about = {"refunded": f"${refunded:,.2f}", "amount": f"${amount:,.2f}"}
    return Rejected(ours(code, due, about))


def _void_there(due: Due, link: Remote) -> Step | None:
    """A payment that the bookkeeper voided: nothing is left to enter there. Sent again, it is read
    first, because that may have been undone, or done since."""
    if link.voided and not due.checks:
        return Synced(link)
    if due.checks and not steps.has_seen(due, steps.own(link)):
        return steps.read_own(due, link)
    if not steps.has_seen(due, steps.own(link)):
        return None
    there = steps.found(due)
    if there is None:
        return Synced(replace(link, voided=True), note=N_("was deleted in QuickBooks"))
    if matching.is_voided(due.payload, there):
        return Synced(replace(matching.remote_of(there), voided=True))
    return None


def _is_whole(due: Due) -> bool:
    return Decimal(due.payload["refunded_amount"]) >= Decimal(due.payload["amount"])


def _part_by_hand(due: Due) -> Decimal:
    """The part that was taken back before, and entered in QuickBooks by a person; 0 if none was."""
    values = due.known.declined_values or due.known.sent_values or {}
    decision = due.known.decision
    # Either choice may have been made a moment ago, and nothing was settled since.
    entered = (decision.get("entered_values") or {}) if decision.get("entered") else {}
    chosen = decision.get("refunded_by_hand") or Decimal(entered.get("refunded_amount") or 0)
    part = Decimal(chosen or values.get("refunded_amount") or 0)
    return part if part < Decimal(due.payload["amount"]) else Decimal(0)


def _rest_step(
    due: Due,
    link: Remote | None,
    part: Decimal,
    links: Mapping[Record, Remote],
    settings: Json,
) -> Step:
    """Voids the payment if the person took the part off the payment itself. If it may be a document
    of its own, a void would take it off twice: the rest is a person's, too."""
    if link is not None and not steps.has_seen(due, steps.own(link)):
        return steps.read_own(due, link)
    there = steps.found(due) if link is not None else None
    amount = Decimal(due.payload["amount"])
    if link is not None and (
        there is None
        or matching.is_voided(due.payload, there)
        or matching.number(there.get("TotalAmt")) == amount - part
    ):
        return void_step(due, link, links, settings)
    about = {"refunded": f"${part:,.2f}", "rest": f"${amount - part:,.2f}"}
    return Rejected(ours("reversed_rest", due, about))
