"""Settings → QuickBooks, the panel and the badges: what a firm's owner sees and does."""

from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, Role
from models.outbox import Entry, Lane
from models.quickbooks import Connection, Tokens
from models.sales import Lead
from outbox import actions
from simulator.testing import SimulatorHandle
from tests.support.connected import CANADIAN, OAK, RIVERA, drain
from tests.support.firm import entries_of, new_firm, new_invoice, new_lead, new_payment
from tests.support.situation import consent
from tests.support.visitor import Visitor, new_person

ANA = "ana@rivera.example"
SETTINGS = "/settings/quickbooks"
CALLBACK = "/settings/quickbooks/callback"


@pytest.fixture
def firm(session: Session) -> int:
    firm = new_firm(session)
    new_person(session, firm, ANA)
    return firm


@pytest.fixture
def ana(app: Flask, firm: int, simulator: SimulatorHandle) -> Visitor:
    return Visitor(app).sign_in(ANA)


def press_connect(visitor: Visitor, button: str = "Connect QuickBooks") -> str:
    """Presses the button, as far as Intuit's page; its address."""
    form = visitor.open(SETTINGS)._form({}, button)
    token = form.select_one("[name=csrf_token]")
    assert token
    answer = visitor.client.post(str(form["action"]), data={"csrf_token": token["value"]})
    assert answer.status_code == 303, answer.status_code
    return answer.headers["Location"]


def connect(visitor: Visitor, realm: str = RIVERA, button: str = "Connect QuickBooks") -> Visitor:
    return said_yes(visitor.open(consent(press_connect(visitor, button), realm)))


def said_yes(visitor: Visitor) -> Visitor:
    """Answers "Is this your company?", where it is asked."""
    return visitor.submit(press="Yes, start") if visitor.path.endswith("/company") else visitor


def lane_of(session: Session) -> Lane:
    session.rollback()
    session.expire_all()
    return session.scalars(select(Lane).order_by(Lane.id.desc())).first()  # type: ignore[return-value]


def drained(sessions: Sessions, config: Config, session: Session) -> None:
    drain(sessions, config, lane_of(session).id)


def save_lead(visitor: Visitor, name: str = "Green Lawn Co", **fields: str) -> None:
    visitor.open("/leads/new").submit({"name": name, **fields})
    assert "is saved." in visitor.text


# --- Connect --------------------------------------------------------------------------------------


def test_not_connected_says_what_will_happen_and_offers_one_button(ana: Visitor) -> None:
    ana.open(SETTINGS)
    assert "Not connected" in ana.text
    assert "US QuickBooks Online company" in ana.text
    assert [b.get_text() for b in ana.page.select("main button")] == ["Connect QuickBooks"]


def test_connect_goes_to_intuit_and_comes_back_with_a_confirmation(ana: Visitor) -> None:
    connect(ana)
    assert "QuickBooks is connected to Rivera Plumbing LLC." in ana.text
    assert "Connected Rivera Plumbing LLC United States" in ana.text
    assert "Nothing needs you." in ana.text
    assert "Connect QuickBooks" not in ana.text
    assert ana.page.find("a", string="Disconnect")


def test_the_callback_shown_again_shows_the_success_again(ana: Visitor, session: Session) -> None:
    back = consent(press_connect(ana))
    said_yes(ana.open(back))
    ana.open(back)
    assert ana.status == 200
    assert "QuickBooks is connected" in ana.text
    assert len(session.scalars(select(Connection)).all()) == 1


@pytest.mark.parametrize("told", [{}, {"state": "made-up", "code": "x", "realmId": RIVERA}])
def test_a_callback_with_a_bad_state_is_refused_with_a_way_back(
    ana: Visitor, session: Session, told: Mapping[str, str]
) -> None:
    ana.open(f"{CALLBACK}?{urlencode(told)}")
    assert ana.status == 400
    assert "Nothing was changed." in ana.text
    assert ana.page.find("a", href=SETTINGS)
    assert session.scalars(select(Connection)).all() == []


