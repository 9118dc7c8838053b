"""The form of an invoice: when it is due, and what is asked before it is saved."""

import re
from collections.abc import Sequence
from datetime import timedelta

from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, FieldList, HiddenField, StringField
from wtforms.validators import StopValidation

from languages import N_
from models.sales import (
    Invoice,
)
from web.formats import money
from web.forms import DayField, area, line, tax_rate_field
from web.languages import _, ngettext
from web.lines import DiscountedForm, Document

OFFERED_TERMS = (0, 7, 15, 30, 60)  # days, offered in addition to the firm's and the invoice's own
MAX_DUE_DAYS = 365
SAVE_DRAFT = "save_draft"  # the button that only keeps what was typed


class InvoiceForm(DiscountedForm):
    issued_on = DayField(N_("Issued"), required=N_("When is it issued?"))
    due_on = DayField(N_("Due"), required=N_("When is it due?"))
    tax_rate = tax_rate_field()
    memo = area(N_("Message to the customer"))
    due_in = StringField()  # days; empty: use the day in the form
    due_shown = HiddenField()  # the due date when the form was shown
    confirms_below_paid = BooleanField(N_("Save it with the lower total"))
    confirms_again = BooleanField(N_("Create another invoice"))

    invoiced_before: Sequence[Invoice] = ()  # from the same job or proposal

    def __init__(self, sent: MultiDict[str, str] | None = None) -> None:
        super().__init__(sent)
        self.is_draft = bool(sent and SAVE_DRAFT in sent)

    def columns(self) -> frozenset[str]:
        return super().columns() | frozenset("issued_on due_on tax_rate memo".split())

    def validate_due_on(self, field: DayField) -> None:
        if self.is_draft:
            return
        if field.data and self.issued_on.data and field.data < self.issued_on.data:
            raise StopValidation(_("It can't be due before it is issued."))

    def validate_lines(self, field: FieldList) -> None:  # type: ignore[type-arg]
        super().validate_lines(field)
        if self.is_draft:
            return
        if not self.kept_rows and not self.elsewhere:
            raise StopValidation(_("Add a line: what is billed?"))
        if self.totals_now.total < 0:
            raise StopValidation(_("The total of an invoice can't be below zero."))

    def is_to_be_saved(self, record: Document | None = None) -> bool:
        self._work_out_due()
        return super().is_to_be_saved(record)

    def _work_out_due(self) -> None:
        """A day that was typed wins; otherwise the due date follows from the terms."""
        issued_on, days = self.issued_on.data, self.due_in.data or ""
        due_on = self.due_on.data
        is_typed = due_on and due_on.isoformat() != self.due_shown.data
        if issued_on and re.fullmatch(r"[0-9]{1,3}", days) and not is_typed:
            self.due_on.data = issued_on + timedelta(days=min(int(days), MAX_DUE_DAYS))
            self.due_on.raw_data = None  # otherwise the page would show what was sent
            self.due_on.process_errors = []

    @property
    def terms(self) -> int | None:
        """Days between both dates; None if one is missing."""
        if not (self.issued_on.data and self.due_on.data):
            return None
        days = (self.due_on.data - self.issued_on.data).days
        return days if 0 <= days <= MAX_DUE_DAYS else None

    @property
    def terms_offered(self) -> dict[str, str]:
        offered = sorted({*OFFERED_TERMS, *([] if self.terms is None else [self.terms])})
        words = {0: _("on receipt")}
        return {
            **{
                str(days): words.get(days) or ngettext("in %(num)s day", "in %(num)s days", days)
                for days in offered
            },
            "": _("on another day"),
        }

    def ask(self, record: Document | None) -> None:
        super().ask(record)
        total = self.totals_now.total
        if isinstance(record, Invoice) and total < record.paid_amount and total != record.total:
            sentence = _(
                "The new total is less than the %(paid)s already paid. The rest would stay as the"
                " customer's credit.",
                paid=money(record.paid_amount),
            )
            if record.goodwill:
                sentence = _(
                    "The new total is less than the %(paid)s already paid. The rest would stay as"
                    " the customer's credit. %(refunded)s of it was refunded already: if the total"
                    " is lower because of that, leave it as it was.",
                    paid=money(record.paid_amount),
                    refunded=money(record.goodwill),
                )
            self.asked.append((self.confirms_below_paid, sentence))
        self.ask_about_earlier()

    def ask_about_earlier(self) -> None:
        if self.invoiced_before:
            told = ", ".join(f"{one.number} ({money(one.total)})" for one in self.invoiced_before)
            self.asked.append((self.confirms_again, _("Already invoiced: %(told)s.", told=told)))


class NumberedForm(InvoiceForm):
    """Of an invoice that exists: its number may be changed, and it does not become a draft."""

    number = line(N_("Number"), most=21)

    def __init__(self, sent: MultiDict[str, str] | None = None) -> None:
        super().__init__(sent)
        self.is_draft = False

    def columns(self) -> frozenset[str]:
        return super().columns() | {"number"}
