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

HASHER = PasswordHasher()  # the library's defaults follow RFC 9106: about 50 ms and 64 MiB
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # for tests: under a millisecond


def hash_password(password: str, hasher: PasswordHasher | None = None) -> str:
    return (hasher or HASHER).hash(password)


def check_password(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_new_hash(password_hash: str) -> bool:
    """Whether the hash was made at another cost than today's: sign-in then stores a new one."""
    return HASHER.check_needs_rehash(password_hash)


# Checked against when no such user exists, so that the answer takes as long as for one who does.
NOBODYS_HASH = hash_password("nobody has this password")
