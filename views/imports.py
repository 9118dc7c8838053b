"""Leads → Import: customers from a file or the connected company, with a preview before saving."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from werkzeug.exceptions import NotFound

from languages import N_
from models.imports import ImportSource, LeadImport
from models.outbox import Counterpart
from models.quickbooks import Customer
from models.sales import Invoice, InvoiceDraft, Job, Lead, Proposal, RecordType
from presenters.customers import can_be_invoiced
from quickbooks.cleaning import addresses
from quickbooks.matching import name_key, names_agree
from web.access import (
    books_required,
    firm,
    firms_only,
    lock_firm,
    note,
    own,
    person,
    session,
)
from web.customer_files import MAX_ROWS, NotReadable, Row, rows_of_file, tidied
from web.languages import _, ngettext

imports = Blueprint("imports", __name__, url_prefix="/leads/imports")
imports.before_request(firms_only)

ROWS_SHOWN = 100  # rows of the preview
MAX_NAMES_COMPARED = 20  # with one e-mail address: a file may have the same in each row
REASONS = {
    "no_table": N_(
        "This isn't a table whose first row has headings. Save it as CSV and try again."
    ),
    "no_name": N_(
        "No column is called Name, Company, First name or Last name. Check the first row."
    ),
    "too_long": N_("This file has more than %(most)s rows. Split it and import the parts."),
}


@dataclass(frozen=True)
class Preview:
    """What would be saved, and what already exists."""

    new: Sequence[Row]
    doubles: Sequence[tuple[Row, str]]  # with the name of the lead or row that it repeats


@imports.get("/new")
def show_new() -> ResponseReturnValue:
    return _page()


def _page(problem: str = "") -> str:
    connection = firm().connection if firm().has_quickbooks else None
    return render_template("leads/import.html", problem=problem, connection=connection)


@imports.post("")
def read_file() -> ResponseReturnValue:
    """Reads the file and shows what would be saved."""
    upload = request.files.get("file")
    try:
        rows = rows_of_file(upload.read() if upload else b"")
    except NotReadable as problem:
        return _page(_(REASONS[problem.reason], most=f"{MAX_ROWS:,}")), 422
    return _keep(ImportSource.FILE, rows)


@imports.post("/quickbooks")
@books_required
def read_customers() -> ResponseReturnValue:
    """The company's active customers as last read, whose invoices can be in dollars. Sends no
    request."""
    connection = firm().connection if firm().has_quickbooks else None
    if connection is None:
        raise NotFound
    customers = session().scalars(
        select(Customer)
        .where(
            Customer.connection_id == connection.id,
            Customer.organization_id == firm().id,
            Customer.active,
            can_be_invoiced(),
        )
        .order_by(Customer.name)
        .limit(MAX_ROWS)
    )
    rows = [tidied({"name": one.name, "email": one.email, "phone": one.phone}) for one in customers]
    return _keep(ImportSource.QUICKBOOKS, rows)


def _keep(source: ImportSource, rows: Sequence[Row]) -> ResponseReturnValue:
    kept = LeadImport(
        organization_id=firm().id, user_id=person().id, source=source, rows={"read": list(rows)}
    )
    session().add(kept)
    session().commit()
    return redirect(url_for("imports.show", import_id=kept.id), 303)


@imports.get("/<key:import_id>")
def show(import_id: int) -> ResponseReturnValue:
    kept = own(LeadImport, import_id)
    return render_template(
        "leads/import_preview.html",
        kept=kept,
        preview=None if kept.saved_at else _preview(kept),
        saved=len(kept.rows.get("saved", [])),
        shown=ROWS_SHOWN,
    )


def _preview(kept: LeadImport) -> Preview:
    """Customers already exist if a lead has their name, or their e-mail address and a name that
    may mean the same: a property manager has one address for many clients. A company's customers
    all differ from each other."""
    known = Known()
    here = select(Lead.name, Lead.email).where(
        Lead.organization_id == firm().id, Lead.deleted_at.is_(None)
    )
    for name, email in session().execute(here):
        known.add(name, email, name)
    if kept.source == ImportSource.QUICKBOOKS:
        for name, lead in _linked():
            known.add(name, "", lead)
    new: list[Row] = []
    doubles: list[tuple[Row, str]] = []
    for row in kept.rows["read"]:
        double = known.find(row["name"], row["email"])
        if double is None:
            new.append(row)
        else:
            doubles.append((row, double))
        if kept.source == ImportSource.FILE:
            known.add(row["name"], row["email"], row["name"])
    return Preview(new, doubles)


def _linked() -> Sequence[tuple[str, str]]:
    """The names of the company's customers that leads are linked with, and those of the leads."""
    connection = firm().connection if firm().has_quickbooks else None
    if connection is None:
        return []
    query = (
        select(Customer.name, Lead.name)
        .join(
            Counterpart,
            (Counterpart.remote_id == Customer.remote_id)
            & (Counterpart.lane_id == connection.lane_id)
            & (Counterpart.record_type == RecordType.LEAD),
        )
        .join(Lead, Lead.id == Counterpart.record_id)
        .where(
            Customer.connection_id == connection.id,
            Lead.organization_id == firm().id,
            Lead.deleted_at.is_(None),
        )
    )
    return [(name, lead) for name, lead in session().execute(query)]


