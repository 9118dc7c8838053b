"""Limits password guesses per account, from any address.

Addresses are limited elsewhere, but an attacker with many addresses would still have many guesses.
Because a limit per account could be used to lock out its owner, each browser in which the account
has signed in before has its own limit.
"""

from werkzeug.exceptions import TooManyRequests

from web.known_browsers import digest_of, known_browser
from web.tallies import count

MAX_GUESSES, GUESS_PERIOD = 50, 3600  # per hour; nobody mistypes that often


def bound_guesses(email: str) -> None:
    """Counts one guess of this address's password. Raises TooManyRequests.

    Unknown addresses are counted, too, so that the response doesn't reveal whether an account
    exists.
    """
    key = f"passwords tried for {digest_of(email)}"
    if browser := known_browser(email):
        key += f" in {browser}"
    if count(key, GUESS_PERIOD) > MAX_GUESSES:
        raise TooManyRequests(retry_after=GUESS_PERIOD)