def test_a_callback_after_ten_minutes_is_refused(ana: Visitor, session: Session) -> None:
    back = consent(press_connect(ana))
    session.execute(
        text("UPDATE quickbooks_oauth_states SET created_at = now() - interval '11 min'")
    )
    session.commit()
    assert ana.open(back).status == 400


def test_a_callback_in_another_persons_browser_is_refused(
    ana: Visitor, app: Flask, session: Session
) -> None:
    new_person(session, new_firm(session, name="Oak HVAC Inc"), "carla@oakhvac.example")
    carla = Visitor(app).sign_in("carla@oakhvac.example")
    assert carla.open(consent(press_connect(ana))).status == 400
    assert session.scalars(select(Connection)).all() == []


def test_a_callback_after_losing_the_right_is_refused_and_noted(
    ana: Visitor, session: Session
) -> None:
    back = consent(press_connect(ana))
    session.execute(text("UPDATE users SET role = 'member'"))
    session.commit()
    assert ana.open(back).status == 403
    assert "Only an owner can connect QuickBooks" in ana.text
    refused = AuditEvent.action == "quickbooks.callback_refused"
    assert session.scalars(select(AuditEvent).where(refused)).one()


def test_cancel_at_intuit_changes_nothing(ana: Visitor) -> None:
    ana.open(consent(press_connect(ana), action="cancel"))
    assert ana.status == 200
    assert "you cancelled at Intuit" in ana.text
    assert "Not connected" in ana.text


def test_a_company_of_another_organization_is_refused_without_naming_it(
    ana: Visitor, app: Flask, session: Session
) -> None:
    new_person(session, new_firm(session, name="Oak HVAC Inc"), "carla@oakhvac.example")
    connect(Visitor(app).sign_in("carla@oakhvac.example"), RIVERA)
    connect(ana, RIVERA)
    assert ana.status == 409
    assert "connected elsewhere" in ana.text
    assert "Oak" not in ana.text
    assert "Not connected" in ana.open(SETTINGS).text


def test_a_company_outside_the_us_is_explained_and_not_kept(ana: Visitor, session: Session) -> None:
    connect(ana, CANADIAN)
    assert ana.status == 422
    assert "US companies that use US dollars" in ana.text
    assert session.scalars(select(Tokens)).all() == []


def test_another_company_than_before_is_asked_about_with_go_back_first(
    ana: Visitor, session: Session
) -> None:
    connect(ana)
    disconnect_now(ana)
    connect(ana, OAK)
    assert "You chose another company" in ana.text
    assert "Rivera Plumbing LLC" in ana.text
    assert ana.page.find("a", string="Go back", autofocus=True)
    assert len(session.scalars(select(Connection)).all()) == 1
    form = ana._form({}, "Use the other company")
    fields = {str(part["name"]): str(part["value"]) for part in form.select("input")}
    answer = ana.client.post(str(form["action"]), data=fields)
    said_yes(ana.open(consent(answer.headers["Location"], OAK)))
    assert "QuickBooks is connected to Oak HVAC Inc." in ana.text


def test_intuit_out_of_reach_is_said_and_nothing_breaks(
    ana: Visitor, simulator: SimulatorHandle
) -> None:
    back = consent(press_connect(ana))
    simulator.fault(match={"path": "/oauth2/v1/tokens/bearer"}, do={"status": 503, "body": "no"})
    ana.open(back)
    assert "Nothing was changed. Try again." in ana.text
    assert "Not connected" in ana.text


# --- Disconnect and reconnect ---------------------------------------------------------------------


def disconnect_now(visitor: Visitor) -> Visitor:
    visitor.open(f"{SETTINGS}/connection/disconnect")
    form = visitor._form({}, None)
    fields = {str(part["name"]): str(part["value"]) for part in form.select("input")}
    visitor.answer = visitor.client.post(
        str(form["action"]), data={**fields, "choice": "now"}, follow_redirects=True
    )
    return visitor


