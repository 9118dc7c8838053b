"""Makes names chosen by strangers safe to quote in our letters.

Anyone who signs up chooses these names, and we send them to people who trust our address. So a name
is one short line in quotes, without anything that a mail program would turn into a link.
"""

import re
import unicodedata

MAX_NAME_LENGTH = 60  # characters; the beginning is enough to recognize a longer name

_JOINED_DOT = re.compile(r"[.\u2024\u3002\uff0e\uff61]+(?=\S)")  # evil.example would become a link


def plain_name(name: str) -> str:
    """The name on one line, shortened, and without anything that could become a link."""
    text = unicodedata.normalize("NFKC", name)
    text = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    text = _JOINED_DOT.sub(". ", re.sub(r"[:/\\@<>\u201c\u201d\"]+", " ", text))
    text = " ".join(text.split())
    return text if len(text) <= MAX_NAME_LENGTH else text[: MAX_NAME_LENGTH - 1].rstrip() + "…"


def quoted(name: str) -> str:
    """The plain name in quotation marks."""
    return f"“{plain_name(name)}”"
