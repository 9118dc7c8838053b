"""The first page: unpaid figures, what needs a person, and setup steps."""

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func

from presenters.home import figures, late_invoices, next_jobs, steps
from presenters.needs import needs_you
from web.access import firm, firms_only, note, owner_required, person, public, session

home = Blueprint("home", __name__)


@home.get("/")
@public
def show() -> ResponseReturnValue:
    if not current_user.is_authenticated:
        return redirect(url_for("accounts.show_sign_in"))
    if person().is_admin:
        return redirect(url_for("admin.outbox"))
    return render_template(
        "home.html",
        figures=figures(needs_you()),
        steps=[] if firm().steps_hidden_at else steps(),
        late=late_invoices(),
        jobs=next_jobs(),
    )


@home.post("/first-steps/hide")
@owner_required
def hide_steps() -> ResponseReturnValue:
    """Hides the setup steps, for firms that don't need some of them."""
    firms_only()
    firm().steps_hidden_at = func.clock_timestamp()
    note("organization.first_steps_hidden", organization_id=firm().id)
    session().commit()
    return redirect(url_for("home.show"), 303)
