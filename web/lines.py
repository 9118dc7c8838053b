"""The line editor of invoices, proposals and jobs.

With JavaScript it shows one blank line and adds more as needed. Without, it shows a few blank rows,
and a button adds more.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Self, TypeVar

from flask import abort, request
from sqlalchemy import select
from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    Field,
    FieldList,
    FormField,
    HiddenField,
    StringField,
    TextAreaField,
)
from wtforms.validators import StopValidation

from languages import N_
from models import sums
from models.sales import (
    DiscountKind,
    Invoice,
    InvoiceDraft,
    InvoiceDraftLine,
    InvoiceLine,
    Job,
    JobLine,
    Product,
    Proposal,
    ProposalLine,
)
from models.sums import CENT, Discount, Totals
from web import once
from web.access import firm, session
from web.drafts import RESUMED
from web.formats import currency_sign, money, plain
from web.forms import (
    MAX_MONEY,
    MAX_TEXT_LENGTH,
    DiscountField,
    EditForm,
    KeyField,
    NumberField,
    Storable,
    tidy,
)
from web.languages import _

Line = TypeVar("Line", InvoiceLine, InvoiceDraftLine, ProposalLine, JobLine)
AnyLine = InvoiceLine | InvoiceDraftLine | ProposalLine | JobLine
Document = Invoice | InvoiceDraft | Proposal | Job

BLANK_ROWS = 3  # JavaScript removes all but the first
MAX_LINES = 200  # of a document, also if several people add to it
# of a form: if it is slightly too long, it is shown again with the reason
MAX_ROWS = MAX_LINES + 50
MAX_PRODUCTS = 1_000  # in the list: enough for a firm's price list, not a catalogue
MAX_QUANTITY = MAX_PRICE = Decimal("9999999.9999")


class LineForm(EditForm):
    key = HiddenField()
    product_id = KeyField(N_("Product or service"))
    description = TextAreaField(N_("Description"), [Storable(most=MAX_TEXT_LENGTH)], [tidy])
    quantity = NumberField(N_("Quantity"), decimals=4, most=MAX_QUANTITY)
    unit_price = NumberField(N_("Price"), decimals=4, shown=2, most=MAX_PRICE)
    taxable = BooleanField(N_("Taxable"))
    remove = BooleanField(N_("Remove"))

    def columns(self) -> frozenset[str]:
        return frozenset("product_id description quantity unit_price taxable".split())

    @property
    def is_kept(self) -> bool:
        written = self.product_id.data or self.description.data or self.unit_price.typed
        return not self.remove.data and bool(self.key.data or written)

    @property
    def id_in_form(self) -> str:
        """The same each time that this form is sent, and of no other form."""
        return f"{once.form_key()} {self.key.name}"

    @property
    def amount(self) -> Decimal:
        """Same rounding as in the database."""
        quantity, price = self.quantity.data or Decimal(0), self.unit_price.data or Decimal(0)
        return (quantity * price).quantize(CENT, ROUND_HALF_UP)

    def judge(self, products: dict[int, Product], *, may_be_incomplete: bool = False) -> bool:
        """Whether this line is valid; adds errors to the fields."""
        self._find(products)
        if self.product_id.data and self.product_id.data not in products:
            self.product_id.data = None
            _complain(self.product_id, _("Choose a product or service from the list."))
        self._complete(products.get(self.product_id.data or 0))
        if not self.description.data and not may_be_incomplete:
            _complain(self.description, _("What did you do or deliver?"))
        if self.unit_price.data is None and not (self.unit_price.errors or may_be_incomplete):
            _complain(self.unit_price, _("What does one cost?"))
        if abs(self.amount) > MAX_MONEY:
            _complain(
                self.unit_price, _("One line can be at most %(most)s.", most=plain(MAX_MONEY))
            )
        return not self.errors

    def _find(self, products: dict[int, Product]) -> None:
        """Without JavaScript, typing a product's name selects it."""
        if self.product_id.data or self.key.data or self.unit_price.typed:
            return
        typed = (self.description.data or "").casefold()
        found = [one for one in products.values() if one.name.casefold() == typed]
        if found:
            self.product_id.data, self.description.data = found[0].id, ""

    def _complete(self, product: Product | None) -> None:
        """Fills empty fields from the chosen product."""
        if product:
            if not (self.key.data or self.description.data or self.unit_price.typed):
                self.taxable.data = product.taxable
            self.description.data = self.description.data or product.description or product.name
            if not self.unit_price.typed:
                self.unit_price.data = product.unit_price
        if not self.quantity.typed:
            self.quantity.data = Decimal(1)


def _complain(field: Field, sentence: str) -> None:
    field.errors = [*field.errors, sentence]


