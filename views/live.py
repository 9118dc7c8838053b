"""Badges that refresh themselves: one small request for all of a page, fewer as time goes by.

A page carries one element that asks `GET /quickbooks/badges` for what can still change by itself.
The answer replaces that element (and with it the next question), the badges that changed, and the
panel. When everything is final there is nothing more to ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from models.sales import Invoice, Lead, Payment, RecordType
from outbox.company import Record
from presenters.panel import Panel, panel_of
from presenters.status import KINDS, Word, first_up, names_of, words_of
from web.access import firm, quickbooks_only, session
from web.languages import _

live = Blueprint("live", __name__, url_prefix="/quickbooks")
live.before_request(quickbooks_only)

PAUSES = (1, 1, 1, 1, 2, 2, 3, 5, 5, 10, 10, 20, 20, 30)  # seconds before each question
MOST_ROUNDS = 60  # then the page rests until it is loaded again
MOST_BADGES = 100
MODELS: dict[RecordType, type[Lead] | type[Invoice] | type[Payment]] = {
    RecordType.LEAD: Lead,
    RecordType.INVOICE: Invoice,
    RecordType.PAYMENT: Payment,
}

Words = Mapping[tuple[RecordType, int], Word]


@dataclass(frozen=True)
class Live:
    """The page's next question; no address, no question."""

    address: str | None
    seconds: int


def live_of(words: Words, panel: Panel | None = None, round_: int = 0) -> Live:
    moving = [(kind, key, word) for (kind, key), word in words.items() if not word.is_final]
    watched = panel if panel and not panel.word.is_final else None
    if not (moving or watched) or round_ >= MOST_ROUNDS:
        return Live(None, 0)
    asked = [f"{kind.value}-{key}-{stamp(word.text)}" for kind, key, word in moving[:MOST_BADGES]]
    panel_asked = watched and _asks_for(watched)
    address = url_for("live.badges", b=asked, panel=panel_asked, round=round_ + 1)
    return Live(address, PAUSES[min(round_, len(PAUSES) - 1)])


def _asks_for(panel: Panel) -> str:
    return f"{panel.record.type.value}-{panel.record.id}-{stamp(panel.stamp)}"


def live_badges(kind: str, words: Mapping[int, Word], panel: Panel | None = None) -> Live:
    """For templates: what a page with these badges asks first."""
    return live_of({(RecordType(kind), key): word for key, word in words.items()}, panel)


def stamp(text: str) -> str:
    """What the browser has on the screen, in few letters: it says so when it asks again."""
    return blake2b(text.encode(), digest_size=4).hexdigest()


@live.get("/badges")
def badges() -> ResponseReturnValue:
    shown = dict(_parsed(text) for text in request.args.getlist("b")[:MOST_BADGES])
    words: dict[tuple[RecordType, int], Word] = {}
    for kind in MODELS:
        ids = _ours(kind, [key for asked_kind, key in shown if asked_kind == kind])
        words |= {(kind, key): word for key, word in words_of(kind, ids).items()}
    changed = [
        (kind.value, key, word)
        for (kind, key), word in words.items()
        if stamp(word.text) != shown[kind, key]
    ]
    panel, panel_changed = _asked_panel()
    said = [_sentence(RecordType(kind), key, word) for kind, key, word in changed if word.is_final]
    if panel and panel_changed and panel.word.is_final:
        said.append(_sentence(panel.record.type, panel.record.id, panel.word))
    return render_template(
        "quickbooks/badges.html",
        live=live_of(words, panel, _asked_round()),
        changed=changed,
        panel=panel if panel_changed else None,
        said=". ".join(dict.fromkeys(said)),
    )


def _parsed(text: str) -> tuple[tuple[RecordType, int], str]:
    kind, _, rest = text.partition("-")
    key, _, seen = rest.partition("-")
    if kind not in {kind.value for kind in MODELS} or not (key.isascii() and key.isdigit()):
        abort(400)
    if len(key) > 18:
        abort(404)
    return (RecordType(kind), int(key)), seen


def _ours(kind: RecordType, ids: list[int]) -> list[int]:
    """The keys that are records of this firm (rule 18)."""
    if not ids:
        return []
    model = MODELS[kind]
    found = select(model.id).where(model.organization_id == firm().id, model.id.in_(ids))
    return list(session().scalars(found))


def _asked_panel() -> tuple[Panel | None, bool]:
    text = request.args.get("panel")
    if not text:
        return None, False
    (kind, key), seen = _parsed(text)
    if not _ours(kind, [key]):
        abort(404)
    panel = panel_of(kind, key)
    return panel, panel is not None and stamp(panel.stamp) != seen


def _asked_round() -> int:
    text = request.args.get("round", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else MOST_ROUNDS


def _sentence(kind: RecordType, key: int, word: Word) -> str:
    name = names_of(session(), [Record(kind, key)]).get((kind.value, key)) or _(KINDS[kind])
    return f"{first_up(name)}: {word.text}"