@dataclass
class Known:
    """Customers by name and by e-mail address, each with the name to show."""

    by_name: dict[str, str] = field(default_factory=dict)
    by_email: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, name: str, email: str, shown: str) -> None:
        self.by_name.setdefault(name_key(name), shown)
        for address in addresses(email):
            names = self.by_email.setdefault(address, [])
            if len(names) < MAX_NAMES_COMPARED:
                names.append((name, shown))

    def find(self, name: str, email: str) -> str | None:
        """The name to show of a customer who is probably the same."""
        if shown := self.by_name.get(name_key(name)):
            return shown
        for address in addresses(email):
            for other, shown in self.by_email.get(address, []):
                if names_agree(name, other):
                    return shown
        return None


@imports.post("/<key:import_id>/save")
def save(import_id: int) -> ResponseReturnValue:
    """Saves new rows as leads. Pressing it twice saves once."""
    kept = own(LeadImport, import_id, locked=True)
    address = url_for("imports.show", import_id=kept.id)
    if kept.saved_at:
        session().commit()
        return redirect(address, 303)
    lock_firm()  # what another import saves at the same time is compared with, too
    leads = [Lead(organization_id=firm().id, **row) for row in _preview(kept).new]
    session().add_all(leads)
    session().flush()
    kept.rows = {"read": [], "saved": [lead.id for lead in leads]}
    kept.saved_at = func.clock_timestamp()
    note("leads.imported", organization_id=firm().id, count=len(leads), source=kept.source.value)
    session().commit()
    flash(
        ngettext("%(num)s lead is saved.", "%(num)s leads are saved.", len(leads)),
        "good",
    )
    return redirect(address, 303)


@imports.post("/<key:import_id>/undo")
def undo(import_id: int) -> ResponseReturnValue:
    """Deletes the imported leads, except those already in use."""
    kept = own(LeadImport, import_id, locked=True)
    if kept.saved_at and not kept.undone_at:
        busy = [
            select(model.id).where(model.lead_id == Lead.id).exists()
            for model in (Invoice, InvoiceDraft, Job, Proposal)
        ]
        leads = (
            session()
            .scalars(
                select(Lead).where(
                    Lead.organization_id == firm().id,
                    Lead.id.in_(kept.rows.get("saved", [])),
                    Lead.deleted_at.is_(None),
                    *(~one for one in busy),
                )
            )
            .all()
        )
        now = session().scalar(select(func.clock_timestamp()))
        for lead in leads:
            lead.deleted_at = now
        kept.undone_at = func.clock_timestamp()
        note("leads.import_undone", organization_id=firm().id, count=len(leads))
        flash(
            ngettext("%(num)s lead was deleted.", "%(num)s leads were deleted.", len(leads)),
            "good",
        )
    session().commit()
    return redirect(url_for("imports.show", import_id=kept.id), 303)
