"""Settings → Letterhead: the head of the firm's invoices and proposals."""

from decimal import Decimal
from io import BytesIO

from email_validator import EmailNotValidError, validate_email
from flask import Response, abort, flash, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import undefer
from wtforms import BooleanField, StringField
from wtforms.validators import StopValidation

from clients.logos import NoPicture, logo_from
from languages import N_
from models.clients import DEFAULT_DUE_DAYS, MAX_DUE_DAYS, Letterhead
from views.settings import settings
from web.access import firm, note, owner_required, session
from web.forms import EditForm, NumberField, area, line
from web.fresh import fresh_required
from web.languages import _


class LetterheadForm(EditForm):
    address = area(N_("Address"))
    phone = line(N_("Phone"), most=50)
    email = line(N_("E-mail"), most=254)
    license_number = line(N_("License number"), most=50)
    due_days = NumberField(
        N_("Days until an invoice is due"),
        decimals=0,
        most=Decimal(MAX_DUE_DAYS),
        least=Decimal(0),
        empty=Decimal(DEFAULT_DUE_DAYS),
    )
    message = area(N_("Message on new invoices"))
    removes_logo = BooleanField(N_("Remove the logo"))

    def columns(self) -> frozenset[str]:
        return frozenset("address phone email license_number due_days message".split())

    def validate_email(self, field: StringField) -> None:
        if not field.data:
            return
        try:
            address = validate_email(field.data, check_deliverability=False)
        except EmailNotValidError:
            raise StopValidation(_("This is not an e-mail address.")) from None
        field.data = address.normalized


@settings.get("/letterhead")
def show_letterhead() -> ResponseReturnValue:
    head = letterhead()
    form = LetterheadForm.showing(head)
    return render_template("settings/letterhead.html", form=form, head=head)


@settings.post("/letterhead")
@owner_required
@fresh_required
def update_letterhead() -> ResponseReturnValue:
    head, form = letterhead(), LetterheadForm(request.form)
    is_valid = form.validate()
    logo_error = _keep_logo(head, form) if is_valid else ""
    if not is_valid or logo_error:
        session().rollback()
        page = render_template(
            "settings/letterhead.html", form=form, head=letterhead(), logo_error=logo_error
        )
        return page, 422
    form.apply_to(head)
    head.due_days = int(head.due_days)
    session().add(head)
    note("organization.letterhead_changed", organization_id=firm().id)
    session().commit()
    flash(_("Your letterhead is saved."), "good")
    return redirect(url_for("settings.show_letterhead"), 303)


@settings.get("/letterhead/logo")
def show_logo() -> Response:
    return logo_of(firm().id)


def logo_of(organization_id: int) -> Response:
    """The firm's logo, for everyone who may see its documents."""
    found = select(Letterhead).where(Letterhead.organization_id == organization_id)
    head = session().scalar(found.options(undefer(Letterhead.logo)))
    if head is None or head.logo is None:
        abort(404)
    return send_file(BytesIO(head.logo), mimetype="image/png", etag=head.logo_digest or False)


def letterhead() -> Letterhead:
    """The firm's letterhead, or a new empty one."""
    head = session().get(Letterhead, firm().id)
    return head or Letterhead(
        organization_id=firm().id,
        address="",
        phone="",
        email="",
        license_number="",
        due_days=DEFAULT_DUE_DAYS,
        message="",
    )


def _keep_logo(head: Letterhead, form: LetterheadForm) -> str:
    """Stores the uploaded logo. Returns an error message, or ""."""
    if form.removes_logo.data:
        head.logo = head.logo_digest = None
    upload = request.files.get("logo")
    if upload is None or not upload.filename:
        return ""
    try:
        logo = logo_from(upload.read())
    except NoPicture:
        return _("This picture can't be used. Choose a PNG or JPEG file of at most 2 MB.")
    head.logo, head.logo_digest = logo.png, logo.digest
    return ""
