"""What we know about a company, and how records are created in it.

Facts are read on connecting and once a day; settings are chosen from them on connecting, and by the
owner afterwards. Lines without a product use one item, found by name or created when a company is
connected, so that no invoice needs an extra call for it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

import structlog
from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Entry, State
from models.quickbooks import Connection, ConnectionStatus, RefundsAre, TakenBack
from models.sales import PaymentMethod
from outbox import actions
from outbox.company import Answer, Problem
from outbox.scheduler import for_a_while
from quickbooks import client, matching, tokens
from quickbooks.documents import dumps
from quickbooks.faults import faults_in, parse_json
from quickbooks.judge import row_count, rows_in

FALLBACK_ITEM = "DunaHub services"
FACTS_LAST = timedelta(days=1)
READING_MAY_TAKE = 25.0  # seconds for all lists of a company, while a person waits on connecting
A_JOB_MAY_TAKE = 600.0  # in a job: forty thousand customers are forty slow pages
MAX_ROWS = 1000  # per query; longer lists are cut, since no owner chooses from more

# Usual names of payment methods in QuickBooks, in order of preference. No card brands: we don't
# know which one a client uses.
_METHOD_NAMES = {
    PaymentMethod.CARD: ("credit card", "credit/debit card", "card"),
    PaymentMethod.ACH: ("ach", "e-check", "echeck", "direct debit", "check"),
    PaymentMethod.CHECK: ("check", "cheque"),
    PaymentMethod.CASH: ("cash",),
}
# Account types for sales of services, in order of preference.
_INCOME_SUBTYPES = ("ServiceFeeIncome", "SalesOfProductIncome", "OtherPrimaryIncome")

Found = TypeVar("Found")
P = ParamSpec("P")

log = structlog.get_logger()


class FactsUnavailable(Exception):
    """The company cannot be read now. `answer` is QuickBooks' own, if that is why."""

    def __init__(self, why: str, answer: Answer | None = None) -> None:
        super().__init__(why)
        self.answer = answer


class TooSlow(FactsUnavailable):
    """The answer took too long: a smaller page may work."""


class TokenRefused(FactsUnavailable):
    """QuickBooks rejected the access token, whatever its age: a renewed one may work."""


class Reader:
    """Reads one company with one token, within a time limit for everything."""

    def __init__(
        self, config: Config, realm_id: str, token: str, may_take: float = READING_MAY_TAKE
    ) -> None:
        self.config = config
        self.realm_id = realm_id
        self.token = token
        self.deadline = time.monotonic() + may_take

    def get(self, path: str, **query: str) -> Json:
        """GETs this path of the company. Raises FactsUnavailable."""
        return self._asked("GET", path, query)

    def one(self, path: str, kind: str) -> Json:
        """The object of this kind at this path. Raises FactsUnavailable."""
        return _expected(self._asked("GET", path, {}), kind)

    def post(self, path: str, body: Json, **query: str) -> Json:
        """POSTs this object and returns the answer. Raises FactsUnavailable."""
        return self._asked("POST", path, query, dumps(body))

    def rows(self, entity: str, where: str = "", most: int = MAX_ROWS) -> list[Json]:
        """Objects of a kind, at most a thousand, the limit of one query (Intuit's guide, *Data
        queries*). Raises FactsUnavailable."""
        return self.page(entity, where, most)[0]

    def page(self, entity: str, where: str, most: int) -> tuple[list[Json], int]:
        """Objects of a kind, and the number of rows in the answer, which may include rows that are
        no objects: those must not end a list. Raises FactsUnavailable."""
        statement = f"select * from {entity} {where} maxresults {most}"  # noqa: S608
        answer = self.get("query", query=" ".join(statement.split()))
        found = rows_in(answer, entity, lambda row: bool(row.get("Id")))
        if found is None:
            raise FactsUnavailable(f"QuickBooks answered without a list of {entity}.")
        return found, row_count(answer, entity)

    def _asked(
        self, method: str, path: str, query: dict[str, str], body: str | None = None
    ) -> Json:
        asked = urlencode({**query, "minorversion": client.MINOR_VERSION})
        answer = client.call(
            self.config,
            self.realm_id,
            self.token,
            client.Call(method, path, asked, body),
            min(self.deadline, time.monotonic() + READING_MAY_TAKE),
        )
        return _object(answer)


