"""The accountant's link: owners create and revoke it; it opens pages without sign-in.

Those pages are in the blueprint `books`, read only, and look up everything by the link's firm. No
other route accepts the link. Each visit is in the firm's audit log.
"""

from datetime import timedelta

from flask import (
    Blueprint,
    abort,
    flash,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import joinedload

from languages import N_
from models.accountants import AccountantLink
from models.accounts import AuditEvent
from models.comparisons import Comparison
from models.outbox import Entry
from models.sales import Invoice, Payment
from presenters.counts import needs_attention
from presenters.differences import groups_of
from presenters.month import answer_of, comparison_of
from presenters.not_sent import NEVER_SENT, never_sent, not_sent_parts
from presenters.rows import rows_of
from presenters.standing import standing
from views.activity import lines_of
from views.matches import MAX_ROWS_PRINTED, lines_of_months, month_of, table_of
from web import once
from web.access import (
    dunahub,
    firm,
    note,
    own,
    owner_required,
    person,
    public,
    quickbooks_only,
    session,
    visit,
    written_apart,
)
from web.account_links import LINK_PREFIX, digest
from web.downloads import csv_of
from web.forms import ChoiceField, Form, line
from web.fresh import fresh_required
from web.languages import _
from web.paging import asked, page_of
from web.security import limiter

accountants = Blueprint("accountants", __name__, url_prefix="/settings/quickbooks/accountant")
accountants.before_request(quickbooks_only)

LINK_DURATIONS = {"7": N_("7 days"), "14": N_("14 days"), "30": N_("30 days"), "90": N_("90 days")}
DEFAULT_DURATION = "14"
VISIT_LIMIT = "300 per hour"  # per address, against guessing
LINKS_SHOWN = 100  # newest links on the page


class LinkForm(Form):
    name = line(N_("Who it's for"), required=N_("Who will you give it to?"), most=200)
    days = ChoiceField(N_("Works for"), LINK_DURATIONS, default=DEFAULT_DURATION)


@accountants.get("")
@owner_required
def index() -> ResponseReturnValue:
    return _page(LinkForm())


def _page(form: LinkForm, *, link: str | None = None) -> str:
    query = (
        select(AccountantLink)
        .where(AccountantLink.organization_id == firm().id)
        .options(joinedload(AccountantLink.created_by))
        .order_by(AccountantLink.id.desc())
        .limit(LINKS_SHOWN)
    )
    good = set(session().scalars(select(AccountantLink.id).where(*_is_good())))
    return render_template(
        "settings/accountant.html",
        form=form,
        link=link,
        links=session().scalars(query).all(),
        good=good,
    )


def _is_good() -> list[ColumnElement[bool]]:
    return [
        AccountantLink.revoked_at.is_(None),
        AccountantLink.expires_at > func.clock_timestamp(),
    ]


@accountants.post("")
@owner_required
@fresh_required
def create() -> ResponseReturnValue:
    """Shows the new link once, to pass on. Anyone who has it sees the firm's figures."""
    form, secret = LinkForm(request.form), LINK_PREFIX + once.secret_of_form("accountant")
    if not form.validate():
        return _page(form), 422
    if saved := once.saved_before():
        return _link_again(secret) or saved
    once.remember(url_for("accountants.index"))
    days = int(form.days.data or DEFAULT_DURATION)
    session().add(
        AccountantLink(
            organization_id=firm().id,
            name=form.name.data or "",
            digest=digest(secret),
            created_by_id=person().id,
            expires_at=func.clock_timestamp() + timedelta(days=days),
        )
    )
    note("accountant.link_made", organization_id=firm().id, name=form.name.data, days=days)
    session().commit()
    return _page(LinkForm(), link=_link(secret))


def _link(secret: str) -> str:
    return dunahub().config.base_url.rstrip("/") + url_for("books.show", secret=secret)


def _link_again(secret: str) -> str | None:
    """Submitting the form again shows the link again, because nothing else would."""
    ours = AccountantLink.organization_id == firm().id, AccountantLink.digest == digest(secret)
    if session().scalar(select(AccountantLink.id).where(*ours, *_is_good())) is None:
        return None
    return _page(LinkForm(), link=_link(secret))


@accountants.post("/<key:link_id>/revoke")
@owner_required
def revoke(link_id: int) -> ResponseReturnValue:
    link = own(AccountantLink, link_id)
    if link.revoked_at is None:
        link.revoked_at = func.clock_timestamp()
        note("accountant.link_revoked", organization_id=firm().id, name=link.name)
    session().commit()
    flash(_("The link for %(name)s no longer works.", name=link.name), "good")
    return redirect(url_for("accountants.index"), 303)


# --- What the link opens --------------------------------------------------------------------------

books = Blueprint("books", __name__, url_prefix="/books/<secret>")


@books.before_request
def enter() -> None:
    """Finds the firm by its link and logs the visit. Invalid links get 404."""
    secret = (request.view_args or {}).pop("secret", "")
    link = (
        session()
        .scalars(
            select(AccountantLink)
            .where(AccountantLink.digest == digest(secret), *_is_good())
            .options(joinedload(AccountantLink.organization))
        )
        .one_or_none()
    )
    if link is None or not link.organization.has_quickbooks:
        abort(404)
    g.secret, g.accountant = secret, link.name
    visit(link.organization)
    with written_apart():
        is_it = AccountantLink.id == link.id
        visited = update(AccountantLink).where(is_it).values(visited_at=func.clock_timestamp())
        session().execute(visited)
        session().add(
            AuditEvent(
                organization_id=link.organization_id,
                user_id=None,
                action="accountant.visited",
                reason=link.name,
                details={"page": (request.endpoint or "").removeprefix("books."), "link": link.id},
            )
        )


@books.url_defaults
def _keep_secret(_endpoint: str, values: dict[str, object]) -> None:
    values.setdefault("secret", g.get("secret"))


@books.get("")
@public
@limiter.limit(VISIT_LIMIT)
def show() -> ResponseReturnValue:
    recent = select(Entry).where(Entry.organization_id == firm().id).options(joinedload(Entry.lane))
    failed = recent.join(Entry.lane).where(needs_attention())
    page = page_of(recent, Entry.id)
    return render_template(
        "books/show.html",
        standing=standing(),
        lines=[one for one in lines_of_months() if one.answer],
        failed=rows_of(
            session().scalars(failed.order_by(Entry.id.desc()).limit(LINKS_SHOWN)).all()
        ),
        missing=not_sent_parts(),
        page=page,
        rows=rows_of(page.rows),
    )


@books.get("/months/<month>")
@public
@limiter.limit(VISIT_LIMIT)
def show_month(month: str) -> ResponseReturnValue:
    answer = answer_of(_compared(month))
    assert answer
    return render_template(
        "books/month.html", month=month, answer=answer, groups=groups_of(answer, MAX_ROWS_PRINTED)
    )


@books.get("/months/<month>.csv")
@public
@limiter.limit(VISIT_LIMIT)
def export_month(month: str) -> ResponseReturnValue:
    name = f"dunahub-quickbooks-{month_of(month)}.csv"
    return csv_of(name, table_of(_compared(month)), of_one_moment=True)


def _compared(month: str) -> Comparison:
    comparison = comparison_of(month_of(month))
    if comparison is None or comparison.compared_at is None:
        abort(404)
    return comparison


@books.get("/not-sent")
@public
@limiter.limit(VISIT_LIMIT)
def not_sent() -> ResponseReturnValue:
    """Records not in QuickBooks because they were saved while it wasn't connected."""
    kind = asked("type") if asked("type") in NEVER_SENT else "invoice"
    model = NEVER_SENT[kind]
    query = select(model).where(*never_sent(model))
    if model is Invoice:
        query = query.options(joinedload(Invoice.lead))
    elif model is Payment:
        query = query.options(joinedload(Payment.invoice).joinedload(Invoice.lead))
    page = page_of(query, model.id)
    return render_template("books/not_sent.html", page=page, kind=kind, missing=not_sent_parts())


@books.get("/activity.csv")
@public
@limiter.limit(VISIT_LIMIT)
def export_activity() -> ResponseReturnValue:
    entries = select(Entry).where(Entry.organization_id == firm().id)
    return csv_of("quickbooks-activity.csv", lines_of(entries.options(joinedload(Entry.lane))))
