"""Badges that refresh themselves: the next poll, and what screen readers announce."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from flask import url_for
from sqlalchemy import Text, cast, literal_column, select

from models.sales import MODELS, Record, RecordType
from presenters.names import first_up, names_of
from presenters.panel import Panel
from presenters.record_types import SHOWN
from presenters.status import Word
from web.access import session
from web.languages import _

POLL_PAUSES = (1, 1, 1, 1, 2, 2, 3, 5, 5, 10, 10, 20, 20, 30)  # seconds before each poll
MAX_POLLS = 60  # then polling stops until the page is reloaded
MAX_BADGES = 100
Words = Mapping[tuple[RecordType, int], Word]


@dataclass(frozen=True)
class Live:
    """The next poll of the page; no address, no poll."""

    address: str | None
    seconds: int


def live_of(words: Words, panel: Panel | None = None, round_: int = 0) -> Live:
    moving = [(kind, key, word) for (kind, key), word in words.items() if not word.is_final]
    watched = panel if panel and not panel.word.is_final else None
    if not (moving or watched) or round_ >= MAX_POLLS:
        return Live(None, 0)
    asked = [f"{kind.value}-{key}-{stamp(word.text)}" for kind, key, word in moving[:MAX_BADGES]]
    panel_asked = watched and _asks_for(watched)
    address = url_for(
        "live.badges",
        b=asked,
        panel=panel_asked,
        version=watched and version_of(watched.record),
        round=round_ + 1,
    )
    return Live(address, POLL_PAUSES[min(round_, len(POLL_PAUSES) - 1)])


def _asks_for(panel: Panel) -> str:
    return f"{panel.record.type.value}-{panel.record.id}-{stamp(panel.stamp)}"


def version_of(record: Record) -> str | None:
    """Another text after each change of the record. A page shows more of it than its panel."""
    model = MODELS[record.type]
    written_by = cast(literal_column("xmin"), Text)  # the transaction that last wrote the row
    return session().scalar(select(written_by).select_from(model).where(model.id == record.id))


def live_badges(kind: str, words: Mapping[int, Word], panel: Panel | None = None) -> Live:
    """For templates: the first poll of a page with these badges."""
    return live_of({(RecordType(kind), key): word for key, word in words.items()}, panel)


def stamp(text: str) -> str:
    """A short digest of what the browser shows, sent with each poll."""
    return blake2b(text.encode(), digest_size=4).hexdigest()


def sentence_of(kind: RecordType, key: int, word: Word) -> str:
    record = Record(kind, key)
    name = names_of(session(), [record]).get(record) or _(SHOWN[kind].noun)
    return f"{first_up(name)}: {word.text}"
