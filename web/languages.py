"""The language of a request: the person's choice, or what a visitor's browser asks for.

Independent of region: who sees QuickBooks doesn't depend on their language.
"""

from contextlib import AbstractContextManager

from babel.support import NullTranslations
from flask import Flask, request
from flask import session as cookie
from flask.ctx import has_request_context
from flask_babel import Babel, Domain, force_locale, get_locale
from flask_babel import gettext as babel_gettext
from flask_babel import ngettext as babel_ngettext
from flask_babel import pgettext as babel_pgettext
from flask_login import current_user

from languages import ENGLISH, LANGUAGES, Reader, words_of
from web.access import person


class Words(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    """Makes Flask-Babel read translations from the .po files, without compiling them."""

    def get_translations(self) -> NullTranslations:
        return words_of(language())


class FromSource(Babel):  # type: ignore[misc]  # Flask-Babel has no types
    domain_instance = Words()


def register(app: Flask) -> None:
    FromSource(app, locale_selector=chosen_language)
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.globals.update(language=language, languages=LANGUAGES, language_back=_back)


def _(text: str, /, **values: object) -> str:
    """The text in the request's language. Values are passed by name: %(name)s."""
    return str(babel_gettext(text, **values))


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    """The plural form for this number, which the text may use as %(num)s."""
    return str(babel_ngettext(one, many, num, **values))


def pgettext(context: str, text: str, /, **values: object) -> str:
    """Words of ours that another language says differently in this context."""
    return str(babel_pgettext(context, text, **values))


def language() -> str:
    """The current language; English outside of requests."""
    return str(get_locale() or ENGLISH)


def speaking(wanted: str) -> AbstractContextManager[None]:
    """Uses this language inside the block, if we have it."""
    return force_locale(wanted if wanted in LANGUAGES else language())  # type: ignore[no-any-return]


def reader() -> Reader:
    """The reader of this request, for sentences of `quickbooks/`."""
    return Reader(language(), _)


def chosen_language() -> str:
    """The person's choice; for visitors the choice in this browser, or the browser's setting."""
    if not has_request_context():
        return ENGLISH
    if current_user.is_authenticated:
        return person().language
    if cookie.get("language") in LANGUAGES:
        return str(cookie["language"])
    tags = [tag_of(one) for one in LANGUAGES]
    return (request.accept_languages.best_match(tags) or ENGLISH).replace("-", "_")


def tag_of(language: str) -> str:
    """The language code for HTML and HTTP: pt-BR."""
    return language.replace("_", "-")


def _back() -> str:
    """The page to show again in the other language. A POST response has no address to return to."""
    return request.full_path.rstrip("?") if request.method == "GET" else ""