def _expected(document: Json, kind: str) -> Json:
    """The requested object. Raises if the answer lacks it."""
    found = document.get(kind)
    if not isinstance(found, dict) or not found:
        raise FactsUnavailable(f"QuickBooks answered without {kind}.")
    return found


def _object(answer: Answer) -> Json:
    document = parse_json(answer.body)
    if answer.problem == Problem.UNANSWERED or answer.status == HTTPStatus.GATEWAY_TIMEOUT:
        raise TooSlow(f"QuickBooks answered {answer.status or answer.problem}.", answer)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise TokenRefused(f"QuickBooks answered {answer.status}.", answer)
    if answer.status != 200 or document is None or faults_in(answer.body):
        raise FactsUnavailable(f"QuickBooks answered {answer.status or answer.problem}.", answer)
    return document


# --- Reading ------------------------------------------------------------------------------------


def _readable(read: Callable[P, Found]) -> Callable[P, Found]:
    """An answer whose parts have other shapes than Intuit documents is no answer."""

    @wraps(read)
    def reading_shapes(*args: P.args, **kwargs: P.kwargs) -> Found:
        try:
            return read(*args, **kwargs)
        except (AttributeError, TypeError, LookupError, ValueError) as problem:
            raise FactsUnavailable("QuickBooks' answer has another shape.") from problem

    return reading_shapes


@_readable
def read_company(reader: Reader) -> Json:
    """Name, country and home currency, which decide whether we may connect to this company.

    Raises FactsUnavailable.
    """
    info = reader.one(f"companyinfo/{reader.realm_id}", "CompanyInfo")
    preferences = reader.one("preferences", "Preferences")
    currency = preferences.get("CurrencyPrefs") or {}
    return {
        "name": str(info.get("CompanyName") or "QuickBooks company"),
        "legal_name": str(info.get("LegalName") or ""),
        "address": _address(info.get("CompanyAddr") or info.get("LegalAddr") or {}),
        "country": str(info.get("Country") or ""),
        "home_currency": str((currency.get("HomeCurrency") or {}).get("value") or ""),
        "preferences": _preferences(preferences),
        "plan": _named_values(info.get("NameValue")),
    }


def _address(told: Json) -> str:
    """On one line: 123 Sierra Way, San Pablo, CA 87999."""
    street_and_city = _told(told, "Line1", "Line2", "Line3", "City")
    state = " ".join(_told(told, "CountrySubDivisionCode", "PostalCode"))
    return ", ".join([*street_and_city, state] if state else street_and_city)


def _told(values: Json, *keys: str) -> list[str]:
    return [str(values[key]) for key in keys if values.get(key)]


def _preferences(told: Json) -> Json:
    sales = told.get("SalesFormsPrefs") or {}
    tax = told.get("TaxPrefs") or {}
    accounting = told.get("AccountingInfoPrefs") or {}
    currency = told.get("CurrencyPrefs") or {}
    return {
        "custom_numbers": sales.get("CustomTxnNumbers") is True,
        "applies_credits": sales.get("AutoApplyCredit") is True
        or sales.get("AutoApplyPayments") is True,
        "allows_discounts": sales.get("AllowDiscount") is True,
        "discount_account_id": str(sales.get("DefaultDiscountAccount") or ""),
        "uses_sales_tax": tax.get("UsingSalesTax") is True,
        "automated_tax": "PartnerTaxEnabled" in tax,
        "tax_code_id": str((tax.get("TaxGroupCodeRef") or {}).get("value") or ""),
        "closed_until": _day(accounting.get("BookCloseDate")),
        "multicurrency": currency.get("MultiCurrencyEnabled") is True,
    }


def _day(told: object) -> str | None:
    """A date as QuickBooks writes it; None if it is none."""
    try:
        return date.fromisoformat(str(told)).isoformat()
    except ValueError:
        return None


def _named_values(told: object) -> Json:
    pairs = told if isinstance(told, list) else []
    wanted = ("SubscriptionStatus", "OfferingSku")
    return {
        str(pair["Name"]): str(pair.get("Value", ""))
        for pair in pairs
        if isinstance(pair, dict) and pair.get("Name") in wanted
    }