def test_disconnect_asks_names_what_waits_and_ends_it_at_once(
    ana: Visitor, session: Session
) -> None:
    connect(ana)
    save_lead(ana)
    ana.open(f"{SETTINGS}/connection/disconnect")
    assert "1 record is waiting." in ana.text
    assert ana.page.find("button", autofocus=True).get_text() == (  # type: ignore[union-attr]
        "Send them first, then disconnect"
    )
    ana.submit(press="Disconnect now and hold it")
    assert "Rivera Plumbing LLC is disconnected." in ana.text
    assert "Not connected" in ana.text
    assert "1 record on hold" in ana.text
    assert session.scalars(select(Tokens)).all() == []
    assert "On hold" in ana.open("/leads").text


def test_sending_first_shows_how_far_it_is(ana: Visitor) -> None:
    connect(ana)
    save_lead(ana)
    ana.open(f"{SETTINGS}/connection/disconnect")
    ana.submit(press="Send them first, then disconnect")
    assert "Sending first 0 of 1" in ana.text
    assert ana.page.select_one("#disconnect[hx-get] progress[max='1'][value='0']")
    assert "Check again" in ana.text


def test_a_record_of_the_time_without_quickbooks_says_not_sent(
    ana: Visitor, sessions: Sessions, config: Config, session: Session
) -> None:
    save_lead(ana, "From before")
    connect(ana)
    drained(sessions, config, session)
    assert "Not sent" in ana.open("/leads").text
    lead = session.scalars(select(Lead)).one()
    assert "Created while QuickBooks was not connected." in ana.open(f"/leads/{lead.id}").panel()
    assert "From before" in ana.open(f"{SETTINGS}/not-sent?type=lead").text


@pytest.mark.parametrize(
    ("decision", "state"), [("Send the changes", "synced"), ("Leave as they are", "skipped")]
)
def test_what_waited_at_disconnect_asks_before_it_flows(
    ana: Visitor, sessions: Sessions, config: Config, session: Session, decision: str, state: str
) -> None:
    connect(ana)
    save_lead(ana)
    disconnect_now(ana)
    connect(ana)
    drained(sessions, config, session)
    assert "1 record waited or changed here" in ana.open(SETTINGS).text
    assert "On hold" in ana.open("/leads").text
    ana.open(SETTINGS).submit(press=decision)
    drained(sessions, config, session)
    assert entries_of(session)[0].state == state
    assert "waited or changed here" not in ana.open(SETTINGS).text


@pytest.mark.parametrize("decision", ["Send the changes", "Leave as they are"])
def test_only_what_the_page_listed_is_decided(
    ana: Visitor, sessions: Sessions, config: Config, session: Session, decision: str
) -> None:
    connect(ana)
    save_lead(ana, "Listed")
    disconnect_now(ana)
    connect(ana)
    listed = ana.open(SETTINGS).answer
    save_lead(ana, "Came since")  # a colleague
    disconnect_now(ana)
    connect(ana)
    ana.answer = listed
    ana.submit(press=decision)
    assert "What waits has changed since you opened the page." in ana.text
    drained(sessions, config, session)
    assert [entry.state for entry in entries_of(session)] == ["pending", "pending"]
    listed = ana.answer
    ana.submit(press=decision)
    drained(sessions, config, session)
    assert {entry.state for entry in entries_of(session)} in ({"synced"}, {"skipped"})
    ana.answer = listed
    assert "Nothing waits for a decision anymore." in ana.submit(press=decision).text


def test_token_expired_holds_records_says_so_and_reconnect_sends_them(
    ana: Visitor,
    simulator: SimulatorHandle,
    sessions: Sessions,
    config: Config,
    session: Session,
) -> None:
    connect(ana)
    simulator.revoke(RIVERA)
    save_lead(ana)
    drained(sessions, config, session)
    ana.open(SETTINGS)
    assert "Token expired" in ana.text
    assert "QuickBooks stopped accepting our access" in ana.text
    assert "1 record is on hold and will be sent after you reconnect. Nothing is lost." in ana.text
    assert "At Intuit, choose Rivera Plumbing LLC" in ana.text
    assert "On hold" in ana.open("/leads").text
    connect(ana, button="Reconnect")
    assert "QuickBooks is connected again to Rivera Plumbing LLC." in ana.text
    drained(sessions, config, session)
    assert "In QuickBooks" in ana.open("/leads").text


