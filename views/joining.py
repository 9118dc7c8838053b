"""A colleague follows the link of an invitation, and joins the organization."""

from flask import abort, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from wtforms import PasswordField

from db import breaks
from languages import N_
from models.accounts import AuditEvent, Invitation, User
from models.passwords import (
    hash_password,
)
from views.accounts import accounts, find_person, home, judge_new_password
from web.access import (
    public,
    session,
    sign_in,
)
from web.forms import Form, line
from web.languages import _, language
from web.security import SIGN_INS, limiter


class JoinForm(Form):
    name = line(N_("Your name"), required=N_("What is your name?"), most=200)
    password = PasswordField(N_("Password"))

    def validate_password(self, field: PasswordField) -> None:
        judge_new_password(field)


@accounts.get("/invitations/<secret>")
@public
def show_invitation(secret: str) -> ResponseReturnValue:
    return _joining(JoinForm(), _invitation(secret))


def _joining(form: JoinForm, invitation: Invitation) -> str:
    """Whoever has the link may know that the address has an account: the link went there."""
    taken = find_person(invitation.email) is not None
    return render_template("accounts/join.html", form=form, invitation=invitation, taken=taken)


@accounts.post("/invitations/<secret>")
@public
@limiter.limit(SIGN_INS)
def join(secret: str) -> ResponseReturnValue:
    form, invitation = JoinForm(request.form), _invitation(secret, locked=True)
    user = _new_colleague(form, invitation) if form.validate() else None
    if user is None:
        return _joining(form, _invitation(secret)), 422
    sign_in(user)
    session().commit()
    flash(_("Welcome to DunaHub, %(name)s.", name=user.name), "good")
    return redirect(home(), 303)


def _invitation(secret: str, *, locked: bool = False) -> Invitation:
    """A valid invitation. All others get 404."""
    invited = select(Invitation).where(
        Invitation.digest == Invitation.digest_of(secret), Invitation.is_open()
    )
    if locked:
        invited = invited.with_for_update(of=Invitation)
    return session().scalars(invited).one_or_none() or abort(404)


def _new_colleague(form: JoinForm, invitation: Invitation) -> User | None:
    user = User(
        organization_id=invitation.organization_id,
        email=invitation.email,
        name=form.name.data,
        password_hash=hash_password(form.password.data or ""),
        role=invitation.role,
        language=language(),
    )
    invitation.accepted_at = func.clock_timestamp()
    session().add(user)
    try:
        session().flush()
    except IntegrityError as problem:  # the address has an account
        if not breaks(problem, "uq_users_email"):
            raise
        session().rollback()
        return None
    session().add(
        AuditEvent(organization_id=user.organization_id, user_id=user.id, action="account.joined")
    )
    session().flush()
    session().refresh(user)  # loads the organization, too
    return user
