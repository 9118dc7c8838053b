"""A local Stripe with the parts that DunaHub uses, as strict as the real one, with faults on
demand.

Works with the official library; only the API base address is changed. Imports none of our code.
"""
