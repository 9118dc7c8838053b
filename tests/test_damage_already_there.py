"""After an upgrade: duplicates made by an earlier release are found and reported first."""

from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import text

from development.database import ALEMBIC_INI
from quickbooks import months
from tests.support.situation import SETTINGS, Situation


def test_copies_that_an_earlier_release_made_are_found_after_the_upgrade(
    at: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead("Quartz Lawn"))
    at.drain()
    [sent] = at.books("Invoice")
    kept = ("CustomerRef", "TxnDate", "DueDate", "Line", "PrivateNote")
    at.bookkeeper().post(
        "invoice",
        {key: sent[key] for key in kept} | {"DocNumber": "77", "Line": sent["Line"][:1]},
    )
    alembic = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", at.config.database_url)
    at.session.rollback()
    command.downgrade(alembic, "0036")
    command.upgrade(alembic, "head")
    assert months.compare_due(at.sessions, at.config) == 1
    month = at.invoice(invoice).issued_on.strftime("%Y-%m")
    assert month <= datetime.now(UTC).strftime("%Y-%m")
    page = at.ana.open(f"{SETTINGS}/matches/{month}").text
    assert "Twice in QuickBooks" in page
    assert "Delete the copy there" in page


def test_a_company_to_which_nothing_was_sent_is_not_asked(
    at: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.save_invoice(at.save_lead("Quartz Lawn"))  # before QuickBooks
    at.connect()
    alembic = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", at.config.database_url)
    at.session.rollback()
    command.downgrade(alembic, "0036")
    command.upgrade(alembic, "head")
    asked = at.session.scalar(text("SELECT count(*) FROM quickbooks_comparisons"))
    assert asked == 0


def test_several_documents_of_one_month_are_compared_once(
    at: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.connect()
    lead = at.save_lead("Quartz Lawn")
    at.pay(at.save_invoice(lead), "40")
    at.save_invoice(lead)
    at.drain()
    alembic = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", at.config.database_url)
    at.session.rollback()
    command.downgrade(alembic, "0036")
    command.upgrade(alembic, "head")
    asked = at.session.execute(
        text("SELECT month FROM quickbooks_comparisons WHERE asked_at IS NOT NULL")
    )
    months_asked = asked.scalars().all()
    assert months_asked
    assert len(set(months_asked)) == len(months_asked)