@_readable
def read_last_sale(reader: Reader) -> Json | None:
    """The invoice last changed, so that an owner recognizes the books. None if there is none.

    Raises FactsUnavailable.
    """
    newest = reader.rows("Invoice", "orderby MetaData.LastUpdatedTime desc", 1)
    if not newest:
        return None
    customer = newest[0].get("CustomerRef") or {}
    return {
        "number": str(newest[0].get("DocNumber") or ""),
        "customer": str(customer.get("name") or ""),
        "total": str(newest[0].get("TotalAmt") or 0),
        "changed_at": str((newest[0].get("MetaData") or {}).get("LastUpdatedTime") or ""),
    }


@_readable
def read_facts(reader: Reader, company: Json) -> Json:
    """The lists from which settings are chosen, in addition to the result of `read_company`.

    Raises FactsUnavailable.
    """
    accounts = reader.rows("Account", "where Active = true")
    return {
        **company,
        "income_accounts": [
            _account(row) for row in accounts if row.get("AccountType") == "Income"
        ],
        "deposit_accounts": [
            _account(row)
            for row in accounts
            if row.get("AccountType") == "Bank"
            or row.get("AccountSubType") in ("UndepositedFunds", "OtherCurrentAssets")
        ],
        "payment_methods": [_named(row) for row in reader.rows("PaymentMethod")],
        "items": [
            _named(row)
            for row in reader.rows(
                "Item", "where Type IN ('Service','NonInventory','Inventory') and Active = true"
            )
        ],
        "tax_codes": _tax_codes(reader) if company["preferences"]["uses_sales_tax"] else [],
    }


def _account(row: Json) -> Json:
    return {
        **_named(row, "FullyQualifiedName"),
        "subtype": str(row.get("AccountSubType") or ""),
    }


def _named(row: Json, name: str = "Name") -> Json:
    return {"id": str(row["Id"]), "name": str(row.get(name) or row.get("Name") or "")}


def _tax_codes(reader: Reader) -> list[Json]:
    percents = {str(row["Id"]): str(row.get("RateValue", 0)) for row in reader.rows("TaxRate")}
    codes: list[Json] = []
    for row in reader.rows("TaxCode"):
        details = (row.get("SalesTaxRateList") or {}).get("TaxRateDetail") or []
        ids = [str((detail.get("TaxRateRef") or {}).get("value")) for detail in details]
        rates = [{"id": id_, "percent": percents[id_]} for id_ in ids if id_ in percents]
        if rates and row.get("Active") is not False:
            codes.append({**_named(row), "rates": rates})
    return codes


# --- Choosing -----------------------------------------------------------------------------------


def choose_settings(facts: Json, chosen: Json) -> Json:
    """How records are created: the owner's choices if they still exist, otherwise defaults."""

    def kept(setting: str, options: str) -> str | None:
        return _still_there(chosen.get(setting), facts[options])

    deposits = chosen.get("deposit_accounts") or {}
    return {
        "income_account_id": kept("income_account_id", "income_accounts")
        or _income_account(facts["income_accounts"]),
        "fallback_item_id": kept("fallback_item_id", "items")
        or _by_name(facts["items"], (FALLBACK_ITEM,)),
        "payment_methods": _payment_methods(facts, chosen),
        "methods_are_chosen": bool(chosen.get("methods_are_chosen")),
        "deposit_accounts": {
            # Undeposited Funds, QuickBooks' own default: we don't guess a bank account.
            method: _still_there(deposits.get(method), facts["deposit_accounts"])
            for method in PaymentMethod
        },
        "discount_account_id": kept("discount_account_id", "income_accounts")
        or discount_account(facts),
        "stripe_account_id": kept("stripe_account_id", "deposit_accounts"),
        "taken_back": chosen.get("taken_back") or TakenBack.PERSON,
        "refunds": chosen.get("refunds") or RefundsAre.PERSON,
        "refund_account_id": kept("refund_account_id", "deposit_accounts"),
        "numbers": chosen.get("numbers") or "as_company",
        "tax": chosen.get("tax") or {"mode": "as_company"},
    }


def _payment_methods(facts: Json, chosen: Json) -> dict[PaymentMethod, str | None]:
    # Values stored before owners could choose were chosen by us, and may be a card brand.
    methods = (chosen.get("payment_methods") or {}) if chosen.get("methods_are_chosen") else {}
    return {
        method: _still_there(methods[method], facts["payment_methods"])
        if method in methods
        else _by_name(facts["payment_methods"], _METHOD_NAMES[method])
        for method in PaymentMethod
    }


