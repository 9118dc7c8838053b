"""What a firm's clients get: invoices and proposals as PDF, by e-mail, and at a secret address.

Does not use Flask, because letters and PDFs are also made outside of requests.
"""
