"""The simulator's web pages: a company's books, and the targets of deep links.

Links into QuickBooks name no company: they open the one the browser is signed in to. Here that is
the company viewed last (a cookie), or the one in `realm=`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from aiohttp import web

from simulator.clock import PACIFIC
from simulator.documents import (
    ZERO,
    Document,
    number_of,
    part_of,
    parts_of,
    ref_of,
    text_of,
)
from simulator.journal import Entry
from simulator.state import Simulator
from simulator.store import Company
from simulator.templates import page

COOKIE = "simulator_company"
ROWS_PER_PAGE = 50  # per page
LATEST_SHOWN = 8  # transactions on the overview page
REQUESTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """One of a company's lists: its title, content and order."""

    title: str
    entity: str
    template: str
    sort: Callable[[Document], object]
    newest_first: bool = False


def _by_name(document: Document) -> object:
    name = text_of(document, "FullyQualifiedName") or text_of(document, "Name")
    return (name or text_of(document, "DisplayName")).casefold()


def _by_date(document: Document) -> object:
    return text_of(document, "TxnDate"), int(text_of(document, "Id") or 0)


LISTINGS = {
    "customers": Listing("Customers", "Customer", "customers.html", _by_name),
    "invoices": Listing("Invoices", "Invoice", "invoices.html", _by_date, newest_first=True),
    "payments": Listing("Payments", "Payment", "payments.html", _by_date, newest_first=True),
    "items": Listing("Products & services", "Item", "items.html", _by_name),
    "chartofaccounts": Listing("Chart of accounts", "Account", "accounts.html", _by_name),
}


