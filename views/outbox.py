"""Owner's actions on single records: send again, skip, undo."""

from collections.abc import Callable

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from models.outbox import Entry
from models.sales import Record
from outbox import actions
from outbox.actions import Acted
from presenters.addresses import address_of
from web.access import books_required, firm, note, own, quickbooks_only, safe_target, session
from web.flashes import tell
from web.languages import _, ngettext

outbox = Blueprint("outbox", __name__, url_prefix="/outbox")
outbox.before_request(quickbooks_only)


@outbox.post("/<key:entry_id>/requeue")
@books_required
def requeue(entry_id: int) -> ResponseReturnValue:
    return _act(entry_id, actions.requeue, "outbox.requeued", _("It will be sent again."))


@outbox.post("/<key:entry_id>/skip")
@books_required
def skip(entry_id: int) -> ResponseReturnValue:
    left = actions.dependents(session(), [own(Entry, entry_id).id])
    sentence = _("Skipped. You can undo that.")
    if left:
        sentence = ngettext(
            "Skipped. You can undo that. %(num)s record waits for it.",
            "Skipped. You can undo that. %(num)s records wait for it.",
            left,
        )
    return _act(entry_id, actions.skip, "outbox.skipped", sentence)


@outbox.post("/<key:entry_id>/undo-skip")
@books_required
def undo_skip(entry_id: int) -> ResponseReturnValue:
    return _act(entry_id, actions.undo_skip, "outbox.skip_undone", _("It will be sent."))


Act = Callable[..., Acted]


def _act(entry_id: int, act: Act, name: str, sentence: str) -> ResponseReturnValue:
    entry = own(Entry, entry_id)
    shown = request.form.get("question", "")
    acted = act(session(), [entry_id], organization_id=firm().id, shown=shown)
    if acted.done:
        note(name, organization_id=firm().id, entries=list(acted.done))
    session().commit()
    tell(acted, sentence)
    return redirect(_back(entry.record), 303)


def _back(record: Record) -> str:
    return safe_target(request.form.get("next"), address_of(record) or url_for("settings.index"))