def choose(connection: Connection, **choices: object) -> None:
    """Stores the owner's choices. Assigns a new value, so that SQLAlchemy sees the change."""
    connection.settings = {**connection.settings, **choices}


def _still_there(id_: str | None, options: Sequence[Json]) -> str | None:
    if len(options) >= MAX_ROWS:
        return id_  # the list was cut: it may be further down
    return id_ if any(option["id"] == id_ for option in options) else None


def _income_account(accounts: Sequence[Json]) -> str | None:
    def preference(account: Json) -> tuple[bool, int]:
        by_name = account["name"].casefold() in ("services", "sales", "sales of product income")
        known = account["subtype"] in _INCOME_SUBTYPES
        rank = _INCOME_SUBTYPES.index(account["subtype"]) if known else len(_INCOME_SUBTYPES)
        return (not by_name, rank)

    return str(min(accounts, key=preference)["id"]) if accounts else None


def discount_account(facts: Json) -> str | None:
    """The company's default, or else an account for discounts; None leaves it to QuickBooks."""
    accounts: Sequence[Json] = facts["income_accounts"]
    usual = (facts.get("preferences") or {}).get("discount_account_id")
    made_for_it = [one["id"] for one in accounts if one["subtype"] == "DiscountsRefundsGiven"]
    return _still_there(usual, accounts) or next(iter(made_for_it), None)


def clearing_account(facts: Json) -> Json | None:
    """The account that looks made for what a processor pays out later; None when there is none."""
    accounts: Sequence[Json] = facts.get("deposit_accounts") or []
    for word in ("stripe", "clearing"):
        for account in accounts:
            if word in account["name"].casefold():
                return account
    return None


def _by_name(options: Sequence[Json], names: Sequence[str]) -> str | None:
    by_name = {option["name"].casefold(): option["id"] for option in reversed(options)}
    return next((by_name[name.casefold()] for name in names if name.casefold() in by_name), None)


def ensure_fallback_item(reader: Reader, facts: Json, settings: Json) -> None:
    """Creates the item for lines without a product if the company has none yet."""
    if settings["fallback_item_id"] or not settings["income_account_id"]:
        return
    account = {"value": settings["income_account_id"]}
    body: Json = {"Name": FALLBACK_ITEM, "Type": "Service", "IncomeAccountRef": account}
    try:
        created = _expected(reader.post("item", body), "Item")
    except FactsUnavailable as problem:
        # Records that need it ask for one; others don't have to wait for it.
        log.warning("no fallback item", realm=reader.realm_id, problem=str(problem))
        return
    if not matching.is_object(created):
        return
    settings["fallback_item_id"] = str(created["Id"])
    facts["items"].append({"id": str(created["Id"]), "name": FALLBACK_ITEM})


# Of a connection, what `of_columns` needs: without the long lists.
COLUMNS = (
    "connection.settings, connection.facts -> 'preferences' AS preferences,"
    " connection.facts -> 'tax_codes' AS tax_codes"
)


def of_columns(row: Row[Any]) -> Json:
    """What `kinds` needs for the records of a lane, from `COLUMNS`."""
    return _effective(row.settings, row.preferences or {}, row.tax_codes or [])


def for_documents(connection: Connection) -> Json:
    """What `kinds` needs, as in `of_columns`, for a loaded connection.

    If nothing was chosen, numbers and tax follow the company's preferences: CustomTxnNumbers,
    UsingSalesTax and PartnerTaxEnabled (Intuit's API reference, Preferences).
    """
    facts = connection.facts
    return _effective(
        connection.settings, facts.get("preferences") or {}, facts.get("tax_codes") or []
    )


def _effective(chosen: Json, preferences: Json, tax_codes: list[Json]) -> Json:
    """The settings, with the company's preferences where nothing was chosen."""
    settings = dict(chosen)
    if settings.get("numbers", "as_company") == "as_company":
        settings["numbers"] = "ours" if preferences.get("custom_numbers") else "quickbooks"
    elif settings["numbers"] == "quickbooks" and preferences.get("custom_numbers"):
        settings["numbers"] = "generated"  # such a company numbers only documents that request it
    tax = dict(settings.get("tax") or {})
    if tax.get("mode", "as_company") != "line":
        tax["mode"] = _tax_mode(preferences, tax.get("mode"), has_codes=bool(tax_codes))
    tax.setdefault("code_id", preferences.get("tax_code_id"))
    return {
        **settings,
        "tax": tax,
        "tax_codes": tax_codes,
        "multicurrency": preferences.get("multicurrency", False),
        "allows_discounts": preferences.get("allows_discounts", True),
    }


