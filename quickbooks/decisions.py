"""A person's decisions about conflicts. They are stored with the record's counterpart and carried
out by the record's next request, whichever entry that is for.

A decision makes no call to QuickBooks. It tells the next request what to do (`composing`), so that
it is stored, fenced, repeated and ordered like every other send. Callers audit and commit.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from languages import N_
from models.base import Json
from models.outbox import Counterpart, Entry, State
from models.sales import Record, RecordType
from outbox import actions, bulk, counterparts
from outbox.actions import Acted
from outbox.capture import send_with_it


def use(session: Session, entry: Entry, remote_id: str) -> Acted:
    """Links this object in QuickBooks. It is read once, and linked if
    it still exists and is free."""
    return _decide(session, entry, {"use": remote_id, "activate": False, "anew": False})


def create_anew(session: Session, entry: Entry) -> Acted:
    """Creates a new object, whatever exists or existed in QuickBooks.

    An invoice includes its payments: when the old one was deleted, they became credit.
    """
    choice: Json = {"anew": True, "use": None}
    if not_its_own := _not_its_own(session, entry):
        choice["not"] = not_its_own
    if entry.record_type != RecordType.INVOICE:
        return _decide(session, entry, choice)
    with session.begin_nested() as attempt:
        payments = send_with_it(session, entry.record_id)  # before the lane is locked
        acted = _decide(session, entry, choice)
        if not acted.done:
            attempt.rollback()
            return acted
    return Acted((*acted.done, *payments))


def _not_its_own(session: Session, entry: Entry) -> list[str]:
    """The objects that this question, or an earlier one, was about: they are not this record's."""
    about, its = entry.fault_about, Counterpart.record == entry.record
    decision = select(Counterpart.decision).where(Counterpart.lane_id == entry.lane_id, its)
    said = (session.scalar(decision) or {}).get("not")
    earlier = said if isinstance(said, list) else [said]
    if entry.record_type != RecordType.LEAD:
        offered = [*about.get("holders", ())]
    else:
        offered = [about.get("holder_id"), *(one["id"] for one in about.get("candidates", ()))]
    return [str(one) for one in dict.fromkeys([*earlier, *offered]) if one]


def not_this(session: Session, entry: Entry, instead: str | None = None) -> Acted:
    """Unlinks a lead from the wrong customer: it gets this one instead, or a separate customer.

    Until it has it, the lead's invoices wait: none goes to the wrong one. What was sent to that
    customer stays with it until it is sent again.
    """
    acted = _send(session, entry)
    if acted.done:
        linked = entry.counterpart.remote_id if entry.counterpart else None  # under the lane's lock
        counterparts.forget(session, entry.lane_id, entry.record)
        choice: Json = {
            "use": instead,
            "activate": False,
            "anew": instead is None,
            "not": linked if linked != instead else None,
        }
        counterparts.decide(session, entry.lane_id, entry.record, choice)
    return acted


def let_quickbooks_number(session: Session, entry: Entry) -> Acted:
    """Lets QuickBooks choose the number, for this invoice only."""
    return _decide(session, entry, {"unnumbered": True})


def entered(session: Session, entry: Entry) -> Acted:
    """A person entered it in QuickBooks by hand, as it is now: it is looked for there, and linked.

    What is changed here later is sent: the entry tells which is which.
    """
    acted = _send(session, entry)
    if acted.done:
        choice: Json = {"entered": entry.id, "use": None, "anew": False}
        choice["entered_values"] = entry.payload  # as requeued: with the values of now
        counterparts.decide(session, entry.lane_id, entry.record, choice)
    return acted


def reactivate(session: Session, entry: Entry, remote_id: str) -> Acted:
    """Reactivates the object in QuickBooks, and links it."""
    return _decide(session, entry, {"use": remote_id, "activate": True, "anew": False})


def _send(session: Session, entry: Entry) -> Acted:
    """The decision is about something else than what was changed in QuickBooks: that stays."""
    firm = entry.organization_id
    return actions.requeue(session, [entry.id], organization_id=firm, overwrites=False)


def _decide(session: Session, entry: Entry, choice: Json) -> Acted:
    acted = _send(session, entry)
    if acted.done:
        counterparts.decide(session, entry.lane_id, entry.record, choice)
    return acted


# --- What several records have in common --------------------------------------------------------


def alike(session: Session, entry: Entry) -> Sequence[Entry]:
    """The failed entries with the same cause, including this one, oldest first."""
    query = select(Entry).where(
        Entry.lane_id == entry.lane_id,
        Entry.state == State.FAILED,
        Entry.fault_code == entry.fault_code,
    )
    for key in ("item_id", "holder_id"):
        if key in entry.fault_about:
            query = query.where(Entry.fault_about[key].astext == str(entry.fault_about[key]))
    return session.scalars(query.order_by(Entry.id)).all()


def send_alike(session: Session, entry: Entry, user_id: int) -> Acted:
    """Sends this and every record of the same cause again. Many go a part at a time."""
    ids = [one.id for one in alike(session, entry)]
    return bulk.requeue(session, ids, organization_id=entry.organization_id, user_id=user_id)


def newest_entry(session: Session, lane_id: int, type_: RecordType, record_id: int) -> Entry | None:
    """The newest entry of a record, on which decisions about shared things are made."""
    return session.scalars(
        select(Entry)
        .where(
            Entry.lane_id == lane_id,
            Entry.record_type == type_,
            Entry.record_id == record_id,
        )
        .order_by(Entry.id.desc())
        .limit(1)
    ).one_or_none()


def book_on(session: Session, lane_id: int, product_id: int, item_id: str) -> None:
    """Uses this item in QuickBooks for the product from now on. Items may be shared."""
    link = session.scalar(Counterpart.of(lane_id, Record(RecordType.PRODUCT, product_id)))
    if link is not None:
        link.remote_id, link.remote_version, link.stale = item_id, "0", True
        link.note = N_("chosen by a person")
        session.flush()
