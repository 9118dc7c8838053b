"""What is stored. Importing this package knows every table."""

from models import accounts, notices, outbox, quickbooks, sales
from models.base import Base

__all__ = ["Base", "accounts", "notices", "outbox", "quickbooks", "sales"]
