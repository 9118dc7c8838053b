"""Does it match? A month of the firm's books beside the same month in QuickBooks."""

from collections.abc import Iterator
from datetime import date

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.comparisons import Comparison, Difference
from quickbooks import months
from quickbooks.comparison import Month
from simulator.testing import SimulatorHandle
from tests.support.situation import Situation, begin


@pytest.fixture
def firm(
    app: Flask, sessions: Sessions, config: Config, session: Session, simulator: SimulatorHandle
) -> Iterator[Situation]:
    with begin(app, sessions, config, session, simulator) as situation:
        situation.connect()
        yield situation


def test_a_month_that_is_equal_has_no_difference(firm: Situation) -> None:
    invoice = firm.save_invoice(firm.save_lead())
    firm.pay(invoice, "40")
    firm.drain()
    month = Month.of(date.today())
    with firm.sessions.begin() as session:
        assert months.ask(session, firm.firm, month, 1)
        assert not months.ask(session, firm.firm, month, 1)
    assert months.compare_due(firm.sessions, firm.config) == 1
    row = firm.session.scalars(select(Comparison)).one()
    assert (row.reads, row.problem) == (3, None)
    assert row.figures["invoice"]["sum_there"] == "100.00"
    assert firm.session.scalars(select(Difference)).all() == []
