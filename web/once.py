"""Prevents duplicate submissions: pressing Save twice saves once.

Each form that creates something has a random key. The request inserts the key in the same
transaction as the record, and a unique index lets only one of them commit. Later submissions
redirect to the page of what the first one created.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta

from flask import flash, g, redirect, request
from flask import session as cookie
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from models.accounts import SubmittedForm
from web.access import dunahub, firm, session
from web.languages import _

FIELD = "form_key"
KEYS_KEPT_FOR = timedelta(days=90)  # far longer than anyone keeps a saved form open
MAX_ROWS_DELETED = 50  # rows: old ones are deleted as new ones are added
_KEY = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


def form_key() -> str:
    """For a form's hidden field. A rejected form keeps its key."""
    sent = request.form.get(FIELD, "")
    return sent if _KEY.fullmatch(sent) else secrets.token_urlsafe(16)


def saved_before() -> ResponseReturnValue | None:
    """Claims the key of the submitted form. None: it was new, so save.

    If another request holds the key, waits until that one commits or rolls back. If it committed,
    returns a redirect to what it created.
    """
    g.form_key = sent_key()
    _forget_old()
    taken = (
        insert(SubmittedForm)
        .values(organization_id=firm().id, key=g.form_key)
        .on_conflict_do_nothing()
        .returning(SubmittedForm.key)
    )
    if session().execute(taken).first():
        return None
    address = session().scalar(select(SubmittedForm.address).where(*_this_form()))
    flash(_("This form was already saved. Nothing was saved a second time."), "warn")
    return redirect(address or request.path, 303)


def remember(address: str) -> None:
    """Stores the address of what this form creates. Committed with it."""
    session().execute(update(SubmittedForm).where(*_this_form()).values(address=address))


def _this_form() -> tuple[ColumnElement[bool], ...]:
    return SubmittedForm.organization_id == firm().id, SubmittedForm.key == g.form_key


def sent_key() -> str:
    """The form's key. Pages of an earlier release have none; a digest of their content is used."""
    sent = request.form.get(FIELD, "")
    if _KEY.fullmatch(sent):
        return sent
    said = [cookie.get("session"), request.path, *sorted(request.form.items(multi=True))]
    return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()


def secret_of_form(purpose: str) -> str:
    """Always the same secret for the same form, so that submitting it again can show again what is
    shown only once."""
    key = dunahub().config.secret_key.encode()
    about = f"{purpose} {firm().id} {sent_key()}".encode()
    return urlsafe_b64encode(hmac.digest(key, about, "sha256")).decode().rstrip("=")


def _forget_old() -> None:
    columns = SubmittedForm.organization_id, SubmittedForm.key
    old = (
        select(*columns)
        .where(SubmittedForm.created_at < func.now() - KEYS_KEPT_FOR)
        .limit(MAX_ROWS_DELETED)
        .with_for_update(skip_locked=True)
    )
    session().execute(delete(SubmittedForm).where(tuple_(*columns).in_(old)))
