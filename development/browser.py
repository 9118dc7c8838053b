"""A headless browser without JavaScript: follows redirects, keeps cookies, fills in forms."""

from collections.abc import Mapping
from urllib.parse import urljoin

import requests
from bs4 import BeautifulSoup, Tag

DEADLINE = 60  # seconds per page

Values = dict[str, str]


class Unexpected(Exception):
    """The page is not what was expected at this step."""


class Browser:
    def __init__(self, address: str) -> None:
        self.url = address
        self.visited: list[str] = []  # in the last step, including redirects
        self.page = BeautifulSoup("", "html.parser")
        self._http = requests.Session()
        self._http.trust_env = False  # connect directly, without the environment's proxies

    def close(self) -> None:
        self._http.close()

    def open(self, path: str) -> None:
        self._show(self._http.get(urljoin(self.url, path), timeout=DEADLINE))

    def submit(self, fields: Mapping[str, str] | None = None, *, press: str = "") -> None:
        """Fills in and submits the first form with these fields and a button with this label."""
        form, button = self._form_with(fields or {}, press)
        target = button.get("formaction") or form.get("action") or self.url
        address = urljoin(self.url, str(target))
        values = _values_of(form) | {name: value for name, value in (fields or {}).items() if value}
        if button.get("name"):
            values[str(button["name"])] = str(button.get("value", ""))
        method = str(button.get("formmethod") or form.get("method") or "get").lower()
        if method == "get":
            self._show(self._http.get(address, params=values, timeout=DEADLINE))
            return
        headers = {"Referer": self.url}
        self._show(self._http.post(address, data=values, headers=headers, timeout=DEADLINE))

    @property
    def text(self) -> str:
        return _words(self.page)

    def _form_with(self, fields: Mapping[str, str], press: str) -> tuple[Tag, Tag]:
        for form in self.page.find_all("form"):
            names = {str(field["name"]) for field in form.find_all(attrs={"name": True})}
            button = next((one for one in _buttons(form) if press.lower() in _label(one)), None)
            if button is not None and names.issuperset(fields):
                return form, button
        wanted = ", ".join(fields) or "anything"
        raise Unexpected(f"{self.url} has no form for {wanted} {press!r}: {self.text[:300]}")

    def _show(self, answer: requests.Response) -> None:
        self.url = answer.url
        self.visited = [step.url for step in (*answer.history, answer)]
        self.page = BeautifulSoup(answer.text, "html.parser")
        if not answer.ok:
            raise Unexpected(f"{answer.url} answers {answer.status_code}: {self.text[:600]}")


def _values_of(form: Tag) -> Values:
    """The values that the form would send unchanged."""
    values: Values = {}
    for field in form.find_all(["input", "select", "textarea"], attrs={"name": True}):
        name, kind = str(field["name"]), str(field.get("type", "text"))
        if field.has_attr("disabled") or kind in ("submit", "button", "image", "file"):
            continue
        if kind in ("checkbox", "radio"):
            if field.has_attr("checked"):
                values[name] = str(field.get("value", "on"))
        elif field.name == "textarea":
            values[name] = field.get_text().removeprefix("\n")
        elif field.name == "select":
            options = field.find_all("option")
            chosen = next((one for one in options if one.has_attr("selected")), None)
            if options:
                values[name] = str((chosen or options[0]).get("value", ""))
        else:
            values[name] = str(field.get("value", ""))
    return values


def _buttons(form: Tag) -> list[Tag]:
    return [
        button
        for button in form.find_all(["button", "input"])
        if (button.name == "button" and button.get("type", "submit") == "submit")
        or (button.name == "input" and button.get("type") in ("submit", "image"))
    ]


def _label(button: Tag) -> str:
    return f"{_words(button)} {button.get('value', '')} {button.get('aria-label', '')}".lower()


def _words(element: Tag) -> str:
    return " ".join(element.get_text(" ").split())
