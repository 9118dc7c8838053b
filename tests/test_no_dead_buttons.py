"""Buttons are only shown to people who may use them, and each does what it says."""

from sqlalchemy import text

from models.accounts import Role
from tests.support.situation import SETTINGS, Situation
from tests.support.visitor import Visitor, new_person


def colleague(at: Situation, role: Role) -> Visitor:
    email = f"{role.value}@rivera.example"
    new_person(at.session, at.firm, email, role)
    return Visitor(at.app).sign_in(email)


def refused_lead(at: Situation, name: str = "Green Lawn Co") -> int:
    at.bookkeeper().post("vendor", {"DisplayName": name})
    lead = at.save_lead(name)
    at.drain()
    return lead


def test_only_whoever_may_undo_a_skip_is_offered_it(at: Situation) -> None:
    at.connect()
    lead = refused_lead(at)
    at.ana.open(f"/leads/{lead}").submit(press="Skip")
    tom, bianca = colleague(at, Role.MEMBER), colleague(at, Role.BOOKKEEPER)
    assert "Undo skip" not in tom.open(f"/leads/{lead}").panel()
    bianca.open(f"/leads/{lead}").submit(press="Undo skip")
    assert "It will be sent." in bianca.text


def test_fix_leads_to_a_fix_for_whoever_sees_it(at: Situation) -> None:
    at.connect()
    refused_lead(at)
    tom = colleague(at, Role.MEMBER)
    # a name is changed by anybody; only who keeps the books has other choices
    for visitor, place in ((tom, "/leads/1/edit?fix=name"), (at.ana, "/leads/1#panel-lead-1")):
        fix = visitor.open(SETTINGS).page.find("a", string="Fix")
        assert fix
        assert str(fix["href"]) == place  # type: ignore[index]
    panel = at.ana.open("/leads/1").page.select_one("#panel-lead-1")
    assert panel
    labels = [button.text.strip() for button in panel.select(".buttons .button")]
    assert labels[0].startswith("Send as “Green Lawn Co")
    assert {"Change the name here", "Skip"} <= set(labels)
    assert "“Skip” leaves it out of QuickBooks." in panel.text
    at.session.execute(text("UPDATE outbox SET fault_code = '2020', fault_field = NULL"))
    at.session.commit()
    for page in (SETTINGS, f"{SETTINGS}/activity"):
        assert "Fix" not in tom.open(page).text
        assert "See why" in tom.text
        assert "Fix" in at.ana.open(page).text


def test_send_all_again_leaves_out_what_cannot_be_sent(at: Situation) -> None:
    at.connect()
    for name in ("One", "Two", "Three"):
        refused_lead(at, name)
    at.ana.open("/leads/1/edit").submit({"name": "A new name"})  # waits, and replaces what failed
    at.ana.open(SETTINGS)
    assert "2 records can be sent again" in at.ana.text
    at.ana.submit(press="Send all again")
    assert "2 records will be sent again." in at.ana.text
    assert "newer version" not in at.ana.text


def test_send_all_again_is_not_offered_when_nothing_can_be_sent(at: Situation) -> None:
    at.connect()
    refused_lead(at)
    at.session.execute(text("UPDATE outbox SET fault_code = '6190'"))  # only paying helps
    at.session.commit()
    assert "Send all again" not in at.ana.open(SETTINGS).text


def test_a_record_that_is_in_quickbooks_can_be_sent_again(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    assert "Send again" not in colleague(at, Role.MEMBER).open(f"/invoices/{invoice}").panel()
    bianca = colleague(at, Role.BOOKKEEPER)
    bianca.open(f"/invoices/{invoice}").submit(press="Send again")
    assert "It will be sent again." in bianca.text
    at.drain()
    assert at.states() == ["lead synced", "invoice synced"]
    assert len(at.books("Invoice")) == 1
    at.disconnect()
    assert "Send again" not in at.ana.open(f"/invoices/{invoice}").panel()


def test_a_note_for_the_accountant_can_be_copied(at: Situation) -> None:
    at.connect()
    at.simulator.company(at.connection.realm_id, BookCloseDate="2099-12-31")
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    link = at.ana.open(f"/invoices/{invoice}").page.find(
        "a", string="Copy a note for my accountant"
    )
    assert link
    at.ana.open(str(link["href"]))  # type: ignore[index]
    button = at.ana.page.select_one("[data-copies]")
    assert button
    assert at.ana.page.find("textarea", id=str(button["data-copies"]))


def test_what_was_refunded_is_said_apart(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    payment = at.pay(invoice, "80")
    at.ana.open(f"/payments/{payment}/refund").submit({"amount": "30"})
    at.session.execute(
        text("UPDATE outbox SET state = 'superseded', settled_at = now() WHERE id <> :last"),
        {"last": at.entry().id},
    )
    at.session.execute(
        text(
            "UPDATE outbox SET state = 'failed', settled_at = now(), fault_code = '620',"
            " waits_for_type = NULL, waits_for_id = NULL WHERE state = 'pending'"
        )
    )
    at.session.commit()
    assert "$50.00 of payments" in at.ana.open(SETTINGS).text
    assert "$80.00 · $30.00 refunded" in at.ana.text


def test_what_was_reversed_is_what_the_trouble_is_about(at: Situation) -> None:
    at.connect()
    payment = at.pay(at.save_invoice(at.save_lead(), "100"), "80")
    at.drain()
    at.ana.open(f"/payments/{payment}/refund").submit({"amount": "30"})
    at.drain()
    assert at.fault() == "reversed"
    assert "$30.00 of payments" in at.ana.open(SETTINGS).text


def test_the_record_names_the_act_and_what_it_was_about(at: Situation) -> None:
    at.connect()
    lead = refused_lead(at)
    at.ana.open(f"/leads/{lead}").submit(press="Skip")
    at.ana.open(f"/leads/{lead}").submit(press="Undo skip")
    told = at.ana.open("/settings/record").text
    assert "Ana Decided not to send Customer Green Lawn Co" in told
    assert "Ana Undid a skip Customer Green Lawn Co" in told
    link = at.ana.page.find("a", string="Customer Green Lawn Co")
    assert link
    assert link["href"] == f"/leads/{lead}"  # type: ignore[index]


def test_the_record_counts_what_it_does_not_name(at: Situation) -> None:
    at.connect()
    for number in range(5):
        refused_lead(at, f"Client {number}")
    at.ana.open(SETTINGS).submit(press="Send all again")
    at.ana.open("/settings/record")
    assert "Customer Client 0 · Customer Client 1 · Customer Client 2 and 2 more" in at.ana.text


def test_a_void_invoice_says_so_instead_of_two_sums(at: Situation) -> None:
    at.connect()
    invoice = at.save_invoice(at.save_lead(), "100")
    at.drain()
    at.ana.open(f"/invoices/{invoice}/void").submit()
    at.drain()
    panel = at.ana.open(f"/invoices/{invoice}").panel()
    assert "Voided in both" in panel
    assert "$100.00" not in panel.partition("History")[0]
