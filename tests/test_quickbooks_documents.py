"""Odd records against a simulated company: accepted with our total, or refused by us beforehand."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import pytest
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Remote
from quickbooks import client, facts, kinds, matching, tokens
from quickbooks.client import Call
from quickbooks.documents import NotWritable, dumps
from quickbooks.faults import faults_of_item, parse_json
from simulator.testing import SimulatorHandle
from tests.support.connected import RIVERA, connect, new_owner
from tests.test_kinds import a_lead, a_line, an_invoice

LEAD, PRODUCT = Record(RecordType.LEAD, 1), Record(RecordType.PRODUCT, 2)
PIECES = (
    ":", "\t", "\n", "'", "\\", "&", "<b>", '"', "“", "–", "🌱", "é", "ß", "ł", "שלום", "草",
    "\u202e",
    "\u200b", "e\u0301", "½", "€", "x" * 90, " ", "Green", "Lawn", "Co", "#", "@", ";", "%", "\r\n",
)  # fmt: skip


def odd_text(chance: random.Random, most: int = 12) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(most)))


def odd_lead(chance: random.Random, number: int) -> Json:
    fields = {
        key: odd_text(chance) for key in "company_name phone street city state postal_code".split()
    }
    return a_lead(name=f"{number} {odd_text(chance)}", **fields)


def odd_invoice(chance: random.Random, number: int) -> Json:
    def decimal(most: int) -> str:
        places = chance.choice((0, 1, 2, 3, 4))
        number = Decimal(chance.randrange(most * 10_000)) / 10_000
        return str(number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))

    lines = [
        a_line(
            decimal(99),
            decimal(chance.choice((1, 10, 9_999))),
            description=odd_text(chance, 60),
            taxable=chance.random() < 0.5,
            product_id=chance.choice((None, 2)),
        )
        for _ in range(chance.randrange(1, 6))
    ]
    return an_invoice(
        *lines,
        tax_rate=chance.choice(("0", "8", "8.25", "9.1", "7.125")),
        number=str(number),
        memo=odd_text(chance, 40),
    )


@dataclass(frozen=True)
class Company:
    reader: facts.Reader
    settings: Json
    links: dict[Record, Remote]

    def create(self, entity: str, documents: list[Json]) -> Iterator[tuple[Json, Json]]:
        """Each document with the item of the batch that answers it."""
        for first in range(0, len(documents), 30):
            some = documents[first : first + 30]
            items = [
                {"bId": str(place), "operation": "create", entity: document}
                for place, document in enumerate(some)
            ]
            asked = Call("POST", "batch", "minorversion=75", dumps({"BatchItemRequest": items}))
            reader = self.reader
            answer = client.call(reader.config, RIVERA, reader.token, asked, time.monotonic() + 30)
            told = parse_json(answer.body)
            assert told is not None, answer
            yield from zip(some, told["BatchItemResponse"], strict=True)


@pytest.fixture
def company(
    simulator: SimulatorHandle, session: Session, sessions: Sessions, config: Config
) -> Company:
    simulator.company(RIVERA, CustomTxnNumbers=True)
    connection = connect(sessions, config, new_owner(session))
    reader = facts.Reader(config, RIVERA, tokens.access_token(sessions, config, connection.id))
    settings = facts.for_documents(connection)
    customer = reader.post("customer", {"DisplayName": "Green Lawn"})["Customer"]
    product = {"name": "Design", "description": "", "unit_price": "75", "taxable": True}
    item = reader.post("item", kinds.item.document(product, {}, settings))["Item"]
    links = {LEAD: Remote(str(customer["Id"]), "0"), PRODUCT: Remote(str(item["Id"]), "0")}
    return Company(reader, settings, links)


def accepted_invoices(company: Company, count: int, seed: int) -> int:
    """How many of so many odd invoices were sent; each must come back with our total."""
    chance = random.Random(seed)
    total_of: dict[str, str] = {}
    documents: list[Json] = []
    for number in range(count):
        payload = odd_invoice(chance, number)
        total_of[payload["number"]] = payload["total"]
        documents.append(kinds.invoice.document(payload, company.links, company.settings))
    for document, item in company.create("Invoice", documents):
        assert faults_of_item(item) == [], document
        assert item["Invoice"]["TotalAmt"] == Decimal(total_of[document["DocNumber"]])
    return len(documents)


def accepted_customers(company: Company, count: int, seed: int) -> int:
    chance = random.Random(seed)
    documents: list[Json] = []
    for number in range(count):
        with suppress(NotWritable):  # letters that Latin-1 does not have: a person is asked
            documents.append(kinds.customer.document(odd_lead(chance, number), {}, {}))
    for document, item in company.create("Customer", documents):
        assert faults_of_item(item) == [], document
        assert matching.differences(document, item["Customer"]) == {}
    return len(documents)


def test_rule_15_odd_invoices_arrive_with_our_total_to_the_cent(company: Company) -> None:
    assert accepted_invoices(company, 240, seed=1) == 240


def test_odd_customers_arrive_as_they_were_cleaned(company: Company) -> None:
    assert accepted_customers(company, 240, seed=2) > 60


@pytest.mark.full
def test_rule_15_five_thousand_odd_invoices_arrive_with_our_total_to_the_cent(
    company: Company,
) -> None:
    assert accepted_invoices(company, 5_000, seed=3) == 5_000
    assert accepted_customers(company, 5_000, seed=4) > 1_000
