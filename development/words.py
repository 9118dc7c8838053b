"""bin/words: updates the translation file of every language with the texts marked in the code.

New texts are added without a translation and printed; unused ones are removed. Translations are
never guessed from similar texts.
"""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from development.stack import ROOT
from languages import ENGLISH, LANGUAGES, source_of

METHODS = [
    ("static/app.js", "javascript"),
    ("templates/**.html", "jinja2"),
    ("templates/letters/**.txt", "jinja2"),
    ("**.py", "python"),
]
JINJA = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
OPTIONS = {"templates/**.html": JINJA, "templates/letters/**.txt": JINJA}
SAID_IN = [
    *(
        "models",
        "outbox",
        "quickbooks",
        "processors",
        "notices",
        "clients",
        "web",
        "presenters",
        "views",
    ),
    *("static", "templates"),
]
MARKS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "N_": None,
    "pgettext": ((1, "c"), 2),
}
WIDTH = 100
FORMS = 2  # plural forms in each of our languages


def marked() -> Catalog:
    """All texts marked in the product, in English."""
    catalog = Catalog()
    for folder in SAID_IN:
        found = extract_from_dir(ROOT / folder, _methods(folder), _options(folder), MARKS)
        for _path, _line, message, _comments, context in found:
            catalog.add(message, context=context)
    return catalog


def _methods(folder: str) -> list[tuple[str, str]]:
    return [(_within(folder, pattern), method) for pattern, method in METHODS]


def _options(folder: str) -> dict[str, dict[str, str]]:
    return {_within(folder, pattern): options for pattern, options in OPTIONS.items()}


def _within(folder: str, pattern: str) -> str:
    """Patterns are matched against paths relative to the searched folder."""
    return pattern.removeprefix(f"{folder}/")


def read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(catalog: Catalog) -> Catalog:
    catalog.update(marked(), no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    return catalog


def written(catalog: Catalog) -> bytes:
    """Sorted and without source locations, so that concurrent additions seldom conflict."""
    catalog.header_comment = ""
    file = BytesIO()
    write_po(file, catalog, width=WIDTH, no_location=True, omit_header=True, sort_output=True)
    return HEADER.encode() + file.getvalue()


HEADER = """\
# Made by bin/words. Translate here; docs/languages.md tells how we sound.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: pt_BR\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

"""


def untranslated(catalog: Catalog) -> list[str]:
    return [str(message.id) for message in catalog if message.id and not all(forms_of(message))]


def forms_of(message: Message) -> Sequence[object]:
    """The translation, or each of its plural forms."""
    forms = message.string if isinstance(message.string, list | tuple) else [message.string]
    lacking = FORMS - len(forms) if message.pluralizable else 0  # the text had no plural before
    return [*forms, *[""] * lacking]


def main() -> None:
    lacking = 0
    for language in LANGUAGES:
        if language == ENGLISH:
            continue
        catalog = updated(read(source_of(language), language))
        source_of(language).write_bytes(written(catalog))
        for words in untranslated(catalog):
            lacking += 1
            print(f"{language}: {words}")
    if lacking:
        sys.exit(f"{lacking} to translate. See docs/languages.md.")


if __name__ == "__main__":
    main()
