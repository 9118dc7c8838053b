"""What forms accept. A value that DunaHub cannot keep is refused here, with a sentence."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from wtforms import Field, HiddenField, StringField, TextAreaField
from wtforms import Form as PlainForm
from wtforms.meta import DefaultMeta
from wtforms.validators import StopValidation
from wtforms.widgets import DateInput, TextInput

from views.formats import spoken_status
from views.languages import _

LINE = 1_000  # characters of a one-line field: more than QuickBooks takes, which is not our limit
AREA = 20_000
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 12, 31)
MOST_MONEY = Decimal("99999999.99")  # the sum of an invoice's lines still fits its column

_NUMBER = re.compile(r"-?(\d{1,12}(\.\d{0,12})?|\.\d{1,12})", re.ASCII)


class Form(PlainForm):
    """A form whose labels are marked by `N_` and said in the language of the request."""

    class Meta(DefaultMeta):
        def bind_field(self, form: Any, unbound_field: Any, options: Any) -> Any:
            field = super().bind_field(form, unbound_field, options)
            if field.label.text:
                field.label.text = _(field.label.text)
            return field


# --- Text -----------------------------------------------------------------------------------------


def tidy(value: str | None) -> str:
    return (value or "").replace("\r\n", "\n").strip()


class Storable:
    """Text that the database can hold, and that isn't longer than `most` characters."""

    def __init__(self, *, required: str | None = None, most: int = LINE) -> None:
        self.required, self.most = required, most

    def __call__(self, form: Form, field: Field) -> None:
        text: str = field.data or ""
        if "\x00" in text:
            raise StopValidation("This contains a character that can't be stored. Type it again.")
        if self.required and not text:
            raise StopValidation(self.required)
        if len(text) > self.most:
            raise StopValidation(
                f"This is {len(text):,} characters long; {self.most:,} is the most."
            )


def line(label: str, *, required: str | None = None, most: int = LINE, **kw: Any) -> StringField:
    return StringField(label, [Storable(required=required, most=most)], [tidy], **kw)


def area(label: str, *, required: str | None = None, **kw: Any) -> TextAreaField:
    return TextAreaField(label, [Storable(required=required, most=AREA)], [tidy], **kw)


# --- Numbers and dates ----------------------------------------------------------------------------


class NumberField(Field):
    """A decimal number as people write it: 1,234.50 or $1,234.50. Empty is None."""

    widget = TextInput()
    data: Decimal | None

    def __init__(
        self,
        label: str = "",
        *,
        decimals: int,
        shown: int = 0,  # decimals that are there even when they are zero: 12.50, not 12.5
        most: Decimal,
        least: Decimal | None = None,
        empty: Decimal | None = None,  # what leaving it empty means
        required: str | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(label, **kw)
        self.empty = empty
        self.decimals, self.shown, self.required = decimals, shown, required
        self.most, self.least = most, -most if least is None else least

    @property
    def typed(self) -> str:
        return tidy(self.raw_data[0]) if self.raw_data else ""

    def _value(self) -> str:
        if self.raw_data:
            return self.typed
        if self.data is None:
            return ""
        whole, _, part = f"{self.data:f}".partition(".")
        part = part.rstrip("0").ljust(self.shown, "0")
        return f"{whole}.{part}" if part else whole

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = tidy(valuelist[0]) if valuelist else ""
        text = text.replace("$", "").replace(",", "").replace("−", "-").replace(" ", "")
        self.data = self.empty
        if not text:
            return
        self.data = None
        if not _NUMBER.fullmatch(text):
            raise ValueError("Type a number, like 1234.50.")
        number = Decimal(text)
        if -int(number.normalize().as_tuple().exponent) > self.decimals:
            raise ValueError(f"Use at most {self.decimals} decimals.")
        if number > self.most:
            raise ValueError(f"The most is {self.most:,f}.")
        if number < self.least:
            raise ValueError(f"The least is {self.least:,f}.")
        self.data = number

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.required and self.data is None and not self.process_errors:
            raise StopValidation(self.required)


def tax_rate_field() -> NumberField:
    return NumberField(
        "Tax rate, %", decimals=4, most=Decimal(100), least=Decimal(0), empty=Decimal(0)
    )


class DayField(Field):
    """A day, as browsers send it."""

    widget = DateInput()
    data: date | None

    def __init__(self, label: str = "", *, required: str | None = None, **kw: Any) -> None:
        super().__init__(label, **kw)
        self.required = required

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return self.data.isoformat() if self.data else ""

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = tidy(valuelist[0]) if valuelist else ""
        self.data = None
        if not text:
            return
        try:
            day = date.fromisoformat(text)
        except ValueError as problem:
            raise ValueError("Type a date as year-month-day, like 2026-03-09.") from problem
        if not EARLIEST <= day <= LATEST:
            raise ValueError(f"Choose a date from {EARLIEST.year} to {LATEST.year}.")
        self.data = day

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.required and self.data is None and not self.process_errors:
            raise StopValidation(self.required)


class KeyField(Field):
    """The key of another record, chosen from a list. Whether it may be chosen, the form knows."""

    widget = TextInput()
    data: int | None

    def _value(self) -> str:
        return str(self.data or "")

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = tidy(valuelist[0]) if valuelist else ""
        self.data = None
        if not text:
            return
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise ValueError("Choose one from the list.")
        self.data = int(text)


class ChoiceField(Field):
    """One of a few values; `options` maps each to what a person reads, marked by `N_`."""

    data: str | None

    def __init__(self, label: str, options: Mapping[str, str], **kw: Any) -> None:
        super().__init__(label, **kw)
        self.options = {value: _(words) for value, words in options.items()}

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        self.data = valuelist[0] if valuelist else None

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.data not in self.options:
            raise StopValidation("Choose one of these.")


def status_field(statuses: type[StrEnum]) -> ChoiceField:
    """Starts with the first."""
    options = {status.value: spoken_status(status) for status in statuses}
    return ChoiceField("Status", options, default=next(iter(options)))


# --- Editing: only what this person changed -------------------------------------------------------


class EditForm(Form):
    """A form that remembers what it showed, so that saving writes only what this person changed.

    Two people who edit different fields of a record at once both keep their change.
    """

    was = HiddenField()  # name:digest of each field as it was shown

    @classmethod
    def showing(cls, record: object) -> Self:
        form = cls()
        for name in form.columns():
            form[name].data = getattr(record, name)
        form.remember()
        return form

    def remember(self) -> None:
        self.was.data = " ".join(
            f"{field.short_name}:{_digest(field.data)}" for field in self._remembered()
        )

    def apply_to(self, record: object) -> None:
        """Sets the attributes whose field differs from what the form showed."""
        shown = dict(pair.split(":", 1) for pair in (self.was.data or "").split() if ":" in pair)
        for field in self._remembered():
            if shown.get(field.short_name) != _digest(field.data):
                setattr(record, field.short_name, field.data)

    def _remembered(self) -> Iterator[Field]:
        return (field for field in self if field.short_name in self.columns())

    def columns(self) -> frozenset[str]:
        """The fields that are columns of the record."""
        raise NotImplementedError


def _digest(value: object) -> str:
    if isinstance(value, str):
        value = tidy(value)
    elif isinstance(value, Decimal):
        value = f"{value.normalize():f}"
    return hashlib.blake2b(str(value).encode("utf-8", "replace"), digest_size=6).hexdigest()
