"""What a person does about an entry that needs one: one of the buttons under its sentence."""

from typing import TYPE_CHECKING

from models.outbox import Entry, State
from models.sales import Invoice, Lead, Product, Record, RecordType
from outbox import actions
from outbox.actions import Acted
from quickbooks import decisions
from simulator.refusals import Refusal
from tests.simulation.world import ANY, named

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.simulation.world import World


LEAVE = "leave theirs"
# Who answers these has seen what the bookkeeper changed; these buttons are about something else.
ASKED = ("edited_there", "declined_goes_along")
SAYS_NOTHING_OF_THEIRS = ("send again", "reactivate", "item ", "customer ")
_MAY_DIFFER = ("name", "phone", "email", "total", "prices", "memo", "number", "amount")


def give(world: "World", entry_id: int) -> str | None:
    """Answers as a person would who wants it to be sent. None when it was no question any more."""
    with world.sessions.begin() as session:
        entry = session.get(Entry, entry_id)
        if entry is None or entry.state is not State.FAILED:
            return None
        record, code = entry.record, entry.fault_code or ""
        kept = dict(world.records[record].kept)
        acted, word = _button(world, session, entry, code)
        done = bool(acted.done)
    world.relieved += 1
    wanted = world.records[record]
    wanted.theirs = dict.fromkeys(wanted.theirs, ANY)
    if word == LEAVE:
        wanted.theirs |= dict.fromkeys(_MAY_DIFFER, ANY) | kept
        wanted.is_plain = False
    else:
        if code == "edited_there" and done:  # then ours is to be there
            sums = ("total", "rate") if "prices" in kept else ()
            for name in (*kept, *sums):
                wanted.theirs.pop(name, None)
        if code in ASKED or not word.startswith(SAYS_NOTHING_OF_THEIRS):
            world.overwrites(record)
    if done:
        world.touched(record)
        world.visits[f"answer {code}: {_kind_of(word)}"] += 1
    return f"answer {code} of {named(record)}: {word}" if done else None


def _kind_of(word: str) -> str:
    """Which button it was, without what was named."""
    return " ".join(word.split()[:2] if word.startswith("send") else word.split()[:1])


def _button(world: "World", session: "Session", entry: Entry, code: str) -> tuple[Acted, str]:
    about, wanted = entry.fault_about, world.records[entry.record]
    match code:
        case "perhaps_another" | "perhaps_ours" | "taken_by_another_record" if (
            about.get("holder_id") and world.chance.random() < 0.6
        ):
            return _use(world, session, entry, str(about["holder_id"]))
        case "6240" if about.get("holder_id") and entry.record_type == RecordType.LEAD:
            if world.chance.random() < 0.5:
                return _use(world, session, entry, str(about["holder_id"]))
            return _rename(world, session, entry, str(about["suggestion"]))
        case "6240" | "taken_by_another_record" | "customer_inactive" if about.get("suggestion"):
            if code == "customer_inactive" and world.chance.random() < 0.7:
                return _reactivate(world, session, entry, str(about["holder_id"]))
            return _rename(world, session, entry, str(about["suggestion"]))
        case "customer_inactive":  # of a product no other name is suggested
            return _reactivate(world, session, entry, str(about["holder_id"]))
        case "6240":  # a change to a name that another one has
            return _rename(world, session, entry, f"{entry.payload['name']} {entry.record_id}")
        case "perhaps_another" | "perhaps_ours" | "several_customers" | "customer_gone":
            wanted.asked_for_another = True
            return decisions.create_anew(session, entry), "create a new one"
        case "its_customer_inactive":
            return _reactivate_its_customer(world, session, entry, str(about["holder_id"]))
        case "its_customer_there_inactive":
            return _reactivate_there(world, session, entry, "Customer", str(about["holder_id"]))
        case "item_inactive":
            return _reactivate_there(world, session, entry, "Item", str(about["item_id"]))
        case "voided_there" | "invoice_gone" | "610":
            wanted.asked_for_another = True
            _forget_amounts(world, entry.record)
            return decisions.create_anew(session, entry), "create it again"
        case one if one in ASKED and (wanted.insisted or world.chance.random() < 0.5):
            return actions.skip(session, [entry.id], organization_id=world.firm), LEAVE
        case "6140":
            number = str(world.chance.randrange(10_000, 99_999))
            session.get_one(Invoice, entry.record_id).number = number
            wanted.values["number"] = number
            return Acted((entry.id,)), f"number {number}"
        case _:
            # who was refused what they insisted on leaves theirs the next time
            wanted.insisted = wanted.insisted or code == "6000"
            return _again(world, session, entry), "send again"


def _again(world: "World", session: "Session", entry: Entry) -> Acted:
    return actions.requeue(session, [entry.id], organization_id=world.firm)


def _use(world: "World", session: "Session", entry: Entry, remote_id: str) -> tuple[Acted, str]:
    acted = decisions.use(session, entry, remote_id)
    if acted.done:
        world.records[entry.record].chosen = remote_id
    return acted, f"use {remote_id}"


def _rename(world: "World", session: "Session", entry: Entry, name: str) -> tuple[Acted, str]:
    if entry.record_type == RecordType.PRODUCT:
        session.get_one(Product, entry.record_id).quickbooks_name = name
    else:
        lead = session.get_one(Lead, entry.record_id)
        lead.quickbooks_name = name
        wanted = world.records[entry.record]
        wanted.values["sent_name"] = name
        # Of ours, changed there before it was seen, a person says: that is somebody else.
        wanted.asked_for_another = wanted.asked_for_another or bool(wanted.theirs)
        if entry.counterpart is None or entry.counterpart.remote_id is None:
            wanted.asked_for_another = wanted.asked_for_another or wanted.chosen is not None
            wanted.chosen = None  # what was chosen before is not linked: this is a newer choice
    return Acted((entry.id,)), f"send as {name}"


def _reactivate(
    world: "World", session: "Session", entry: Entry, remote_id: str
) -> tuple[Acted, str]:
    acted = decisions.reactivate(session, entry, remote_id)
    if acted.done:
        world.records[entry.record].chosen = remote_id
    return acted, f"reactivate {remote_id}"


def _reactivate_its_customer(
    world: "World", session: "Session", entry: Entry, remote_id: str
) -> tuple[Acted, str]:
    lead_id = int(entry.payload["lead_id"])
    lead = decisions.newest_entry(session, entry.lane_id, RecordType.LEAD, lead_id)
    alike = [one.id for one in decisions.alike(session, entry)]
    sent = actions.requeue(session, alike, organization_id=entry.organization_id)
    if lead is None:
        return sent, "send again: its customer has no entry"
    acted = decisions.reactivate(session, lead, remote_id)
    if acted.done:
        record = Record(RecordType.LEAD, lead_id)
        world.records[record].chosen = remote_id
        world.records[record].theirs = dict.fromkeys(world.records[record].theirs, ANY)
    return Acted((*acted.done, *sent.done)), f"reactivate its customer {remote_id}"


def _reactivate_there(
    world: "World", session: "Session", entry: Entry, entity: str, remote_id: str
) -> tuple[Acted, str]:
    try:
        world.company.bookkeeper.reactivate(entity, remote_id)
    except Refusal:
        return Acted(()), ""
    return _again(world, session, entry), f"{entity.lower()} {remote_id} is active again there"


def _forget_amounts(world: "World", invoice: Record) -> None:
    for record, wanted in world.records.items():
        if record == invoice or wanted.values.get("invoice") == invoice:
            wanted.is_plain = False
