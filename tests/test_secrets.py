"""Rule 17: what opens somebody's books is in one place, encrypted, and shows nowhere else.

A whole life of a connection is lived with a simulator that keeps a record of every token it ever
gave out; then everything that was logged, shown, stored or raised is searched for each of them.
"""

import io
import json
import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import unwrap
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, inspect, select, text, update
from sqlalchemy.orm import Session

import logs
from app import create_app
from config import Config
from models.accounts import Role
from models.outbox import Dispatch, Entry
from models.quickbooks import ConnectionStatus, Purpose, Tokens
from models.sales import Invoice
from quickbooks import disconnecting, months, oauth, tokens
from quickbooks.comparison import Month
from quickbooks.consenting import Connected
from quickbooks.tokens import SignedOut, TokensUnavailable
from simulator.testing import running_simulator
from tests.support.firm import new_invoice, new_lead, new_payment
from tests.support.office import RIVERA, Office, open_office
from tests.support.visitor import Visitor, crawl, new_person
from tests.test_accountants import new_link

ISSUED = re.compile(r"eyJ[\w.=-]{40,}|RT1-[\w-]{20,}|XAB1[\w-]{20,}")


@dataclass
class Life:
    """An app whose every log line is kept, and a simulator whose every token is known."""

    app: Flask
    office: Office
    folder: Path
    log: io.StringIO
    raised: list[str]

    def issued(self) -> set[str]:
        """Every token and code that was ever given out."""
        kept = "".join(path.read_text() for path in self.folder.iterdir())
        return set(ISSUED.findall(kept))

    def attempt(self, act: Callable[[], object], *expected: type[Exception]) -> None:
        """Acts, expecting trouble, and keeps all that its traceback says."""
        try:
            act()
        except expected as problem:
            self.raised += traceback.format_exception(problem)
        else:
            raise AssertionError("nothing was raised")


@pytest.fixture
def life(environ: dict[str, str], tmp_path: Path) -> Iterator[Life]:
    log = io.StringIO()
    with running_simulator(tmp_path / "books") as simulator:
        app = create_app(Config.from_environ(environ | {"SIMULATOR_URL": simulator.url}))
        root = logging.getLogger()
        [handler] = [
            each
            for each in root.handlers
            if isinstance(each.formatter, structlog.stdlib.ProcessorFormatter)
        ]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(log)
        root.setLevel(logging.DEBUG)
        dunahub = app.extensions["dunahub"]
        with dunahub.sessions() as session:
            office = open_office(dunahub.sessions, dunahub.config, simulator, session)
            yield Life(app, office, tmp_path / "books", log, [])
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)
        structlog.reset_defaults()
        dunahub.database.dispose()


