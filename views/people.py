"""Settings → People: members and invitations."""

import secrets

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import MultiDict
from wtforms import StringField
from wtforms.validators import ValidationError

from db import breaks
from languages import N_
from models.accounts import INVITATION_LASTS, Invitation, Role, User
from notices import mail
from notices.mail import Letter, NotMailed
from notices.quoting import quoted
from notices.wording import letter_words
from web import once
from web.access import (
    dunahub,
    firm,
    firms_only,
    lock_firm,
    note,
    own,
    owner_required,
    person,
    session,
    step_out,
)
from web.account_links import end_access, end_grants
from web.forms import ChoiceField, Form, line
from web.fresh import fresh_required
from web.languages import _, reader
from web.security import limiter

people = Blueprint("people", __name__, url_prefix="/settings/people")
people.before_request(firms_only)

INVITATION_LIMIT = "30 per hour"  # per address, so that nobody can send mass mail through us
MAY = {
    Role.MEMBER.value: N_("Leads, invoices, payments"),
    Role.BOOKKEEPER.value: N_("Also make QuickBooks decisions"),
    Role.OWNER.value: N_("Everything, including QuickBooks"),
}
LINK_PREFIX = "inv_"  # lets the log recognize and hide invitation links


class InvitationForm(Form):
    email = line(N_("E-mail"), required=N_("Type your colleague's e-mail address."), most=254)
    role = ChoiceField(N_("Permissions"), MAY, default=Role.MEMBER.value)

    def __init__(self, told: MultiDict[str, str] | None = None) -> None:
        super().__init__(told)
        _fit_region(self.role)

    def validate_email(self, field: StringField) -> None:
        try:
            address = validate_email(field.data or "", check_deliverability=False).normalized
        except EmailNotValidError as problem:
            sentence = _("This isn't an e-mail address. Check it for typos.")
            raise ValidationError(sentence) from problem
        field.data = address
        # Whether another firm has them is not ours to tell: the link says so to its reader.
        works_here = select(User.id).where(
            User.organization_id == firm().id,
            func.lower(User.email) == address.lower(),
            User.removed_at.is_(None),
        )
        if session().scalar(works_here):
            raise ValidationError(_("This person is already on your team."))


class RoleForm(Form):
    role = ChoiceField(N_("Permissions"), MAY)

    def __init__(self, told: MultiDict[str, str] | None = None, role: str | None = None) -> None:
        super().__init__(told, data={"role": role})
        _fit_region(self.role)


def _fit_region(field: ChoiceField) -> None:
    """Without QuickBooks, the descriptions of roles don't mention it (rule 19)."""
    if not firm().has_quickbooks:
        field.options[Role.OWNER.value] = _("Everything")
        field.options.pop(Role.BOOKKEEPER.value, None)


@people.get("")
def index() -> ResponseReturnValue:
    return _page(InvitationForm())


def _page(form: InvitationForm, *, link: str | None = None) -> str:
    everyone = (
        select(User)
        .where(User.organization_id == firm().id, User.removed_at.is_(None))
        .order_by(User.id)
        .limit(500)
    )
    invited = (
        select(Invitation)
        .where(Invitation.organization_id == firm().id, Invitation.is_open())
        .order_by(Invitation.id)
        .limit(500)
    )
    return render_template(
        "settings/people.html",
        everyone=session().scalars(everyone).all(),
        invited=session().scalars(invited).all(),
        form=form,
        link=link,
        roles=_roles(),
    )


def _roles() -> dict[str, str]:
    return {
        Role.OWNER.value: _("Owner"),
        Role.BOOKKEEPER.value: _("Bookkeeper"),
        Role.MEMBER.value: _("Member"),
    }


@people.post("/invitations")
@owner_required
@fresh_required
@limiter.limit(INVITATION_LIMIT)
def invite() -> ResponseReturnValue:
    """Sends the link by e-mail, or shows it to the owner if that fails."""
    if saved := once.saved_before():
        return _link_again() or saved
    form = InvitationForm(request.form)
    if not form.validate():
        return _page(form), 422
    email, secret = form.email.data or "", _secret()
    if not _store(email, form.role.data or "", secret):
        form.email.errors = [
            _("Someone else is inviting this person right now. Try again in a moment.")
        ]
        return _page(form), 422
    once.remember(url_for("people.index"))
    note("account.invited", organization_id=firm().id, email=email, role=form.role.data)
    session().commit()
    link = _link(secret)
    if _mailed(email, link):
        flash(
            _(
                "We sent an e-mail to %(email)s. The link works for %(days)s days.",
                email=email,
                days=INVITATION_LASTS.days,
            ),
            "good",
        )
        return redirect(url_for("people.index"), 303)
    return _page(InvitationForm(), link=link)


def _secret() -> str:
    return LINK_PREFIX + once.secret_of_form("invitation")


def _link(secret: str) -> str:
    address = url_for("accounts.show_invitation", secret=secret)
    return dunahub().config.base_url.rstrip("/") + address


