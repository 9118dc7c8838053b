"""The tables. Importing this package registers all of them."""

from models import (
    accountants,
    accounts,
    clients,
    comparisons,
    imports,
    notices,
    outbox,
    processors,
    quickbooks,
    sales,
    servers,
)
from models.base import Base

__all__ = [
    "Base",
    "accountants",
    "accounts",
    "clients",
    "comparisons",
    "imports",
    "notices",
    "outbox",
    "processors",
    "quickbooks",
    "sales",
    "servers",
]
