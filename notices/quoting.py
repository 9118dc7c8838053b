"""Words of strangers in our letters: what a company or a person is called, and nothing more.

Whoever signs up chooses these words, and we carry them to people who trust our address. So they
stay a name: one line, short, in quotes, and nothing that a mail program makes a link of.
"""

import re
import unicodedata

MOST = 60  # characters; a longer name is recognized by its beginning

_JOINED_DOT = re.compile(r"[.\u2024\u3002\uff0e\uff61]+(?=\S)")  # evil.example becomes a link


def plain_name(name: str) -> str:
    """The name in one line, shortened, without what leads anywhere."""
    text = unicodedata.normalize("NFKC", name)
    text = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    text = _JOINED_DOT.sub(". ", re.sub(r"[:/\\@<>\u201c\u201d\"]+", " ", text))
    text = " ".join(text.split())
    return text if len(text) <= MOST else text[: MOST - 1].rstrip() + "…"


def quoted(name: str) -> str:
    """As a letter cites it."""
    return f"“{plain_name(name)}”"
