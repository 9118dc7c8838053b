"""Jobs: work agreed with a lead, on a day, for a price."""

from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from models.sales import Invoice, Job, Lead, RecordType
from views.access import firm, firms_only, own, session
from views.forms import MOST_MONEY, DayField, EditForm, NumberField, area, line
from views.origins import asked_origin, choose_lead, required_origin
from views.paging import asked, containing, page_of
from views.status import words_of

jobs = Blueprint("jobs", __name__, url_prefix="/jobs")
jobs.before_request(firms_only)


class JobForm(EditForm):
    title = line("What is to be done?", required="Say in a few words what is to be done.")
    scheduled_on = DayField("Day")
    agreed_price = NumberField(
        "Agreed price", decimals=2, shown=2, most=MOST_MONEY, least=Decimal(0)
    )
    notes = area("Notes")

    def columns(self) -> frozenset[str]:
        return frozenset("title scheduled_on agreed_price notes".split())


@jobs.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = select(Job).where(Job.organization_id == firm().id).options(joinedload(Job.lead))
    if wanted:
        query = query.join(Job.lead).where(containing(wanted, Job.title, Lead.name))
    return render_template("jobs/index.html", page=page_of(query, Job.id), wanted=wanted)


@jobs.get("/new")
def show_new() -> ResponseReturnValue:
    origin = asked_origin()
    if origin is None:
        return choose_lead("New job", "jobs.show_new")
    return render_template("jobs/form.html", form=JobForm(), lead=origin.lead, job=None)


@jobs.post("")
def create() -> ResponseReturnValue:
    lead, form = required_origin().lead, JobForm(request.form)
    if not form.validate():
        return render_template("jobs/form.html", form=form, lead=lead, job=None), 422
    job = Job(organization_id=firm().id, lead=lead)
    form.apply_to(job)
    session().add(job)
    session().commit()
    flash("The job is saved.", "good")
    return redirect(url_for("jobs.show", job_id=job.id), 303)


@jobs.get("/<key:job_id>")
def show(job_id: int) -> ResponseReturnValue:
    job = own(Job, job_id)
    invoices = (
        session()
        .scalars(select(Invoice).where(Invoice.job_id == job.id).order_by(Invoice.id.desc()))
        .all()
    )
    words = words_of(RecordType.INVOICE, [invoice.id for invoice in invoices])
    return render_template("jobs/show.html", job=job, invoices=invoices, words=words)


@jobs.get("/<key:job_id>/edit")
def show_edit(job_id: int) -> ResponseReturnValue:
    job = own(Job, job_id)
    form = JobForm.showing(job)
    return render_template("jobs/form.html", form=form, lead=job.lead, job=job)


@jobs.post("/<key:job_id>")
def update(job_id: int) -> ResponseReturnValue:
    job, form = own(Job, job_id), JobForm(request.form)
    if not form.validate():
        return render_template("jobs/form.html", form=form, lead=job.lead, job=job), 422
    form.apply_to(job)
    session().commit()
    flash("The job is saved.", "good")
    return redirect(url_for("jobs.show", job_id=job.id), 303)
