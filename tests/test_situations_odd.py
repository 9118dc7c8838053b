"""Situation 39 at length: whatever is typed into the forms arrives to the cent, or asks in words.

Hypothesis types into the pages' own forms. Every record that was saved must end in QuickBooks or in
need of attention with a plain sentence; totals agree to the cent wherever the tax is ours to say;
and QuickBooks never has to tell us that it does not understand what we sent (2010), or that an
amount is not quantity times price (6070).
"""

from collections import Counter
from decimal import Decimal
from typing import TypeVar

import pytest
from bs4 import BeautifulSoup
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from models.outbox import Counterpart, Entry
from models.sales import Invoice, RecordType
from quickbooks.catalogue import CATALOGUE, Class
from quickbooks.faults import explain
from tests.support.firm import entries_of
from tests.support.situation import RIVERA, Situation
from tests.test_quickbooks_documents import PIECES
from tests.test_situations_words import plain

TOGETHER = 150  # forms between two drains


# --- What is typed --------------------------------------------------------------------------------

Typed = TypeVar("Typed")


def mostly(
    usual: st.SearchStrategy[Typed], odd: st.SearchStrategy[Typed], *, once_in: int = 8
) -> st.SearchStrategy[Typed]:
    return st.integers(1, once_in).flatmap(lambda number: odd if number == once_in else usual)


pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
names = st.one_of(
    pieces,
    st.text(max_size=40),
    st.sampled_from(["Grün & Söhne: Bau", "O'Brien\tPlumbing", "שלום גינון", "شركة الحدائق"]),
    st.sampled_from([500, 501, 1_000, 1_001]).flatmap(
        lambda size: st.sampled_from("aé草").map(lambda sign: sign * size)
    ),
)
texts = st.one_of(
    pieces,
    st.text(max_size=60),
    st.sampled_from([1_000, 1_001, 4_000, 4_001, 20_000, 20_001]).map(lambda size: "word " * size),
)
shorts = st.one_of(pieces, st.text(max_size=20), st.sampled_from(["x" * 300, ""]))
emails = st.sampled_from(
    ["", "kim@lawn.example", "k@b", "ü@lawn.example", "a b@c.example", "x" * 95 + "@lawn.example"]
)


odd_numbers = st.sampled_from(
    ["", "-2", "0", "0.005", "2.675", "0.00001", "1e3", "$1,234.50", "99999999", "twelve"]
)


def numbers(most: int) -> st.SearchStrategy[str]:
    """As people write them, with up to four decimals."""
    exact = [st.decimals(0, most, places=places).map(str) for places in range(5)]
    return mostly(st.one_of(exact), odd_numbers, once_in=40)


leads = st.fixed_dictionaries(
    {"name": names, "company_name": shorts, "email": emails, "phone": shorts, "street": texts}
    | {"city": shorts, "state": shorts, "postal_code": shorts, "notes": texts}
)
lines = st.fixed_dictionaries(
    {
        "description": mostly(pieces.map("Work {}".format), texts),
        "quantity": numbers(999),
        "unit_price": numbers(9_999),
    },
    optional={"taxable": st.just("y")},
)
invoices = st.fixed_dictionaries(
    {"lines": mostly(st.lists(lines, min_size=1, max_size=4), st.just([]))}
    | {"memo": mostly(pieces, texts)}
    | {"tax_rate": st.sampled_from(["0", "7.1", "8", "8.25", "9.1", "7.125"])}
)


