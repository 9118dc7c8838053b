"""Who takes the clients' money. One interface (`processor`), and Stripe behind it.

Card and bank data never reach us: clients pay on the processor's own page. A payment is recorded
when the money is certain, in the transaction that marks the event as carried out.
"""
