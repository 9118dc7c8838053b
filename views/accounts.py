"""Sign-in, sign-out, and one's own account."""

import structlog
from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func, select
from wtforms import PasswordField, StringField
from wtforms.validators import ValidationError

from languages import N_
from models.accounts import AuditEvent, LinkPurpose, User
from models.passwords import (
    NOBODYS_HASH,
    check_password,
    hash_password,
    is_guessable,
    needs_new_hash,
)
from notices import mail
from notices.people import (
    confirm_email_letter,
    email_change_asked_letter,
    password_changed_letter,
)
from web.access import (
    confirm_password,
    dunahub,
    note,
    person,
    public,
    safe_target,
    session,
    sign_in,
    sign_in_half,
    sign_out,
)
from web.account_links import address_of, end_access, new_link
from web.forms import Form, line
from web.fresh import fresh_required
from web.guesses import bound_guesses
from web.languages import _
from web.security import SIGN_INS, limiter
from web.tallies import count

log = structlog.get_logger()

accounts = Blueprint("accounts", __name__)

LETTER_LIMIT = "10 per hour"  # per address, so that nobody can send mass mail through us
# wrong passwords for one account within an hour before we warn; nobody mistypes that often
GUESSES_LOGGED = 20
MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 10, 500


# --- Sign-in --------------------------------------------------------------------------------------


class SignInForm(Form):
    email = StringField(N_("E-mail"))
    password = PasswordField(N_("Password"))


@accounts.get("/sign-in")
@public
def show_sign_in() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(home())
    return render_template("accounts/sign_in.html", form=SignInForm())


@accounts.post("/sign-in")
@public
@limiter.limit(SIGN_INS)
def enter() -> ResponseReturnValue:
    form = SignInForm(request.form)
    bound_guesses(form.email.data or "")
    found = find_person(form.email.data or "")
    user = found if _is_password_of(found, form.password.data or "") else None
    if user is None:
        if found:
            _count_guess(found)
        page = render_template("accounts/sign_in.html", form=form, refused=True)
        return page, 422
    if needs_new_hash(user.password_hash):
        user.password_hash = hash_password(form.password.data or "")
    if user.totp_secret:
        sign_in_half(user)
        session().commit()
        return redirect(url_for("second_factor.ask", next=request.args.get("next")), 303)
    sign_in(user)
    note("account.signed_in", organization_id=user.organization_id)
    session().commit()
    return redirect(safe_target(request.args.get("next"), home()), 303)


def _is_password_of(user: User | None, password: str) -> bool:
    return check_password(user.password_hash if user else NOBODYS_HASH, password)


def _count_guess(user: User) -> None:
    """Logs many wrong passwords for one account, from any address, once an hour."""
    if count(f"guesses of user {user.id}", 3600) == GUESSES_LOGGED:
        log.warning("many wrong passwords for one account", user=user.id)
        session().add(
            AuditEvent(
                organization_id=user.organization_id,
                user_id=None,
                action="account.many_wrong_passwords",
                details={"email": user.email},
            )
        )
        session().commit()


@accounts.post("/sign-out")
def leave() -> ResponseReturnValue:
    note("account.signed_out", organization_id=person().organization_id)
    sign_out()
    session().commit()
    flash(_("You are signed out."))
    return redirect(url_for("accounts.show_sign_in"), 303)


# --- One's own account ----------------------------------------------------------------------------


class PasswordForm(Form):
    current = PasswordField(N_("Current password"))
    password = PasswordField(N_("New password"))

    def validate_current(self, field: PasswordField) -> None:
        if not _is_password_of(person(), field.data or ""):
            raise ValidationError(_("This isn't your password."))

    def validate_password(self, field: PasswordField) -> None:
        judge_new_password(field)


def judge_new_password(field: PasswordField, *words: str) -> None:
    length = len(field.data or "")
    if length < MIN_PASSWORD_LENGTH:
        raise ValidationError(_("Use at least %(least)s characters.", least=MIN_PASSWORD_LENGTH))
    if length > MAX_PASSWORD_LENGTH:
        raise ValidationError(_("Use at most %(most)s characters.", most=MAX_PASSWORD_LENGTH))
    if is_guessable(field.data or "", [*words, *_own_words()]):
        raise ValidationError(
            _("This password is easy to guess. Use several words that don't belong together.")
        )


def _own_words() -> list[str]:
    if not current_user.is_authenticated:
        return []
    firm = person().organization
    return [person().name, *person().email.split("@"), firm.name if firm else ""]


class NameForm(Form):
    name = line(N_("Your name"), required=N_("What is your name?"), most=200)


