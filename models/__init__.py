"""What is stored. Importing this package knows every table."""

from models import accounts, comparisons, notices, outbox, quickbooks, sales
from models.base import Base

__all__ = ["Base", "accounts", "comparisons", "notices", "outbox", "quickbooks", "sales"]