# --- Records --------------------------------------------------------------------------------------


def test_the_panel_shows_number_total_link_history_and_what_was_sent(
    ana: Visitor, firm: int, sessions: Sessions, config: Config, session: Session
) -> None:
    connect(ana)
    invoice = new_invoice(firm, new_lead(firm), tax_rate="0")
    session.add(invoice)
    session.commit()
    assert ana.open("/invoices").word(f"invoice-{invoice.id}") == "Waiting to send"
    drained(sessions, config, session)
    assert ana.open("/invoices").word(f"invoice-{invoice.id}") == "In QuickBooks"
    panel = ana.open(f"/invoices/{invoice.id}").panel()
    assert panel.startswith("QuickBooks In QuickBooks Number there 1001 Total $100.00 in both")
    link = ana.page.select_one(".panel a[target=_blank]")
    assert link
    assert "/app/invoice?txnId=" in str(link["href"])
    assert '"DocNumber": "1001"' in panel
    assert "Trace id" in panel
    assert "History (1)" in panel


def test_a_name_clash_says_why_where_and_how_and_the_fix_goes_by_itself(
    ana: Visitor, sessions: Sessions, config: Config, session: Session, firm: int
) -> None:
    connect(ana)
    save_lead(ana, email="one@lawn.example")
    drained(sessions, config, session)
    save_lead(ana, email="two@lawn.example")
    drained(sessions, config, session)
    second = session.scalars(select(Lead).where(Lead.email == "two@lawn.example")).one()
    invoice = new_invoice(firm, second)
    session.add(invoice)
    session.commit()
    session.add(new_payment(firm, invoice))
    session.commit()
    drained(sessions, config, session)

    panel = ana.open(f"/leads/{second.id}").panel()
    assert panel.startswith("QuickBooks Needs attention")
    assert "“Green Lawn Co” is already the name of another customer" in panel
    assert "Its invoices wait until this is solved." in panel
    chain = ana.open("/payments/1").panel()
    assert "Waits for invoice 1001" in chain
    assert "Customer Green Lawn Co needs attention" in chain
    assert "Invoice 1001 is sent right after" in chain
    settings = ana.open(SETTINGS)
    assert "Name already used in QuickBooks · 1 record" in settings.text
    assert "1 Need attention" in settings.text

    fix = settings.page.find("a", string="Fix")
    ana.open(str(fix["href"]))  # type: ignore[index]
    rename = ana.page.find("a", string="Change the name here")
    ana.open(str(rename["href"]))  # type: ignore[index]
    field = ana.page.find(id="name")
    assert field["aria-invalid"] == "true"  # type: ignore[index]
    assert "Name already used in QuickBooks" in ana.text
    ana.submit({"name": "Green Lawn Co (Elm St)"}, press="Save lead")
    drained(sessions, config, session)
    assert "Nothing needs you." in ana.open(SETTINGS).text
    assert ana.open("/payments/1").panel().startswith("QuickBooks In QuickBooks")


def test_send_again_skip_and_undo_are_acts_of_the_owner_and_noted(
    ana: Visitor, sessions: Sessions, config: Config, session: Session
) -> None:
    connect(ana)
    save_lead(ana, email="one@lawn.example")
    drained(sessions, config, session)
    save_lead(ana, email="two@lawn.example")
    drained(sessions, config, session)
    second = session.scalars(select(Lead).where(Lead.email == "two@lawn.example")).one()
    ana.open(f"/leads/{second.id}").submit(press="Send again")
    assert "It will be sent again." in ana.text
    drained(sessions, config, session)
    ana.open(f"/leads/{second.id}").submit(press="Skip")
    assert "Skipped. You can undo that." in ana.text
    assert ana.panel().startswith("QuickBooks Skipped")
    ana.submit(press="Undo skip")
    assert ana.panel().startswith("QuickBooks Waiting to send")
    actions = session.scalars(
        select(AuditEvent.action)
        .where(AuditEvent.action.startswith("outbox."))
        .order_by(AuditEvent.id)
    )
    assert list(actions) == ["outbox.requeued", "outbox.skipped", "outbox.skip_undone"]