def _link_again() -> str | None:
    """If mail is not available, submitting again shows the link, too,
    because nothing else would."""
    secret = _secret()
    invited = select(Invitation.id).where(
        Invitation.digest == Invitation.digest_of(secret), Invitation.is_open()
    )
    if mail.is_possible(dunahub().config) or session().scalar(invited) is None:
        return None
    return _page(InvitationForm(), link=_link(secret))


def _store(email: str, role: str, secret: str) -> bool:
    """A new invitation replaces earlier ones to the same address."""
    session().execute(
        update(Invitation)
        .where(
            Invitation.organization_id == firm().id,
            func.lower(Invitation.email) == email.lower(),
            Invitation.accepted_at.is_(None),
            Invitation.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=func.clock_timestamp())
    )
    session().add(
        Invitation(
            organization_id=firm().id,
            email=email,
            role=role,
            digest=Invitation.digest_of(secret),
            invited_by_id=person().id,
        )
    )
    try:
        session().flush()
    except IntegrityError as problem:  # another request invited them a moment ago
        if not breaks(problem, "uq_invitations_open"):
            raise
        session().rollback()
        return False
    return True


def _mailed(email: str, link: str) -> bool:
    config = dunahub().config
    names = {"name": quoted(person().name), "organization": quoted(firm().name)}
    if not mail.is_possible(config):
        return False
    step_out()
    subject, body = letter_words(
        "invitation", reader(), link=link, days=INVITATION_LASTS.days, **names
    )
    letter = Letter([email], subject, body + "\n", f"invitation-{secrets.token_hex(8)}")
    try:
        mail.send(config, letter)
    except NotMailed:
        return False
    return True


@people.post("/invitations/<key:invitation_id>/withdraw")
@owner_required
def withdraw(invitation_id: int) -> ResponseReturnValue:
    invitation = own(Invitation, invitation_id, locked=True)
    if invitation.accepted_at:
        session().commit()
        flash(_("%(email)s has already joined.", email=invitation.email), "warn")
        return redirect(url_for("people.index"), 303)
    invitation.withdrawn_at = func.clock_timestamp()
    note("account.invitation_withdrawn", organization_id=firm().id, email=invitation.email)
    session().commit()
    flash(_("The invitation for %(email)s no longer works.", email=invitation.email), "good")
    return redirect(url_for("people.index"), 303)


# --- A colleague ----------------------------------------------------------------------------------


@people.get("/<key:user_id>")
@owner_required
def show(user_id: int) -> ResponseReturnValue:
    colleague = _colleague(user_id)
    return render_template(
        "settings/person.html",
        colleague=colleague,
        form=RoleForm(role=colleague.role.value),
        roles=_roles(),
    )


@people.post("/<key:user_id>/role")
@owner_required
@fresh_required
def change_role(user_id: int) -> ResponseReturnValue:
    colleague, form = _colleague(user_id, locked=True), RoleForm(request.form)
    if not form.validate():
        page = render_template(
            "settings/person.html", colleague=colleague, form=form, roles=_roles()
        )
        return page, 422
    if colleague.role != form.role.data:
        note(
            "account.role_changed",
            organization_id=firm().id,
            email=colleague.email,
            was=colleague.role.value,
            role=form.role.data,
        )
        colleague.role = form.role.one_of(Role)
        if not colleague.is_owner:
            end_grants(session(), colleague)
    session().commit()
    flash(_("The role of %(name)s is saved.", name=colleague.name), "good")
    return redirect(url_for("people.index"), 303)


@people.post("/<key:user_id>/sign-out")
@owner_required
@fresh_required
def sign_out(user_id: int) -> ResponseReturnValue:
    """Ends all sessions of a colleague, for a lost phone or a browser used by someone else."""
    colleague = _colleague(user_id, locked=True)
    end_access(session(), colleague)
    note("account.signed_out_by_owner", organization_id=firm().id, email=colleague.email)
    session().commit()
    flash(_("%(name)s is signed out everywhere.", name=colleague.name), "good")
    return redirect(url_for("people.show", user_id=user_id), 303)


@people.post("/<key:user_id>/remove")
@owner_required
@fresh_required
def remove(user_id: int) -> ResponseReturnValue:
    """Ends a person's access and what they gave to others. What they did stays in the log."""
    colleague = _colleague(user_id, locked=True)
    colleague.removed_at = func.clock_timestamp()
    end_access(session(), colleague)
    end_grants(session(), colleague)
    note("account.removed", organization_id=firm().id, email=colleague.email)
    session().commit()
    flash(_("%(name)s has been removed and signed out everywhere.", name=colleague.name), "good")
    return redirect(url_for("people.index"), 303)


def _colleague(user_id: int, *, locked: bool = False) -> User:
    """Another person of the firm. People cannot change themselves here, so one owner always
    remains.

    With `locked`, two owners who remove each other at the same time are serialized; the second is
    no longer an owner.
    """
    query = select(User).where(
        User.id == user_id,
        User.id != person().id,
        User.organization_id == firm().id,
        User.removed_at.is_(None),
    )
    if locked:
        lock_firm()
        session().refresh(person(), ["role", "removed_at"])
        if not person().is_owner or person().removed_at:
            abort(403)
        query = query.execution_options(populate_existing=True)
    return session().scalars(query).one_or_none() or abort(404)
