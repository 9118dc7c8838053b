"""Second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes."""

import time
from hmac import compare_digest
from io import BytesIO

import segno
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from pyotp import TOTP, random_base32
from sqlalchemy import delete, func, or_, select, update
from wtforms import StringField

from languages import N_
from models.accounts import RecoveryCode, User
from notices import mail
from notices.people import FactorChange, second_factor_letter
from quickbooks import tokens
from web.access import (
    dunahub,
    half_signed_in,
    needs_second_factor,
    note,
    person,
    public,
    safe_target,
    session,
    sign_in,
)
from web.account_links import digest
from web.forms import Form, tidy
from web.fresh import fresh_required
from web.languages import _
from web.recovery import new_codes, plain_code
from web.security import SIGN_INS, limiter
from web.tallies import count

second_factor = Blueprint("second_factor", __name__)

CODE_SECONDS = 30  # seconds per code (RFC 6238); the previous and next are accepted, too
MAX_GUESSES, GUESS_PERIOD = 10, 15 * 60  # of one account's codes, from any address
ISSUER = "DunaHub"
# in the cookie, until a first code proves that the app has the secret
PENDING_KEY = "new_second_factor"


class CodeForm(Form):
    code = StringField(N_("Code"), filters=[tidy])


# --- Sign-in --------------------------------------------------------------------------------------


@second_factor.get("/sign-in/code")
@public
def ask() -> ResponseReturnValue:
    if half_signed_in() is None:
        return redirect(url_for("accounts.show_sign_in"))
    return render_template("accounts/code.html", form=CodeForm())


@second_factor.post("/sign-in/code")
@public
@limiter.limit(SIGN_INS)
def enter() -> ResponseReturnValue:
    user = half_signed_in()
    if user is None:
        return redirect(url_for("accounts.show_sign_in"), 303)
    form = CodeForm(request.form)
    if count(f"codes of user {user.id}", GUESS_PERIOD) > MAX_GUESSES:
        form.code.errors = [_("Too many tries. Wait 15 minutes, then try again.")]
        page = render_template("accounts/code.html", form=form)
        return page, 429, {"Retry-After": str(GUESS_PERIOD)}
    by_app = _takes(user, form.code.data or "")
    if not by_app and not _uses_up(user, form.code.data or ""):
        form.code.errors = [_("This code isn't right, or was already used.")]
        return render_template("accounts/code.html", form=form), 422
    sign_in(user)
    note("account.signed_in", organization_id=user.organization_id)
    session().commit()
    if not by_app:
        _write_to(user, "code_used")
    return redirect(safe_target(request.args.get("next"), url_for("home.show")), 303)


def _takes(user: User, code: str) -> bool:
    """Whether it is a valid, unused code. The UPDATE ensures that of
    two sign-ins with one code, only one succeeds."""
    try:
        secret = tokens.decrypt(dunahub().config, user.totp_secret or "")
    except tokens.TokensUnavailable:
        return False  # the encryption key was lost; recovery codes still work
    step = _step_of(secret, code)
    if step is None:
        return False
    taken = session().execute(
        update(User)
        .where(User.id == user.id, or_(User.totp_step.is_(None), User.totp_step < step))
        .values(totp_step=step)
        .returning(User.id)
    )
    return taken.first() is not None


def _step_of(secret: str, code: str) -> int | None:
    """The time step of this code: the current, previous or next one,
    since phones' clocks differ."""
    totp, typed, now = TOTP(secret), "".join(code.split()), int(time.time()) // CODE_SECONDS
    steps = (now, now - 1, now + 1)
    return next(
        (one for one in steps if compare_digest(totp.generate_otp(one).encode(), typed.encode())),
        None,
    )


def _uses_up(user: User, code: str) -> bool:
    used = session().execute(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user.id,
            RecoveryCode.digest == digest(plain_code(code)),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=func.clock_timestamp())
        .returning(RecoveryCode.id)
    )
    if used.first() is None:
        return False
    flash(_("You signed in with a recovery code. It won't work again."), "warn")
    return True


