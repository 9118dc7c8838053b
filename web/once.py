"""One form, one record: pressing Save twice saves once, whatever the browser does.

Each form that makes something carries a random key. The request that saves inserts the key in the
same transaction as the record; a unique index lets only one of them commit. Every later press is
answered with the page of what the first one made.
"""

import hashlib
import re
import secrets
from datetime import timedelta

from flask import flash, g, redirect, request
from flask import session as cookie
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from models.accounts import SubmittedForm
from web.access import firm, session
from web.languages import _

FIELD = "form_key"
REMEMBERED = timedelta(days=90)  # far longer than anyone leaves a saved form open
FORGOTTEN_AT_ONCE = 50  # rows: old ones are deleted as new ones come
_KEY = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


def form_key() -> str:
    """For a form's hidden field. A form that was refused keeps its key."""
    sent = request.form.get(FIELD, "")
    return sent if _KEY.fullmatch(sent) else secrets.token_urlsafe(16)


def saved_before() -> ResponseReturnValue | None:
    """Takes the key of the form that was sent. None: it is ours, save it.

    When another press has it, waits until that one is committed or rolled back. If it was
    committed, the answer leads to what it made.
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
    flash(_("This form was saved already. Nothing was saved a second time."), "warn")
    return redirect(address or request.path, 303)


def remember(address: str) -> None:
    """Where what this form makes is shown. Committed with it."""
    session().execute(update(SubmittedForm).where(*_this_form()).values(address=address))


def _this_form() -> tuple[ColumnElement[bool], ...]:
    return SubmittedForm.organization_id == firm().id, SubmittedForm.key == g.form_key


def sent_key() -> str:
    """Without a key, which pages of an earlier release lack, the form is known by what it says."""
    sent = request.form.get(FIELD, "")
    if _KEY.fullmatch(sent):
        return sent
    said = [cookie.get("session"), request.path, *sorted(request.form.items(multi=True))]
    return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()


def _forget_old() -> None:
    columns = SubmittedForm.organization_id, SubmittedForm.key
    old = (
        select(*columns)
        .where(SubmittedForm.created_at < func.now() - REMEMBERED)
        .limit(FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session().execute(delete(SubmittedForm).where(tuple_(*columns).in_(old)))
