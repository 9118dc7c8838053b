"""How often the password of one account may be guessed, from wherever.

Addresses are bounded elsewhere, but whoever has many of them would still have many guesses. So an
account has a bound, too. It could be used to keep the owner of an account out; therefore each
browser in which that account signed in before has a bound of its own.
"""

from werkzeug.exceptions import TooManyRequests

from web.known_browsers import digest_of, known_browser
from web.tallies import count

GUESSES, PERIOD = 50, 3600  # in an hour; nobody mistypes that often


def bound_guesses(email: str) -> None:
    """Counts one more try of this address's password. Raises TooManyRequests.

    Counted by what was typed, whether somebody has the address or not: the answer tells nothing.
    """
    key = f"passwords tried for {digest_of(email)}"
    if browser := known_browser(email):
        key += f" in {browser}"
    if count(key, PERIOD) > GUESSES:
        raise TooManyRequests(retry_after=PERIOD)
