"""The languages of the interface. Does not use Flask, because letters are written outside of
requests.

English text is written and marked where it is used: with `_` and `ngettext` of `web/languages.py`
during a request, with `N_` where the language isn't known yet. See docs/languages.md.
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
LANGUAGES = {ENGLISH: "English", PORTUGUESE: "Português"}  # each in its own language

FOLDER = Path(__file__).parent / "translations"

Translate = Callable[[str], str]


def N_(text: str) -> str:  # noqa: N802  (the name that every tool of translators knows)
    """Marks a text for translation; whoever shows it translates it."""
    return text


def source_of(language: str) -> Path:
    """The file with a language's translations."""
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


@cache
def words_of(language: str) -> NullTranslations:
    """A language's translations, read from the .po file once; there is no compile step."""
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
    """A reader's language: their words, sums and dates."""

    language: str = ENGLISH
    say: Translate = str

    def ngettext(self, one: str, many: str, num: int) -> str:
        """The plural form for this number."""
        return words_of(self.language).ngettext(one, many, num)

    def money(self, text: str) -> str:
        """An amount in dollars, formatted. Anything else is returned unchanged."""
        try:
            amount = Decimal(text.replace("$", "").replace(",", ""))
        except InvalidOperation:
            return text
        return format_currency(amount, "USD", locale=self.language, decimal_quantization=False)

    def day(self, text: str) -> str:
        """A day written as 2026-03-09, formatted. Anything else is returned unchanged."""
        try:
            return format_date(date.fromisoformat(text), "medium", locale=self.language)
        except ValueError:
            return text


def reader_of(language: str) -> Reader:
    """A reader for use outside of requests."""
    return Reader(language, words_of(language).gettext)
