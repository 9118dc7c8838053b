"""Form fields. Values that DunaHub cannot store are refused with a message."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar

from babel import numbers
from flask import request
from wtforms import Field, HiddenField, StringField, TextAreaField
from wtforms import Form as PlainForm
from wtforms.meta import DefaultMeta
from wtforms.validators import StopValidation
from wtforms.widgets import DateInput, TextInput

from languages import LANGUAGES, N_
from models.sales import DiscountKind
from web.drafts import RESUMED
from web.formats import STATUSES, plain, typed
from web.languages import _, language

# characters of a one-line field: more than QuickBooks accepts, which is checked elsewhere
MAX_LINE_LENGTH = 1_000
MAX_TEXT_LENGTH = 20_000
EARLIEST_DAY, LATEST_DAY = date(2000, 1, 1), date(2100, 12, 31)
_EXAMPLE = Decimal("1234.50")
MAX_MONEY = Decimal("99999999.99")  # the sum of an invoice's lines still fits its column

_NUMBER = re.compile(r"-?(\d{1,12}(\.\d{0,12})?|\.\d{1,12})", re.ASCII)
# 0,500 is no group: someone means a half
_GROUPED = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", re.ASCII)
_SPACED = re.compile(r"-?[1-9]\d{0,2}([ \u00a0\u2009\u202f]\d{3})+([.,]\d*)?", re.ASCII)
_CURRENCIES = re.compile(r"^(-?)\s*(US\$|R\$|\$)?\s*")


class Form(PlainForm):
    """A form whose labels are marked with `N_` and shown in the language of the request."""

    def validate(self, extra_validators: Any = None) -> bool:
        """Always invalid while the form is only shown again, see `web/drafts.py`."""
        return RESUMED not in request.form and super().validate(extra_validators)

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
    """Validates that the database can store the text and that it has at most `most` characters."""

    def __init__(self, *, required: str | None = None, most: int = MAX_LINE_LENGTH) -> None:
        self.required, self.most = required, most

    def __call__(self, form: Form, field: Field) -> None:
        text: str = field.data or ""
        if "\x00" in text:
            raise StopValidation(
                _("This contains a character that can't be stored. Type it again.")
            )
        if self.required and not text:
            raise StopValidation(_(self.required))
        if len(text) > self.most:
            raise StopValidation(
                _(
                    "This is %(length)s characters long; the maximum is %(most)s.",
                    length=plain(len(text)),
                    most=plain(self.most),
                )
            )


def line(
    label: str, *, required: str | None = None, most: int = MAX_LINE_LENGTH, **kw: Any
) -> StringField:
    return StringField(label, [Storable(required=required, most=most)], [tidy], **kw)


def area(label: str, *, required: str | None = None, **kw: Any) -> TextAreaField:
    return TextAreaField(label, [Storable(required=required, most=MAX_TEXT_LENGTH)], [tidy], **kw)


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
        shown: int = 0,  # minimum number of decimals: 12.50, not 12.5
        most: Decimal,
        least: Decimal | None = None,
        empty: Decimal | None = None,  # the value of an empty field
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
        return "" if self.data is None else typed(self.data, shown=self.shown)

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = _plainly(tidy(valuelist[0]) if valuelist else "", language_of_form())
        self.data = self.empty
        if not text:
            return
        self.data = None
        if not _NUMBER.fullmatch(text):
            raise ValueError(
                _("Type a number, like %(example)s.", example=typed(_EXAMPLE, shown=2))
            )
        number = Decimal(text)
        if -int(number.normalize().as_tuple().exponent) > self.decimals:
            raise ValueError(_("Use at most %(most)s decimals.", most=self.decimals))
        if number > self.most:
            raise ValueError(_("The maximum is %(most)s.", most=plain(self.most)))
        if number < self.least:
            raise ValueError(_("The minimum is %(least)s.", least=plain(self.least)))
        self.data = number

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.required and self.data is None and not self.process_errors:
            raise StopValidation(_(self.required))


def language_of_form() -> str:
    """The language the form was shown in, because 1.234 means different numbers."""
    told = request.form.get("shown_in", "")
    return told if told in LANGUAGES else language()


def _plainly(text: str, language: str) -> str:
    """A number typed in this language, normalized: decimal point, no thousands separators.

    Commas and blanks that don't separate thousands are kept and so refused: 12,50, 12 50 and
    0,500 never become 1250 and 500.
    """
    text = _CURRENCIES.sub(r"\1", text.replace("−", "-").strip())
    if _SPACED.fullmatch(text):
        text = "".join(text.split())
    if numbers.get_decimal_symbol(language) == ",":
        text = text.translate(str.maketrans(".,", ",."))
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


class RateField(NumberField):
    """A percentage, with or without its sign: 7.5 and 7.5 %."""

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = tidy(valuelist[0]) if valuelist else ""
        super().process_formdata([text.removesuffix("%").strip()])


def tax_rate_field() -> RateField:
    return RateField(
        N_("Tax rate, %"), decimals=4, most=Decimal(100), least=Decimal(0), empty=Decimal(0)
    )


class DiscountField(NumberField):
    """A percentage or an amount. A typed sign wins over the choice next to it: 5 %, $20."""

    def __init__(self, label: str, **kw: Any) -> None:
        super().__init__(
            label, decimals=4, most=MAX_MONEY, least=Decimal(0), empty=Decimal(0), **kw
        )

    def _value(self) -> str:
        return "" if not self.raw_data and not self.data else super()._value()

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        typed_text = tidy(valuelist[0]) if valuelist else ""
        if not ("%" in typed_text and "$" in typed_text):  # otherwise refused: which of them?
            typed_text = typed_text.removesuffix("%").strip()
        super().process_formdata([typed_text])

    @property
    def kind_typed(self) -> str | None:
        """The kind that its sign says."""
        if self.typed.endswith("%"):
            return DiscountKind.PERCENT
        return DiscountKind.AMOUNT if "$" in self.typed else None


class DayField(Field):
    """A day in ISO format, as browsers send it."""

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
            raise ValueError(_("Type a date as year-month-day, like 2026-03-09.")) from problem
        if not EARLIEST_DAY <= day <= LATEST_DAY:
            raise ValueError(
                _(
                    "Choose a date from %(first)s to %(last)s.",
                    first=EARLIEST_DAY.year,
                    last=LATEST_DAY.year,
                )
            )
        self.data = day

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.required and self.data is None and not self.process_errors:
            raise StopValidation(_(self.required))


class KeyField(Field):
    """The key of another record, chosen from a list. The form checks whether it is allowed."""

    widget = TextInput()
    data: int | None

    def _value(self) -> str:
        return str(self.data or "")

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        text = tidy(valuelist[0]) if valuelist else ""
        self.data = None
        if not text:
            return
        if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
            raise ValueError(_("Choose one from the list."))
        self.data = int(text)


Choice = TypeVar("Choice", bound=StrEnum)


class ChoiceField(Field):
    """One of a few values; `options` maps each to its label, marked with `N_`."""

    data: str | None

    def __init__(
        self,
        label: str,
        options: Mapping[str, str],
        missing: str = N_("Choose one of these."),
        **kw: Any,
    ) -> None:
        super().__init__(label, **kw)
        self.missing = missing
        self.options = {value: _(words) for value, words in options.items()}

    def process_formdata(self, valuelist: Sequence[Any]) -> None:
        self.data = valuelist[0] if valuelist else None

    def pre_validate(self, form: Form) -> None:  # type: ignore[override]
        if self.data not in self.options:
            raise StopValidation(_(self.missing))

    def one_of(self, words: type[Choice]) -> Choice:
        """What was chosen, once it is valid."""
        return words(self.data or "")


def status_field(statuses: type[StrEnum]) -> ChoiceField:
    """The first status is the default."""
    options = {status.value: STATUSES[status] for status in statuses}
    return ChoiceField(N_("Status"), options, default=next(iter(options)))


# --- Editing: only what this person changed -------------------------------------------------------


class EditForm(Form):
    """A form that remembers what it showed, so that saving writes only this person's changes.

    Two people who edit different fields of a record at the same time both keep their changes.
    """

    TOGETHER: ClassVar[frozenset[str]] = frozenset()  # fields that say one thing

    was = HiddenField()  # name:digest of each field as shown

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
        for field in self._remembered():
            if self._is_changed(field):
                setattr(record, field.short_name, field.data)

    def catch_up(self, record: object) -> None:
        """Takes over others' changes, so that validation checks the
        result and not only this form."""
        unchanged = [field for field in self._remembered() if not self._is_changed(field)]
        for field in unchanged:
            field.data = getattr(record, field.short_name)

    def _is_changed(self, field: Field) -> bool:
        shown = dict(pair.split(":", 1) for pair in (self.was.data or "").split() if ":" in pair)
        name = field.short_name
        names = self.TOGETHER if name in self.TOGETHER else (name,)
        return any(shown.get(each) != _digest(self[each].data) for each in names)

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
