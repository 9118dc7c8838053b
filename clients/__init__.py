"""What a firm's clients get: invoices and proposals on paper, by e-mail, at a secret address.

Knows nothing of Flask: letters are written and sheets are drawn outside of requests, too.
"""