def test_rule_17_no_token_shows_in_a_log_a_page_the_database_or_an_exception(life: Life) -> None:
    office, simulator = life.office, life.office.simulator
    owner = Visitor(life.app).sign_in("ana@rivera.example")

    # Connected, through the browser: the callback's address carries a code.
    owner.open("/settings/quickbooks")
    begun = owner.post("/settings/quickbooks/connection").answer.headers["Location"]
    told = office.consent(begun, RIVERA)
    owner.answer = owner.client.get(
        "/settings/quickbooks/callback", query_string=dict(told), follow_redirects=True
    )
    assert owner.status == 200
    owner.submit(press="Yes, start")
    assert office.connection.is_live

    # The main job; then an access token that QuickBooks refuses while we think it good: it says
    # the token in its answer.
    lead = new_lead(office.firm, email="kim@greenlawn.example")
    invoice = new_invoice(office.firm, lead)
    office.save(lead, invoice)
    office.save(new_payment(office.firm, invoice))
    office.drain()
    assert {state for _, state in office.states()} == {"synced"}
    simulator.advance(25 * 3600)  # the refresh token is another one, too
    office.save(new_lead(office.firm, "The day after"))
    office.drain()
    assert office.states()[-1] == ("lead", "synced")

    # Faults that repeat the token: of one record (a person reads it), of the company, of nobody.
    access = _stored_access(office)
    echoes: dict[str, dict[str, object]] = {
        "Refused Co": {
            "fault": {"code": "6000", "message": f"No: {access}", "detail": f"Bearer {access} no"}
        },
        "Gateway Co": {"status": 502, "body": f"<html>Token rejected: {access}</html>"},
        "Signed Out Co": {"status": 401, "body": f"token={access}", "format": "xml"},
    }
    for name, do in echoes.items():
        simulator.fault(match={"path": "/v3/", "method": "POST", "times": 1}, do=do)
        office.save(new_lead(office.firm, name))
        office.drain()
        office.pass_time()
    with office.sessions() as session:
        kept = session.scalars(select(Dispatch.answer).where(Dispatch.answer.is_not(None))).all()
        failed = session.scalars(select(Entry.fault_detail).where(Entry.fault_code == "6000")).all()
    assert any("[hidden]" in (answer or "") for answer in kept)
    assert any("[hidden]" in (detail or "") for detail in failed)

    # Trouble of the token endpoint, told as exceptions.
    connection_id = office.connection.id
    for trouble in (
        {"status": 500, "body": f"oops {_stored_refresh(office)}"},
        {"status": 200, "body": f"<html>{_stored_refresh(office)}</html>"},
        {"reset": "before"},
        {"status": 401, "body": json.dumps({"error": "invalid_client"})},
    ):
        simulator.fault(match={"path": "/oauth2/v1/tokens/bearer", "times": 1}, do=trouble)
        _age(office)
        life.attempt(
            lambda: tokens.access_token(office.sessions, office.config, connection_id),
            TokensUnavailable,
        )
        simulator.fault(match={"path": "/oauth2/v1/tokens/bearer", "times": 1}, do=trouble)
        life.attempt(
            lambda: oauth.refresh(office.config, _stored_refresh(office)),
            oauth.Unavailable,
            oauth.Misconfigured,
        )
    simulator.fault(match={"path": "revoke", "times": 1}, do={"status": 503, "body": access})
    life.attempt(lambda: oauth.revoke(office.config, access), oauth.Unavailable)

    # Refused, and connected again.
    simulator.revoke(RIVERA)
    _age(office)
    life.attempt(
        lambda: tokens.access_token(office.sessions, office.config, connection_id), SignedOut
    )
    assert office.connection.status == ConnectionStatus.EXPIRED
    assert isinstance(office.connect(purpose=Purpose.RECONNECT), Connected)
    office.drain()

    # The month is compared with what is there, which echoes a token at first.
    _compare(office)
    trouble = {"status": 400, "body": f"No: {_stored_access(office)}"}
    simulator.fault(match={"path": "/query", "times": 1}, do=trouble)
    assert months.compare_due(office.sessions, office.config) == 0
    with office.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_comparisons SET available_at = now()"))
    assert months.compare_due(office.sessions, office.config) == 1

    # Disconnected while Intuit is down, and revoked by the job.
    simulator.fault(match={"path": "revoke", "times": 1}, do={"status": 503})
    ended = disconnecting.disconnect(office.sessions, office.config, office.firm, office.owner)
    assert ended
    assert not ended.revoked
    seen_while_revoking = _dump(office)
    with office.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_revocations SET available_at = now()"))
    assert disconnecting.revoke_due(office.sessions, office.config) == 1

    new_person(office.session, None, "dana@dunahub.example", Role.ADMIN)
    admin = Visitor(life.app).sign_in("dana@dunahub.example")
    files: set[str] = set()
    accountant, link = Visitor(life.app), new_link(owner)
    searched = {
        "the log": life.log.getvalue(),
        "an exception": "\n".join(life.raised),
        "the database": seen_while_revoking + _dump(office),
        "the metrics": Visitor(life.app).open("/metrics").answer.get_data(as_text=True),
        "the health": Visitor(life.app).open("/readyz").answer.get_data(as_text=True),
        **{f"the owner's {path}": page for path, page in _shown(life, owner, files)},
        **{f"the admin's {path}": page for path, page in _shown(life, admin, files)},
        **{
            f"the accountant's {path.replace(link, '')}": page
            for path, page in _shown(life, accountant, files, begin=link)
        },
    }
    assert files == _downloads(life.app) != set()
    assert "dunahub_outbox_outcomes_total" in searched["the metrics"]
    assert "last_look_seconds" in searched["the health"]
    issued = life.issued()
    assert len([one for one in issued if one.startswith("RT1-")]) >= 3
    assert len([one for one in issued if one.startswith("eyJ")]) >= 4
    assert len([one for one in issued if one.startswith("XAB1")]) >= 2
    assert len(searched) > 20
    leaks = {
        where: secret[:12]
        for where, content in searched.items()
        for secret in issued
        if secret in content or secret[-40:] in content  # or its end: redaction stopped too early
    }
    assert leaks == {}
    for secret in office.config.secrets:
        if secret != office.config.client_secret:  # the simulator's is no secret
            assert secret not in "".join(searched.values())


def _stored_access(office: Office) -> str:
    with office.sessions() as session:
        return tokens.decrypt(office.config, session.scalars(select(Tokens)).one().access_token)


def _stored_refresh(office: Office) -> str:
    with office.sessions() as session:
        return tokens.decrypt(office.config, session.scalars(select(Tokens)).one().refresh_token)


