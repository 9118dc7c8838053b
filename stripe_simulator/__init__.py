"""A local Stripe: what DunaHub uses of it, strict where the real one is, with trouble on demand.

The official library is content with it; only its API base address is set. Imports nothing of ours.
"""
