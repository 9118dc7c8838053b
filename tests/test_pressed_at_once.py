"""Two people press at the same moment: nothing is doubled, and nobody is shown an error."""

from sqlalchemy import func, select, text

from models.accounts import Invitation, User
from models.imports import LeadImport
from models.processors import ProcessorAccount
from models.sales import Lead
from tests.support.meanwhile import at_once
from tests.support.situation import ANA, Situation
from tests.support.till import Till
from tests.support.visitor import Visitor


def test_two_imports_of_one_list_save_each_lead_once(at: Situation) -> None:
    rows = {"read": [{"name": "Kim Park", "email": "kim@park.example", "phone": ""}]}
    with at.sessions.begin() as session:
        user = session.scalars(select(User.id)).first()
        for _ in range(2):
            session.add(LeadImport(organization_id=at.firm, user_id=user, source="file", rows=rows))
    bob = Visitor(at.app).sign_in(ANA).open("/leads/imports/2")
    ana = at.ana.open("/leads/imports/1")
    save = "Save as leads"
    with at_once(at.app, "INSERT INTO leads", lambda: bob.submit(press=save)) as came:
        ana.submit(press=save)
    assert came
    assert "1 lead is saved." in ana.text
    assert "0 leads are saved." in bob.text
    at.session.rollback()
    assert at.session.scalars(select(Lead.name)).all() == ["Kim Park"]


def test_an_invitation_withdrawn_while_it_is_accepted_says_so(at: Situation) -> None:
    secret = "inv_" + "a" * 32
    with at.sessions.begin() as session:
        session.add(
            Invitation(
                organization_id=at.firm,
                email="joe@rivera.example",
                role="owner",
                digest=Invitation.digest_of(secret),
                invited_by_id=session.scalars(select(User.id)).first(),
            )
        )
    joe = Visitor(at.app).open(f"/invitations/{secret}")
    at.ana.open("/settings/people")

    def withdraw() -> None:
        at.ana.submit(press="Withdraw")

    with at_once(at.app, "INSERT INTO users", withdraw) as came:
        joe.submit({"name": "Joe", "password": "a-long-enough-password"})
    assert came
    assert joe.status == at.ana.status == 200
    assert "joe@rivera.example has already joined." in at.ana.text


def test_two_owners_connect_one_account_of_stripe(till: Till) -> None:
    till.session.execute(text("DELETE FROM processor_accounts"))
    till.session.commit()
    bob = Visitor(till.app).sign_in(ANA)
    forms = [visitor.open("/settings/payments") for visitor in (till.owner, bob)]
    token = bob.token()

    def press() -> None:
        bob.answer = bob.client.post("/settings/payments/connect", data={"csrf_token": token})

    with at_once(till.app, "INSERT INTO processor_accounts", press) as came:
        till.owner.post("/settings/payments/connect")
    assert came
    assert [form.status for form in forms] == [303, 303]
    assert till.session.scalar(select(func.count()).select_from(ProcessorAccount)) == 1
