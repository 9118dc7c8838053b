"""Preview of what would happen to records in a company."""

from dataclasses import dataclass

from models.quickbooks import Connection, ConnectionStatus, UnconfirmedCompany
from models.sales import RecordType
from outbox.company import Due, Fault
from presenters.arrivals import Check, arrivals_of, checks_of
from presenters.status import Word
from quickbooks import trial
from quickbooks.faults import explain
from quickbooks.standing import row_of
from quickbooks.trial import Fate, TriedInvoice, TriedLead
from web.access import dunahub, firm, session
from web.languages import _, reader


@dataclass(frozen=True)
class LeadRow:
    key: int
    name: str
    word: Word
    why: str


@dataclass(frozen=True)
class Trial:
    leads: list[LeadRow]
    invoice: TriedInvoice | None
    why_not: str  # why the invoice would not be sent
    arrivals: list[tuple[str, str]]
    warnings: list[Check]


def trial_of_choice(company: UnconfirmedCompany) -> Trial:
    """For a company that nobody has confirmed yet."""
    known = row_of(session(), dunahub().config, firm().id, company.realm_id)
    books = trial.books_of_choice(session(), company, known)
    chosen = Connection(
        settings=company.settings, facts=company.facts, status=ConnectionStatus.CONNECTED
    )
    return _trial(trial.newest_leads(session(), firm().id), books, chosen)


def trial_of(connection: Connection) -> Trial:
    """For the connected company."""
    leads = trial.newest_leads(session(), firm().id)
    return _trial(leads, trial.books_of_connection(session(), connection, leads), connection)


def _trial(leads: list[Due], books: trial.Books, connection: Connection) -> Trial:
    newest = trial.newest_invoice(session(), firm().id)
    invoice = trial.try_invoice(newest, books) if newest else None
    fault = invoice.fault if invoice else None
    return Trial(
        [_row(one) for one in reversed(trial.try_leads(leads, books))],
        invoice,
        _why(fault, RecordType.INVOICE) if fault else "",
        arrivals_of(connection),
        [check for check in checks_of(connection) if check.tone == "warn"],
    )


def _row(one: TriedLead) -> LeadRow:
    match one.fate:
        case Fate.THERE:
            word, why = Word("check", _("Is in QuickBooks"), "good"), ""
        case Fate.LINK:
            word = Word("check", _("Would link"), "good")
            why = _("to the customer “%(name)s”", name=one.customer or "")
        case Fate.CREATE:
            word, why = Word("send", _("Would be created"), "busy"), _("as a new customer")
        case Fate.ASK:
            word = Word("alert", _("Would ask"), "warn")
            why = _why(one.fault, RecordType.LEAD) if one.fault else ""
        case Fate.WAIT:
            word = Word("clock", _("Would wait"), "quiet")
            why = _("until your customers in QuickBooks are read")
    return LeadRow(one.key, one.name, word, why)


def _why(fault: Fault, kind: RecordType) -> str:
    return explain(fault.code, {"record": kind, **fault.about}, fault.detail, reader()).cause
