"""A local QuickBooks Online: OAuth server, accounting API, books, and faults on demand."""