class LinesForm(EditForm):
    """A form with a line editor. "Add lines" sends the form and returns it with more rows.

    Possible mistakes need confirmation: each field in `asked` is a checkbox below a question. The
    form is saved once all of them are ticked.
    """

    lines = FieldList(FormField(LineForm))
    tax_rate: NumberField | None = None
    confirms_untaxed = BooleanField(N_("Save it without tax"))
    status_code = 422  # of the response that shows the form again
    is_draft = False  # saved as it is: nothing is required, and nothing is asked

    products: dict[int, Product]
    asked: list[tuple[BooleanField, str]]
    elsewhere: Sequence[AnyLine] = ()  # lines added by others since the form was shown

    def __init__(self, sent: MultiDict[str, str] | None = None) -> None:
        if sent and _rows_of(sent) > MAX_ROWS:
            abort(413)
        super().__init__(sent)
        self.asked = []

    @classmethod
    def blank(cls, lines: Iterable[AnyLine] = (), **values: object) -> Self:
        """A form for a new document, optionally with the lines of another one."""
        form = cls()
        for name, value in values.items():
            form[name].data = value
        for line in lines:
            form._add_row(line)
        return form._ready()

    @property
    def is_taxed(self) -> bool:
        """Whether a new line is taxable by default."""
        rate = self.tax_rate.data if self.tax_rate else firm().tax_rate
        return bool(rate)

    @classmethod
    def showing(cls, record: object) -> Self:
        assert isinstance(record, Document)
        form = super().showing(record)
        for line in record.lines:
            row = form._add_row(line)
            row.key.data = str(line.id)
            row.remember()
        return form._ready()

    def _ready(self) -> Self:
        self._add_blank_rows()
        self._offer_products()
        return self

    def _add_row(self, line: AnyLine | None = None) -> LineForm:
        row: LineForm = self.lines.append_entry().form
        for name in row.columns() if line else ():
            row[name].data = getattr(line, name)
        if line is None:
            row.taxable.data = self.is_taxed
        return row

    def _add_blank_rows(self) -> None:
        for _row in range(min(BLANK_ROWS, MAX_LINES - len(self.lines))):
            self._add_row()

    def _offer_products(self) -> None:
        self.products = _products([row.product_id.data for row in self.rows if row.product_id.data])

    @property
    def rows(self) -> Sequence[LineForm]:
        return [entry.form for entry in self.lines]

    @property
    def kept_rows(self) -> Sequence[LineForm]:
        return [row for row in self.rows if row.is_kept]

    def is_to_be_saved(self, record: Document | None = None) -> bool:
        """Whether everything is valid and confirmed. `record`, if given, must be locked."""
        self._offer_products()
        if {"add_rows", RESUMED} & request.form.keys():
            self._add_blank_rows()
            self.status_code = 200
            return False
        if record is not None:
            self._catch_up_with(record)
        if not self.validate():
            return False
        if not self.is_draft:
            self.ask(record)
        return all(box.data for box, _sentence in self.asked)

    def ask(self, record: Document | None) -> None:
        """Collects what needs confirmation in a form without errors."""
        was_untaxed = record is not None and _taxes_nothing(self.tax_rate_of(record), record.lines)
        rows = [*self.kept_rows, *self.elsewhere]
        if _taxes_nothing(self.tax_rate.data if self.tax_rate else None, rows) and not was_untaxed:
            self.asked.append(
                (
                    self.confirms_untaxed,
                    _("There is a tax rate, but no line is taxable, so the tax would be zero."),
                )
            )

    def tax_rate_of(self, record: Document) -> Decimal | None:
        return None if isinstance(record, Job) else record.tax_rate

    def _catch_up_with(self, record: Document) -> None:
        self.catch_up(record)
        self._find_added_rows(record)
        lines = {str(line.id): line for line in record.lines}
        for row in self.rows:
            line = lines.pop(row.key.data or "", None)
            if line is not None:
                row.catch_up(line)
            elif row.key.data:
                row.remove.data = True  # another person removed it
        self.elsewhere = list(lines.values())

    def _find_added_rows(self, record: Document) -> None:
        """Rows that this form has added before, when it was sent the first time."""
        added = {line.form_row: line for line in record.lines if line.form_row}
        for row in self.rows:
            line = added.get(row.id_in_form)
            if line is not None and not row.key.data:
                row.key.data = str(line.id)

    def validate_lines(self, _field: FieldList) -> None:  # type: ignore[type-arg]
        if len(self.kept_rows) + len(self.elsewhere) > MAX_LINES:
            raise StopValidation(_("One document can have at most %(most)s lines.", most=MAX_LINES))
        # judge all rows, so that each shows its errors
        judged = [
            row.judge(self.products, may_be_incomplete=self.is_draft) for row in self.kept_rows
        ]
        if not all(judged):
            raise StopValidation(_("Some lines need a look."))

    @property
    def totals_now(self) -> Totals:
        """The totals that the document would have."""
        amounts = [(row.amount, bool(row.taxable.data)) for row in self.kept_rows]
        rate = (self.tax_rate.data if self.tax_rate else None) or Decimal(0)
        return sums.totals_of([*amounts, *_amounts(self.elsewhere)], rate, self.discount)

    @property
    def discount(self) -> Discount:
        """A job has none."""
        return Discount()

    def save_lines(self, lines: list[Line], make: type[Line]) -> None:
        """Writes the rows into the record's lines, matched by key, changing only what differs.

        A line that someone else added meanwhile is not on the form and is kept.
        """
        known = {str(line.id): line for line in lines}
        last = max((line.position for line in lines), default=0)
        for row in self.rows:
            line = known.get(row.key.data or "")
            if row.remove.data and line is not None:
                lines.remove(line)
            elif line is not None:
                row.apply_to(line)
            elif row.is_kept and not row.key.data:
                last += 1
                line = make(organization_id=firm().id, position=last, form_row=row.id_in_form)
                row.apply_to(line)
                lines.append(line)


