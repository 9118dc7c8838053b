"""Buttons for records that need attention, as values: label and target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flask import url_for

from models.outbox import Entry, Operation
from quickbooks.catalogue import SEND_AGAIN, SKIP, Action
from quickbooks.faults import Explanation
from quickbooks.links import company_url
from web.access import dunahub, person
from web.languages import _

PRIMARY = "button primary"
PERHAPS_THERE = frozenset({"perhaps_ours", "document_perhaps_ours"})


@dataclass(frozen=True)
class Button:
    label: str
    address: str
    posts: bool = False  # a form's button; otherwise a link
    leaves: bool = False  # opens QuickBooks in a new tab
    look: str = "button"
    hint: str = ""  # what pressing it does, below the buttons
    question: str = ""  # that it answers: `Entry.question`


def buttons_of(
    entry: Entry, explanation: Explanation | None, fix_address: str | None
) -> Sequence[Button]:
    """The buttons for this fault that this person may press, the likeliest first."""
    actions = explanation.actions if explanation else _without_cause()
    buttons = [button for action in actions for button in _buttons(action, entry, fix_address)]
    if buttons and buttons[0].look == "button" and not actions[0].is_up_to_the_person:
        buttons[0] = replace(buttons[0], look=PRIMARY)
    return buttons


def _without_cause() -> Sequence[Action]:
    return [replace(action, label=_(action.label)) for action in (SEND_AGAIN, SKIP)]


def _buttons(action: Action, entry: Entry, fix_address: str | None) -> Iterator[Button]:
    """At most one button; none if there is no target, or the person may not press it."""
    if action.name in FOR_EVERYONE:
        if address := _address_for_everyone(action.name, entry, fix_address):
            yield Button(action.label, address, leaves=action.name == "open_quickbooks")
    elif person().keeps_books:
        yield from _books_buttons(action, entry)


FOR_EVERYONE = frozenset("fix rename renumber reconnect settings open_quickbooks".split())


def _address_for_everyone(name: str, entry: Entry, fix_address: str | None) -> str | None:
    match name:
        case "reconnect":
            return url_for("quickbooks.show")
        case "settings":
            return url_for("arrivals.show")
        case "open_quickbooks":
            connection = entry.connection
            return company_url(dunahub().config, connection) if connection else None
        case _:
            return fix_address


def _books_buttons(action: Action, entry: Entry) -> Iterator[Button]:
    """For those who keep the books."""
    name, label = action.name, action.label
    match name:
        case "choose_customer" | "other_item" | "accountant_note":
            yield Button(label, url_for("fixes.show", entry_id=entry.id, choice=name))
        case "send_again":
            address = url_for("outbox.requeue", entry_id=entry.id)
            yield Button(label, address, posts=True, question=entry.question)
        case "entered" if entry.operation != Operation.SAVE:
            return  # a void is looked at anyway when it is sent again
        case "skip":
            address = url_for("outbox.skip", entry_id=entry.id)
            yield Button(
                label,
                address,
                posts=True,
                look="button plain",
                hint=_skip_hint(label, entry),
                question=entry.question,
            )
        case _:
            look = "button plain" if name == "entered" else "button"
            address = url_for("fixes.decide", entry_id=entry.id, choice=name)
            yield Button(label, address, posts=True, look=look, question=entry.question)


def _skip_hint(label: str, entry: Entry) -> str:
    link = entry.counterpart
    if entry.fault_code in PERHAPS_THERE:
        return _(
            "“%(label)s” sends nothing more. It may be in QuickBooks already. Nothing changes here,"
            " and you can undo it.",
            label=label,
        )
    if link and link.remote_id:
        return _(
            "“%(label)s” changes nothing in QuickBooks, and nothing here. You can undo it.",
            label=label,
        )
    return _(
        "“%(label)s” leaves it out of QuickBooks. Nothing changes here, and you can undo it.",
        label=label,
    )
