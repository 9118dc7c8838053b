"""Fixtures for tests of an application that talks to QuickBooks; loaded when pytest is installed.

def test_an_invoice_arrives(quickbooks):            # a real process on a free port
    tokens = quickbooks.grant()                     # connected, without a browser
    my_app.connect(quickbooks.url, tokens)
    quickbooks.fault(match={"entity": "Invoice", "nth": 1}, do={"timeout": "after"})
    my_app.send_invoice(...)
    assert len(quickbooks.books(tokens["realm_id"])["Invoice"]) == 1

def test_a_name_is_taken(quickbooks_company):       # the same rules inside this process
    status, headers, body = quickbooks_company.handle("POST", "customer", {}, {...})
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from simulator.local import LocalCompany
from simulator.testing import SimulatorHandle, running_simulator


@pytest.fixture(scope="session")
def quickbooks_process() -> Iterator[SimulatorHandle]:
    """One process for the whole run. Use `quickbooks` instead, which resets it for each test."""
    with running_simulator() as handle:
        yield handle


@pytest.fixture
def quickbooks(quickbooks_process: SimulatorHandle) -> SimulatorHandle:
    quickbooks_process.reset()
    return quickbooks_process


@pytest.fixture
def quickbooks_company() -> LocalCompany:
    """A US company without customers, on the machine's clock; see `simulator.local`."""
    return LocalCompany(time.time)
