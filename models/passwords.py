"""Passwords are stored as Argon2id hashes, which carry their own salt and cost."""

import re
from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

# Accounts that `bin/dev` creates, with a public password. Production refuses to start while one of
# them exists.
DEMO_PASSWORD = "dunahub-demo"  # noqa: S105
DEMO_EMAILS = (
    "ana@rivera.example",
    "tom@rivera.example",
    "carla@oakhvac.example",
    "bruno@silva.example",
    "admin@dunahub.example",
)

HASHER = PasswordHasher()  # the library's defaults follow RFC 9106: about 50 ms and 64 MiB
# for tests: under a millisecond
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def hash_password(password: str, hasher: PasswordHasher | None = None) -> str:
    return (hasher or HASHER).hash(password)


def check_password(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_new_hash(password_hash: str) -> bool:
    """Whether the hash was made with other cost parameters than
    today's. Sign-in then stores a new one."""
    return HASHER.check_needs_rehash(password_hash)


# Verified when the user doesn't exist, so that the answer takes equally long.
NOBODYS_HASH = hash_password("nobody has this password")

# Guesses needed, by zxcvbn's lists of common passwords, names, words, dates and keyboard rows. Its
# authors call more than this safe against guessing through a sign-in page.
GUESSES_ENOUGH = 10**8
MAX_JUDGED_LENGTH = 72  # zxcvbn only looks at this many characters
ADDED_TO_OWN_WORDS = 5  # letters and digits; with fewer, the password is still just the name
# Words that attackers try first on this site. zxcvbn's lists are English.
WORDS_HERE = (
    *("dunahub", "quickbooks", "intuit", "invoice", "senha", "segredo", "brasil", "mudar", "teste"),
    *("corinthians", "flamengo", "palmeiras", "santos", "gremio", "vasco", "cruzeiro", "teamo"),
)


def is_guessable(password: str, words: Iterable[str] = ()) -> bool:
    """Whether it takes few guesses. `words` are the person's own: name, address, company."""
    if password.lower().strip() == DEMO_PASSWORD:
        return True
    own = [part for word in words for part in (word, *re.findall(r"\w+", word)) if len(part) > 2]
    if len(_without(password, own)) < ADDED_TO_OWN_WORDS:
        return True
    known = [*WORDS_HERE, *own]
    judged = zxcvbn(password[:MAX_JUDGED_LENGTH], user_inputs=known)
    return bool(judged["guesses"] < GUESSES_ENOUGH)


def _without(password: str, words: Iterable[str]) -> str:
    """The letters and digits left after removing these words."""
    left = password.lower()
    for word in sorted(words, key=len, reverse=True):
        left = left.replace(word.lower(), "")
    return re.sub(r"[\W_]", "", left) if left != password.lower() else password
