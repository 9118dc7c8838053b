"""A person's decision about a record that needs attention. One choice, and it is sent again.

A choice about something shared (a customer, an item) fixes all records that use it.
"""

from collections.abc import Callable

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from models.base import Json
from models.outbox import Counterpart, Entry, State
from models.quickbooks import Connection
from models.sales import Lead, Product, RecordType
from outbox import actions
from outbox.actions import Acted
from presenters.addresses import address_of, explanation_of
from presenters.customers import free_customers
from presenters.rows import rows_of
from quickbooks import decisions, facts
from web.access import books_required, firm, note, own, person, quickbooks_only, session
from web.flashes import tell
from web.languages import _, ngettext
from web.paging import asked

fixes = Blueprint("fixes", __name__, url_prefix="/quickbooks/fixes")
fixes.before_request(quickbooks_only)

ASKS = ("choose_customer", "other_item", "accountant_note")  # these have their own page


@fixes.get("/<key:entry_id>/<choice>")
@books_required
def show(entry_id: int, choice: str) -> ResponseReturnValue:
    """Asks for the customer or item, or shows a note to copy."""
    entry = _failed(entry_id)
    if entry is None:
        return _solved(entry_id)
    if choice not in ASKS or choice not in _offered(entry):
        abort(404)
    connection = _connection(entry)
    return render_template(
        "quickbooks/fix.html",
        entry=entry,
        choice=choice,
        explanation=explanation_of(entry),
        rows=rows_of(decisions.alike(session(), entry)),
        customers=_customers(entry, connection) if choice == "choose_customer" else [],
        items=connection.facts.get("items", []) if choice == "other_item" else [],
        wanted=asked("q"),
        company=connection,
        back=_address(entry),
    )


@fixes.post("/<key:entry_id>/<choice>")
@books_required
def decide(entry_id: int, choice: str) -> ResponseReturnValue:
    entry = _failed(entry_id)
    if entry is None:
        return _solved(entry_id)
    decision, shown = DECISIONS.get(choice), request.form.get("question", entry.question)
    if shown == entry.question and (decision is None or choice not in _offered(entry)):
        abort(404)
    address = _address(entry)
    if decision is None or request.form.get("question") != entry.question:
        flash(_(actions.CHANGED), "warn")
        return redirect(address, 303)
    acted = decision(entry)
    if acted is None:
        flash(_("Choose one of them first."), "warn")
        return redirect(url_for("fixes.show", entry_id=entry_id, choice=choice), 303)
    note(
        f"outbox.decided_{choice}",
        organization_id=firm().id,
        entries=[entry_id, *acted.done],
    )
    session().commit()
    tell(acted, _what_follows(choice, len(acted.done)))
    return redirect(address, 303)


def _what_follows(choice: str, count: int) -> str:
    if choice == "entered":
        return _("We're looking for it in QuickBooks now. Nothing is sent.")
    return ngettext("It will be sent now.", "%(num)s records will be sent now.", count)


def _failed(entry_id: int) -> Entry | None:
    entry = own(Entry, entry_id)
    return entry if entry.state == State.FAILED else None


def _solved(entry_id: int) -> ResponseReturnValue:
    flash(_("This has been solved in the meantime."))
    return redirect(_address(own(Entry, entry_id)))


def _address(entry: Entry) -> str:
    return address_of(entry.record) or url_for("quickbooks.show")


def _offered(entry: Entry) -> set[str]:
    explanation = explanation_of(entry)
    return {action.name for action in explanation.actions} if explanation else set()


def _connection(entry: Entry) -> Connection:
    assert entry.connection
    return entry.connection


