"""A run that compares a month with QuickBooks: its progress, and why there is none."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from languages import N_
from models.comparisons import Comparison
from models.quickbooks import ConnectionStatus
from models.sales import RecordType
from quickbooks.standing import Standing
from web.languages import _

PROBLEMS = {
    "not_connected": N_("QuickBooks was disconnected in the meantime. Nothing was compared."),
    "signed_out": N_("QuickBooks no longer accepts our access. Reconnect, then compare again."),
    "access_lost": N_("QuickBooks no longer accepts our access. Reconnect, then compare again."),
    "plan_lapsed": N_("The QuickBooks plan has lapsed. Once it is paid, compare again."),
    "held": N_("QuickBooks isn't accepting anything from us right now. Nothing was compared."),
    "busy": N_("QuickBooks was busy with other things for too long. Try again later."),
    "unreachable": N_("QuickBooks could not be reached. Try again later."),
    "too_large": N_("This month has more records than can be compared here."),
    "refused": N_("QuickBooks answered in a way we don't understand. Our staff can see it."),
    "broken": N_("Something went wrong on our side. Our staff can see it."),
}


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run."""

    sentence: str
    read: int
    expected: int  # 0: not known yet
    left: timedelta | None = None


READING = {
    RecordType.LEAD: N_("Reading customers"),
    RecordType.INVOICE: N_("Reading invoices"),
    RecordType.PAYMENT: N_("Reading payments"),
    RecordType.REFUND: N_("Reading refunds"),
}


_WAITING = {
    "busy": N_("QuickBooks is busy. The comparison will continue automatically."),
    "unreachable": N_("QuickBooks can't be reached. The comparison will continue automatically."),
}


def progress_of(comparison: Comparison | None) -> RunProgress | None:
    """None if no run is requested or in progress."""
    if comparison is None or comparison.asked_at is None:
        return None
    told = comparison.progress
    if comparison.lease_until is None and (why := told.get("waits")):
        return RunProgress(_(_WAITING[why]), 0, 0)
    if "kind" not in told:
        return RunProgress(_("It will start in a moment."), 0, 0)
    read, expected = told["read"], told["expected"]
    passed = datetime.now(UTC) - datetime.fromisoformat(told["started_at"])
    left = passed * (expected - read) / read if 0 < read < expected else None
    what = READING[told["kind"]]
    return RunProgress(_(what), read, max(expected, read), left)


def refusal_of(now: Standing) -> str | None:
    """Why a comparison cannot be requested now."""
    match now.status:
        case ConnectionStatus.DISCONNECTED:
            return _("Connect QuickBooks to compare a month.")
        case ConnectionStatus.EXPIRED:
            return _("QuickBooks stopped accepting our access. Reconnect, then compare.")
        case _ if now.held_for:
            return _(
                "QuickBooks isn't accepting anything from us right now. Compare once that's fixed."
            )
        case _:
            return None


def problem_of(comparison: Comparison | None) -> str | None:
    if comparison is None or comparison.problem is None or comparison.asked_at is not None:
        return None
    sentence = PROBLEMS.get(comparison.problem, PROBLEMS["held"])
    return _(sentence)
