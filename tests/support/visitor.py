"""A person at a browser without JavaScript: opens pages, fills in their forms, presses buttons."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models.accounts import Organization, Role, User
from models.passwords import CHEAP_HASHER, hash_password

PASSWORD = "dunahub-demo"
PASSWORD_HASH = hash_password(PASSWORD, CHEAP_HASHER)
_addresses = itertools.count(1)


def new_person(session: Session, firm: int | None, email: str, role: Role = Role.OWNER) -> User:
    """Someone who can sign in. Commits."""
    person = User(
        organization_id=firm,
        email=email,
        name=email.partition("@")[0].title(),
        password_hash=PASSWORD_HASH,
        role=role,
    )
    session.add(person)
    session.commit()
    return person


@dataclass
class Visitor:
    app: Flask
    client: FlaskClient = field(init=False)
    answer: TestResponse = field(init=False)
    _parsed: tuple[TestResponse, BeautifulSoup] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        number = next(_addresses)  # an address of one's own: sign-ins are counted by it
        address = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.client = self.app.test_client()
        self.client.environ_base["REMOTE_ADDR"] = address

    def sign_in(self, email: str) -> "Visitor":
        self.open("/sign-in")
        self.submit({"email": email, "password": PASSWORD})
        assert self.status == 200, self.text
        return self

    def open(self, path: str, *, follow: bool = True) -> "Visitor":
        self.answer = self.client.get(path, follow_redirects=follow)
        return self

    def post(self, path: str, fields: Mapping[str, object] | None = None) -> "Visitor":
        """Sends a form that the page does not have, with a good CSRF token."""
        self.answer = self.client.post(path, data={**(fields or {}), "csrf_token": self.token()})
        return self

    def token(self) -> str:
        page = self.client.get("/sign-in", follow_redirects=True)  # signed in: the first page
        found = _soup(page).find("input", {"name": "csrf_token"})
        assert isinstance(found, Tag)
        return str(found["value"])

    def submit(
        self, fields: Mapping[str, str] | None = None, *, press: str | None = None
    ) -> "Visitor":
        """Fills in the one form with these fields (and this button), sends it, follows."""
        fields = fields or {}
        form = self._form(fields, press)
        values = _values(form) | dict(fields)
        button = _button(form, press)
        if button is not None and button.get("name"):
            values[str(button["name"])] = str(button.get("value", ""))
        action = str(form.get("action") or self.answer.request.full_path)
        self.answer = self.client.post(action, data=values, follow_redirects=True)
        return self

    def _form(self, fields: Mapping[str, str], press: str | None) -> Tag:
        for form in self.page.select("main form"):
            has = {str(part["name"]) for part in form.select("[name]")}
            if set(fields) <= has and (press is None or _button(form, press)):
                return form
        raise AssertionError(f"No form with {sorted(fields)} and {press!r} on {self.path}")

    def field_names(self) -> set[str]:
        """The fields of the page's main form."""
        form = self.page.select_one("main form[method=post]")
        assert form, f"no form on {self.path}"
        return {str(part["name"]) for part in form.select("[name]")}

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def path(self) -> str:
        return self.answer.request.path

    @property
    def page(self) -> BeautifulSoup:
        if self._parsed is None or self._parsed[0] is not self.answer:
            self._parsed = (self.answer, _soup(self.answer))
        return self._parsed[1]

    @property
    def text(self) -> str:
        """What the page says, without the menu."""
        main = self.page.find("main") or self.page
        return " ".join(main.get_text(" ").split())

    def word(self, badge: str) -> str:
        """What a badge of a list says: `word("invoice-7")`."""
        found = self.page.find(id=f"badge-{badge}")
        assert found, f"no badge {badge} on {self.path}"
        return " ".join(found.get_text(" ").split())

    def panel(self) -> str:
        """What the QuickBooks panel says, from its pill on; "" when there is none."""
        found = self.page.select_one(".panel")
        return " ".join(found.get_text(" ").split()) if found else ""


def crawl(
    client: FlaskClient, most: int = 400, *, begin: str = "/"
) -> Iterator[tuple[str, TestResponse]]:
    """Every page, part and download that a page leads to, by the address that was asked for."""
    waiting, seen = [begin], {begin}
    for _ in range(most):
        if not waiting:
            return
        path = waiting.pop()
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code < 500, path
        yield path, answer
        if answer.mimetype != "text/html":
            answer.get_data()  # to its end: what is left unread keeps its request open
            continue
        page = _soup(answer)
        if page.html is None:  # a file; or a part of a page, which would lead to itself
            continue
        for link in page.select("a[href], [hx-get]"):
            address = str(link.get("hx-get") or link["href"]).partition("#")[0]
            if (
                address.startswith("/")
                and not address.startswith("/static")
                and address not in seen
            ):
                seen.add(address)
                waiting.append(address)


def firm_of(session: Session, name: str, region: str = "US") -> int:
    firm = Organization(name=name, region=region, time_zone="America/Los_Angeles")
    session.add(firm)
    session.commit()
    return firm.id


def _soup(answer: TestResponse) -> BeautifulSoup:
    return BeautifulSoup(answer.get_data(as_text=True), "lxml")


def _button(form: Tag, press: str | None) -> Tag | None:
    for button in form.select("button"):
        if press in (None, " ".join(button.get_text(" ").split())):
            return button
    return None


def _values(form: Tag) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in form.select("input[name], textarea[name], select[name]"):
        name = str(part["name"])
        if part.name == "textarea":
            values[name] = part.get_text().removeprefix("\n")
        elif part.name == "select":
            chosen = part.select_one("option[selected]") or part.select_one("option")
            values[name] = str(chosen.get("value", chosen.get_text())) if chosen else ""
        elif part.get("type") in ("checkbox", "radio"):
            if part.has_attr("checked"):
                values[name] = str(part.get("value", "on"))
        else:
            values[name] = str(part.get("value", ""))
    return values