def _connection_locked(entry: Entry) -> Connection:
    """Locks the connection, for writing after the lane. Everywhere
    else the order is the reverse."""
    return (
        session()
        .scalars(
            select(Connection)
            .where(Connection.lane_id == entry.lane_id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        .one()
    )


def _customers(entry: Entry, connection: Connection) -> list[Json]:
    """Customers that it could be, as far as we know; otherwise the search results."""
    candidates: list[Json] = entry.fault_about.get("candidates") or []
    if candidates and not asked("q"):
        return candidates
    return free_customers(connection, asked("q"))


# --- The decisions --------------------------------------------------------------------------------


def _use_existing(entry: Entry) -> Acted | None:
    return decisions.use(session(), entry, str(entry.fault_about["holder_id"]))


def _send_as(entry: Entry) -> Acted | None:
    """The record keeps its name, but QuickBooks gets another. Saving sends it."""
    is_product = entry.record_type == RecordType.PRODUCT
    record = own(Product, entry.record_id) if is_product else own(Lead, entry.record_id)
    record.quickbooks_name = str(entry.fault_about["suggestion"])
    return Acted((entry.id,))


def _create_new(entry: Entry) -> Acted | None:
    return decisions.create_anew(session(), entry)


def _create_again(entry: Entry) -> Acted | None:
    return _with_its_customer(entry, lambda lead: decisions.create_anew(session(), lead))


def _reactivate(entry: Entry) -> Acted | None:
    about = entry.fault_about
    if product_id := about.get("product_id"):
        its = decisions.newest_entry(session(), entry.lane_id, RecordType.PRODUCT, int(product_id))
        if its is None:
            return None
        sent = decisions.send_alike(session(), entry, person().id)
        return _both(decisions.reactivate(session(), its, str(about["item_id"])), sent)
    holder = str(
        about.get("holder_id") or (entry.counterpart and entry.counterpart.remote_id) or ""
    )
    return _with_its_customer(entry, lambda lead: decisions.reactivate(session(), lead, holder))


def _choose_customer(entry: Entry) -> Acted | None:
    chosen = request.form.get("customer", "")
    if chosen == "new" and entry.record_type == RecordType.LEAD:
        return decisions.create_anew(session(), entry)
    if not (chosen.isascii() and chosen.isdigit()):
        return None
    return _with_its_customer(entry, lambda lead: decisions.use(session(), lead, chosen))


def _let_quickbooks_number(entry: Entry) -> Acted | None:
    return decisions.let_quickbooks_number(session(), entry)


def _entered(entry: Entry) -> Acted | None:
    return decisions.entered(session(), entry)


def _other_item(entry: Entry) -> Acted | None:
    connection, chosen = _connection_locked(entry), request.form.get("item", "")
    known = {str(item["id"]) for item in connection.facts.get("items", [])}
    return _book_on(entry, connection, chosen) if chosen in known else None


def _fallback(entry: Entry) -> Acted | None:
    connection = _connection_locked(entry)
    chosen = connection.settings.get("fallback_item_id")
    return _book_on(entry, connection, str(chosen)) if chosen else None


def _book_on(entry: Entry, connection: Connection, item_id: str) -> Acted:
    """Changes all products that used the missing item to another one."""
    lane_id, gone = entry.lane_id, str(entry.fault_about["item_id"])
    sent = decisions.send_alike(session(), entry, person().id)
    linked = select(Counterpart.record_id).where(
        Counterpart.lane_id == lane_id,
        Counterpart.record_type == RecordType.PRODUCT,
        Counterpart.remote_id == gone,
    )
    for product_id in session().scalars(linked).all():
        decisions.book_on(session(), lane_id, product_id, item_id)
    if connection.settings.get("fallback_item_id") == gone:
        facts.choose(connection, fallback_item_id=item_id)
    return sent


def _with_its_customer(entry: Entry, decide_: Callable[[Entry], Acted]) -> Acted | None:
    """For a decision about a lead: sends its own entry first, then all that waited for it."""
    if entry.record_type == RecordType.LEAD:
        return decide_(entry)
    if entry.fault_code not in ("its_customer_inactive", "its_customer_currency"):
        return decide_(entry)
    lead = decisions.newest_entry(
        session(), entry.lane_id, RecordType.LEAD, int(entry.payload["lead_id"])
    )
    if lead is None:
        return None
    sent = decisions.send_alike(session(), entry, person().id)
    return _both(decide_(lead), sent)


def _both(one: Acted, other: Acted) -> Acted:
    refused = {
        key: why for key, why in {**one.refused, **other.refused}.items() if why != actions.ALREADY
    }
    return Acted(tuple(sorted({*one.done, *other.done})), refused)


DECISIONS: dict[str, Callable[[Entry], Acted | None]] = {
    "link_existing": _use_existing,
    "send_as": _send_as,
    "create_new": _create_new,
    "create_again": _create_again,
    "reactivate": _reactivate,
    "choose_customer": _choose_customer,
    "let_quickbooks_number": _let_quickbooks_number,
    "entered": _entered,
    "other_item": _other_item,
    "fallback": _fallback,
}
