"""Sign-up of a new organization: the e-mail address is verified by a mailed link before the form.

So there are no accounts for addresses whose owner never asked, and only that owner chooses the
password. The response is the same whether or not the address has an account; the letter explains it
to its reader, without any text from the person who asked.

Without a mail server, an operator creates the link with a command. Only on a developer's machine
the form creates the account at once.
"""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from wtforms import PasswordField, StringField
from wtforms.validators import ValidationError

from db import breaks
from languages import N_
from models.accounts import AuditEvent, Organization, Region, Role, SignUp, User
from models.passwords import hash_password
from notices import mail
from notices.people import has_account_letter, sign_up_letter
from views.accounts import find_person, home, judge_new_password, normal_email
from web.access import dunahub, public, session, sign_in
from web.account_links import (
    address_of_sign_up,
    digest,
    end_sign_ups,
    good_sign_up,
    new_sign_up,
)
from web.forms import ChoiceField, Form, line
from web.languages import _, language
from web.security import SIGN_INS, limiter
from web.tallies import count
from web.zones import ZONES, zone_groups

signing_up = Blueprint("signing_up", __name__)

ASKED = "10 per hour"  # per visitor's address, so that nobody can send mass mail through us
LETTERS, LETTERS_WITHIN = 3, 3600  # to one address, from any number of visitors
REGIONS = {Region.US.value: N_("United States"), Region.BR.value: N_("Brazil")}


class EmailForm(Form):
    email = line(N_("E-mail"), required=N_("Type your e-mail address."), most=254)

    def validate_email(self, field: StringField) -> None:
        field.data = normal_email(field.data or "")


class FirmForm(Form):
    organization = line(N_("Company name"), required=N_("What is your company called?"), most=200)
    region = ChoiceField(N_("Where does it work?"), REGIONS, default=Region.US.value)
    time_zone = ChoiceField(N_("Time zone"), ZONES, default="America/New_York")
    name = line(N_("Your name"), required=N_("What is your name?"), most=200)
    password = PasswordField(N_("Password"))

    verified = ""  # the address whose owner opened the link

    @property
    def address(self) -> str:
        return self.verified

    def validate_password(self, field: PasswordField) -> None:
        firm, name = self.organization.data or "", self.name.data or ""
        judge_new_password(field, firm, name, *self.address.split("@"))


class WholeForm(FirmForm):
    """The form with the address, unverified, where no letter can be sent."""

    email = line(N_("E-mail"), required=N_("Type your e-mail address."), most=254)

    @property
    def address(self) -> str:
        return self.email.data or ""

    def validate_email(self, field: StringField) -> None:
        field.data = normal_email(field.data or "")
        if find_person(field.data):
            raise ValidationError(_("Someone signed up with this address. Sign in instead."))


@signing_up.get("/sign-up")
@public
def show() -> ResponseReturnValue:
    return _first_page(EmailForm() if _verifies() else WholeForm())


def _first_page(form: EmailForm | WholeForm, *, asked: bool = False) -> str:
    if isinstance(form, WholeForm) and _needs_mail():
        return render_template("accounts/sign_up_ask.html", form=None, asked=False)
    if isinstance(form, WholeForm):
        return _firm_page(form)
    return render_template("accounts/sign_up_ask.html", form=form, asked=asked)


def _firm_page(form: FirmForm) -> str:
    return render_template("accounts/sign_up.html", form=form, zones=zone_groups())


def _verifies() -> bool:
    return mail.is_possible(dunahub().config)


def _needs_mail() -> bool:
    return not dunahub().config.is_for_this_machine


@signing_up.post("/sign-up")
@public
@limiter.limit(ASKED, exempt_when=lambda: not _verifies())
@limiter.limit(SIGN_INS)
def begin() -> ResponseReturnValue:
    if not _verifies():
        return _begin_unverified()
    form = EmailForm(request.form)
    if not form.validate():
        return _first_page(form), 422
    _write_to(form.email.data or "")
    return _first_page(form, asked=True)


def _write_to(email: str) -> None:
    if count(f"sign-up letters {digest(email.lower())}", LETTERS_WITHIN) > LETTERS:
        return
    config = dunahub().config
    user = find_person(email)
    if user:
        letter = has_account_letter(user, config.base_url)
    else:
        link = address_of_sign_up(config, new_sign_up(session(), email))
        letter = sign_up_letter(email, language(), link)
    session().commit()
    mail.send_later(config, letter)


def _begin_unverified() -> ResponseReturnValue:
    if _needs_mail():
        abort(404)
    form = WholeForm(request.form)
    if not form.validate():
        return _firm_page(form), 422
    user = _new_owner(form)
    return _welcome(user) if user else _already(form.address)


# --- The link -------------------------------------------------------------------------------------


@signing_up.get("/sign-up/<secret>")
@public
def show_firm(secret: str) -> ResponseReturnValue:
    asked = _asked(secret)
    return _already(asked.email) if _is_over(asked) else _firm_page(_verified_form(asked))


@signing_up.post("/sign-up/<secret>")
@public
@limiter.limit(SIGN_INS)
def finish(secret: str) -> ResponseReturnValue:
    asked = _asked(secret)
    if _is_over(asked):  # the form was submitted twice, or two links were opened
        return _already(asked.email)
    form = _verified_form(asked)
    if not form.validate():
        return _firm_page(form), 422
    user = _new_owner(form)
    return _welcome(user) if user else _already(form.address)


def _is_over(asked: SignUp) -> bool:
    """A used link makes no second account, also if the first one has another address by now."""
    return bool(asked.used_at or find_person(asked.email))


def _already(email: str) -> ResponseReturnValue:
    if find_person(email) is None:
        flash(_("This link was already used. Sign in with your account."))
        return redirect(url_for("accounts.show_sign_in"), 303)
    flash(_("%(email)s has an account. Sign in with it.", email=email))
    return redirect(url_for("accounts.show_sign_in"), 303)


def _verified_form(asked: SignUp) -> FirmForm:
    form = FirmForm(request.form if request.method == "POST" else None)
    form.verified = asked.email
    return form


def _asked(secret: str) -> SignUp:
    """A link of the last day. All others get 404."""
    return session().scalars(select(SignUp).where(*good_sign_up(secret))).one_or_none() or abort(
        404
    )


def _welcome(user: User) -> ResponseReturnValue:
    sign_in(user)
    session().commit()
    flash(_("Welcome to DunaHub, %(name)s.", name=user.name), "good")
    return redirect(home(), 303)


def _new_owner(form: FirmForm) -> User | None:
    """None if the address has an account."""
    organization = Organization(
        name=form.organization.data, region=form.region.data, time_zone=form.time_zone.data
    )
    user = User(
        organization=organization,
        email=form.address,
        name=form.name.data,
        password_hash=hash_password(form.password.data or ""),
        role=Role.OWNER,
        language=language(),
    )
    session().add(user)
    try:
        session().flush()
    except IntegrityError as problem:  # another sign-up took the address a moment ago
        if not breaks(problem, "uq_users_email"):
            raise
        session().rollback()
        return None
    end_sign_ups(session(), form.address)
    session().add(
        AuditEvent(organization_id=organization.id, user_id=user.id, action="account.signed_up")
    )
    return user