def test_send_all_again_sends_every_failed_record(
    ana: Visitor, sessions: Sessions, config: Config, session: Session
) -> None:
    connect(ana)
    for number in range(3):
        save_lead(ana, email=f"{number}@lawn.example")
        drained(sessions, config, session)
    assert "· 2 records" in ana.open(SETTINGS).text
    ana.submit(press="Send all again")
    assert "2 records will be sent again." in ana.text
    states = [entry.state for entry in entries_of(session)]
    assert states == ["synced", "pending", "pending"]


def test_a_member_sees_the_trouble_but_not_the_buttons(
    ana: Visitor, app: Flask, sessions: Sessions, config: Config, session: Session, firm: int
) -> None:
    connect(ana)
    save_lead(ana, email="one@lawn.example")
    drained(sessions, config, session)
    save_lead(ana, email="two@lawn.example")
    drained(sessions, config, session)
    new_person(session, firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(app).sign_in("tom@rivera.example")
    second = session.scalars(select(Lead).where(Lead.email == "two@lawn.example")).one()
    panel = tom.open(f"/leads/{second.id}").panel()
    assert "Needs attention" in panel
    assert "Change the name here" in panel
    assert "Send again" not in panel
    assert "Disconnect" not in tom.open(SETTINGS).text


def test_activity_is_filtered_by_type_state_words_and_days(
    ana: Visitor, sessions: Sessions, config: Config, session: Session, firm: int
) -> None:
    connect(ana)
    save_lead(ana, "Maple Dental")
    drained(sessions, config, session)
    session.add(new_invoice(firm, session.scalars(select(Lead)).one()))
    session.commit()
    activity = f"{SETTINGS}/activity"
    assert "Customer Maple Dental" in ana.open(activity).text
    assert "Invoice 1001 · Maple Dental" in ana.text
    assert "Invoice 1001" not in ana.open(f"{activity}?type=lead").text
    assert "Customer Maple" not in ana.open(f"{activity}?state=waiting").text
    assert "Customer Maple" in ana.open(f"{activity}?q=maple").text
    assert "Nothing matches." in ana.open(f"{activity}?to=2001-01-01").text
    for odd in ("to=9999-12-31", "from=0001-01-01", "from=x", "before=x", "state=%00", "q=%00"):
        assert ana.open(f"{activity}?{odd}").status == 200


# --- Badges ---------------------------------------------------------------------------------------


def live(visitor: Visitor) -> str | None:
    """The address that the page asks next, if there is anything to ask."""
    element = visitor.page.select_one("#live[hx-get]")
    return str(element["hx-get"]) if element else None


def test_badges_ask_until_they_are_final_and_then_rest(
    ana: Visitor, sessions: Sessions, config: Config, session: Session
) -> None:
    connect(ana)
    save_lead(ana)
    assert ana.open("/leads").word("lead-1") == "Waiting to send"
    address = live(ana)
    assert address
    ana.open(address)
    assert "badge-lead-1" not in ana.answer.get_data(as_text=True)  # unchanged: not sent again
    address = live(ana)
    assert address
    drained(sessions, config, session)
    ana.open(address)
    assert ana.word("lead-1") == "In QuickBooks"
    said = ana.page.find(id="announcement")
    assert said
    assert said.get_text() == "Customer Green Lawn Co: In QuickBooks"
    assert live(ana) is None
    assert live(ana.open("/leads")) is None


def test_a_panel_refreshes_with_its_page(
    ana: Visitor, sessions: Sessions, config: Config, session: Session
) -> None:
    connect(ana)
    save_lead(ana)
    address = live(ana)
    assert address
    drained(sessions, config, session)
    assert ana.open(address).panel().startswith("QuickBooks In QuickBooks")
    assert live(ana) is None


@pytest.mark.parametrize("sends", [True, False])
def test_a_page_of_another_version_is_loaded_again(
    ana: Visitor, sessions: Sessions, config: Config, session: Session, sends: bool
) -> None:
    """Else its panel would say “$250.00 in both” beside an invoice of $100."""
    connect(ana)
    save_lead(ana)
    lead = session.scalars(select(Lead)).one()
    session.add(invoice := new_invoice(lead.organization_id, lead))
    session.commit()
    address = live(ana.open(f"/invoices/{invoice.id}"))
    assert address
    address = live(ana.open(address))  # as it was
    assert address
    invoice.memo = "Thank you"
    session.commit()
    if sends:
        drained(sessions, config, session)
    assert ana.open(address).answer.headers["HX-Refresh"] == "true"
    address = live(ana.open(f"/invoices/{invoice.id}"))
    assert bool(address) is not sends
    assert address is None or live(ana.open(address))


def test_a_panel_refreshes_when_what_it_waits_for_fails_otherwise(
    ana: Visitor,
    sessions: Sessions,
    config: Config,
    session: Session,
    firm: int,
    simulator: SimulatorHandle,
) -> None:
    connect(ana)
    simulator.fault(match={"path": "/customer", "times": 1}, do={"fault": {"code": "2210"}})
    session.add(new_invoice(firm, new_lead(firm)))
    session.commit()
    drained(sessions, config, session)
    assert ana.open("/invoices/1").panel().startswith("QuickBooks Waits")
    address = live(ana)
    assert address
    simulator.fault(match={"path": "/customer", "times": 1}, do={"fault": {"code": "2050"}})
    [again] = [entry for entry in entries_of(session) if entry.state == "failed"]
    actions.requeue(session, [again.id], organization_id=firm)
    session.commit()
    drained(sessions, config, session)
    assert [entry.fault_code for entry in entries_of(session) if entry.fault_code] == ["2050"]
    assert "Waits for customer" in ana.open(address).panel()


def test_badges_ask_less_often_as_time_goes_by_and_end(ana: Visitor) -> None:
    connect(ana)
    save_lead(ana)
    address: str | None = live(ana.open("/leads"))
    rounds, pauses = 0, []
    while address:
        rounds += 1
        assert rounds < 100
        element = ana.page.find(id="live")
        pauses.append(str(element["hx-trigger"]))  # type: ignore[index]
        address = live(ana.open(address))
    assert rounds == 60
    assert pauses[0].startswith("load delay:1s")
    assert pauses[-1].startswith("load delay:30s")


@pytest.mark.parametrize(
    "query",
    ["b=x", "b=lead-1", "b=lead-x-0", "b=product-1-0", "panel=1", "round=%00", "b=lead-%00-1"],
)
def test_strange_questions_about_badges_break_nothing(ana: Visitor, query: str) -> None:
    assert ana.open(f"/quickbooks/badges?{query}").status in (200, 400, 404)


def test_a_list_costs_the_same_queries_for_one_row_and_for_fifty(
    ana: Visitor, app: Flask, session: Session, firm: int
) -> None:
    connect(ana)
    counted: list[str] = []
    database = app.extensions["dunahub"].database
    event.listen(database, "before_cursor_execute", lambda *told: counted.append(told[2]))

    def queries(path: str) -> int:
        counted.clear()
        assert ana.open(path).status == 200
        return len(counted)

    session.add(new_lead(firm, "One"))
    session.commit()
    for_one = queries("/leads")
    session.add_all(new_lead(firm, f"Customer {number}") for number in range(49))
    session.commit()
    assert queries("/leads") == for_one
    assert session.scalar(select(Entry.id).limit(1))
