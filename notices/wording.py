"""Renders letters. Each kind has its own template, `templates/letters/<kind>.txt`.

A template sets `subject`; the rest of it is the body.
"""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from languages import Reader, words_of

FOLDER = Path(__file__).parent.parent / "templates" / "letters"


def letter_words(kind: str, reader: Reader, /, **values: object) -> tuple[str, str]:
    """Subject and body of a letter, in the reader's language."""
    letter = _environment(reader.language).get_template(f"{kind}.txt").make_module(values)
    subject: str = letter.subject  # type: ignore[attr-defined]  # set by the template
    body = re.sub(r"\n{3,}", "\n\n", str(letter))  # lines that hold only a tag become blank
    return subject.strip(), body.strip()


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # nosec B701  (plain text)
    )
    environment.policies["ext.i18n.trimmed"] = True
    words = words_of(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # added by the extension
        words.gettext, words.ngettext, newstyle=True
    )
    return environment
