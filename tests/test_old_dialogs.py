"""A dialog that was opened a while ago, or is answered by two people at once, does what it said."""

import pytest

from models.quickbooks import Connection
from tests.support.situation import ANA, OAK, SETTINGS, Situation, consent
from tests.support.visitor import Visitor

# --- Disconnect -----------------------------------------------------------------------------------

CHANGED = "This has changed since you opened the page. Look at it again, then decide."
DISCONNECT = f"{SETTINGS}/connection/disconnect"


@pytest.mark.parametrize(
    "press", ["Disconnect now and hold it", "Send them first, then disconnect"]
)
def test_one_company_is_not_disconnected_by_the_page_of_another(at: Situation, press: str) -> None:
    at.connect()
    at.save_lead()
    old = Visitor(at.app).sign_in(ANA).open(DISCONNECT)
    at.disconnect()
    connect_other(at)
    old.submit(press=press)
    assert CHANGED in old.text
    assert "Disconnect Oak HVAC Inc?" in old.text
    assert is_connected(at)
    old.submit(press="Disconnect")  # now they know
    assert "Oak HVAC Inc is disconnected." in old.text


def connect_other(at: Situation) -> None:
    """To the other company, which is asked about."""
    form = at.ana.open(consent(at.to_intuit(), OAK)).page.select_one("form[action*=other-company]")
    assert form
    token = at.ana.token()
    answer = at.ana.client.post(str(form["action"]), data={"csrf_token": token, "realm_id": OAK})
    at.come_back(consent(answer.headers["Location"], OAK))


def is_connected(at: Situation) -> bool:
    at.session.rollback()
    at.session.expire_all()
    connection = at.session.scalar(Connection.live_of(at.firm))
    return connection is not None and connection.disconnects_after is None


def test_what_came_since_is_not_held_unseen(at: Situation) -> None:
    at.connect()
    old = Visitor(at.app).sign_in(ANA).open(DISCONNECT)
    for name in ("Kim", "Omar"):
        at.save_lead(name)
    old.submit(press="Disconnect")
    assert CHANGED in old.text
    assert "2 records are waiting." in old.text
    assert is_connected(at)
    at.drain()  # fewer than the page said: nothing to decide anew
    old.submit(press="Disconnect now and hold them")
    assert "Rivera Plumbing LLC is disconnected." in old.text
