"""Whatever is called, in whatever order: the books balance, nothing dangles, nothing is a 500."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from simulator.books import is_blank
from simulator.documents import Document, Json, number_of, parts_of, ref_of, text_of
from simulator.testing import ApiAnswer, ApiClient, Books, SimulatorHandle, running_simulator

Made: TypeAlias = "MultipleResults[str] | str"
CENT = Decimal("0.01")
amounts = st.decimals("0.01", "500", places=2)
quantities = st.decimals("0", "20", places=2)
texts = st.text(max_size=12)
anything: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | texts
    | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "Id", "SyncToken", "sparse", "DisplayName", "Name", "Line", "CustomerRef", "TotalAmt",
    "TxnDate", "DocNumber", "BillAddr", "PrimaryPhone", "Active", "ParentRef", "TxnTaxDetail",
    "CurrencyRef",
    "Type", "IncomeAccountRef", "DepositToAccountRef", "PaymentMethodRef", "LinkedTxn", "MetaData",
    "CustomField", "BillEmail", "DueDate", "GivenName", "Balance", "EmailStatus", "ExchangeRate",
]  # fmt: skip
PATHS = [
    "customer", "vendor", "employee", "item", "invoice", "payment", "account", "paymentmethod",
    "term", "creditmemo", "salesreceipt", "estimate", "deposit", "bill", "class", "attachable",
    "preferences", "companyinfo", "taxcode", "batch", "recurringtransaction", "exchangerate",
    "taxservice/taxcode", "upload", "query", "nothing",
]  # fmt: skip


def check_balances(books: Books) -> None:
    """A customer's balance is its open invoices less what it has paid ahead or was credited."""
    owed: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in books.get("Invoice", []):
        owed[ref_of(invoice, "CustomerRef")] += number_of(invoice, "Balance")
    for payment in books.get("Payment", []):
        owed[ref_of(payment, "CustomerRef")] -= number_of(payment, "UnappliedAmt")
    for memo in books.get("CreditMemo", []):
        owed[ref_of(memo, "CustomerRef")] -= number_of(memo, "Balance")
    with_jobs: dict[str, Decimal] = defaultdict(Decimal)
    customers = {text_of(each, "Id"): each for each in books.get("Customer", [])}
    for own_id, customer in customers.items():
        balance = number_of(customer, "Balance")
        assert balance == owed[own_id], (own_id, balance, owed[own_id])
        above = own_id
        while above:
            with_jobs[above] += balance
            above = ref_of(customers[above], "ParentRef")
    for own_id, customer in customers.items():
        assert number_of(customer, "BalanceWithJobs") == with_jobs[own_id]


def check_links(books: Books) -> None:
    """Every payment's line is known to its invoice and the other way round; amounts agree."""
    applied: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    forward: set[tuple[str, str, str]] = set()
    for payment in books.get("Payment", []):
        total = Decimal(0)
        for line in parts_of(payment, "Line"):
            for link in parts_of(line, "LinkedTxn"):
                kind, txn_id = text_of(link, "TxnType"), text_of(link, "TxnId")
                applied[kind, txn_id] += number_of(line, "Amount")
                forward.add((text_of(payment, "Id"), kind, txn_id))
                total += number_of(line, "Amount") * (-1 if kind == "CreditMemo" else 1)
        if number_of(payment, "TotalAmt"):
            assert number_of(payment, "UnappliedAmt") == number_of(payment, "TotalAmt") - total
    backward: set[tuple[str, str, str]] = set()
    for kind in ("Invoice", "CreditMemo"):
        for txn in books.get(kind, []):
            own_id = text_of(txn, "Id")
            open_amount = number_of(txn, "TotalAmt") - applied[kind, own_id]
            assert number_of(txn, "Balance") == open_amount >= 0
            for link in parts_of(txn, "LinkedTxn"):
                if text_of(link, "TxnType") == "Payment":
                    backward.add((text_of(link, "TxnId"), kind, own_id))
    assert forward == backward


def check_totals(books: Books) -> None:
    for kind in ("Invoice", "CreditMemo", "SalesReceipt", "Estimate"):
        for form in books.get(kind, []):
            lines = parts_of(form, "Line")
            items = sum(number_of(each, "Amount") for each in lines if "Id" in each)
            closing = [each for each in lines if each["DetailType"] == "SubTotalLineDetail"]
            off = sum(
                number_of(each, "Amount")
                for each in lines
                if each["DetailType"] == "DiscountLineDetail"
            )
            tax = form.get("TxnTaxDetail")
            tax_total = number_of(tax, "TotalTax") if isinstance(tax, dict) else Decimal(0)
            assert number_of(closing[0], "Amount") == items
            assert number_of(form, "TotalAmt") == items - off + tax_total


def check_names(books: Books) -> None:
    names = [
        text_of(each, "DisplayName").casefold()
        for kind in ("Customer", "Vendor", "Employee")
        for each in books.get(kind, [])
    ]
    assert len(names) == len(set(names))


