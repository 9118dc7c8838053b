"""Online payments: one interface (`processor`), implemented for Stripe.

Card and bank data never reach us: clients pay on the processor's own page. A payment is recorded
once the money is certain, in the transaction that marks the event as processed.
"""
