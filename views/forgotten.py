"""Setting a new password, or a new e-mail address, with a mailed link, without being signed in.

The response is the same, and as fast, whether or not the address has an account: the letter is sent
afterwards.
"""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from wtforms import PasswordField, StringField

from db import breaks
from languages import N_
from models.accounts import AccountLink, AuditEvent, LinkPurpose, User
from models.passwords import hash_password
from notices import mail
from notices.people import email_changed_letter, new_password_letter, password_changed_letter
from views.accounts import find_person, judge_new_password
from web.access import dunahub, public, session
from web.account_links import LINK_LASTS, address_of, end_access, end_links, good_link, new_link
from web.forms import Form
from web.languages import _
from web.security import SIGN_INS, limiter
from web.tallies import count

forgotten = Blueprint("forgotten", __name__)

REQUEST_LIMIT = "10 per hour"  # per address, so that nobody can send mass mail through us
MAX_LETTERS, LETTERS_PERIOD = 3, 3600  # to one account, from any number of addresses


class ForgottenForm(Form):
    email = StringField(N_("E-mail"))


@forgotten.get("/forgotten")
@public
def show() -> ResponseReturnValue:
    return _page(ForgottenForm())


def _page(form: ForgottenForm, *, asked: bool = False) -> str:
    can_mail = mail.is_possible(dunahub().config)
    minutes = int(LINK_LASTS[LinkPurpose.PASSWORD].total_seconds() // 60)
    return render_template(
        "accounts/forgotten.html", form=form, asked=asked, can_mail=can_mail, minutes=minutes
    )


@forgotten.post("/forgotten")
@public
@limiter.limit(REQUEST_LIMIT)
def ask() -> ResponseReturnValue:
    form, config = ForgottenForm(request.form), dunahub().config
    user = find_person(form.email.data or "") if mail.is_possible(config) else None
    if user and count(f"letters to user {user.id}", LETTERS_PERIOD) <= MAX_LETTERS:
        secret = new_link(session(), user, LinkPurpose.PASSWORD, user.email)
        session().add(
            AuditEvent(
                organization_id=user.organization_id,
                user_id=None,
                action="account.password_forgotten",
                details={"email": user.email},
            )
        )
        session().commit()
        mail.send_later(config, new_password_letter(user, address_of(config, secret)))
    return _page(form, asked=True)


# --- The link to a new password -------------------------------------------------------------------


class NewPasswordForm(Form):
    password = PasswordField(N_("New password"))

    def validate_password(self, field: PasswordField) -> None:
        judge_new_password(field)


@forgotten.get("/password/<secret>")
@public
def show_password(secret: str) -> ResponseReturnValue:
    link = _link(secret, LinkPurpose.PASSWORD)
    return render_template("accounts/new_password.html", form=NewPasswordForm(), user=link.user)


@forgotten.post("/password/<secret>")
@public
@limiter.limit(SIGN_INS)
def set_password(secret: str) -> ResponseReturnValue:
    form, link = NewPasswordForm(request.form), _link(secret, LinkPurpose.PASSWORD, locked=True)
    user = link.user
    if not form.validate():
        return render_template("accounts/new_password.html", form=form, user=user), 422
    user.password_hash = hash_password(form.password.data or "")
    end_access(session(), user)
    session().add(
        AuditEvent(
            organization_id=user.organization_id, user_id=user.id, action="account.password_reset"
        )
    )
    session().commit()
    mail.send_later(dunahub().config, password_changed_letter(user))
    flash(_("Your password is changed, and you are signed out everywhere. Sign in."), "good")
    return redirect(url_for("accounts.show_sign_in"), 303)


# --- The link that confirms another address -------------------------------------------------------


@forgotten.get("/email/<secret>")
@public
def show_email(secret: str) -> ResponseReturnValue:
    return render_template("accounts/confirm_email.html", link=_link(secret, LinkPurpose.EMAIL))


@forgotten.post("/email/<secret>")
@public
@limiter.limit(SIGN_INS)
def confirm_email(secret: str) -> ResponseReturnValue:
    link = _link(secret, LinkPurpose.EMAIL, locked=True)
    user, before = link.user, link.user.email
    letter = email_changed_letter(user, link.email)
    try:
        session().execute(update(User).where(User.id == user.id).values(email=link.email))
    except IntegrityError as problem:
        if not breaks(problem, "uq_users_email"):
            raise
        session().rollback()  # another sign-up took it meanwhile
        abort(404)
    end_links(session(), user)
    session().add(
        AuditEvent(
            organization_id=user.organization_id,
            user_id=user.id,
            action="account.email_changed",
            details={"was": before, "email": link.email},
        )
    )
    session().commit()
    mail.send_later(dunahub().config, letter)
    flash(_("From now on you sign in with %(email)s.", email=link.email), "good")
    return redirect(url_for("home.show"), 303)


def _link(secret: str, purpose: LinkPurpose, *, locked: bool = False) -> AccountLink:
    """A link that still works. All others get 404."""
    query = select(AccountLink).where(*good_link(secret, purpose))
    if locked:
        query = query.with_for_update(of=AccountLink)
    return session().scalars(query).one_or_none() or abort(404)
