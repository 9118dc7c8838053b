"""Addresses of pages in QuickBooks, for a person who wants to see a record there.

They open in the company the browser is signed in to, so show the company's name next to the link.
Only the simulator takes the company as a parameter.
"""

from urllib.parse import urlencode

from config import Config
from models.quickbooks import Connection
from models.sales import RecordType
from quickbooks.kinds import KINDS

HOSTS = {
    "production": "https://app.qbo.intuit.com",
    "sandbox": "https://app.sandbox.qbo.intuit.com",
}


def record_url(config: Config, connection: Connection, type_: RecordType, remote_id: str) -> str:
    """The page of a linked record; for a product the list of products, since it has no page."""
    page, parameter = KINDS[type_].PAGE
    return _url(config, connection, page, {parameter: remote_id} if parameter else {})


def company_url(config: Config, connection: Connection) -> str:
    """QuickBooks' start page."""
    return _url(config, connection, "homepage", {})


def _url(config: Config, connection: Connection, page: str, query: dict[str, str]) -> str:
    host = HOSTS.get(config.environment, config.simulator_url.rstrip("/"))
    if config.environment == "simulator":
        query = {**query, "realm": connection.realm_id}
    return f"{host}/app/{page}" + ("?" + urlencode(query) if query else "")
