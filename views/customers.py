"""Taking back the link between a lead and a QuickBooks customer."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from models.outbox import Counterpart, Entry, State
from models.quickbooks import Connection
from models.sales import Invoice, Lead, RecordType
from outbox import actions
from outbox.actions import Acted
from presenters.customers import free_customers
from quickbooks import decisions
from web.access import books_required, firm, note, own, quickbooks_only, session
from web.flashes import tell
from web.languages import _
from web.paging import asked

customers = Blueprint("customers", __name__, url_prefix="/quickbooks/customers")
customers.before_request(quickbooks_only)

MAX_SHOWN = 25  # invoices that are named


@customers.get("/<key:lead_id>")
@books_required
def show(lead_id: int) -> ResponseReturnValue:
    """Asks which customer it is instead, and names what was sent to the present one."""
    lead = own(Lead, lead_id)
    connection, entry = firm().connection, _linked(lead)
    if connection is None or entry is None:
        return _nothing_to_take_back(lead)
    invoices = _sent_invoices(connection, lead)
    return render_template(
        "quickbooks/customer.html",
        lead=lead,
        link=entry.counterpart,
        company=connection.company_name,
        invoices=invoices[:MAX_SHOWN],
        more=max(len(invoices) - MAX_SHOWN, 0),
        customers=free_customers(connection, asked("q")),
        wanted=asked("q"),
    )


@customers.post("/<key:lead_id>")
@books_required
def change(lead_id: int) -> ResponseReturnValue:
    lead = own(Lead, lead_id)
    entry = _linked(lead)
    if entry is None:
        return _nothing_to_take_back(lead)
    linked = entry.counterpart.remote_id if entry.counterpart else None
    if request.form.get("linked") != linked:
        flash(_(actions.CHANGED), "warn")
        return redirect(url_for("customers.show", lead_id=lead.id), 303)
    chosen = request.form.get("customer", "")
    if chosen != "new" and not (chosen.isascii() and chosen.isdigit()):
        flash(_("Choose one of them first."), "warn")
        return redirect(url_for("customers.show", lead_id=lead.id), 303)
    acted = _take_back(entry, chosen)
    note("outbox.customer_taken_back", organization_id=firm().id, entries=[*acted.done])
    session().commit()
    tell(acted, _("Saved. %(lead)s is being sent to QuickBooks now.", lead=lead.name))
    return redirect(url_for("leads.show", lead_id=lead.id), 303)


def _take_back(entry: Entry, chosen: str) -> Acted:
    return decisions.not_this(session(), entry, None if chosen == "new" else chosen)


def _linked(lead: Lead) -> Entry | None:
    """The newest entry of a lead that is linked and has nothing on its way."""
    connection = firm().connection
    if connection is None or lead.deleted_at is not None:
        return None
    entry = decisions.newest_entry(session(), connection.lane_id, RecordType.LEAD, lead.id)
    if entry is None or entry.state != State.SYNCED or entry.counterpart is None:
        return None
    return entry if entry.counterpart.remote_id else None


def _sent_invoices(connection: Connection, lead: Lead) -> list[Invoice]:
    """The lead's invoices that are in QuickBooks: they stay with the customer they were sent to."""
    sent = select(Counterpart.record_id).where(
        Counterpart.lane_id == connection.lane_id,
        Counterpart.record_type == RecordType.INVOICE,
        Counterpart.remote_id.is_not(None),
    )
    query = select(Invoice).where(
        Invoice.organization_id == firm().id, Invoice.lead_id == lead.id, Invoice.id.in_(sent)
    )
    return list(session().scalars(query.order_by(Invoice.id.desc())))


def _nothing_to_take_back(lead: Lead) -> ResponseReturnValue:
    flash(_("This lead is not linked to a customer in QuickBooks now."), "warn")
    return redirect(url_for("leads.show", lead_id=lead.id))
