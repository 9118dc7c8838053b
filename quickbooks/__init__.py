"""Everything about Intuit: sign-in, calls, documents, faults, and what an answer means.

Knows nothing of Flask. The engine reaches it through `outbox.company.Company` only.
"""
