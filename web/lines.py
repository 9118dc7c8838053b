"""The line editor of invoices, proposals and jobs. It works without JavaScript, by blank rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Self, TypeVar

from flask import request
from sqlalchemy import select
from wtforms import BooleanField, Field, FieldList, FormField, HiddenField, TextAreaField
from wtforms.validators import StopValidation

from languages import N_
from models.sales import (
    Invoice,
    InvoiceLine,
    Job,
    JobLine,
    Product,
    Proposal,
    ProposalLine,
)
from web.access import firm, session
from web.formats import plain
from web.forms import AREA, MOST_MONEY, EditForm, KeyField, NumberField, Storable, tidy
from web.languages import _

Line = TypeVar("Line", InvoiceLine, ProposalLine, JobLine)
AnyLine = InvoiceLine | ProposalLine | JobLine

BLANK_ROWS = 3
MOST_LINES = 200
MOST_PRODUCTS = 1_000  # offered in the list: a firm's price book, not a catalogue
MOST_QUANTITY = MOST_PRICE = Decimal("9999999.9999")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Totals:
    subtotal: Decimal
    tax_amount: Decimal

    @property
    def total(self) -> Decimal:
        return self.subtotal + self.tax_amount


class LineForm(EditForm):
    key = HiddenField()
    product_id = KeyField(N_("Product or service"))
    description = TextAreaField(N_("Description"), [Storable(most=AREA)], [tidy])
    quantity = NumberField(N_("Quantity"), decimals=4, most=MOST_QUANTITY)
    unit_price = NumberField(N_("Price"), decimals=4, shown=2, most=MOST_PRICE)
    taxable = BooleanField(N_("Taxable"))
    remove = BooleanField(N_("Remove"))

    def columns(self) -> frozenset[str]:
        return frozenset("product_id description quantity unit_price taxable".split())

    @property
    def is_kept(self) -> bool:
        written = self.product_id.data or self.description.data or self.unit_price.typed
        return not self.remove.data and bool(self.key.data or written)

    @property
    def amount(self) -> Decimal:
        """As the database will compute it."""
        quantity, price = self.quantity.data or Decimal(0), self.unit_price.data or Decimal(0)
        return (quantity * price).quantize(CENT, ROUND_HALF_UP)

    def judge(self, products: dict[int, Product]) -> bool:
        """Whether this line can be kept; says what is wrong beside the field."""
        if self.product_id.data and self.product_id.data not in products:
            self.product_id.data = None
            _complain(self.product_id, _("Choose a product or service from the list."))
        self._complete(products.get(self.product_id.data or 0))
        if not self.description.data:
            _complain(self.description, _("Say what this line is for."))
        if self.unit_price.data is None and not self.unit_price.errors:
            _complain(self.unit_price, _("What does one cost?"))
        if abs(self.amount) > MOST_MONEY:
            _complain(
                self.unit_price, _("One line can come to %(most)s at most.", most=plain(MOST_MONEY))
            )
        return not self.errors

    def _complete(self, product: Product | None) -> None:
        """Fills in what a chosen product says and the person left empty."""
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
    """A form with a line editor. "Add lines" sends the form, and gets it back with more rows."""

    lines = FieldList(FormField(LineForm))
    status_code = 422  # of the answer that shows the form again

    products: dict[int, Product]

    @classmethod
    def blank(cls, lines: Iterable[AnyLine] = (), **values: object) -> Self:
        """A form for a new document, perhaps with the lines of another one."""
        form = cls()
        for name, value in values.items():
            form[name].data = value
        for line in lines:
            form._add_row(line)
        return form._ready()

    @classmethod
    def showing(cls, record: object) -> Self:
        assert isinstance(record, Invoice | Proposal | Job)
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
        return row

    def _add_blank_rows(self) -> None:
        for _row in range(BLANK_ROWS):
            self._add_row()

    def _offer_products(self) -> None:
        self.products = _products([row.product_id.data for row in self.rows if row.product_id.data])

    @property
    def rows(self) -> Sequence[LineForm]:
        return [entry.form for entry in self.lines]

    @property
    def kept_rows(self) -> Sequence[LineForm]:
        return [row for row in self.rows if row.is_kept]

    def is_to_be_saved(self) -> bool:
        self._offer_products()
        if "add_rows" in request.form:
            self._add_blank_rows()
            self.status_code = 200
            return False
        return self.validate()

    def validate_lines(self, _field: FieldList) -> None:  # type: ignore[type-arg]
        if len(self.kept_rows) > MOST_LINES:
            raise StopValidation(
                _("%(most)s lines are the most for one document.", most=MOST_LINES)
            )
        judged = [row.judge(self.products) for row in self.kept_rows]  # each says what is wrong
        if not all(judged):
            raise StopValidation(_("Some lines need a look."))

    def totals(self, tax_rate: Decimal) -> Totals:
        """What the document would come to."""
        return _totals([(row.amount, bool(row.taxable.data)) for row in self.kept_rows], tax_rate)

    def save_lines(self, lines: list[Line], make: type[Line]) -> None:
        """Writes the rows into the record's lines: matched by key, only what changed.

        A line that someone else added meanwhile is not on the form, and stays.
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
                line = make(organization_id=firm().id, position=last)
                row.apply_to(line)
                lines.append(line)


def totals_of(lines: Sequence[AnyLine], tax_rate: Decimal = Decimal(0)) -> Totals:
    return _totals([(line.amount, line.taxable) for line in lines], tax_rate)


def _totals(amounts: Sequence[tuple[Decimal, bool]], tax_rate: Decimal) -> Totals:
    subtotal = sum((amount for amount, _taxable in amounts), Decimal(0))
    taxed = sum((amount for amount, taxable in amounts if taxable), Decimal(0))
    return Totals(subtotal, (taxed * tax_rate / 100).quantize(CENT, ROUND_HALF_UP))


def _products(chosen: Sequence[int]) -> dict[int, Product]:
    """The firm's products that can be chosen, and those that the lines have already."""
    offered = (
        select(Product)
        .where(Product.organization_id == firm().id)
        .where(Product.active | Product.id.in_(chosen))
        .order_by(Product.name)
        .limit(MOST_PRODUCTS)
    )
    return {product.id: product for product in session().scalars(offered)}
