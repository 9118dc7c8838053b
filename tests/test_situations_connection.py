"""The life of a connection: situations 1 to 20, through the app's own pages."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from models.accounts import AuditEvent, Role, User
from models.notices import Notice
from models.outbox import Dispatch, Entry
from models.quickbooks import Connection, Revocation, Tokens
from quickbooks import disconnecting, standing
from tests.support.connected import CANADIAN, drain
from tests.support.firm import entries_of, new_firm
from tests.support.situation import OAK, RIVERA, SETTINGS, Situation, consent
from tests.support.visitor import Visitor, new_person

CRAIG = "9341450000000003"
ADMIN = "admin@dunahub.example"
EXCHANGE = "/oauth2/v1/tokens/bearer"


def gap(at: Situation) -> tuple[int, int, int]:
    """A lead, an invoice of $100 and a payment of $80 of a time without QuickBooks; it is back."""
    at.connect()
    at.disconnect()
    lead = at.save_lead()
    invoice = at.save_invoice(lead, "100")
    payment = at.pay(invoice, "80")
    at.connect()
    return lead, invoice, payment


# --- 4 to 8: what was saved without QuickBooks ---------------------------------------------------


def test_situation_4_nothing_of_the_gap_flows_by_itself_and_the_gap_is_counted(
    at: Situation,
) -> None:
    lead, invoice, payment = gap(at)
    at.drain()
    assert at.states() == []
    assert at.calls() == []
    for page in (f"/leads/{lead}", f"/invoices/{invoice}", f"/payments/{payment}"):
        assert "Not sent" in at.ana.open(page).panel()
    at.ana.open(SETTINGS)
    assert "3 Not sent 1 invoice $100.00 · 1 payment $80.00 · 1 lead" in at.ana.text
    at.ana.open(f"{SETTINGS}/not-sent")
    assert "3 records are only in DunaHub:" in at.ana.text
    assert "1 Invoices $100.00 1 Payments $80.00 1 Leads" in at.ana.text


def test_situation_4_an_owner_sends_one_by_hand_after_a_preview_and_a_warning(
    at: Situation,
) -> None:
    _, invoice, payment = gap(at)
    at.ana.open(f"/invoices/{invoice}")
    send = at.ana.page.find("a", string="Send this invoice")
    assert send
    at.ana.open(str(send["href"]))  # type: ignore[index]
    assert "would count $100.00 of income twice" in at.ana.text
    assert "Green Lawn Co sent along, or matched with one already there" in at.ana.text
    at.ana.submit(press="Send it")
    assert "Nothing was sent. Tick the box first" in at.ana.text
    assert at.states() == []
    at.ana.submit({"agrees": "y"}, press="Send it")
    assert "is being sent to QuickBooks now with 1 payment." in at.ana.text
    at.drain()
    [sent] = at.books("Invoice")
    assert (int(sent["TotalAmt"]), int(sent["Balance"])) == (100, 20)
    assert "In QuickBooks" in at.ana.open(f"/payments/{payment}").panel()
    act = at.session.scalars(select(AuditEvent).where(AuditEvent.action == "outbox.sent_by_hand"))
    assert act.one().details["number"] == at.invoice(invoice).number
    at.ana.open(f"/quickbooks/send/invoices/{invoice}")
    assert "can't be sent by hand" in at.ana.text


def test_situation_5_a_lead_of_the_gap_updated_later_becomes_a_customer(at: Situation) -> None:
    lead, _, _ = gap(at)
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.states() == ["lead synced"]
    assert [c["DisplayName"] for c in at.books("Customer")] == ["Green Lawn Co"]


def test_situation_6_an_invoice_of_the_gap_stays_not_sent_when_it_is_edited(at: Situation) -> None:
    _, invoice, _ = gap(at)
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    assert at.states() == []
    assert "Not sent" in at.ana.open(f"/invoices/{invoice}").panel()


def test_situation_7_a_new_invoice_takes_its_lead_of_the_gap_along(at: Situation) -> None:
    lead, _, _ = gap(at)
    invoice = at.save_invoice(lead, "40")
    at.drain()
    number = at.invoice(invoice).number
    assert f"needed by invoice {number}" in at.ana.open(f"/leads/{lead}").panel()
    assert len(at.books("Customer")) == len(at.books("Invoice")) == 1


def test_situation_8_a_payment_of_an_unsent_invoice_says_why_and_goes_with_it(
    at: Situation,
) -> None:
    _, invoice, first = gap(at)
    second = at.pay(invoice, "20", "ach")
    at.drain()
    assert at.states() == []
    assert "Its invoice isn't in QuickBooks." in at.ana.open(f"/payments/{second}").panel()
    send = at.ana.page.find("a", string="Send the invoice and this payment")
    assert send
    at.ana.open(str(send["href"]))  # type: ignore[index]
    at.ana.submit({"agrees": "y"}, press="Send it")
    at.drain()
    assert [int(payment["TotalAmt"]) for payment in at.books("Payment")] == [20]
    assert "Not sent" in at.ana.open(f"/payments/{first}").panel()


# --- 1 to 3: disconnect --------------------------------------------------------------------------


def test_situation_1_what_waited_is_asked_about_and_flows_only_then(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Waited")
    at.ana.open(f"{SETTINGS}/connection/disconnect")
    assert "1 record is waiting." in at.ana.text
    assert "Send them first, then disconnect" in at.ana.text
    at.disconnect()
    assert "On hold" in at.ana.open(f"/leads/{lead}").panel()
    at.connect()
    assert "1 record waited or changed here" in at.ana.text
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.save_lead("New")
    at.drain()
    assert [c["DisplayName"] for c in at.books("Customer")] == ["New"]
    at.ana.open(SETTINGS).submit(press="Send the changes")
    at.drain()
    assert sorted(c["DisplayName"] for c in at.books("Customer")) == ["New", "Waited"]
    assert {entry.attempts for entry in entries_of(at.session)} == {0}


def test_situation_1_in_another_company_it_says_whose_it_is(at: Situation) -> None:
    at.connect()
    lead = at.save_lead("Waited")
    at.disconnect()
    at.ana.open(consent(at.to_intuit(), OAK))
    token = at.ana.token()
    agreed = at.ana.client.post(
        f"{SETTINGS}/connection/other-company", data={"realm_id": OAK, "csrf_token": token}
    )
    at.come_back(consent(agreed.headers["Location"], OAK))
    assert "QuickBooks is connected to Oak HVAC Inc." in at.ana.text
    panel = at.ana.open(f"/leads/{lead}").panel()
    assert "On hold" in panel
    assert "Rivera Plumbing LLC" in panel


def test_situation_2_a_401_after_a_disconnect_holds_and_fails_nothing(at: Situation) -> None:
    at.connect()
    at.save_lead()
    at.disconnect()
    at.drain()
    assert at.states() == ["lead pending"]
    assert at.calls() == []
    assert at.entry().attempts == 0


def disconnect_in_flight(at: Situation, late: dict[str, object]) -> int:
    """A lead whose call to QuickBooks is out at the moment of the disconnect."""
    at.connect()
    lead = at.save_lead()
    lane = at.connection.lane_id
    at.simulator.fault(match={"entity": "Customer", "method": "POST"}, do=late)
    drainer = threading.Thread(target=drain, args=(at.sessions, at.config, lane))
    drainer.start()
    while not at.session.scalar(select(func.count(Dispatch.id))):  # stored: it is on its way
        at.session.rollback()
    at.session.rollback()
    at.ana.open(f"{SETTINGS}/connection/disconnect").submit(press="Disconnect now and hold it")
    assert "is disconnected" in at.ana.text
    drainer.join()
    at.simulator.clear_faults()
    return lead


def test_situation_2_the_answer_to_a_call_in_flight_is_recorded(at: Situation) -> None:
    lead = disconnect_in_flight(at, {"delay_after": 1})
    assert len(at.books("Customer")) == 1
    assert at.link("lead", lead)
    assert at.states() == ["lead synced"]
    at.connect()
    at.drain()
    assert at.calls() == []


def test_situation_2_a_call_in_flight_that_is_refused_is_held_and_goes_once(at: Situation) -> None:
    lead = disconnect_in_flight(at, {"delay": 1})
    assert at.books("Customer") == []
    assert at.states() == ["lead pending"]
    assert at.entry().attempts == 0
    assert "On hold" in at.ana.open(f"/leads/{lead}").panel()
    at.connect()
    at.ana.open(SETTINGS).submit(press="Send the changes")
    at.pass_time()
    at.drain()
    assert len(at.books("Customer")) == 1
    assert "In QuickBooks" in at.ana.open(f"/leads/{lead}").panel()


def test_situation_3_a_revoke_that_fails_is_said_and_tried_again(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/v2/oauth2/tokens/revoke", "times": 1}, do={"status": 503})
    at.ana.open(f"{SETTINGS}/connection/disconnect").submit(press="Disconnect")
    assert "we no longer have access. Intuit hasn't confirmed it yet" in at.ana.text
    assert at.session.scalars(select(Tokens)).all() == []
    assert "Intuit hasn't confirmed it yet; we'll keep trying" in at.ana.open(SETTINGS).text
    with at.sessions.begin() as session:
        session.execute(update(Revocation).values(available_at=func.now()))
    assert disconnecting.revoke_due(at.sessions, at.config) == 1
    assert "Intuit hasn't confirmed it yet" not in at.ana.open(SETTINGS).text


# --- 9 to 20 -------------------------------------------------------------------------------------


def test_situation_9_an_expired_sign_in_holds_and_drains_in_order_after_reconnect(
    at: Situation,
) -> None:
    at.connect()
    at.simulator.revoke(RIVERA)
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    at.ana.open(SETTINGS)
    assert "Token expired" in at.ana.text
    assert "2 records are on hold and will be sent after you reconnect" in at.ana.text
    assert "On hold" in at.ana.open(f"/invoices/{invoice}").panel()
    at.pay(invoice, "100")
    at.connect(button="Reconnect")
    at.drain()
    assert at.calls() == ["POST customer", "POST invoice", "POST payment"]


def test_situation_10_another_company_is_asked_about_and_the_old_links_come_back(
    at: Situation,
) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.disconnect()
    at.ana.open(consent(at.to_intuit(), OAK))
    assert "Rivera Plumbing LLC" in at.ana.text
    assert not [c for c in at.simulator.journal() if c["path"] == EXCHANGE and "code" in c["body"]]
    assert at.connection.status == "disconnected"
    at.connect()
    at.ana.open(f"/leads/{lead}/edit").submit({"phone": "916-555-0199"})
    at.drain()
    assert at.calls() == ["POST customer"]
    assert len(at.books("Customer")) == 1


def test_situation_11_a_company_of_another_firm_is_refused_unnamed(at: Situation) -> None:
    at.connect()
    other = new_firm(at.session, name="Oak HVAC Inc")
    new_person(at.session, other, "carla@oakhvac.example")
    carla = replace(at, firm=other, ana=Visitor(at.app).sign_in("carla@oakhvac.example"))
    carla.connect()
    assert carla.ana.status == 409
    assert "Rivera" not in carla.ana.text


def move(at: Situation, region: str, reason: str) -> Visitor:
    """DunaHub's staff change the region on the organization's page."""
    if not at.session.scalar(select(User.id).where(User.role == Role.ADMIN)):
        new_person(at.session, None, ADMIN, Role.ADMIN)
    admin = Visitor(at.app).sign_in(ADMIN).open("/admin/organizations")
    found = admin.page.find("a", string="Rivera Plumbing LLC")
    assert found
    admin.open(str(found["href"])).submit({"region": region, "reason": reason})  # type: ignore[index]
    return admin


def test_case_s14_intuit_hears_at_once_that_a_firm_left_the_region(at: Situation) -> None:
    at.connect()
    at.calls()
    move(at, "BR", "They moved to Recife").submit(press="Move to BR")
    assert [one["path"] for one in at.simulator.journal()][-1].endswith("/tokens/revoke")


def test_situation_12_outside_the_us_everything_disappears(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    admin = move(at, "BR", "They moved to Recife")
    assert "QuickBooks is disconnected from Rivera Plumbing LLC at once" in admin.text
    assert "1 waiting record is held and not sent." in admin.text
    assert "Connected" in at.ana.open(SETTINGS).text  # asked first
    admin.submit(press="Move to BR")
    assert "Rivera Plumbing LLC is in BR now." in admin.text
    assert at.ana.open(SETTINGS).status == 404
    assert at.ana.open(f"/leads/{lead}").panel() == ""
    assert "QuickBooks" not in at.ana.answer.get_data(as_text=True)
    assert at.session.scalars(select(Tokens)).all() == []
    assert at.simulator.journal()[-1]["path"].endswith("/tokens/revoke")
    assert disconnecting.revoke_due(at.sessions, at.config) == 0
    at.calls()
    at.drain()
    assert at.calls() == []
    admin = move(at, "US", "Back again")
    assert "an owner has to connect it" in admin.text
    admin.submit(press="Move to US")
    assert "Not connected" in at.ana.open(SETTINGS).text
    assert at.states() == ["lead pending"]
    acts = at.session.scalars(select(AuditEvent).where(AuditEvent.reason.is_not(None)))
    assert {"They moved to Recife", "Back again"} <= {act.reason for act in acts}


@pytest.mark.parametrize("told", ["", "?state=made-up&code=x&realmId=1"])
def test_situation_13_a_bad_callback_changes_nothing(at: Situation, told: str) -> None:
    at.ana.open(f"{SETTINGS}/callback{told}")
    assert at.ana.status == 400
    assert "Nothing was changed." in at.ana.text
    assert at.ana.page.find("a", href=SETTINGS)


def test_situation_13_the_same_success_shown_again_is_the_success(at: Situation) -> None:
    back = consent(at.to_intuit(), RIVERA)
    at.ana.open(back).open(back)
    assert "Is this your company?" in at.ana.text
    at.come_back(back)
    at.ana.open(back)
    assert at.ana.status == 200
    assert "QuickBooks is connected" in at.ana.text


def test_situation_14_consent_denied_leaves_an_existing_connection(at: Situation) -> None:
    at.connect()
    at.simulator.revoke(RIVERA)
    at.save_lead()
    at.drain()
    at.ana.open(consent(at.to_intuit("Reconnect"), RIVERA, action="cancel"))
    assert "Nothing was changed: you cancelled at Intuit." in at.ana.text
    assert at.connection.status == "expired"


def test_situation_15_a_callback_without_the_right_any_more_is_refused_and_noted(
    at: Situation,
) -> None:
    back = consent(at.to_intuit(), RIVERA)
    with at.sessions.begin() as session:
        session.execute(update(User).values(role=Role.MEMBER))
    assert at.ana.open(back).status == 403
    acts = at.session.scalars(select(AuditEvent.action)).all()
    assert "quickbooks.callback_refused" in acts


def test_situation_16_connect_while_connected_leads_back(at: Situation) -> None:
    at.connect()
    at.ana.post(f"{SETTINGS}/connection")
    assert at.ana.answer.headers["Location"].endswith(SETTINGS)
    assert "QuickBooks is already connected." in at.ana.open(SETTINGS).text


def test_situation_17_a_company_outside_the_us_is_named_and_not_kept(at: Situation) -> None:
    at.ana.open(consent(at.to_intuit(), CANADIAN))
    assert "Érable Rénovation" in at.ana.text
    assert at.session.scalars(select(Connection)).all() == []
    assert [c for c in at.simulator.journal() if c["path"].endswith("/tokens/revoke")]


def test_situation_18_access_removed_inside_quickbooks_is_noticed(at: Situation) -> None:
    at.connect()
    at.simulator.revoke(RIVERA)
    at.save_lead()
    at.drain()
    at.ana.open(SETTINGS)
    assert "Token expired" in at.ana.text
    assert "Access was removed in QuickBooks or has run out." in at.ana.text


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ("subscription_lapsed", "The QuickBooks subscription has ended or has a billing problem."),
        ("user_lost_admin", "The QuickBooks user who connected it may have lost access."),
    ],
)
def test_situation_19_a_lapsed_plan_or_a_lost_admin_is_one_banner(
    at: Situation, switch: str, words: str
) -> None:
    at.connect()
    at.simulator.company(RIVERA, **{switch: True})
    at.save_invoice(at.save_lead())
    at.drain()
    assert words in at.ana.open(SETTINGS).text
    assert "No records need you." in at.ana.text
    assert at.states() == ["lead pending", "invoice pending"]


def test_situation_19_a_lapsed_plan_is_probed_and_goes_on_by_itself(at: Situation) -> None:
    at.connect()
    at.simulator.company(RIVERA, subscription_lapsed=True)
    lead = at.save_lead()
    at.drain()
    at.simulator.company(RIVERA, subscription_lapsed=False)
    at.drain()
    assert at.states() == ["lead pending"]
    settings = asks_next(at.ana.open(SETTINGS))
    record = asks_next(at.ana.open(f"/leads/{lead}"))
    assert asks_next(at.ana.open(settings)).startswith(settings.partition("?")[0])
    assert standing.probe_due(at.sessions, at.config) == 1
    at.drain()
    assert at.states() == ["lead synced"]
    assert at.ana.open(settings).answer.headers["HX-Refresh"]
    assert "In QuickBooks" in at.ana.open(record).text


def asks_next(visitor: Visitor) -> str:
    """The address that the page asks next."""
    [asking] = visitor.page.select("#moving[hx-get], #live[hx-get]")
    return str(asking["hx-get"])


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ({"status": 429}, "QuickBooks is busy"),
        ({"status": 503}, "QuickBooks hasn't answered since"),
    ],
)
def test_situation_20_an_outage_pauses_with_a_time_and_fails_nothing(
    at: Situation, do: dict[str, object], words: str
) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/v3/"}, do=do)
    lead = at.save_lead()
    for _ in range(2):  # a first silence may be one request's own
        at.drain()
        with at.sessions.begin() as session:
            session.execute(update(Entry).values(available_at=func.now()))
    text_ = at.ana.open(SETTINGS).text
    assert words in text_
    assert "1 record is waiting, and nothing is lost." in text_
    assert at.states() == ["lead pending"]
    at.simulator.clear_faults()
    at.pass_time()
    at.drain()
    assert "In QuickBooks" in at.ana.open(f"/leads/{lead}").panel()


@pytest.mark.parametrize(("left", "words"), [(29, "in 29 days"), (7, "in 7 days"), (1, "tomorrow")])
def test_situation_18_a_sign_in_that_ends_is_announced_and_renewed_before(
    at: Situation, left: int, words: str
) -> None:
    at.connect()
    assert "The sign-in to QuickBooks ends" not in at.ana.open(SETTINGS).text
    with at.sessions.begin() as session:
        ends_at = func.now() + timedelta(days=left, hours=1)
        session.execute(update(Connection).values(hard_expires_at=ends_at))
    assert f"The sign-in to QuickBooks ends {words}" in at.ana.open(SETTINGS).text
    at.connect(button="Reconnect")
    assert "The sign-in to QuickBooks ends" not in at.ana.open(SETTINGS).text
    assert at.connection.status == "connected"


def test_situation_18_intuits_disconnect_address_shows_not_connected(at: Situation) -> None:
    at.connect()
    ended = f"{SETTINGS}/disconnected?realmId={RIVERA}"
    at.ana.open(ended)  # anyone can lead a browser here: Intuit is asked
    assert "Connected Rivera Plumbing LLC" in at.ana.text
    at.simulator.revoke(RIVERA)
    at.ana.open(f"{SETTINGS}/disconnected?realmId={OAK}")
    assert at.connection.status != "disconnected"
    at.ana.open(ended)
    assert "You ended our access to Rivera Plumbing LLC in QuickBooks." in at.ana.text
    assert "Not connected" in at.ana.text
    assert at.connection.status == "disconnected"


def test_situation_18_when_every_company_refuses_us_none_is_asked_to_reconnect(
    at: Situation,
) -> None:
    at.connect()
    firms = [at]
    for number, realm in enumerate((OAK, CRAIG)):
        firm = new_firm(at.session, name=f"Firm {number}")
        new_person(at.session, firm, f"owner{number}@firm.example")
        visitor = Visitor(at.app).sign_in(f"owner{number}@firm.example")
        firms.append(replace(at, firm=firm, ana=visitor))
        firms[-1].connect(realm)
    for one, realm in zip(firms, (RIVERA, OAK, CRAIG), strict=True):
        at.simulator.company(realm, wrong_environment=True)
        one.save_lead()
    at.drain()
    at.session.expire_all()
    statuses = at.session.scalars(select(Connection.status)).all()
    assert set(statuses) == {"connected"}
    assert {entry.state for entry in entries_of(at.session)} == {"pending"}
    assert at.session.scalars(select(Notice.kind)).all() == ["app_refused"]