class EmailForm(Form):
    email = line(N_("New e-mail address"), required=N_("Type your e-mail address."), most=254)

    def validate_email(self, field: StringField) -> None:
        field.data = normal_email(field.data or "")


def normal_email(typed: str) -> str:
    """The address as stored. Raises ValidationError if it is invalid."""
    try:
        return validate_email(typed, check_deliverability=False).normalized
    except EmailNotValidError as problem:
        raise ValidationError(_("This isn't an e-mail address. Check it for typos.")) from problem


@accounts.get("/account")
def show_account() -> ResponseReturnValue:
    return _account()


def _account(
    form: PasswordForm | None = None,
    *,
    name: NameForm | None = None,
    email: EmailForm | None = None,
) -> str:
    return render_template(
        "accounts/account.html",
        form=form or PasswordForm(),
        name=name or NameForm(obj=person()),
        email=email or EmailForm(),
        can_mail=mail.is_possible(dunahub().config),
    )


@accounts.post("/account/name")
def change_name() -> ResponseReturnValue:
    form = NameForm(request.form)
    if not form.validate():
        return _account(name=form), 422
    if person().name != form.name.data:
        note("account.name_changed", organization_id=person().organization_id, was=person().name)
        person().name = form.name.data or ""
    session().commit()
    flash(_("Your name is saved."), "good")
    return redirect(url_for("accounts.show_account"), 303)


@accounts.post("/account/email")
@fresh_required
@limiter.limit(LETTER_LIMIT)
def change_email() -> ResponseReturnValue:
    """The new address takes effect when someone who can read it opens the link."""
    form, config, user = EmailForm(request.form), dunahub().config, person()
    if not mail.is_possible(config):
        abort(404)
    if not form.validate():
        return _account(email=form), 422
    email = form.email.data or ""
    if find_person(email) is None:  # don't reveal whether the address has an account
        secret = new_link(session(), user, LinkPurpose.EMAIL, email)
        note("account.email_change_asked", organization_id=user.organization_id, email=email)
        session().commit()
        link = address_of(config, secret, LinkPurpose.EMAIL)
        mail.send_later(config, confirm_email_letter(user, email, link))
    if email.lower() != user.email.lower():
        mail.send_later(config, email_change_asked_letter(user, email, config.base_url))
    flash(
        _(
            "We sent an e-mail to %(email)s. Open the link in it within 24 hours; until then, sign"
            " in as before.",
            email=email,
        ),
        "good",
    )
    return redirect(url_for("accounts.show_account"), 303)


@accounts.post("/account/password")
@limiter.limit(SIGN_INS)
def change_password() -> ResponseReturnValue:
    form = PasswordForm(request.form)
    bound_guesses(person().email)
    if not form.validate():
        return _account(form), 422
    user = person()
    user.password_hash = hash_password(form.password.data or "")
    end_access(session(), user)
    note("account.password_changed", organization_id=user.organization_id)
    session().commit()
    sign_in(user)  # this browser stays signed in, all others are signed out
    mail.send_later(dunahub().config, password_changed_letter(user))
    flash(_("Your password is changed. You are signed out everywhere else."), "good")
    return redirect(url_for("accounts.show_account"), 303)


@accounts.post("/account/sign-out-everywhere")
def sign_out_everywhere() -> ResponseReturnValue:
    user = person()
    end_access(session(), user)
    note("account.signed_out_everywhere", organization_id=user.organization_id)
    sign_out()
    session().commit()
    flash(_("You are signed out everywhere."))
    return redirect(url_for("accounts.show_sign_in"), 303)


class ConfirmForm(Form):
    password = PasswordField(N_("Password"))


@accounts.get("/confirm")
def show_confirm() -> ResponseReturnValue:
    return render_template("accounts/confirm.html", form=ConfirmForm())


@accounts.post("/confirm")
@limiter.limit(SIGN_INS)
def confirm() -> ResponseReturnValue:
    """Asks for the password again, before actions that an old session may not do."""
    form = ConfirmForm(request.form)
    bound_guesses(person().email)
    if not _is_password_of(person(), form.password.data or ""):
        _count_guess(person())
        form.password.errors = [_("This isn't your password.")]
        return render_template("accounts/confirm.html", form=form), 422
    confirm_password()
    return redirect(safe_target(request.args.get("next"), home()), 303)


def home() -> str:
    return url_for("home.show")


def find_person(email: str) -> User | None:
    """The person who signs in with this address."""
    text = email.replace("\x00", "").strip().lower()[:320]
    known = select(User).where(func.lower(User.email) == text, User.removed_at.is_(None))
    return session().scalars(known).one_or_none()
