"""Everything about Intuit: sign-in, calls, documents, faults, and what an answer means.

Independent of Flask. The engine uses it only through `outbox.company.Company`.
"""