def _age(office: Office) -> None:
    """The access token is about to run out."""
    with office.sessions.begin() as session:
        session.execute(update(Tokens).values(access_expires_at=func.clock_timestamp()))


def _compare(office: Office) -> None:
    """The owner wants the month of the main job's invoice compared."""
    with office.sessions.begin() as session:
        issued_on = session.scalars(select(Invoice.issued_on)).one()
        assert months.ask(session, office.firm, Month.of(issued_on), office.owner.id)


def _dump(office: Office) -> str:
    """Every row of every table, as text."""
    with office.sessions() as session:
        tables = inspect(session.connection()).get_table_names()
        assert len(tables) > 20
        rows = [
            row
            for table in tables
            for row in session.execute(text(f'SELECT "{table}"::text FROM "{table}"')).scalars()
        ]
    return "\n".join(rows)


def _downloads(app: Flask) -> set[str]:
    """The endpoints that answer with a file of rows."""
    return {
        endpoint
        for endpoint, view in app.view_functions.items()
        if "csv_of" in unwrap(view).__code__.co_names
    }


def _shown(
    life: Life, visitor: Visitor, found: set[str], begin: str = "/"
) -> Iterator[tuple[str, str]]:
    """Every page and download that links lead to; the endpoints of files with rows are `found`."""
    adapter = life.app.url_map.bind("localhost")
    for path, answer in crawl(visitor.client, begin=begin):
        content = answer.get_data().decode("utf-8", "replace")  # a PDF is no text
        if answer.mimetype == "text/csv" and len(content.splitlines()) > 1:
            found.add(adapter.match(urlsplit(path).path)[0])
        yield path, content


# --- The log line itself --------------------------------------------------------------------------

TOKEN = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4Q0JDIn0..q9Zk3vXyT0PpLr2w.aB-cD_eF"
REFRESH = "RT1-42-H0-1785429816rcysb9dns1ofreknypnm"
OPAQUE = "aSecretWithoutAnyPatternWhatsoever"


class _Strange:
    def __repr__(self) -> str:
        return f"Strange({TOKEN})"


@pytest.mark.parametrize(
    "values",
    [
        {"token": TOKEN},
        {"nested": {"deep": [{"access_token": OPAQUE}, (REFRESH,)]}},
        {
            "answer": json.dumps(
                {"refresh_token": OPAQUE, "inner": json.dumps({"password": OPAQUE})}
            )
        },
        {"raw": b"Authorization: Bearer " + TOKEN.encode()},
        {"object": _Strange()},
        {"problem": ValueError(f"refused {TOKEN}")},
        {"address": f"https://dunahub.example/callback?code={OPAQUE}&state={OPAQUE}&realmId=1"},
        {"database": f"postgresql://dunahub:{OPAQUE}@db.example/dunahub"},
        {f"key {TOKEN}": "value"},
    ],
)
def test_rule_17_nothing_secret_passes_the_renderer(values: dict[str, object]) -> None:
    line = _logged(lambda log: log.info("something happened", **values))
    _nothing_secret_in(line)
    assert "hidden" in line
    assert json.loads(line)["event"] == "something happened"


def test_rule_17_an_exception_is_logged_without_its_secrets() -> None:
    def fail(log: structlog.stdlib.BoundLogger) -> None:
        try:
            try:
                raise RuntimeError(f"inner {REFRESH}")
            except RuntimeError as inner:
                raise ValueError(f"outer Bearer {TOKEN}") from inner
        except ValueError:
            log.exception("failed", access=TOKEN)

    line = _logged(fail)
    _nothing_secret_in(line)
    assert "RuntimeError: inner" in line
    assert "ValueError: outer" in line


def test_rule_17_a_librarys_own_record_is_redacted_too() -> None:
    def speak(_log: object) -> None:
        logging.getLogger("urllib3").warning(
            "retrying %s with %r",
            "/x",
            {"Authorization": f"Bearer {TOKEN}"},
            extra={"own": REFRESH},
        )

    _nothing_secret_in(_logged(speak))


def test_rule_17_a_known_value_is_hidden_whatever_it_looks_like() -> None:
    logs.hide(["quite/ordinary words"])
    for text_ in ("it is quite/ordinary words", "?x=quite%2Fordinary%20words"):
        assert "ordinary" not in logs.redact(text_)
    logs.hide(["short"])
    assert logs.redact("a short story") == "a short story"


