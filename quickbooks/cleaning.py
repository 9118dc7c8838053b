"""Text as QuickBooks in the US can store it: Latin-1, within its lengths, names on one line.

Cleaning twice gives the same result, and losses are reported.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models.base import Json

# Characters that people and word processors write, and their Latin-1 spelling.
_SPELLED = str.maketrans(
    {
        **dict.fromkeys("“”„‟″", '"'),
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "…": "...",
        "•": "*",
        "™": "(TM)",
        "€": "EUR",
        "‹": "<",
        "›": ">",
        "⁄": "/",
        "\u2028": "\n",
        "\u2029": "\n",
        "\x0b": "\n",
        "\x0c": "\n",
        "\x85": "\n",
        **dict(zip("łŁđĐıŒœħĦŋŊŧŦĸ", "l L d D i OE oe h H n N t T k".split(), strict=True)),
    }
)
_UNWRITABLE = "?"
_CUT = "..."


def latin(text: str) -> str:
    """The text in Latin-1: without emoji and invisible characters, `?` for other characters."""
    if text.isascii() and text.isprintable():  # nearly all text; checking each character is slow
        return text
    text = unicodedata.normalize("NFC", text).translate(_SPELLED)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(_latin_sign(sign) for sign in text)


def _latin_sign(sign: str) -> str:
    category = unicodedata.category(sign)
    if sign == "\n":
        return sign
    if category in ("Cc", "Zs"):
        return " "
    if category == "Cf":
        return ""  # joins or changes its neighbours, and is invisible
    if ord(sign) < 256:
        return sign
    spelled = unicodedata.normalize("NFKD", sign).translate(_SPELLED)
    known = "".join(part for part in spelled if ord(part) < 256 and part.isprintable())
    if known:
        return known
    return _UNWRITABLE if category[0] in "LN" else ""


def loses_letters(text: str) -> bool:
    """Whether some of its characters cannot be written in Latin-1."""
    return latin(text).count(_UNWRITABLE) > text.count(_UNWRITABLE)


def clean_text(text: str, longest: int) -> str:
    """A text of several lines, cut with a visible mark if it is too long."""
    cleaned = "\n".join(line.rstrip() for line in latin(text).split("\n")).strip()
    if len(cleaned) <= longest:
        return cleaned
    return cleaned[: longest - len(_CUT)].rstrip() + _CUT


def clean_line(text: str, longest: int) -> str:
    """One line: line breaks and repeated spaces become one space."""
    return " ".join(latin(text).split())[:longest].rstrip()


_BETWEEN_ADDRESSES = re.compile(r"[,;\s]+")
_LINK = re.compile(r"mailto:\s*", re.IGNORECASE)
_NAMED_ADDRESS = re.compile(r"[^,;<>]*<([^<>]*)>")  # Green Lawn <kim@lawn.example>
_AROUND_ADDRESSES = "<>()[]\"'"


def addresses_in(text: str) -> list[str]:
    """The e-mail addresses of a field that may hold several, as a person wrote them, but without
    what other programs write with them: "mailto:", a name, brackets, a full stop at the end,
    invisible characters. What is no address is kept, to be refused by name."""
    visible = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    plain = _NAMED_ADDRESS.sub(r" \1 ", _LINK.sub("", visible))
    parts = (part.strip(_AROUND_ADDRESSES) for part in _BETWEEN_ADDRESSES.split(plain))
    return [address for part in parts if (address := part.rstrip("."))]


def addresses(text: str) -> list[str]:
    """The e-mail addresses of a field, normalized for comparison: as they are sent, in lower
    case."""
    return [address.casefold() for address in addresses_in(text)]


def clean_name(text: str, longest: int) -> str:
    """A name: one line without colons, which separate a sub-customer
    from its parent in QuickBooks."""
    return clean_line(re.sub(r"\s*:\s*", " - ", latin(text)), longest).strip()


@dataclass(frozen=True)
class SentText:
    """A text of a snapshot, and the form in which QuickBooks gets it."""

    field: str
    clean: Callable[[str, int], str]
    longest: int  # characters

    def of(self, payload: Json) -> str:
        """As QuickBooks gets it; "" where the snapshot has none."""
        return self.clean(payload.get(self.field) or "", self.longest)


@dataclass(frozen=True)
class Cleaned:
    """A field whose text changes on the way to QuickBooks."""

    field: str
    was: str
    became: str


def cleaned(field: str, was: str | None, became: str) -> list[Cleaned]:
    """The change, if a person would see one."""
    is_same = not was or " ".join(was.split()) == " ".join(became.split())
    return [] if is_same else [Cleaned(field, was or "", became)]


def each_cleaned(fields: Iterable[SentText], payload: Json) -> list[Cleaned]:
    """The changes of these fields of a snapshot."""
    return [
        change
        for one in fields
        for change in cleaned(one.field, payload.get(one.field), one.of(payload))
    ]