class Company(RuleBasedStateMachine):
    """Random calls, valid and not, on a company of its own."""

    simulator: SimulatorHandle
    customers: Bundle[str] = Bundle("customers")
    invoices: Bundle[str] = Bundle("invoices")
    payments: Bundle[str] = Bundle("payments")
    memos: Bundle[str] = Bundle("memos")

    def __init__(self) -> None:
        super().__init__()
        self.life = ExitStack()

    @initialize(
        automatic=st.booleans(), credit=st.booleans(), custom=st.booleans(), sales_tax=st.booleans()
    )
    def open_company(self, automatic: bool, credit: bool, custom: bool, sales_tax: bool) -> None:
        self.realm = self.simulator.add_company("Random Co")
        self.simulator.company(
            self.realm,
            AutoApplyCredit=credit,
            AutoApplyPayments=automatic,
            CustomTxnNumbers=custom,
            PartnerTaxEnabled=sales_tax,
        )
        self.api: ApiClient = self.simulator.client(self.realm)
        self.life.callback(self.api.close)

    def teardown(self) -> None:
        self.life.close()

    def post(self, path: str, body: object, **query: object) -> ApiAnswer:
        answer = self.api.post(path, body, **query)
        assert answer.status in (200, 400), answer.text
        return answer

    def version(self, path: str, object_id: str, stale: bool = False) -> str:
        answer = self.api.get(f"{path}/{object_id}")
        if answer.status != 200:
            return "0"
        token = next(v["SyncToken"] for v in answer.body.values() if isinstance(v, dict))
        return "99" if stale else str(token)

    # Making ---------------------------------------------------------------------------------

    @rule(target=customers, name=st.text("ABC :", min_size=1, max_size=3), taxable=st.booleans())
    def add_customer(self, name: str, taxable: bool) -> Made:
        answer = self.post("customer", {"DisplayName": name, "Taxable": taxable})
        return text_of(answer.object("Customer"), "Id") if answer.status == 200 else multiple()

    @rule(target=customers, parent=customers, name=st.text("DEF", min_size=1, max_size=3))
    def add_job(self, parent: str, name: str) -> Made:
        body = {"DisplayName": name, "ParentRef": {"value": parent}, "Job": True}
        answer = self.post("customer", body)
        return text_of(answer.object("Customer"), "Id") if answer.status == 200 else multiple()

    def form(
        self, customer: str, lines: list[tuple[Decimal, Decimal, bool]], discount: int, taxed: bool
    ) -> Document:
        told: list[Json] = []
        for quantity, price, taxable in lines:
            told.append(
                {
                    "Amount": (quantity * price).quantize(CENT, "ROUND_HALF_UP"),
                    "DetailType": "SalesItemLineDetail",
                    "SalesItemLineDetail": {
                        "ItemRef": {"value": "1"},
                        "Qty": quantity,
                        "UnitPrice": price,
                        "TaxCodeRef": {"value": "TAX" if taxable else "NON"},
                    },
                }
            )
        if discount:
            detail: Document = {"PercentBased": True, "DiscountPercent": discount}
            told.append({"DetailType": "DiscountLineDetail", "DiscountLineDetail": detail})
        body: Document = {"CustomerRef": {"value": customer}, "Line": told}
        if taxed:
            body["TxnTaxDetail"] = {"TxnTaxCodeRef": {"value": "2"}}
            body["ApplyTaxAfterDiscount"] = bool(discount % 2)
        return body

    lines = st.lists(st.tuples(quantities, amounts, st.booleans()), min_size=1, max_size=3)

    @rule(
        target=invoices,
        customer=customers,
        lines=lines,
        discount=st.integers(0, 120),
        taxed=st.booleans(),
    )
    def add_invoice(
        self,
        customer: str,
        lines: list[tuple[Decimal, Decimal, bool]],
        discount: int,
        taxed: bool,
    ) -> Made:
        answer = self.post("invoice", self.form(customer, lines, discount, taxed))
        return text_of(answer.object("Invoice"), "Id") if answer.status == 200 else multiple()

    @rule(target=memos, customer=customers, lines=lines)
    def add_credit_memo(self, customer: str, lines: list[tuple[Decimal, Decimal, bool]]) -> Made:
        answer = self.post("creditmemo", self.form(customer, lines, 0, False))
        return text_of(answer.object("CreditMemo"), "Id") if answer.status == 200 else multiple()

    @rule(
        target=payments,
        customer=customers,
        total=amounts,
        links=st.lists(st.tuples(st.sampled_from(["Invoice", "CreditMemo"]), amounts), max_size=2),
        invoice=invoices,
        request_id=st.integers(0, 5),
    )
    def add_payment(
        self,
        customer: str,
        total: Decimal,
        links: list[tuple[str, Decimal]],
        invoice: str,
        request_id: int,
    ) -> Made:
        body = self.payment(customer, total, links, invoice)
        query = {"requestid": f"r{request_id}"} if request_id else {}
        answer = self.post("payment", body, **query)
        return text_of(answer.object("Payment"), "Id") if answer.status == 200 else multiple()

    def payment(
        self, customer: str, total: Decimal, links: list[tuple[str, Decimal]], txn: str
    ) -> Document:
        lines: list[Json] = [
            {"Amount": amount, "LinkedTxn": [{"TxnId": txn, "TxnType": kind}]}
            for kind, amount in links
        ]
        return {"CustomerRef": {"value": customer}, "TotalAmt": total, "Line": lines}

    @rule(target=payments, invoice=invoices, part=st.sampled_from([1, 2, 3]))
    def pay_rightly(self, invoice: str, part: int) -> Made:
        answer = self.api.get(f"invoice/{invoice}")
        if answer.status != 200:
            return multiple()
        found = answer.object("Invoice")
        amount = (number_of(found, "Balance") / part).quantize(CENT)
        body = self.payment(ref_of(found, "CustomerRef"), amount, [("Invoice", amount)], invoice)
        answer = self.post("payment", body)
        return text_of(answer.object("Payment"), "Id") if answer.status == 200 else multiple()

    # Changing -------------------------------------------------------------------------------

    @rule(
        invoice=invoices, customer=customers, lines=lines, sparse=st.booleans(), stale=st.booleans()
    )
    def change_invoice(
        self,
        invoice: str,
        customer: str,
        lines: list[tuple[Decimal, Decimal, bool]],
        sparse: bool,
        stale: bool,
    ) -> None:
        body = self.form(customer, lines, 0, taxed=False)
        if sparse:
            del body["CustomerRef"]
        version = self.version("invoice", invoice, stale)
        self.post("invoice", {**body, "Id": invoice, "SyncToken": version, "sparse": sparse})

    @rule(
        payment=payments, customer=customers, total=amounts, invoice=invoices, sparse=st.booleans()
    )
    def change_payment(
        self, payment: str, customer: str, total: Decimal, invoice: str, sparse: bool
    ) -> None:
        body = self.payment(customer, total, [("Invoice", total / 2)], invoice)
        version = self.version("payment", payment)
        self.post("payment", {**body, "Id": payment, "SyncToken": version, "sparse": sparse})

    @rule(
        customer=customers,
        parent=customers,
        active=st.booleans(),
        name=st.none() | st.text("AB", min_size=1, max_size=2),
    )
    def change_customer(self, customer: str, parent: str, active: bool, name: str | None) -> None:
        body: Document = {"Id": customer, "SyncToken": self.version("customer", customer)}
        body |= {"sparse": True, "Active": active}
        if name:
            body |= {"DisplayName": name}
        self.post("customer", body)

    @rule(
        what=st.sampled_from(["invoice", "payment", "creditmemo"]),
        object_id=invoices | payments | memos,
        operation=st.sampled_from(["delete", "void"]),
    )
    def end(self, what: str, object_id: str, operation: str) -> None:
        body = {"Id": object_id, "SyncToken": self.version(what, object_id)}
        self.post(what, body, operation=operation)

    # Nonsense -------------------------------------------------------------------------------

    @rule(
        path=st.sampled_from(PATHS),
        body=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=5) | anything,
        query=st.dictionaries(
            st.sampled_from(["operation", "include", "requestid"]),
            st.sampled_from(["delete", "void", "update", "x"]),
            max_size=2,
        ),
    )
    def talk_nonsense(self, path: str, body: Json, query: dict[str, str]) -> None:
        self.post(path, body, **query)

    @rule(statement=st.text("select*fromInvoice where Id='1()%\\ ", max_size=60) | texts)
    def ask_nonsense(self, statement: str) -> None:
        assert self.api.get("query", query=statement).status in (200, 400)

    @rule(items=st.lists(anything, max_size=4))
    def batch_nonsense(self, items: list[Json]) -> None:
        self.post("batch", {"BatchItemRequest": items})

    # What always holds ------------------------------------------------------------------------

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "realm"):
            return
        books = self.simulator.books(self.realm)
        check_balances(books)
        check_links(books)
        check_totals(books)
        check_names(books)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


def explore(simulator: SimulatorHandle, examples: int, steps: int) -> None:
    Company.simulator = simulator
    run_state_machine_as_test(
        Company,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_calls_leave_the_books_balanced(simulator: SimulatorHandle) -> None:
    explore(simulator, examples=20, steps=35)


@pytest.mark.full
def test_many_random_calls_leave_the_books_balanced(simulator: SimulatorHandle) -> None:
    explore(simulator, examples=400, steps=60)


def test_a_blank_is_what_clears() -> None:
    assert is_blank("")
    assert is_blank({})
    assert is_blank({"value": ""})
    assert not is_blank({"value": "1"})