def test_rule_17_a_dying_thread_goes_through_the_log() -> None:
    def die(_log: object) -> None:
        try:
            raise RuntimeError(TOKEN)
        except RuntimeError as problem:
            told = threading.ExceptHookArgs((RuntimeError, problem, problem.__traceback__, None))
            logs._log_uncaught_in_thread(told)

    line = _logged(die)
    _nothing_secret_in(line)
    assert "uncaught exception" in line


# --- Every line is JSON ---------------------------------------------------------------------------


def test_case_s05_a_hidden_value_leaves_the_line_json() -> None:
    for value in (
        'password=x"',
        'password="x',
        "token expired: \\",
        'https://me:pa"ss@host',
        "password=a\\",
        '{"password": "a\\"b"}',
        f"Bearer {TOKEN}\\",
        "eyJaaaaaaaaaaaa\\",
    ):
        line = _logged(lambda log, value=value: log.info("voided", number=value))  # type: ignore[misc]
        assert json.loads(line)["event"] == "voided", value


SECRETIVE = st.sampled_from(
    [
        *(
            "password=",
            'password="',
            "'",
            '"',
            "\\",
            "\\\\",
            "{",
            "}",
            ":",
            ",",
            "&",
            "?code=",
            "://a:",
        ),
        *(
            "@",
            "\n",
            "\r",
            "\x00",
            "\x85",
            "\u2028",
            "\ud800",
            "é",
            "eyJ" + "a" * 9,
            "RT1-",
            "Bearer ",
        ),
        *(
            f" {TOKEN}",
            f"\n{TOKEN}\\n{TOKEN}",
            "token expired: ",
            '"access_token": "',
            "\\u",
            "AB1" + "a" * 16,
        ),
    ]
)
TEXTS = st.text(max_size=8) | st.lists(SECRETIVE, max_size=6).map("".join)
VALUES = st.recursive(
    TEXTS
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.binary(max_size=6)
    | st.decimals()
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS | st.integers() | st.none(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)
QUICK = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300
)  # a busy machine


@QUICK
@given(st.dictionaries(TEXTS.filter(bool), VALUES, max_size=3), TEXTS)
def test_case_s05_whatever_is_logged_is_one_line_of_json(
    values: dict[str, object], event: str
) -> None:
    line = logs._render(None, "info", {**values, "event": event})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert isinstance(json.loads(line), dict)
    assert TOKEN[-16:] not in line


@QUICK
@given(TEXTS)
def test_case_s05_a_redacted_answer_can_still_be_read(text_: str) -> None:
    for body in (json.dumps({"a": text_, "b": 1}), json.dumps({"a": json.dumps([text_])})):
        assert json.loads(logs.redact(body))


def test_values_that_refer_to_themselves_or_fail_are_written_all_the_same() -> None:
    class Failing:
        def __repr__(self) -> str:
            raise RuntimeError(TOKEN)

    circle: list[object] = [1]
    circle += [circle, circle]
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    line = _logged(
        lambda log: log.info("odd", circle=circle, deep=deep, failing=Failing(), huge=10**5000)
    )
    _nothing_secret_in(line)
    assert json.loads(line)["circle"] == [1, "[…]", "[…]"]
    assert "Failing" in json.loads(line)["failing"]


def test_a_line_that_cannot_be_written_is_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = _logged(lambda _log: logging.getLogger("urllib3").warning("%d tries", TOKEN))
    _nothing_secret_in(line)
    assert json.loads(line)["event"] == "a log line could not be written"
    assert capsys.readouterr().err == ""


def test_a_number_that_is_a_secret_is_hidden() -> None:
    logs.hide(["8412750369"])
    line = _logged(lambda log: log.info("paid", number=8412750369, other=8412750368))
    assert json.loads(line)["number"] == logs.HIDDEN
    assert json.loads(line)["other"] == 8412750368


def test_a_database_error_tells_no_customers_values(session: Session) -> None:
    person = new_person(session, None, "someone@private.example", Role.ADMIN)
    with pytest.raises(Exception, match="parameters hidden") as raised:
        session.execute(
            text("INSERT INTO users (email, name, password_hash, role) VALUES (:e, :n, :p, 'x')"),
            {"e": "private@private.example", "n": "N", "p": person.password_hash},
        )
    assert "private@private.example" not in str(raised.value).partition("DETAIL")[0]


def _logged(act: Callable[[structlog.stdlib.BoundLogger], object]) -> str:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs.configure()
    handler = next(one for one in root.handlers if one not in before)
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    root.handlers[:] = [handler]  # pytest's own raises what ours must bear
    try:
        act(structlog.get_logger("test"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
    return stream.getvalue().strip()


def _nothing_secret_in(line: str) -> None:
    for secret in (TOKEN, TOKEN[-16:], REFRESH, OPAQUE):
        assert secret not in line, line
