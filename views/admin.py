"""Pages for DunaHub's staff: organizations, their region, the audit log. The outbox has a module.

Only here and in `admin_outbox.py` do queries span organizations (rule 18). Acts ask for a reason
and are audited.
"""

from collections.abc import Sequence

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from models.accounts import AuditEvent, Organization, Region, User
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus
from presenters.region import stakes_of
from quickbooks import disconnecting
from web.access import admins_only, dunahub, note, session
from web.fresh import fresh_required
from web.languages import _
from web.paging import asked, containing, page_of

admin = Blueprint("admin", __name__, url_prefix="/admin")
admin.before_request(admins_only)

MAX_REASON_LENGTH = 500
OPEN_STATES = [State.PENDING, State.FAILED]


# --- Organizations --------------------------------------------------------------------------------


@admin.get("/organizations")
def organizations() -> ResponseReturnValue:
    wanted = asked("q")
    query = select(Organization)
    if wanted:
        query = query.where(containing(wanted, Organization.name))
    page = page_of(query, Organization.id)
    return render_template("admin/organizations.html", page=page, wanted=wanted)


@admin.get("/organizations/<key:organization_id>")
def organization(organization_id: int) -> ResponseReturnValue:
    found = session().get(Organization, organization_id) or abort(404)
    people = session().scalars(
        select(User)
        .where(User.organization_id == found.id, User.removed_at.is_(None))
        .order_by(User.id)
        .limit(100)
    )
    return render_template(
        "admin/organization.html",
        organization=found,
        people=people.all(),
        regions=list(Region),
        connections=_connections(found),
        counts=_open_counts(found),
    )


def _connections(organization: Organization) -> Sequence[Connection]:
    """The live connection first, then earlier ones."""
    return (
        session()
        .scalars(
            select(Connection)
            .where(Connection.organization_id == organization.id)
            .order_by(
                Connection.status == ConnectionStatus.DISCONNECTED, Connection.status_since.desc()
            )
            .limit(10)
        )
        .all()
    )


def _open_counts(organization: Organization) -> dict[str, int]:
    counted = session().execute(
        select(Entry.state, func.count())
        .where(Entry.organization_id == organization.id, Entry.state.in_(OPEN_STATES))
        .group_by(Entry.state)
    )
    found = {str(state): count for state, count in counted}
    return {state.value: found.get(state.value, 0) for state in OPEN_STATES}


@admin.post("/organizations/<key:organization_id>/region")
@fresh_required
def change_region(organization_id: int) -> ResponseReturnValue:
    """Changing US to BR ends the connection and hides QuickBooks; changing back gives Not
    connected.

    Confirmed twice: the first page explains it, the second shows how many records are affected.
    """
    found = session().get(Organization, organization_id) or abort(404)
    asked_region, reason = request.form.get("region", ""), reason_given()
    back = redirect(url_for("admin.organization", organization_id=found.id), 303)
    if asked_region not in set(Region):
        abort(400)
    region = Region(asked_region)
    if not reason:
        flash(_("Say why: the organization's owner can read it."), "warn")
        return back
    if region == found.region:
        flash(_("%(name)s is already in %(region)s.", name=found.name, region=region), "warn")
        return back
    if request.form.get("agrees") != "y":
        return render_template(
            "admin/region.html",
            organization=found,
            region=region,
            reason=reason,
            stakes=stakes_of(found, region),
        )
    note(
        "organization.region_changed",
        reason=reason,
        organization_id=found.id,
        old=found.region,
        new=region,
    )
    name, found.region = found.name, region
    if region == Region.BR:
        disconnecting.close_for_region(session(), found)
    session().commit()
    disconnecting.revoke_now(dunahub().sessions, dunahub().config, organization_id)
    flash(_("%(name)s is in %(region)s now.", name=name, region=region), "good")
    return back


# --- Audit ----------------------------------------------------------------------------------------


@admin.get("/audit")
def audit() -> ResponseReturnValue:
    query = select(AuditEvent).options(joinedload(AuditEvent.user))
    if organization_id := asked_key("organization"):
        query = query.where(AuditEvent.organization_id == organization_id)
    page = page_of(query, AuditEvent.id)
    names = {organization.id: organization.name for organization in all_organizations()}
    return render_template("admin/audit.html", page=page, names=names)


# --- Of both modules ---------------------------------------------------------------------------


def asked_key(name: str) -> int | None:
    text = asked(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def all_organizations() -> Sequence[Organization]:
    return session().scalars(select(Organization).order_by(Organization.name).limit(500)).all()


def reason_given() -> str:
    return request.form.get("reason", "").replace("\x00", "").strip()[:MAX_REASON_LENGTH]
