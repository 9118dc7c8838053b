"""The language of a request: the person's own, or what a visitor's browser asks for.

Region is another matter: who may see QuickBooks does not depend on the words they read.
"""

from contextlib import AbstractContextManager

from babel.support import NullTranslations
from flask import Flask, request
from flask import session as cookie
from flask.ctx import has_request_context
from flask_babel import Babel, Domain, force_locale, get_locale
from flask_babel import gettext as babel_gettext
from flask_babel import ngettext as babel_ngettext
from flask_login import current_user

from languages import ENGLISH, LANGUAGES, Reader, words_of
from web.access import person


class Words(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    """Where Flask-Babel finds the words: read from their source, with no compiled files."""

    def get_translations(self) -> NullTranslations:
        return words_of(language())


class FromSource(Babel):  # type: ignore[misc]  # Flask-Babel has no types
    domain_instance = Words()


def register(app: Flask) -> None:
    FromSource(app, locale_selector=chosen_language)
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.globals.update(language=language, languages=LANGUAGES, language_back=_back)


def _(text: str, /, **values: object) -> str:
    """These words in the language of the request. Values go in by name: %(name)s."""
    return str(babel_gettext(text, **values))


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    """The words that fit the number, which they may call %(num)s."""
    return str(babel_ngettext(one, many, num, **values))


def language() -> str:
    """The language of what is being said right now; English outside of requests."""
    return str(get_locale() or ENGLISH)


def speaking(wanted: str) -> AbstractContextManager[None]:
    """Says everything within in this language, where it is one of ours."""
    return force_locale(wanted if wanted in LANGUAGES else language())  # type: ignore[no-any-return]


def reader() -> Reader:
    """Who is being answered, for whom sentences of `quickbooks/` are said."""
    return Reader(language(), _)


def chosen_language() -> str:
    """What the person chose; of a stranger what this browser did, else what it is set to."""
    if not has_request_context():
        return ENGLISH
    if current_user.is_authenticated:
        return person().language
    if cookie.get("language") in LANGUAGES:
        return str(cookie["language"])
    tags = [tag_of(one) for one in LANGUAGES]
    return (request.accept_languages.best_match(tags) or ENGLISH).replace("-", "_")


def tag_of(language: str) -> str:
    """As HTML and HTTP write it: pt-BR."""
    return language.replace("_", "-")


def _back() -> str:
    """The page that is shown again in the other language. An answer to a form has no address."""
    return request.full_path.rstrip("?") if request.method == "GET" else ""
