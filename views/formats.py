"""How values look on a page: money, dates, times."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask import Flask
from markupsafe import Markup

from views.access import current_organization

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def register(app: Flask) -> None:
    app.jinja_env.globals.update(now=lambda: datetime.now(UTC), age_of=age_of)
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
        spoken_action=spoken_action,
        spoken_status=spoken_status,
        lasting=lasting,
    )


def money(amount: Decimal | str | None) -> str:
    if amount is None:
        return ""
    value = Decimal(amount)
    decimals = max(2, -int(value.normalize().as_tuple().exponent))  # prices may have up to four
    sign = "−" if value < 0 else ""
    return f"{sign}{currency()}{abs(value):,.{decimals}f}"


def currency() -> str:
    organization = current_organization()
    return "R$ " if organization and not organization.has_quickbooks else "$"


def plain(number: Decimal | str | None) -> str:
    """Without trailing zeros: 3.5000 is 3.5, and 12.0000 is 12."""
    if number is None:
        return ""
    text = f"{Decimal(number):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def entered(price: Decimal) -> str:
    """A price as it stands in a form: 12.50, or 0.0125."""
    whole, _, part = f"{price:f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def day(value: date | str | None) -> str:
    if value is None:
        return ""
    value = date.fromisoformat(value) if isinstance(value, str) else value
    return f"{MONTHS[value.month - 1]} {value.day}, {value.year}"


def clock(value: datetime) -> str:
    return f"{value.hour % 12 or 12}:{value.minute:02} {'AM' if value.hour < 12 else 'PM'}"


def spoken_moment(value: datetime, zone: ZoneInfo, now: datetime | None = None) -> str:
    """3:38 PM today, Mar 9, 2:10 PM this year, Mar 9, 2025, 2:10 PM before."""
    local = value.astimezone(zone)
    today = (now or datetime.now(UTC)).astimezone(zone).date()
    if local.date() == today:
        return clock(local)
    month_and_day = f"{MONTHS[local.month - 1]} {local.day}"
    if local.year == today.year:
        return f"{month_and_day}, {clock(local)}"
    return f"{month_and_day}, {local.year}, {clock(local)}"


def spoken_day(value: datetime, zone: ZoneInfo) -> str:
    local = value.astimezone(zone)
    this_year = datetime.now(UTC).astimezone(zone).year
    month_and_day = f"{MONTHS[local.month - 1]} {local.day}"
    return month_and_day if local.year == this_year else f"{month_and_day}, {local.year}"


def spoken_month(value: datetime, zone: ZoneInfo) -> str:
    local = value.astimezone(zone)
    return f"{MONTHS[local.month - 1]} {local.year}"


def dated(value: datetime | None) -> Markup:
    """Like `moment`, with the day even when it is today."""
    if value is None:
        return Markup("")
    local = value.astimezone(current_zone())
    return _time(local, f"{spoken_day(value, current_zone())}, {clock(local)}")


def moment(value: datetime | None, zone: ZoneInfo | None = None) -> Markup:
    """A <time> in the organization's zone, the full date with offset in `datetime`."""
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
        return "just now"
    return f"{size(passed)} ago"


def age_of(value: datetime) -> str:
    return size(datetime.now(UTC) - value)


def size(passed: timedelta) -> str:
    """A length of time in its largest unit: 9 seconds, 2 minutes, 3 days."""
    seconds = int(passed.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def spoken_status(status: str) -> str:
    return status.replace("_", " ").capitalize()


def spoken_action(action: str) -> str:
    """An act as people read it: "quickbooks.connected" is QuickBooks connected."""
    group, _, name = action.partition(".")
    words = name.replace("_", " ")
    if group in ("invoice", "payment"):
        return f"{group.capitalize()} {words}"
    return f"QuickBooks {words}" if group == "quickbooks" else words.capitalize()


def lasting(seconds: float | None) -> str:
    """How long something took: 0.4 s, 9 s, 2.5 min."""
    if seconds is None:
        return ""
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, length = next(((u, n) for u, n in sizes if seconds >= n), ("s", 1))
    return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
