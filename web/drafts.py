"""Keeps what a person typed while their session had expired, until they sign in again, and what
needs a fresh password, until they have typed it.

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
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from models.accounts import Draft, User
from web.access import dunahub, firm
from web.languages import _
from web.security import address_of_visitor
from web.sessions import ended_session_id
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
    "invoice_drafts.update",
    "payments.create",
    "settings.update_organization",
    "settings.update_letterhead",
    "arrivals.update",
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
    kept = keep()
    if kept is None:
        return None
    flash(_("You've been signed out. What you typed is kept: sign in to continue."), "warn")
    return redirect(url_for("accounts.show_sign_in", next=kept))


def keep_of_strangers() -> Response | None:
    """Runs before every request, before visitors are refused."""
    return None if current_user.is_authenticated else lead_to_sign_in()


def keep() -> str | None:
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
            Draft(
                digest=_digest(secret),
                address=request.full_path.rstrip("?"),
                fields=told,
                organization_id=_organization(session),
            )
        )
    return url_for("drafts.show", secret=secret)


def _organization(session: Session) -> int | None:
    """The organization of the person, or of the session that has ended, by its cookie; None if
    there is none."""
    if current_user.is_authenticated:
        return firm().id
    key, _, _version = ended_session_id().partition(":")
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        return None
    return session.scalar(select(User.organization_id).where(User.id == int(key)))


def find(secret: str) -> tuple[str, list[tuple[str, str]]] | None:
    """The form's address and fields. None for people of another organization, too."""
    with dunahub().sessions() as session:
        draft = session.scalar(
            select(Draft).where(
                Draft.digest == _digest(secret),
                Draft.created_at > func.now() - DRAFTS_KEPT_FOR,
                Draft.organization_id.is_(None) | (Draft.organization_id == firm().id),
            )
        )
    if draft is None:
        return None
    return draft.address, [(name, value) for name, value in json.loads(draft.fields)]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