class Windows:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.companies),
            web.get("/app", self.companies),
            web.get("/app/", self.companies),
            web.get("/app/homepage", self.homepage),
            web.get("/app/requests", self.requests),
            web.get("/app/invoice", self.invoice),
            web.get("/app/recvpayment", self.payment),
            web.get("/app/refundreceipt", self.refund),
            web.get("/app/customerdetail", self.customer),
            *(web.get(f"/app/{name}", self.listing) for name in LISTINGS),
        ]

    # Companies --------------------------------------------------------------------------------

    async def companies(self, request: web.Request) -> web.Response:
        told = [
            (company, _sum(company, "Invoice", "Balance"), len(company.all("Customer")))
            for company in self.simulator.world.companies.values()
        ]
        return page("companies.html", companies=told)

    def _company(self, request: web.Request, has: tuple[str, str] | None = None) -> Company | None:
        """The company: the one named, else the one viewed last, else
        the only one that has the object."""
        companies = self.simulator.world.companies
        named = companies.get(request.query.get("realm", ""))
        if named:
            return named
        candidates = self._holders(has) if has else list(companies.values())
        last = request.cookies.get(COOKIE, "")
        for company in candidates:
            if company.realm == last:
                return company
        return candidates[0] if len(candidates) == 1 else None

    def _holders(self, has: tuple[str, str]) -> list[Company]:
        companies = self.simulator.world.companies.values()
        return [company for company in companies if company.get(*has)]

    def _pick(self, request: web.Request, has: tuple[str, str] | None = None) -> web.Response:
        holders = self._holders(has) if has else [*self.simulator.world.companies.values()]
        query = {key: value for key, value in request.query.items() if key != "realm"}
        links = [
            (company, f"{request.path}?{urlencode({**query, 'realm': company.realm})}")
            for company in holders
        ]
        what = f"{has[0].lower()} {has[1]}" if has else "this page"
        return page("pick.html", 200 if holders else 404, links=links, what=what)

    def _show(self, name: str, company: Company, **values: object) -> web.Response:
        response = page(name, 200, company=company, currency=company.home_currency, **values)
        response.set_cookie(COOKIE, company.realm, httponly=True, samesite="Lax")
        return response

    # Overview and lists -------------------------------------------------------------------------

    async def homepage(self, request: web.Request) -> web.Response:
        company = self._company(request)
        if company is None:
            return self._pick(request)
        latest: list[tuple[str, Document]] = [
            (entity, document)
            for entity in ("Invoice", "Payment", "CreditMemo", "SalesReceipt", "Estimate")
            for document in company.all(entity).values()
        ]
        latest.sort(key=lambda pair: _changed_at(pair[1]), reverse=True)
        return self._show(
            "homepage.html",
            company,
            page_name="homepage",
            open_balance=_sum(company, "Invoice", "Balance"),
            open_count=sum(1 for each in company.all("Invoice").values() if each.get("Balance")),
            unapplied=_sum(company, "Payment", "UnappliedAmt"),
            received=_sum(company, "Payment", "TotalAmt"),
            customers=sum(1 for each in company.all("Customer").values() if each.get("Active")),
            latest=latest[:LATEST_SHOWN],
        )

    async def listing(self, request: web.Request) -> web.Response:
        company = self._company(request)
        if company is None:
            return self._pick(request)
        name = request.path.rpartition("/")[2]
        listing = LISTINGS[name]
        wanted = request.query.get("q", "").strip()
        rows: Iterable[Document] = company.all(listing.entity).values()
        if wanted:
            rows = (row for row in rows if wanted.casefold() in _searched(row))
        rows = sorted(rows, key=listing.sort, reverse=listing.newest_first)  # type: ignore[arg-type]
        number = max(1, _whole(request.query.get("page", "1")))
        shown = rows[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
        return self._show(
            listing.template,
            company,
            page_name=name,
            title=listing.title,
            rows=shown,
            count=len(rows),
            wanted=wanted,
            number=number,
            pages=max(1, -(-len(rows) // ROWS_PER_PAGE)),
        )

    async def requests(self, request: web.Request) -> web.Response:
        company = self._company(request)
        entries = [
            entry
            for entry in reversed(self.simulator.journal.entries)
            if company is None or entry.realm in ("", company.realm)
        ][:REQUESTS_SHOWN]
        reads = sum(entry.reads for entry in self.simulator.journal.entries)
        rows = [(entry, _told_time(entry), _took(entry)) for entry in entries]
        if company is None:
            return page("requests.html", company=None, page_name="requests", rows=rows, reads=reads)
        return self._show("requests.html", company, page_name="requests", rows=rows, reads=reads)

    # Where deep links land ----------------------------------------------------------------------

    async def invoice(self, request: web.Request) -> web.Response:
        has = "Invoice", request.query.get("txnId", "")
        company = self._company(request, has)
        document = company.get(*has) if company else None
        if company is None or document is None:
            return self._pick(request, has)
        lines = parts_of(document, "Line")
        subtotal = next(
            (each for each in lines if each.get("DetailType") == "SubTotalLineDetail"), {}
        )
        return self._show(
            "invoice.html",
            company,
            page_name="invoices",
            invoice=document,
            status=_status(document, self.simulator.clock.today().isoformat()),
            lines=[each for each in lines if each.get("DetailType") != "SubTotalLineDetail"],
            subtotal=number_of(subtotal, "Amount"),
            payments=self._applied(company, document),
            history=self._history(company, "invoice", document),
        )

    def _applied(self, company: Company, invoice: Document) -> list[tuple[Document, Decimal]]:
        applied: list[tuple[Document, Decimal]] = []
        for link in parts_of(invoice, "LinkedTxn"):
            payment = company.get("Payment", text_of(link, "TxnId"))
            if payment is None or link.get("TxnType") != "Payment":
                continue
            amount = sum(
                (
                    number_of(line, "Amount")
                    for line in parts_of(payment, "Line")
                    for each in parts_of(line, "LinkedTxn")
                    if each.get("TxnId") == invoice["Id"] and each.get("TxnType") == "Invoice"
                ),
                ZERO,
            )
            applied.append((payment, amount))
        return applied

    async def refund(self, request: web.Request) -> web.Response:
        has = "RefundReceipt", request.query.get("txnId", "")
        company = self._company(request, has)
        document = company.get(*has) if company else None
        if company is None or document is None:
            return self._pick(request, has)
        account = company.get("Account", ref_of(document, "DepositToAccountRef"))
        return self._show(
            "refund.html",
            company,
            page_name="payments",
            refund=document,
            account=text_of(account, "Name") if account else "",
            history=self._history(company, "refundreceipt", document),
        )

    async def payment(self, request: web.Request) -> web.Response:
        has = "Payment", request.query.get("txnId", "")
        company = self._company(request, has)
        document = company.get(*has) if company else None
        if company is None or document is None:
            return self._pick(request, has)
        links = [
            (line, company.get(text_of(link, "TxnType"), text_of(link, "TxnId")), link)
            for line in parts_of(document, "Line")
            for link in parts_of(line, "LinkedTxn")
        ]
        method = company.get("PaymentMethod", ref_of(document, "PaymentMethodRef"))
        account = company.get("Account", ref_of(document, "DepositToAccountRef"))
        return self._show(
            "payment.html",
            company,
            page_name="payments",
            payment=document,
            links=links,
            method=text_of(method, "Name") if method else "",
            account=text_of(account, "Name") if account else "",
            history=self._history(company, "payment", document),
        )

    async def customer(self, request: web.Request) -> web.Response:
        has = "Customer", request.query.get("nameId", "")
        company = self._company(request, has)
        document = company.get(*has) if company else None
        if company is None or document is None:
            return self._pick(request, has)
        transactions: list[tuple[str, Document]] = [
            (entity, each)
            for entity in ("Invoice", "Payment", "CreditMemo", "SalesReceipt", "Estimate")
            for each in company.with_value(entity, "CustomerRef", text_of(document, "Id"))
        ]
        transactions.sort(key=lambda pair: str(_by_date(pair[1])), reverse=True)
        return self._show(
            "customer.html",
            company,
            page_name="customers",
            customer=document,
            transactions=transactions[:REQUESTS_SHOWN],
            history=self._history(company, "customer", document),
        )

    def _history(self, company: Company, kind: str, document: Document) -> list[str]:
        metadata = part_of(document, "MetaData")
        created, changed = text_of(metadata, "CreateTime"), text_of(metadata, "LastUpdatedTime")
        return [
            f"Created {created.replace('T', ' ')}",
            f"last changed {changed.replace('T', ' ')}",
            f"version {text_of(document, 'SyncToken')}",
        ]


def _status(invoice: Document, today: str) -> str:
    if text_of(invoice, "PrivateNote").startswith("Voided") and not invoice.get("TotalAmt"):
        return "Voided"
    balance = number_of(invoice, "Balance")
    if not balance:
        return "Paid"
    if text_of(invoice, "DueDate") < today:
        return "Overdue"
    return "Partly paid" if balance < number_of(invoice, "TotalAmt") else "Open"


def _sum(company: Company, entity: str, name: str) -> Decimal:
    return sum((number_of(each, name) for each in company.all(entity).values()), ZERO)


def _changed_at(document: Document) -> tuple[str, int]:
    stamp = text_of(part_of(document, "MetaData"), "LastUpdatedTime")
    object_id = text_of(document, "Id")
    return stamp, int(object_id) if object_id.isdigit() else 0


def _searched(document: Document) -> str:
    names = ("DisplayName", "Name", "DocNumber", "PaymentRefNum", "CompanyName", "Sku")
    words = [text_of(document, name) for name in names]
    words.append(text_of(part_of(document, "CustomerRef"), "name"))
    words.append(text_of(part_of(document, "PrimaryEmailAddr"), "Address"))
    return " ".join(words).casefold()


def _whole(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 9 else 1


def _told_time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.arrived_at, PACIFIC).strftime("%H:%M:%S")


def _took(entry: Entry) -> str:
    if entry.answered_at is None:
        return "no answer"
    return f"{(entry.answered_at - entry.arrived_at) * 1000:.0f} ms"
