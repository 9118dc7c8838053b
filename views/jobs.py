"""Jobs: work agreed with a lead for a day, with lines."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from languages import N_
from models.sales import Invoice, Job, JobLine, JobStatus, Lead, RecordType
from presenters.status import words_of
from presenters.unfinished import drafts_of
from web import once
from web.access import firm, firms_only, own, session
from web.forms import DayField, area, line, status_field
from web.languages import _
from web.lines import LinesForm, totals_of
from web.origins import asked_origin, choose_lead, required_origin
from web.paging import asked, containing, page_of

jobs = Blueprint("jobs", __name__, url_prefix="/jobs")
jobs.before_request(firms_only)


class JobForm(LinesForm):
    title = line(
        N_("What needs to be done?"), required=N_("Describe in a few words what needs to be done.")
    )
    status = status_field(JobStatus)
    scheduled_on = DayField(N_("Day"))
    notes = area(N_("Notes"))

    def columns(self) -> frozenset[str]:
        return frozenset("title status scheduled_on notes".split())


@jobs.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = (
        select(Job)
        .where(Job.organization_id == firm().id)
        .options(joinedload(Job.lead), selectinload(Job.lines))
    )
    if wanted:
        query = query.join(Job.lead).where(
            containing(wanted, Job.title, Lead.name, Lead.company_name)
        )
    if asked("state"):
        query = query.where(Job.status == asked("state"))
    page = page_of(query, Job.id)
    return render_template(
        "jobs/index.html",
        page=page,
        prices={job.id: totals_of(job.lines).subtotal for job in page.rows},
        wanted=wanted,
        state=asked("state"),
        statuses=JobStatus,
    )


@jobs.get("/new")
def show_new() -> ResponseReturnValue:
    origin = asked_origin()
    if origin is None:
        return choose_lead(_("New job"), "jobs.show_new")
    return render_template("jobs/form.html", form=JobForm.blank(), lead=origin.lead, job=None)


@jobs.post("")
def create() -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    lead, form = required_origin().lead, JobForm(request.form)
    if not form.is_to_be_saved():
        return render_template("jobs/form.html", form=form, lead=lead, job=None), form.status_code
    job = Job(organization_id=firm().id, lead=lead)
    form.apply_to(job)
    form.save_lines(job.lines, JobLine)
    session().add(job)
    session().flush()
    once.remember(url_for("jobs.show", job_id=job.id))
    session().commit()
    flash(_("The job is saved."), "good")
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
    return render_template(
        "jobs/show.html",
        job=job,
        totals=totals_of(job.lines),
        invoices=invoices,
        drafts=drafts_of(job),
        words=words,
    )


@jobs.get("/<key:job_id>/edit")
def show_edit(job_id: int) -> ResponseReturnValue:
    job = own(Job, job_id)
    form = JobForm.showing(job)
    return render_template("jobs/form.html", form=form, lead=job.lead, job=job)


@jobs.post("/<key:job_id>")
def update(job_id: int) -> ResponseReturnValue:
    job, form = own(Job, job_id, locked=True), JobForm(request.form)
    if not form.is_to_be_saved(job):
        page = render_template("jobs/form.html", form=form, lead=job.lead, job=job)
        return page, form.status_code
    form.apply_to(job)
    form.save_lines(job.lines, JobLine)
    session().commit()
    flash(_("The job is saved."), "good")
    return redirect(url_for("jobs.show", job_id=job.id), 303)