class Typist:
    """Sends what was typed, as a browser would, and counts what the forms said."""

    def __init__(self, at: Situation) -> None:
        self.at, self.token = at, at.ana.token()
        self.sent: Counter[int] = Counter()
        self.leads: list[int] = [at.save_lead("Green Lawn Co")]

    def type_lead(self, fields: dict[str, str]) -> None:
        if place := self._post("/leads", fields):
            self.leads.append(int(place.rpartition("/")[2]))

    def type_invoice(self, typed: dict[str, object], whose: int) -> None:
        days = {"issued_on": "2026-03-02", "due_on": "2026-04-01"}
        fields = {**days, "lead": str(self.leads[whose % len(self.leads)])}
        fields |= {key: str(typed[key]) for key in ("memo", "tax_rate")}
        assert isinstance(typed["lines"], list)
        for place, line in enumerate(typed["lines"]):
            fields |= {f"lines-{place}-{key}": value for key, value in line.items()}
        self._post("/invoices", fields)
        if self.sent.total() % TOGETHER == 0:
            self.at.drain()

    def _post(self, path: str, fields: dict[str, str]) -> str | None:
        """Where the saved record is; None when the form refused it, with a sentence."""
        data = {**fields, "csrf_token": self.token}
        answer = self.at.ana.client.post(path, data=data)
        self.sent[answer.status_code] += 1
        if answer.status_code == 303:
            return answer.headers["Location"]
        assert answer.status_code == 422, answer.status_code
        page = BeautifulSoup(answer.get_data(as_text=True), "html.parser")
        if page.select_one("[name=confirms_untaxed]") and "confirms_untaxed" not in fields:
            return self._post(path, {**fields, "confirms_untaxed": "y"})
        assert page.select("main .error"), fields
        return None


# --- What becomes of it ---------------------------------------------------------------------------


def judge(at: Situation) -> Counter[str]:
    """Every saved record has its end; says how many had which."""
    for _ in range(40):
        at.drain()
    newest = {one.record: one for one in entries_of(at.session)}
    remote = {link.record: link.remote_total for link in at.session.scalars(select(Counterpart))}
    totals = dict(at.session.execute(select(Invoice.id, Invoice.total)).all())
    ends: Counter[str] = Counter()
    for record, entry in newest.items():
        ends[entry.fault_code or entry.state] += 1
        if entry.state == "failed":
            _judge_sentence(entry)
        elif entry.state == "pending":
            assert entry.awaited
            assert newest[entry.awaited].state == "failed", (record, entry.awaited)
        elif record.type == RecordType.INVOICE:
            assert Decimal(remote[record] or "NaN") == totals[record.id], (record, entry.payload)
    assert len(totals) == sum(1 for record in newest if record.type == RecordType.INVOICE)
    return ends


def _judge_sentence(entry: Entry) -> None:
    code = entry.fault_code or ""
    assert CATALOGUE[code].class_ is not Class.OURS, (code, entry.fault_detail)
    about = {"record": entry.record_type, **entry.fault_about}
    # What people typed may look like anything: the sentence around it is ours.
    told = explain(code, {**about, "name": "Green Lawn", "holder_name": "Kim", "holder": "Kim"})
    plain(code, told.cause)
    plain(code, told.effect)
    assert told.actions


TAXES = {
    "none": {"UsingSalesTax": False},
    "manual": {"UsingSalesTax": True},
    "automated": {"UsingSalesTax": True, "PartnerTaxEnabled": True},
}


def type_and_judge(at: Situation, tax: str, count: int) -> Counter[str]:
    at.simulator.company(RIVERA, CustomTxnNumbers=True, **TAXES[tax])
    at.connect()
    typist = Typist(at)

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        lead=mostly(st.none(), leads),
        invoice=invoices,
        whose=mostly(st.just(0), st.integers(0, 10_000)),
    )
    def types(lead: dict[str, str] | None, invoice: dict[str, object], whose: int) -> None:
        if lead:
            typist.type_lead(lead)
        typist.type_invoice(invoice, whose)

    types()
    ends = judge(at)
    assert typist.sent[303] > count / 3
    assert ends["synced"] > count / 4
    assert typist.sent[422] > 0
    return ends


@pytest.mark.parametrize("tax", TAXES)
def test_situation_39_whatever_is_typed_arrives_to_the_cent_or_asks(
    at: Situation, tax: str
) -> None:
    type_and_judge(at, tax, 40)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("tax", "count"), [("none", 2_500), ("manual", 2_500), ("automated", 1_500)]
)
def test_situation_39_five_thousand_typed_invoices_arrive_to_the_cent_or_ask(
    at: Situation, tax: str, count: int
) -> None:
    type_and_judge(at, tax, count)
