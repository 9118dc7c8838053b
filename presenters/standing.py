"""Where the organization stands with QuickBooks."""

from models.quickbooks import ConnectionStatus
from presenters.status import Word
from quickbooks.standing import Standing, status_of
from web.access import (
    dunahub,
    firm,
    session,
)
from web.languages import _


def standing() -> Standing:
    return status_of(session(), dunahub().config, firm().id)


def status_word(now: Standing) -> Word:
    """Exactly three words; everything else is said on the second line."""
    since = now.connection.status_since if now.connection else None
    match now.status:
        case ConnectionStatus.CONNECTED:
            return Word("check", _("Connected"), "good", since)
        case ConnectionStatus.EXPIRED:
            return Word("key", _("Token expired"), "warn", since)
        case ConnectionStatus.DISCONNECTED:
            return Word("plug", _("Not connected"), "quiet", since)
