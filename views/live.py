"""Badges that refresh themselves: one small request per page, less often over time.

A page has one element that polls `GET /quickbooks/badges` for everything that can still change by
itself. The response replaces that element (with the next poll), the changed badges, and the panel.
When everything is final, polling ends. If the record itself was changed, the page is loaded again.
"""

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from models.sales import MODELS, RecordType
from presenters.badges import (
    MAX_BADGES,
    MAX_POLLS,
    live_of,
    sentence_of,
    stamp,
    version_of,
)
from presenters.panel import Panel, panel_of
from presenters.record_types import SHOWN
from presenters.status import Word, words_of
from web.access import firm, quickbooks_only, session

live = Blueprint("live", __name__, url_prefix="/quickbooks")
live.before_request(quickbooks_only)

WITH_PANEL = [type_ for type_, shown in SHOWN.items() if shown.has_panel]


@live.get("/badges")
def badges() -> ResponseReturnValue:
    shown = dict(_parsed(text) for text in request.args.getlist("b")[:MAX_BADGES])
    words: dict[tuple[RecordType, int], Word] = {}
    for kind in WITH_PANEL:
        ids = _ours(kind, [key for asked_kind, key in shown if asked_kind == kind])
        words |= {(kind, key): word for key, word in words_of(kind, ids).items()}
    changed = [
        (kind, key, word)
        for (kind, key), word in words.items()
        if stamp(word.text) != shown[kind, key]
    ]
    panel, panel_changed = _asked_panel()
    if panel and _is_outdated(panel):
        return Response(status=204, headers={"HX-Refresh": "true"})
    said = [sentence_of(kind, key, word) for kind, key, word in changed if word.is_final]
    if panel and panel_changed and panel.word.is_final:
        said.append(sentence_of(panel.record.type, panel.record.id, panel.word))
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
    if kind not in {kind.value for kind in WITH_PANEL} or not (key.isascii() and key.isdigit()):
        abort(400)
    if len(key) > 18:
        abort(404)
    return (RecordType(kind), int(key)), seen


def _ours(kind: RecordType, ids: list[int]) -> list[int]:
    """The keys that belong to this firm (rule 18)."""
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


def _is_outdated(panel: Panel) -> bool:
    """Whether the page around the panel shows another version of the record: then all of it is
    loaded again, because the panel would tell of amounts that are not on the page."""
    seen = request.args.get("version")
    return seen is not None and seen != version_of(panel.record)


def _asked_round() -> int:
    text = request.args.get("round", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else MAX_POLLS
