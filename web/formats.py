"""Formats money, dates, times and numbers in the reader's language."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import dates, numbers
from flask import Flask
from markupsafe import Markup

from languages import N_
from web.access import current_organization
from web.audit_words import spoken_action, spoken_reason, staff_word
from web.languages import _, language, ngettext


def register(app: Flask) -> None:
    app.jinja_env.globals.update(
        now=lambda: datetime.now(UTC),
        age_of=age_of,
        currency=currency,
        decimal_symbol=decimal_symbol,
    )
    app.jinja_env.filters.update(
        money=money,
        quantity=plain,
        percent=plain,
        entered=entered,
        day=day,
        moment=moment,
        dated=dated,
        spoken_day=lambda value: spoken_day(value, current_zone()),
        spoken_month=lambda value: spoken_month(value, current_zone()),
        ago=ago,
        spoken_size=size,
        spoken_action=spoken_action,
        spoken_reason=spoken_reason,
        spoken_method=spoken_method,
        spoken_status=spoken_status,
        staff_word=staff_word,
        lasting=lasting,
    )


def money(amount: Decimal | str | None) -> str:
    """With two decimals, or more if the price has more."""
    if amount is None:
        return ""
    text = numbers.format_currency(
        Decimal(amount), currency(), locale=language(), decimal_quantization=False
    )
    return text.replace("-", "−")


def currency() -> str:
    organization = current_organization()
    return organization.currency if organization else "USD"


def currency_sign() -> str:
    return str(numbers.get_currency_symbol(currency(), language()))


def decimal_symbol() -> str:
    return str(numbers.get_decimal_symbol(language()))


def plain(number: Decimal | int | str | None) -> str:
    """Without trailing zeros: 3.5000 is 3.5, and 12.0000 is 12."""
    if number is None:
        return ""
    return numbers.format_decimal(Decimal(number), locale=language(), decimal_quantization=False)


def entered(price: Decimal) -> str:
    """A price in a form field: 12.50, or 0.0125."""
    return typed(price, shown=2)


def typed(number: Decimal, *, shown: int = 0) -> str:
    """A number for a form field: no thousands separator, at least `shown` decimals."""
    whole, _point, part = f"{number:f}".partition(".")
    part = part.rstrip("0").ljust(shown, "0")
    return f"{whole}{numbers.get_decimal_symbol(language())}{part}" if part else whole


def day(value: date | str | None) -> str:
    if value is None:
        return ""
    value = date.fromisoformat(value) if isinstance(value, str) else value
    return dates.format_date(value, "medium", locale=language())


def clock(value: datetime) -> str:
    # An ordinary space before PM: many fonts lack the narrow one.
    text = dates.format_time(value, "short", tzinfo=value.tzinfo, locale=language())
    return text.replace("\u202f", " ")


def spoken_moment(value: datetime, zone: ZoneInfo, now: datetime | None = None) -> str:
    """ "3:38 PM" today, "Mar 9, 2:10 PM" this year, "Mar 9, 2025, 2:10 PM" before."""
    local = value.astimezone(zone)
    today = (now or datetime.now(UTC)).astimezone(zone).date()
    if local.date() == today:
        return clock(local)
    when = month_and_day(local.date()) if local.year == today.year else day(local.date())
    return f"{when}, {clock(local)}"


def spoken_day(value: datetime, zone: ZoneInfo) -> str:
    local = value.astimezone(zone)
    this_year = datetime.now(UTC).astimezone(zone).year
    return month_and_day(local.date()) if local.year == this_year else day(local.date())


def month_and_day(value: date) -> str:
    return dates.format_skeleton("MMMd", value, locale=language())


def axis_day(value: date) -> str:
    """A short day for a chart's axis: Mar 9, 9 mar."""
    return month_and_day(value).replace(" de ", " ").replace(".", "")


def spoken_month(value: datetime, zone: ZoneInfo) -> str:
    return dates.format_skeleton("yMMM", value, tzinfo=zone, locale=language())


def dated(value: datetime | None) -> Markup:
    """Like `moment`, but always with the day."""
    if value is None:
        return Markup("")
    local = value.astimezone(current_zone())
    return _time(local, f"{spoken_day(value, current_zone())}, {clock(local)}")


def moment(value: datetime | None, zone: ZoneInfo | None = None) -> Markup:
    """A <time> element in the organization's zone, with the full date and offset in `datetime`."""
    if value is None:
        return Markup("")
    zone = zone or current_zone()
    return _time(value.astimezone(zone), spoken_moment(value, zone))


def _time(local: datetime, words: str) -> Markup:
    return Markup('<time datetime="{}" title="{}, {} {}">{}</time>').format(
        local.isoformat(timespec="seconds"), day(local.date()), clock(local), local.tzname(), words
    )


def current_zone() -> ZoneInfo:
    organization = current_organization()
    return organization.zone if organization else ZoneInfo("UTC")


def ago(value: datetime) -> str:
    passed = datetime.now(UTC) - value
    if passed < timedelta(seconds=45):
        return _("just now")
    return _("%(time)s ago", time=size(passed))


def age_of(value: datetime) -> str:
    return size(datetime.now(UTC) - value)


def size(passed: timedelta) -> str:
    """A duration in its largest unit: 9 seconds, 2 minutes, 3 days."""
    seconds = int(passed.total_seconds())
    if days := seconds // 86_400:
        return ngettext("%(num)s day", "%(num)s days", days)
    if hours := seconds // 3_600:
        return ngettext("%(num)s hour", "%(num)s hours", hours)
    if minutes := seconds // 60:
        return ngettext("%(num)s minute", "%(num)s minutes", minutes)
    return ngettext("%(num)s second", "%(num)s seconds", seconds)


# States of jobs, proposals and invoices.
STATUSES = {
    "scheduled": N_("Scheduled"),
    "in_progress": N_("In progress"),
    "done": N_("Done"),
    "draft": N_("Draft"),
    "sent": N_("Sent"),
    "accepted": N_("Accepted"),
    "declined": N_("Declined"),
    "open": N_("Open"),
    "partly_paid": N_("Partly paid"),
    "paid": N_("Paid"),
    "nothing_due": N_("Nothing due"),
    "void": N_("Void"),
}


def spoken_status(status: str) -> str:
    return _(STATUSES[status])


# How a client paid. Brazil has no ACH; there it is called a transfer.
METHODS = {"card": N_("Card"), "ach": "ACH", "check": N_("Check"), "cash": N_("Cash")}
METHODS_IN_BRAZIL = METHODS | {"ach": N_("Pix or bank transfer")}


def spoken_method(method: str) -> str:
    return _(payment_methods()[method])


def payment_methods() -> dict[str, str]:
    """The payment methods of the organization's country, with their names."""
    organization = current_organization()
    in_brazil = organization is not None and not organization.has_quickbooks
    return METHODS_IN_BRAZIL if in_brazil else METHODS


def lasting(seconds: float | None) -> str:
    """A measured duration: 0.4 s, 9 s, 2.5 min."""
    if seconds is None:
        return ""
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, length = next(((u, n) for u, n in sizes if seconds >= n), ("s", 1))
    return f"{numbers.format_decimal(seconds / length, '0.#', locale=language())} {unit}"