def _tax_mode(preferences: Json, chosen: str | None, *, has_codes: bool) -> str:
    """As billed unless the owner chose otherwise: it is the paper that the client holds."""
    if not preferences.get("uses_sales_tax"):
        return "line"  # QuickBooks computes none: a separate line keeps the totals equal
    if not preferences.get("automated_tax"):
        return "manual"
    return "automated" if chosen == "quickbooks" or not has_codes else "billed"


# --- Every day ----------------------------------------------------------------------------------


def refresh_due(sessions: Sessions, config: Config) -> int:
    """Reads facts again that are older than a day; returns for how many companies."""
    stale = older_than(sessions, config, Connection.facts_read_at, FACTS_LAST)
    return for_a_while(stale, lambda connection_id: refresh(sessions, config, connection_id))


def refresh(sessions: Sessions, config: Config, connection_id: int) -> bool:
    """Reads the facts of one company again. False if they cannot be read now."""
    with sessions() as session:
        chosen = session.get_one(Connection, connection_id).settings

    def read(reader: Reader) -> tuple[Json, Json]:
        facts = read_facts(reader, read_company(reader))
        settings = choose_settings(facts, chosen)
        ensure_fallback_item(reader, facts, settings)
        return facts, settings

    found = reading(sessions, config, connection_id, read)
    if found is None:
        return False
    facts, settings = found
    with sessions.begin() as session:
        connection = session.get(Connection, connection_id, with_for_update={"key_share": True})
        if connection is not None:
            if connection.settings != chosen:
                # the owner may have chosen meanwhile
                settings = choose_settings(facts, connection.settings)
            store(session, connection, facts, settings)
            send_with_discounts(session, connection)
    return True


def send_with_discounts(session: Session, connection: Connection) -> None:
    """Sends again what was kept back because the company had discounts turned off."""
    if not (connection.facts.get("preferences") or {}).get("allows_discounts"):
        return
    kept_back = select(Entry.id).where(
        Entry.lane_id == connection.lane_id,
        Entry.state == State.FAILED,
        Entry.fault_code == "discounts_off",
    )
    session.flush()
    if ids := session.scalars(kept_back).all():
        firm = connection.organization_id
        actions.requeue(session, ids, organization_id=firm, overwrites=False)


def older_than(
    sessions: Sessions,
    config: Config,
    read_at: InstrumentedAttribute[datetime | None],
    lasts: timedelta,
) -> Iterator[int]:
    """Connected companies for which something was read longer ago than it is valid, or never.

    In random order, and checked again before each: if several processes start with the same list,
    only one reads a company, because reads are metered (rule 16).
    """
    stale = select(Connection.id).where(
        Connection.status == ConnectionStatus.CONNECTED,
        Connection.environment == config.environment,
        or_(read_at.is_(None), read_at < func.clock_timestamp() - lasts),
    )
    with sessions() as session:
        found = session.scalars(stale.order_by(func.random())).all()
    for connection_id in found:
        with sessions() as session:
            still = session.scalar(stale.where(Connection.id == connection_id))
        if still is not None:
            yield connection_id


def reading(
    sessions: Sessions, config: Config, connection_id: int, read: Callable[[Reader], Found]
) -> Found | None:
    """The result of `read` for a connected company; None if it cannot be read now."""
    with sessions() as session:
        realm_id = session.get_one(Connection, connection_id).realm_id
    try:
        token = tokens.access_token(sessions, config, connection_id)
        try:
            return read(Reader(config, realm_id, token, may_take=A_JOB_MAY_TAKE))
        except TokenRefused:
            token = tokens.access_token(sessions, config, connection_id, refused=token)
            return read(Reader(config, realm_id, token, may_take=A_JOB_MAY_TAKE))
    except (tokens.SignedOut, tokens.TokensUnavailable, FactsUnavailable) as problem:
        log.info("company not read", connection=connection_id, problem=str(problem))
        return None


def store(session: Session, connection: Connection, facts: Json, settings: Json) -> None:
    """Stores the facts and the settings that follow from them."""
    connection.company_name = facts["name"]
    connection.country = facts["country"]
    connection.facts = facts
    connection.settings = settings
    connection.facts_read_at = session.execute(select(func.clock_timestamp())).scalar_one()
