"""What is stored. Importing this package knows every table."""

from models import accounts, outbox, quickbooks, sales
from models.base import Base

__all__ = ["Base", "accounts", "outbox", "quickbooks", "sales"]
