"""Messages shown after an action."""

from flask import flash

from outbox.actions import Acted
from web.languages import _


def tell(acted: Acted, sentence: str) -> None:
    """Shows what was done, and why the rest was not."""
    if acted.done:
        flash(sentence, "good")
    for reason in dict.fromkeys(acted.refused.values()):
        flash(_(reason), "warn")
