"""The languages people read. Knows nothing of Flask: letters are written outside of requests.

Words are written in English where they are needed and marked there: `_` and `ngettext` of
`web/languages.py` where a person is being answered, `N_` here where the language isn't known yet.
docs/languages.md tells the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency
from babel.support import NullTranslations, Translations

ENGLISH, PORTUGUESE = "en", "pt_BR"
LANGUAGES = {ENGLISH: "English", PORTUGUESE: "Português"}  # each by its own name

FOLDER = Path(__file__).parent / "translations"

Translate = Callable[[str], str]


def N_(text: str) -> str:  # noqa: N802  (the name that every tool of translators knows)
    """Marks words that are translated later, by whoever shows them."""
    return text


def source_of(language: str) -> Path:
    """The file that holds a language's words, for people and for us."""
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


@cache
def words_of(language: str) -> NullTranslations:
    """All words of a language, read once, when first asked for: nothing needs to be compiled."""
    if language == ENGLISH:
        return NullTranslations()
    with source_of(language).open("rb") as file:
        catalog = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled)


@dataclass(frozen=True)
class Reader:
    """Who something is said to: their words, sums and days."""

    language: str = ENGLISH
    say: Translate = str

    def ngettext(self, one: str, many: str, num: int) -> str:
        """The words that fit the number."""
        return words_of(self.language).ngettext(one, many, num)

    def money(self, text: str) -> str:
        """An amount of dollars, however it was written down; anything else stays as it is."""
        try:
            amount = Decimal(text.replace("$", "").replace(",", ""))
        except InvalidOperation:
            return text
        return format_currency(amount, "USD", locale=self.language, decimal_quantization=False)

    def day(self, text: str) -> str:
        """A day written as 2026-03-09; anything else stays as it is."""
        try:
            return format_date(date.fromisoformat(text), "medium", locale=self.language)
        except ValueError:
            return text


def reader_of(language: str) -> Reader:
    """For whoever writes to one person outside of a request."""
    return Reader(language, words_of(language).gettext)
