"""Settings → Payments: the firm's own Stripe account, for online payments by its clients."""

import structlog
from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete

from models.accounts import Organization
from models.processors import ProcessorAccount
from presenters.stripe_wants import stripe_wants
from processors import paying, recording
from processors.processor import AccessEnded, Processor, Refused, Unreachable
from web.access import (
    dunahub,
    firm,
    lock_firm,
    note,
    owner_required,
    person,
    session,
    step_out,
    written_apart,
)
from web.fresh import fresh_required
from web.languages import _

online_payments = Blueprint("online_payments", __name__, url_prefix="/settings/payments")

log = structlog.get_logger()


@online_payments.before_request
def us_only() -> None:
    """For firms in the US, because we only use Stripe's US accounts."""
    if not firm().has_quickbooks:
        abort(404)


@online_payments.get("")
def show() -> ResponseReturnValue:
    processor, account = dunahub().processor, account_of_firm()
    return render_template(
        "settings/payments.html",
        is_configured=processor is not None,
        is_live=processor is not None and processor.is_live,
        account=account,
        wanted=stripe_wants(account),
    )


@online_payments.post("/connect")
@owner_required
@fresh_required
def connect() -> ResponseReturnValue:
    """Redirects to Stripe's pages, where the firm enters its details, now or later."""
    processor, account = _processor(), account_of_firm()
    organization, owner_id, email = firm(), person().id, person().email
    address = dunahub().config.base_url.rstrip("/") + url_for("online_payments.come_back")
    step_out()
    try:
        if account is None or account.ended_at:
            account = _open_account(processor, organization, owner_id, email, account)
        url = processor.onboarding_url(account.account_id, return_url=address, refresh_url=address)
    except AccessEnded:
        flash(_("Stripe says that this account is no longer connected to DunaHub."), "bad")
    except (Refused, Unreachable) as problem:
        log.error("stripe account not opened", organization=organization.id, problem=str(problem))
        flash(_("Stripe can't be reached. Please try again in a minute."), "bad")
    else:
        return redirect(url, 303)
    return redirect(url_for("online_payments.show"), 303)


def _open_account(
    processor: Processor,
    organization: Organization,
    owner_id: int,
    email: str,
    ended: ProcessorAccount | None,
) -> ProcessorAccount:
    """Uses the firm's idempotency key: requested twice, or after a
    crash, it is the same account. One that ended is replaced by a new one."""
    since = ended.ended_at if ended else organization.created_at
    key = f"account-{organization.id}-{since:%Y%m%d%H%M%S%f}"
    account_id = processor.open_account(email=email, name=organization.name, key=key)
    lock_firm()
    if stored := paying.account_by(session(), account_id):  # another owner pressed it, too
        session().commit()
        return stored
    if ended:
        session().execute(delete(ProcessorAccount).where(ProcessorAccount.id == ended.id))
    account = ProcessorAccount(
        organization_id=organization.id,
        is_live=processor.is_live,
        account_id=account_id,
        connected_by_id=owner_id,
    )
    session().add(account)
    note("payments.connected", organization_id=organization.id, account=account_id)
    session().commit()
    return account


@online_payments.get("/return")
@owner_required
def come_back() -> ResponseReturnValue:
    """Returning from Stripe doesn't mean that the setup is complete, so we ask Stripe."""
    processor, account = dunahub().processor, account_of_firm()
    if processor is None or account is None:
        return redirect(url_for("online_payments.show"))
    account_id = account.account_id
    step_out()
    try:
        standing = processor.standing(account_id)
    except AccessEnded:
        with written_apart():
            recording.end_account(session(), account_id)
    except (Refused, Unreachable) as problem:
        log.warning("stripe account not read", account=account_id, problem=str(problem))
    else:
        with written_apart():
            recording.note_standing(session(), standing)
    return redirect(url_for("online_payments.show"))


def account_of_firm() -> ProcessorAccount | None:
    processor = dunahub().processor
    if processor is None:
        return None
    return paying.account_of(session(), firm().id, is_live=processor.is_live)


def _processor() -> Processor:
    return dunahub().processor or abort(404)
