"""Passwords are stored as Argon2id hashes, which carry their own salt and cost."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# The sign-ins that `bin/dev` seeds, known to everyone who reads this: production refuses to start
# while one of them exists.
DEMO_PASSWORD = "dunahub-demo"  # noqa: S105
DEMO_EMAILS = (
    "ana@rivera.example",
    "tom@rivera.example",
    "carla@oakhvac.example",
    "bruno@silva.example",
    "admin@dunahub.example",
)

_HASHER = PasswordHasher()  # the library's defaults follow RFC 9106: about 50 ms and 64 MiB
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # for tests: under a millisecond


def hash_password(password: str, hasher: PasswordHasher = _HASHER) -> str:
    return hasher.hash(password)


def check_password(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_new_hash(password_hash: str) -> bool:
    """Whether the hash is cheaper than today's: then store a new one at the next sign-in."""
    return _HASHER.check_needs_rehash(password_hash)


# Checked against when no such user exists, so that the answer takes as long as for one who does.
NOBODYS_HASH = hash_password("nobody has this password")