class DiscountedForm(LinesForm):
    """With one discount for the whole document."""

    TOGETHER = frozenset({"discount_kind", "discount_value"})

    discount_kind = StringField(default=DiscountKind.PERCENT.value)
    discount_value = DiscountField(N_("Discount"))

    def columns(self) -> frozenset[str]:
        return self.TOGETHER

    @property
    def discount(self) -> Discount:
        return Discount(
            self.discount_kind.data or DiscountKind.PERCENT, self.discount_value.data or Decimal(0)
        )

    @property
    def discount_kinds(self) -> dict[str, str]:
        return {DiscountKind.PERCENT.value: "%", DiscountKind.AMOUNT.value: currency_sign()}

    def validate_discount_value(self, field: DiscountField) -> None:
        """After the lines: it is taken off their sum."""
        if not field.data:
            return
        if self.discount_kind.data == DiscountKind.PERCENT:
            if field.data > 100:
                raise StopValidation(_("A discount can't be more than 100%."))
            return
        if field.data != field.data.quantize(CENT):
            raise StopValidation(_("Use at most %(most)s decimals.", most=2))
        subtotal = self.totals_now.subtotal
        if self.is_draft:
            return
        if field.data > subtotal and not self.lines.errors:
            raise StopValidation(
                _("The discount is more than the subtotal of %(sum)s.", sum=money(subtotal))
            )

    def is_to_be_saved(self, record: Document | None = None) -> bool:
        self._work_out_discount()
        return super().is_to_be_saved(record)

    def _work_out_discount(self) -> None:
        known = [kind.value for kind in DiscountKind]
        kind = self.discount_value.kind_typed or self.discount_kind.data
        self.discount_kind.data = kind if kind in known else DiscountKind.PERCENT.value


def totals_of(lines: Sequence[AnyLine]) -> Totals:
    """Before tax and discount."""
    return sums.totals_of(_amounts(lines), Decimal(0))


def totals_of_document(document: Proposal | InvoiceDraft) -> Totals:
    return sums.totals_of(_amounts(document.lines), document.tax_rate, sums.discount_of(document))


def _amounts(lines: Iterable[AnyLine]) -> list[tuple[Decimal, bool]]:
    return [(line.amount, line.taxable) for line in lines]


def _taxes_nothing(rate: Decimal | None, lines: Sequence[LineForm | AnyLine]) -> bool:
    def is_taxed(line: LineForm | AnyLine) -> bool:
        return bool(line.taxable.data if isinstance(line, LineForm) else line.taxable)

    return bool(rate and lines) and not any(is_taxed(line) for line in lines)


_IN_ROW = re.compile(r"lines-([0-9]{1,6})-", re.ASCII)


def _rows_of(sent: MultiDict[str, str]) -> int:
    """Number of rows in the form, checked before any of them is parsed."""
    rows = {_IN_ROW.match(name) for name in sent if name.startswith("lines-")}
    if None in rows:
        abort(400)  # no form of ours has such a field
    return len({row[1] for row in rows if row})


def _products(chosen: Sequence[int]) -> dict[int, Product]:
    """The firm's active products, plus those already used in the lines."""
    offered = (
        select(Product)
        .where(Product.organization_id == firm().id)
        .where(Product.active | Product.id.in_(chosen))
        .order_by(Product.name)
        .limit(MAX_PRODUCTS)
    )
    return {product.id: product for product in session().scalars(offered)}
