"""Recovery codes for sign-in when the authenticator app is lost. Each works once."""

import secrets

HOW_MANY = 10
CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without look-alikes
CODE_LENGTH = 12  # 59 bits cannot be guessed, so a plain digest is enough


def new_codes() -> list[str]:
    """Codes as displayed: abcd-efgh-jkmn."""
    return [
        _spaced("".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH)))
        for _ in range(HOW_MANY)
    ]


def _spaced(code: str) -> str:
    return "-".join(code[at : at + 4] for at in range(0, CODE_LENGTH, 4))


def plain_code(typed: str) -> str:
    """The code as stored, regardless of how it was typed."""
    return "".join(letter for letter in typed.lower() if letter.isalnum())
