"""Reads seeds from `seeds/` and writes them into a company's books."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from simulator.clock import timestamp
from simulator.documents import Document, in_order
from simulator.names import ORDERS
from simulator.store import Company, World

FOUNDED = 1443732060.0  # 2015-10-01T13:41:00-07:00, the day the sample companies were made
FOLDER = Path(__file__).parent / "seeds"


def rows(name: str) -> Iterator[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


class Seeds:
    """Writes objects as if they existed since the company was founded."""

    def __init__(self, world: World, company: Company) -> None:
        self.world = world
        self.company = company
        self.moment = FOUNDED

    def put(self, entity: str, object_id: str, values: Document, sequence: str = "") -> None:
        stamp = timestamp(self.moment)
        self.moment += 60
        document: Document = {
            **values,
            "domain": "QBO",
            "sparse": False,
            "Id": object_id,
            "SyncToken": "0",
            "MetaData": {"CreateTime": stamp, "LastUpdatedTime": stamp},
        }
        self.world.put(self.company, entity, in_order(document, ORDERS.get(entity, ())))
        if object_id.isdigit():
            self.world.skip_ids(self.company, sequence or entity, int(object_id))

    @property
    def currency(self) -> Document:
        code = self.company.home_currency
        return {"value": code, "name": {"USD": "United States Dollar"}.get(code, "Canadian Dollar")}


def custom_flag(number: int, is_used: bool) -> Document:
    """One of the three custom field switches in a company's preferences."""
    name = f"SalesFormsPrefs.UseSalesCustom{number}"
    return {"Name": name, "Type": "BooleanType", "BooleanValue": is_used}
