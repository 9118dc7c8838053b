"""Notifies owners and operators by e-mail of conditions that last, once per condition.

`conditions` finds them, `letters` writes the text, `mail` talks to the mail server, `post` runs all
of it. The rows in `models.notices` ensure that only one process sends each notification.
"""
