"""Keeps what a person typed while their session had expired, until they sign in again.

The form is stored as sent, under a random secret that goes along through sign-in. Nothing is saved:
the form is shown again, filled in, and the person presses Save.
"""

import hashlib
import json
import secrets
from datetime import timedelta

from flask import flash, redirect, request, url_for
from flask_login import current_user
from sqlalchemy import delete, func, select
from werkzeug.wrappers import Response

from models.accounts import Draft
from web.access import dunahub
from web.languages import _
from web.security import address_of_visitor
from web.tallies import count

DRAFTS_KEPT_FOR = timedelta(days=1)
MAX_DRAFTS_PER_HOUR = 30  # per address, because they are stored for unknown people
MAX_DRAFT_LENGTH = 100_000  # characters; an invoice of 200 lines has 40,000
RESUMED = "resumed"  # the button that shows the form again with what was typed
FORMS = {
    "leads.create",
    "leads.update",
    "products.create",
    "products.update",
    "jobs.create",
    "jobs.update",
    "proposals.create",
    "proposals.update",
    "invoices.create",
    "invoices.update",
    "payments.create",
}
_OURS = {"csrf_token", "shown_in", RESUMED}


def sent_fields() -> list[tuple[str, str]] | None:
    """The fields of the submitted form. None: not a form that we keep, or empty."""
    if request.method != "POST" or request.endpoint not in FORMS:
        return None
    sent = request.form.items(multi=True)
    fields = [(name, value.replace("\x00", "")) for name, value in sent if name not in _OURS]
    return fields or None


def lead_to_sign_in() -> Response | None:
    """Keeps a form that was submitted without a session. None: not a form that we keep."""
    kept = _keep()
    if kept is None:
        return None
    flash(_("You were signed out meanwhile. What you typed is kept: sign in to go on."), "warn")
    return redirect(url_for("accounts.show_sign_in", next=kept))


def keep_of_strangers() -> Response | None:
    """Runs before every request, before visitors are refused."""
    return None if current_user.is_authenticated else lead_to_sign_in()


def _keep() -> str | None:
    """Returns where the form is shown again. None: it is too long, or there were too many."""
    fields = sent_fields()
    if fields is None or count(f"drafts of {address_of_visitor()}", 3600) > MAX_DRAFTS_PER_HOUR:
        return None
    told = json.dumps(fields)
    if len(told) > MAX_DRAFT_LENGTH or "\x00" in request.full_path:
        return None
    secret = secrets.token_urlsafe(24)
    with dunahub().sessions.begin() as session:  # the request's own session may have failed
        session.execute(delete(Draft).where(Draft.created_at < func.now() - DRAFTS_KEPT_FOR))
        session.add(
            Draft(digest=_digest(secret), address=request.full_path.rstrip("?"), fields=told)
        )
    return url_for("drafts.show", secret=secret)


def find(secret: str) -> tuple[str, list[tuple[str, str]]] | None:
    """The form's address and fields."""
    with dunahub().sessions() as session:
        draft = session.scalar(
            select(Draft).where(
                Draft.digest == _digest(secret), Draft.created_at > func.now() - DRAFTS_KEPT_FOR
            )
        )
    if draft is None:
        return None
    return draft.address, [(name, value) for name, value in json.loads(draft.fields)]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