# --- One's own account ----------------------------------------------------------------------------


@second_factor.get("/account/second-factor")
def show() -> ResponseReturnValue:
    return _overview()


def _overview(codes: list[str] | None = None) -> str:
    left = session().scalar(
        select(func.count()).where(
            RecoveryCode.user_id == person().id, RecoveryCode.used_at.is_(None)
        )
    )
    return render_template(
        "accounts/second_factor.html",
        codes=codes,
        left=left or 0,
        is_required=needs_second_factor(person()),
    )


@second_factor.get("/account/second-factor/new")
@fresh_required
def start() -> ResponseReturnValue:
    """Shows the secret for the app. It takes effect once a code was entered."""
    if person().totp_secret:
        return redirect(url_for("second_factor.show"))
    cookie[PENDING_KEY] = random_base32()
    return _setup(CodeForm())


def _setup(form: CodeForm) -> str:
    secret = cookie[PENDING_KEY]
    address = TOTP(secret).provisioning_uri(name=person().email, issuer_name=ISSUER)
    picture = BytesIO()
    segno.make(address, micro=False).save(
        picture, kind="svg", xmldecl=False, omitsize=True, dark="#000", light="#fff"
    )
    spaced = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return render_template(
        "accounts/second_factor_new.html",
        form=form,
        # Drawn by segno from our own text.
        picture=Markup(picture.getvalue().decode()),  # nosec B704  # noqa: S704
        secret=spaced,
    )


@second_factor.post("/account/second-factor/new")
@fresh_required
@limiter.limit(SIGN_INS)
def turn_on() -> ResponseReturnValue:
    secret, form, user = cookie.get(PENDING_KEY), CodeForm(request.form), person()
    _lock(user)  # pressed twice, it is turned on once
    if user.totp_secret:
        flash(
            _("The second factor is on. If you didn't see the recovery codes, make new ones."),
            "warn",
        )
    if secret is None or user.totp_secret:
        return redirect(url_for("second_factor.show"), 303)
    step = _step_of(secret, form.code.data or "")
    if step is None:
        form.code.errors = [
            _("This code isn't right. Check that the time on your phone is correct.")
        ]
        return _setup(form), 422
    user.totp_secret = tokens.encrypt(dunahub().config, secret)
    user.totp_step = step  # this code is used
    codes = _replace_codes(user)
    note("account.second_factor_on", organization_id=user.organization_id)
    session().commit()
    _write_to(user, "on")
    cookie.pop(PENDING_KEY)
    return _overview(codes)


@second_factor.post("/account/second-factor/codes")
@fresh_required
def renew_codes() -> ResponseReturnValue:
    """Creates new recovery codes; the old ones stop working."""
    _lock(person())  # pressed twice, one set of codes is good
    if person().totp_secret is None:
        abort(404)
    codes = _replace_codes(person())
    note("account.recovery_codes_renewed", organization_id=person().organization_id)
    session().commit()
    _write_to(person(), "new_codes")
    return _overview(codes)


@second_factor.post("/account/second-factor/remove")
@fresh_required
def turn_off() -> ResponseReturnValue:
    user = person()
    if needs_second_factor(user):
        abort(403)
    user.totp_secret = user.totp_step = None
    session().execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    note("account.second_factor_off", organization_id=user.organization_id)
    session().commit()
    _write_to(user, "off")
    flash(_("The second factor is off. You sign in with your password alone."), "good")
    return redirect(url_for("second_factor.show"), 303)


def _lock(user: User) -> None:
    session().refresh(user, ["totp_secret"], with_for_update={"key_share": True})


def _write_to(user: User, change: FactorChange) -> None:
    config = dunahub().config
    mail.send_later(config, second_factor_letter(user, change, config.base_url))


def _replace_codes(user: User) -> list[str]:
    session().execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    codes = new_codes()
    session().add_all(
        RecoveryCode(user_id=user.id, digest=digest(plain_code(code))) for code in codes
    )
    return codes
