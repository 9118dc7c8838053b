"""Why a company was not connected, after the consent page."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from quickbooks.consenting import OtherCompany, Unsuitable
from web.languages import _

_STRONG = Markup("<strong>{}</strong>")


@dataclass(frozen=True)
class Refusal:
    """The heading of the page, and what happened."""

    title: str
    why: str | Markup


def bad_state() -> Refusal:
    return Refusal(
        _("This sign-in can't be used"),
        _(
            "It was started in another browser, took longer than ten minutes, or was used already."
            " Nothing was changed."
        ),
    )


def not_allowed() -> Refusal:
    return Refusal(
        _("Only an owner can connect QuickBooks"),
        _("Ask an owner of your organization to connect it. Nothing was changed."),
    )


def company_taken() -> Refusal:
    return Refusal(
        _("This company is connected elsewhere"),
        _(
            "Another organization in DunaHub already sends its records to this QuickBooks company."
            " A company can take records from only one organization. Nothing was changed."
        ),
    )


def misconfigured() -> Refusal:
    return Refusal(
        _("Something went wrong on our side"),
        _(
            "Intuit didn't recognize DunaHub. Our staff knows about it. Nothing was changed. Try"
            " again later."
        ),
    )


def other_company(told: OtherCompany) -> Refusal:
    title, names = _("You chose another company"), {"stored": _STRONG.format(told.stored_name)}
    if not told.chosen_name:
        sentence = _(
            "Until now, your records were sent to %(stored)s. You chose a different company.",
            stored="%(stored)s",
        )
        return Refusal(title, escape(sentence) % names)
    sentence = _(
        "Until now, your records were sent to %(stored)s. You chose %(chosen)s.",
        stored="%(stored)s",
        chosen="%(chosen)s",
    )
    return Refusal(title, escape(sentence) % {**names, "chosen": _STRONG.format(told.chosen_name)})


def unsuitable(told: Unsuitable) -> Refusal:
    title = _("This company can't be connected")
    values = {
        "company": _STRONG.format(told.company_name),
        "country": told.country or _("another country"),
        "currency": told.currency,
    }
    if not told.currency:
        sentence = _(
            "%(company)s keeps its books in %(country)s. DunaHub works with US companies that use"
            " US dollars. We kept no access to it.",
            company="%(company)s",
            country="%(country)s",
        )
        return Refusal(title, escape(sentence) % values)
    sentence = _(
        "%(company)s keeps its books in %(country)s with %(currency)s. DunaHub works with US"
        " companies that use US dollars. We kept no access to it.",
        company="%(company)s",
        country="%(country)s",
        currency="%(currency)s",
    )
    return Refusal(title, escape(sentence) % values)
