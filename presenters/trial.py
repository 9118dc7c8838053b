"""Preview of what would happen to records in a company."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.quickbooks import Connection, ConnectionStatus, UnconfirmedCompany
from models.sales import RecordType
from outbox.company import Due, Fault
from presenters.arrivals import Check, arrivals_of, checks_of
from presenters.status import Word
from quickbooks import trial
from quickbooks.facts import FALLBACK_ITEM
from quickbooks.faults import explain
from quickbooks.standing import row_of
from quickbooks.trial import Act, Choice, Fate, TriedInvoice, TriedLead
from web.access import dunahub, firm, session
from web.languages import _, ngettext, reader


@dataclass(frozen=True)
class LeadRow:
    key: int
    name: str
    fate: Fate
    word: Word
    why: str
    contact: str = ""  # here: beside it stands what QuickBooks has
    chosen: str = ""
    choices: dict[str, str] = field(default_factory=dict)  # what may be chosen, in words

    @property
    def field_name(self) -> str:
        """In the form of choices."""
        return f"lead-{self.key}"


@dataclass(frozen=True)
class Trial:
    leads: list[LeadRow]
    invoice: TriedInvoice | None
    its_customer: LeadRow | None  # of the invoice
    why_not: str  # why the invoice would not be sent
    arrivals: list[tuple[str, str]]
    warnings: list[Check]

    @property
    def to_choose(self) -> list[LeadRow]:
        """What would ask, or would without the choice that was made."""
        return [row for row in self.leads if row.choices or row.fate is Fate.ASK]

    @property
    def without_question(self) -> list[LeadRow]:
        return [row for row in self.leads if row not in self.to_choose]

    @property
    def words_of_the_others(self) -> str:
        """On what unfolds them."""
        count = len(self.without_question)
        if self.to_choose:
            return ngettext("See the other lead", "See the other %(num)s leads", count)
        return ngettext("See the lead", "See the %(num)s leads", count)

    @property
    def fates(self) -> list[Word]:
        """How many leads have which fate: "7 would be created"."""
        counts = Counter(row.fate for row in self.leads)
        first = {row.fate: row.word for row in reversed(self.leads)}
        return [
            replace(first[fate], text=_how_many(fate, counts[fate]))
            for fate in Fate
            if counts[fate]
        ]

    @property
    def asks(self) -> int:
        """For how many leads something may be chosen and is not."""
        return sum(bool(row.choices) and not row.chosen for row in self.leads)


def _how_many(fate: Fate, count: int) -> str:
    match fate:
        case Fate.THERE:
            return ngettext("%(num)s is in QuickBooks", "%(num)s are in QuickBooks", count)
        case Fate.LINK:
            return ngettext("%(num)s would link", "%(num)s would link", count)
        case Fate.CREATE:
            return ngettext("%(num)s would be created", "%(num)s would be created", count)
        case Fate.ASK:
            return ngettext("%(num)s would ask", "%(num)s would ask", count)
        case Fate.WAIT:
            return ngettext("%(num)s would wait", "%(num)s would wait", count)


def as_connection(company: UnconfirmedCompany) -> Connection:
    """What is known of a chosen company, as of one that is connected. Never added to a session."""
    return Connection(
        company_name=company.company_name,
        settings=company.settings,
        facts=company.facts,
        status=ConnectionStatus.CONNECTED,
    )


def trial_of_choice(company: UnconfirmedCompany) -> Trial:
    """For a company that nobody has confirmed yet."""
    known = row_of(session(), dunahub().config, firm().id, company.realm_id)
    books = trial.books_of_choice(session(), company, known)
    newest, records = _records()
    return _trial(newest, records, books, _once_started(as_connection(company)))


def _once_started(chosen: Connection) -> Connection:
    """With the item for lines without a product, which is created where there is none."""
    if chosen.settings.get("fallback_item_id") is None:
        created = {
            "id": trial.CREATED_AT_START,
            "name": _("“%(item)s”, created when you start", item=FALLBACK_ITEM),
        }
        chosen.settings = {**chosen.settings, "fallback_item_id": created["id"]}
        chosen.facts = {**chosen.facts, "items": [*chosen.facts["items"], created]}
    return chosen


def trial_of(connection: Connection) -> Trial:
    """For the connected company."""
    newest, records = _records()
    leads = [one for one in records if one.record.type == RecordType.LEAD]
    books = trial.books_of_connection(session(), connection, leads)
    return _trial(newest, records, books, connection)


def _records() -> tuple[Due | None, list[Due]]:
    """The newest invoice, and all that it needs with the newest leads."""
    newest = next(iter(trial.newest_invoices(session(), firm().id)), None)
    needed = trial.needed_by(session(), [newest] if newest else [])
    both = {one.record: one for one in [*trial.newest_leads(session(), firm().id), *needed]}
    return newest, [both[record] for record in sorted(both)]


def _trial(
    newest: Due | None, records: Sequence[Due], books: trial.Books, connection: Connection
) -> Trial:
    leads = [one for one in records if one.record.type == RecordType.LEAD]
    tried = {one.key: one for one in trial.try_leads(leads, books)}
    contacts = {one.record.id: _contact(one) for one in leads}
    invoice = None
    if newest:
        customer = tried[newest.payload["lead_id"]]
        invoice = trial.try_invoice(newest, records, customer, books)
    fault = invoice.fault if invoice else None
    return Trial(
        [_row(one, contacts[one.key]) for one in reversed(tried.values())],
        invoice,
        _row(invoice.customer, contacts[invoice.customer.key]) if invoice else None,
        _why(fault, RecordType.INVOICE) if fault else "",
        arrivals_of(connection),
        [check for check in checks_of(connection) if check.tone == "warn"],
    )


def _contact(lead: Due) -> str:
    return " · ".join(filter(None, (lead.payload["email"], lead.payload["phone"])))


def _row(one: TriedLead, contact: str) -> LeadRow:
    choices = {choice.key: _choice_words(choice) for choice in one.choices}
    word, why = _fate_words(one)
    return LeadRow(one.key, one.name, one.fate, word, why, contact, one.chosen, choices)


def _fate_words(one: TriedLead) -> tuple[Word, str]:
    match one.fate:
        case Fate.THERE:
            return Word("check", _("Is in QuickBooks"), "good"), ""
        case Fate.LINK:
            return Word("check", _("Would link"), "good"), _why_linked(one)
        case Fate.CREATE if one.customer and one.customer != one.name:
            why = _("as a new customer, “%(name)s”", name=one.customer)
            return Word("send", _("Would be created"), "busy"), why
        case Fate.CREATE:
            return Word("send", _("Would be created"), "busy"), _("as a new customer")
        case Fate.ASK:
            why = _why(one.fault, RecordType.LEAD) if one.fault else ""
            return Word("alert", _("Would ask you"), "warn"), why
        case Fate.WAIT:
            why = _("until your customers in QuickBooks are loaded")
            return Word("clock", _("Would wait"), "quiet"), why


def _why_linked(one: TriedLead) -> str:
    name = one.customer or ""
    if one.shares_email is None:
        return _("to the customer “%(name)s”", name=name)
    if one.shares_email:
        return _("to the customer “%(name)s”, who has the same e-mail address", name=name)
    return _("to the customer “%(name)s”, who has the same name", name=name)


def _choice_words(choice: Choice) -> str:
    customer = choice.customer or {}
    about = " · ".join(filter(None, (customer.get("email"), customer.get("phone"))))
    name = str(customer.get("name") or choice.value)
    told = f"{name} ({about})" if about else name
    match choice.act:
        case Act.USE:
            return _("It is %(customer)s", customer=told)
        case Act.ACTIVATE:
            return _("It is %(customer)s: reactivate it", customer=told)
        case Act.CREATE:
            return _("Create a new customer")
        case Act.CREATE_AS:
            return _("Create a new customer “%(name)s”", name=choice.value)


def choices_in(trial_shown: Trial, told: dict[str, str]) -> dict[str, str]:
    """Of what a browser says about the leads that were shown: what was offered. "" leaves the
    question for later."""
    found = {}
    for row in trial_shown.leads:
        choice = told.get(row.field_name, row.chosen)
        if choice in row.choices:
            found[str(row.key)] = choice
    return found


def _why(fault: Fault, kind: RecordType) -> str:
    return explain(fault.code, {"record": kind, **fault.about}, fault.detail, reader()).cause
