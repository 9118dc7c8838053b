"""Sign-in, sign-out, and a new organization."""

from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from wtforms import Form, PasswordField, StringField
from wtforms.validators import ValidationError

from models.accounts import AuditEvent, Organization, Region, Role, User
from models.passwords import NOBODYS_HASH, check_password, hash_password
from views.access import note, person, public, safe_target, session, sign_in, sign_out
from views.forms import ChoiceField, line
from views.security import SIGN_INS, limiter

accounts = Blueprint("accounts", __name__)

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 500
REGIONS = {Region.US.value: "United States", Region.BR.value: "Brazil"}
US_ZONES = {
    "America/New_York": "Eastern (New York)",
    "America/Chicago": "Central (Chicago)",
    "America/Denver": "Mountain (Denver)",
    "America/Phoenix": "Arizona (Phoenix)",
    "America/Los_Angeles": "Pacific (Los Angeles)",
    "America/Anchorage": "Alaska (Anchorage)",
    "Pacific/Honolulu": "Hawaii (Honolulu)",
    "America/Puerto_Rico": "Atlantic (Puerto Rico)",
}
BR_ZONES = {
    "America/Sao_Paulo": "São Paulo, Brasília",
    "America/Bahia": "Bahia",
    "America/Fortaleza": "Fortaleza",
    "America/Manaus": "Manaus",
    "America/Cuiaba": "Cuiabá",
    "America/Rio_Branco": "Rio Branco",
    "America/Noronha": "Fernando de Noronha",
}
PLACES = "Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split()


def _other_zones() -> dict[str, str]:
    listed = {*US_ZONES, *BR_ZONES}
    return {
        name: name.replace("_", " ")
        for name in sorted(available_timezones() - listed)
        if name.partition("/")[0] in PLACES
    }


ZONE_GROUPS = {
    "United States": US_ZONES,
    "Brazil": BR_ZONES,
    "Everywhere else": _other_zones(),
}
ZONES = {name: label for zones in ZONE_GROUPS.values() for name, label in zones.items()}


# --- Sign-in --------------------------------------------------------------------------------------


class SignInForm(Form):
    email = StringField("E-mail")
    password = PasswordField("Password")


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
    user = _find(form.email.data or "")
    if not check_password(user.password_hash if user else NOBODYS_HASH, form.password.data or ""):
        user = None
    if user is None:
        page = render_template("accounts/sign_in.html", form=form, refused=True)
        return page, 422
    sign_in(user)
    note("account.signed_in", organization_id=user.organization_id)
    session().commit()
    return redirect(safe_target(request.args.get("next"), home()), 303)


@accounts.post("/sign-out")
def leave() -> ResponseReturnValue:
    note("account.signed_out", organization_id=person().organization_id)
    session().commit()
    sign_out()
    flash("You are signed out.")
    return redirect(url_for("accounts.show_sign_in"), 303)


@accounts.get("/")
@public
def index() -> ResponseReturnValue:
    if not current_user.is_authenticated:
        return redirect(url_for("accounts.show_sign_in"))
    return redirect(home())


def home() -> str:
    return url_for("admin.outbox" if person().is_admin else "leads.index")


def _find(email: str) -> User | None:
    text = email.replace("\x00", "").strip().lower()[:320]
    return session().scalars(select(User).where(func.lower(User.email) == text)).one_or_none()


# --- A new organization ---------------------------------------------------------------------------


class SignUpForm(Form):
    organization = line("Company name", required="What is your company called?", most=200)
    region = ChoiceField("Where does it work?", REGIONS, default=Region.US.value)
    time_zone = ChoiceField("Time zone", ZONES, default="America/New_York")
    name = line("Your name", required="What is your name?", most=200)
    email = line("E-mail", required="Type your e-mail address.", most=254)
    password = PasswordField("Password")

    def validate_email(self, field: StringField) -> None:
        try:
            address = validate_email(field.data or "", check_deliverability=False)
        except EmailNotValidError as problem:
            raise ValidationError("This isn't an e-mail address. Check it for typos.") from problem
        field.data = address.normalized
        if _find(address.normalized):
            raise ValidationError("Someone signed up with this address. Sign in instead.")

    def validate_password(self, field: PasswordField) -> None:
        length = len(field.data or "")
        if length < SHORTEST_PASSWORD:
            raise ValidationError(f"Use at least {SHORTEST_PASSWORD} characters.")
        if length > LONGEST_PASSWORD:
            raise ValidationError(f"{LONGEST_PASSWORD} characters are the most.")


@accounts.get("/sign-up")
@public
def show_sign_up() -> ResponseReturnValue:
    return render_template("accounts/sign_up.html", form=SignUpForm(), zones=ZONE_GROUPS)


@accounts.post("/sign-up")
@public
@limiter.limit(SIGN_INS)
def sign_up() -> ResponseReturnValue:
    form = SignUpForm(request.form)
    user = _new_owner(form) if form.validate() else None
    if user is None:
        return render_template("accounts/sign_up.html", form=form, zones=ZONE_GROUPS), 422
    session().commit()
    sign_in(user)
    flash(f"Welcome to DunaHub, {user.name}.", "good")
    return redirect(home(), 303)


def _new_owner(form: SignUpForm) -> User | None:
    organization = Organization(
        name=form.organization.data, region=form.region.data, time_zone=form.time_zone.data
    )
    user = User(
        organization=organization,
        email=form.email.data,
        name=form.name.data,
        password_hash=hash_password(form.password.data or ""),
        role=Role.OWNER,
    )
    session().add(user)
    try:
        session().flush()
    except IntegrityError:  # someone took the address a moment ago
        session().rollback()
        form.email.errors = ["Someone signed up with this address. Sign in instead."]
        return None
    session().add(
        AuditEvent(organization_id=organization.id, user_id=user.id, action="account.signed_up")
    )
    return user
