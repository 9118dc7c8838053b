"""A missing or bad value stops the start and names itself."""

import os
import re
from contextlib import suppress
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app import create_app
from config import INSECURE_TRANSPORT, BadConfig, Config

ROOT = Path(__file__).parent.parent
KEY = Fernet.generate_key().decode()
SIMULATED = {
    "DATABASE_URL": "postgresql://dunahub@localhost/dunahub",
    "SECRET_KEY": "a secret for development",
    "TOKEN_KEYS": KEY,
    "QUICKBOOKS_ENVIRONMENT": "simulator",
}
PRODUCTION = SIMULATED | {
    "QUICKBOOKS_ENVIRONMENT": "production",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "QUICKBOOKS_CLIENT_ID": "our-app",
    "QUICKBOOKS_CLIENT_SECRET": "our-secret",
    "BASE_URL": "https://dunahub.example",
}


def test_four_values_are_enough_for_the_simulator() -> None:
    config = Config.from_environ(SIMULATED)
    assert config.redirect_uri == "http://127.0.0.1:5000/settings/quickbooks/callback"
    assert not config.secure_cookies
    assert config.call_deadline < config.lease < config.resend_after
    assert config.resend_after > timedelta(seconds=120)  # Intuit may work that long on one request


def test_production_serves_cookies_over_https_only() -> None:
    assert Config.from_environ(PRODUCTION).secure_cookies


@pytest.mark.parametrize(
    "name", "DATABASE_URL SECRET_KEY TOKEN_KEYS QUICKBOOKS_ENVIRONMENT".split()
)
def test_a_missing_value_names_itself(name: str) -> None:
    for environ in (SIMULATED, PRODUCTION):
        with pytest.raises(BadConfig, match=name):
            Config.from_environ(environ | {name: " "})


@pytest.mark.parametrize("name", "QUICKBOOKS_CLIENT_ID QUICKBOOKS_CLIENT_SECRET BASE_URL".split())
def test_intuit_needs_values_that_the_simulator_does_not(name: str) -> None:
    Config.from_environ(SIMULATED | {name: ""})
    with pytest.raises(BadConfig, match=name):
        Config.from_environ(PRODUCTION | {name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUICKBOOKS_ENVIRONMENT", "live"),
        ("CALL_DEADLINE", "soon"),
        ("CALL_DEADLINE", "80"),
        ("LEASE", "200"),
        ("LEASE", "-1"),
        ("RESEND_AFTER", "86400"),
        ("POLL_INTERVAL", "0"),
        ("POLL_INTERVAL", "nan"),
        ("DRAINERS", "0"),
        ("DRAINERS", "1.5"),
        ("DRAINERS", "65"),
        ("TOKEN_KEYS", "not a key"),
        ("TOKEN_KEYS", ","),
    ],
)
def test_a_bad_value_names_itself(name: str, value: str) -> None:
    with pytest.raises(BadConfig, match=name):
        Config.from_environ(SIMULATED | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OAUTHLIB_INSECURE_TRANSPORT", "1"),
        ("BASE_URL", "http://dunahub.example"),
        ("QUICKBOOKS_CLIENT_SECRET", "dunahub-development-secret"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("SECRET_KEY", "please-CHANGE-me-0123456789-0123456789"),
        ("TOKEN_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("DATABASE_URL", "postgresql://app:postgres@db.internal/app"),
        ("DATABASE_URL", "postgresql://app:1234567@db.internal/app"),
        ("METRICS_TOKEN", "0123456789"),
        ("METRICS_TOKEN", "example-token-0123456789"),
        ("PAYMENTS_WEBHOOK_SECRET", "0123456789abcdef"),
        ("PAYMENTS_WEBHOOK_SECRET", "change-me-0123456789-0123456789-abc"),
        ("SMTP_URL", "mail.internal:587"),
        ("SMTP_URL", "http://mail.internal"),
        ("SMTP_URL", "smtp://mail.internal"),  # from whom? MAIL_FROM is not set
        ("OPERATORS", "the night shift"),
        ("PROXIES", "-1"),
    ],
)
def test_production_refuses_what_is_for_development(name: str, value: str) -> None:
    with pytest.raises(BadConfig, match=name):
        Config.from_environ(PRODUCTION | {name: value})


def test_a_simulator_is_not_served_to_the_world() -> None:
    with pytest.raises(BadConfig, match="QUICKBOOKS_ENVIRONMENT is simulator"):
        Config.from_environ(SIMULATED | {"BASE_URL": "https://dunahub.example"})


@pytest.mark.parametrize(
    "name", "DATABASE_URL SECRET_KEY TOKEN_KEYS QUICKBOOKS_CLIENT_SECRET".split()
)
def test_a_secret_can_come_from_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(PRODUCTION[name] + "\n")
    environ = {key: value for key, value in PRODUCTION.items() if key != name}
    assert Config.from_environ(environ | {f"{name}_FILE": str(path)}) == Config.from_environ(
        PRODUCTION
    )
    with pytest.raises(BadConfig, match=f"{name}_FILE"):
        Config.from_environ(environ | {f"{name}_FILE": str(tmp_path / "nowhere")})


def test_token_keys_can_be_rotated() -> None:
    new = Fernet.generate_key().decode()
    assert Config.from_environ(SIMULATED | {"TOKEN_KEYS": f"{new}, {KEY}"}).token_keys == (new, KEY)


def test_no_secret_shows_when_the_configuration_is_printed() -> None:
    """Rule 17."""
    printed = repr(Config.from_environ(PRODUCTION))
    for name in ("SECRET_KEY", "TOKEN_KEYS", "QUICKBOOKS_CLIENT_SECRET", "DATABASE_URL"):
        assert PRODUCTION[name] not in printed


def test_the_readme_describes_every_variable() -> None:
    names = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config.py").read_text()))
    described = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert names
    assert names - described == set()


# --- Values that are good alone -------------------------------------------------------------------

OTHER_KEY = Fernet.generate_key().decode()
COMPLETE = PRODUCTION | {
    "DATABASE_URL": "postgresql://dunahub:W7v2kQ9xPz@db.internal:5432/dunahub",
    "METRICS_TOKEN": "kP3vX8qL2nB7wR5tY9zC",
    "PAYMENTS_WEBHOOK_SECRET": "Zt8xW2qN5vB9mK4rL7pY3cH6jF1gD0sA",
    "SMTP_URL": "smtp://mailer:Hq4Lw8Tn2Z@mail.internal:587",
    "MAIL_FROM": "DunaHub <billing@dunahub.example>",
    "OPERATORS": "night@dunahub.example, root@localhost",
}


def test_a_complete_production_environment_is_accepted() -> None:
    config = Config.from_environ(COMPLETE)
    assert config.operators == ("night@dunahub.example", "root@localhost")
    assert {"W7v2kQ9xPz", "Hq4Lw8Tn2Z"} <= set(config.secrets)


@pytest.mark.parametrize(
    ("base", "set_to", "named"),
    [
        # Times.
        (PRODUCTION, {"RESEND_AFTER": "80"}, "RESEND_AFTER"),
        (PRODUCTION, {"RESEND_AFTER": "120"}, "RESEND_AFTER"),
        (PRODUCTION, {"CALL_DEADLINE": "1"}, "CALL_DEADLINE"),
        (
            PRODUCTION,
            {"CALL_DEADLINE": "300", "LEASE": "400", "RESEND_AFTER": "500"},
            "CALL_DEADLINE",
        ),
        (PRODUCTION, {"CALL_DEADLINE": "70.5"}, "CALL_DEADLINE must be at most 70 seconds"),
        (SIMULATED, {"POLL_INTERVAL": "3600"}, "POLL_INTERVAL"),
        # Lists with nothing in them.
        (PRODUCTION, {"PAYMENTS_WEBHOOK_SECRET": ","}, "PAYMENTS_WEBHOOK_SECRET"),
        (COMPLETE, {"PAYMENTS_WEBHOOK_SECRET": "Zt8xW2qN5vB9mK4rL7pY3cH6jF1gD0sA,"}, "PAYMENTS_W"),
        (COMPLETE, {"OPERATORS": " , "}, "OPERATORS"),
        (COMPLETE, {"OPERATORS": "one@dunahub.example two@dunahub.example"}, "OPERATORS"),
        (PRODUCTION, {"TOKEN_KEYS": f"{KEY},"}, "TOKEN_KEYS"),
        # One secret for two purposes.
        (PRODUCTION, {"METRICS_TOKEN": PRODUCTION["SECRET_KEY"]}, "METRICS_TOKEN"),
        (PRODUCTION, {"SECRET_KEY": KEY}, "SECRET_KEY and TOKEN_KEYS"),
        (PRODUCTION, {"TOKEN_KEYS": f"{KEY}, {KEY}"}, "TOKEN_KEYS"),
        (PRODUCTION, {"SECRET_KEY": f"{KEY},{OTHER_KEY}", "TOKEN_KEYS": OTHER_KEY}, "TOKEN_KEYS"),
        (COMPLETE, {"METRICS_TOKEN": COMPLETE["PAYMENTS_WEBHOOK_SECRET"]}, "METRICS_TOKEN"),
        (COMPLETE, {"QUICKBOOKS_CLIENT_SECRET": COMPLETE["METRICS_TOKEN"]}, "QUICKBOOKS_CLIENT_S"),
        (COMPLETE, {"QUICKBOOKS_CLIENT_ID": "our-secret"}, "QUICKBOOKS_CLIENT_ID"),
        (COMPLETE, {"SMTP_URL": "smtp://me:W7v2kQ9xPz@mail.internal"}, "DATABASE_URL and SMTP_URL"),
        # Plain http, and what is for one machine.
        (SIMULATED, {"BASE_URL": "http://dunahub.example"}, "BASE_URL"),
        (SIMULATED, {"BASE_URL": "http://192.168.1.5:5000"}, "BASE_URL"),
        (SIMULATED, {"SIMULATOR_URL": "http://quickbooks.example"}, "SIMULATOR_URL"),
        (SIMULATED, {"SIMULATOR_URL": "http://127.0.0.1:5000"}, "SIMULATOR_URL and BASE_URL"),
        (
            PRODUCTION,
            {"QUICKBOOKS_ENVIRONMENT": "sandbox", "BASE_URL": "http://dunahub.example"},
            "BASE_URL",
        ),
        (PRODUCTION, {"BASE_URL": "http://localhost"}, "BASE_URL"),
        (PRODUCTION, {"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
        (PRODUCTION, {"OAUTHLIB_INSECURE_TRANSPORT": "0"}, "OAUTHLIB_INSECURE_TRANSPORT"),
        (PRODUCTION, {"QUICKBOOKS_CLIENT_ID": "dunahub-development"}, "QUICKBOOKS_CLIENT_ID"),
        # Addresses.
        *(
            (PRODUCTION, {"BASE_URL": address}, "BASE_URL")
            for address in (
                "https://",
                "https://:443",
                "https://dunahub.example:99999",
                "https://dunahub.example:0",
                "https://dunahub.example:",
                "https://dunahub.example:port",
                "https://dunahub.example?x=1",
                "https://dunahub.example/?",
                "https://dunahub.example/#top",
                "https://dunahub.example/app",
                "https://me@dunahub.example",
                "https://me:pw@dunahub.example",
                "https://@dunahub.example",
                "https://duna hub.example",
                "https://[::1",
                "https://-dunahub.example",
                "https://dunahub..example",
                "https://999.1.1.1",
                "https://dunahub.example\nhttps://evil.example",
                "dunahub.example",
                "ftp://dunahub.example",
                "https:dunahub.example",
            )
        ),
        (COMPLETE, {"SMTP_URL": "smtp://mail.internal:99999"}, "SMTP_URL"),
        (COMPLETE, {"SMTP_URL": "smtp://me@mail.internal"}, "SMTP_URL"),
        (COMPLETE, {"SMTP_URL": "smtp://:Hq4Lw8Tn2Z@mail.internal"}, "SMTP_URL"),
        (COMPLETE, {"SMTP_URL": "smtp://mail.internal/?tls=no"}, "SMTP_URL"),
        (COMPLETE, {"SMTP_URL": "smtp://me:a/b@mail.internal"}, "SMTP_URL"),
        (COMPLETE, {"SMTP_URL": ""}, "SMTP_URL"),
        (PRODUCTION, {"MAIL_FROM": "billing@dunahub.example"}, "MAIL_FROM"),
        (COMPLETE, {"MAIL_FROM": "@"}, "MAIL_FROM"),
        (COMPLETE, {"MAIL_FROM": "billing@dunahub.example\nBcc: all@evil.example"}, "MAIL_FROM"),
        *(
            (PRODUCTION, {"DATABASE_URL": address}, "DATABASE_URL")
            for address in (
                "mysql://dunahub@localhost/dunahub",
                "sqlite:///dunahub.db",
                "dunahub",
                "postgresql://",
                "postgresql://dunahub@localhost",
                "postgresql://dunahub@localhost:99999/dunahub",
                "postgresql://dunahub@localhost:port/dunahub",
                "postgresql-dunahub@localhost",
                "postgresql://dunahub@localhost/dunahub?password=W7v2kQ9xPz",
                "postgresql://dunahub@localhost/dunahub?sslmode=require&password=W7v2kQ9xPz",
                "postgresql://dunahub:W7v2kQ9xPz@localhost/dunahub?sslpassword=Hq4Lw8Tn2Z",
            )
        ),
        # Numbers and words.
        *((SIMULATED, {"DRAINERS": number}, "DRAINERS") for number in ("²", "٣", "1_0", "+4")),
        (SIMULATED, {"LEASE": "٧٥"}, "LEASE"),
        (SIMULATED, {"LEASE": "7_5"}, "LEASE"),
        (SIMULATED, {"CALL_DEADLINE": "inf"}, "CALL_DEADLINE"),
        (SIMULATED, {"PROXIES": "²"}, "PROXIES"),
        (COMPLETE, {"METRICS_TOKEN": "kP3vX8qL2nB7 wR5tY9zC"}, "METRICS_TOKEN"),
        (COMPLETE, {"METRICS_TOKEN": "kP3vX8qL2nB7ßwR5tY9zC"}, "METRICS_TOKEN"),
    ],
)
def test_case_s06_what_contradicts_is_refused_by_name(
    base: dict[str, str], set_to: dict[str, str], named: str
) -> None:
    Config.from_environ(base)
    with pytest.raises(BadConfig, match=named):
        Config.from_environ(base | set_to)


@pytest.mark.parametrize("address", ["https://dunahub.example/", "https://[2001:db8::1]:8443"])
def test_an_address_with_a_port_or_a_closing_slash_is_accepted(address: str) -> None:
    uri = Config.from_environ(PRODUCTION | {"BASE_URL": address}).redirect_uri
    assert uri == address.rstrip("/") + "/settings/quickbooks/callback"


@pytest.mark.parametrize(
    "name",
    "DATABASE_URL SECRET_KEY TOKEN_KEYS QUICKBOOKS_CLIENT_SECRET SMTP_URL METRICS_TOKEN"
    " PAYMENTS_WEBHOOK_SECRET".split(),
)
def test_case_s06_a_secret_given_twice_or_in_no_text_file_is_refused(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text(COMPLETE[name])
    with pytest.raises(BadConfig, match=f"{name} and {name}_FILE are both set"):
        Config.from_environ(COMPLETE | {f"{name}_FILE": str(path)})
    from_file = {key: value for key, value in COMPLETE.items() if key != name}
    from_file[f"{name}_FILE"] = str(path)
    Config.from_environ(from_file)
    for content in (
        b"",
        b" \n",
        b"\xff\xfe\x00",
        os.urandom(64) + b"\xff",
        b"one\ntwo",
        b"\0" * 99,
    ):
        path.write_bytes(content)
        with pytest.raises(BadConfig, match=f"{name}_FILE"):
            Config.from_environ(from_file)
    for nowhere in (str(tmp_path), "/dev/zero", "a\0b", "x" * 5000):
        with pytest.raises(BadConfig, match=f"{name}_FILE"):
            Config.from_environ(from_file | {f"{name}_FILE": nowhere})


@pytest.mark.parametrize("name", ["BASE_URL", "QUICKBOOKS_CLIENT_ID", "MAIL_FROM", "DRAINERS"])
def test_a_file_for_what_is_no_secret_is_not_silently_ignored(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=f"{name}_FILE"):
        Config.from_environ(COMPLETE | {f"{name}_FILE": str(tmp_path)})


def test_a_refusal_repeats_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"Xq9-secret-part \xff")
    attempts = [
        COMPLETE | {"DATABASE_URL": "mysql://me:Xq9-secret-part@host/db"},
        COMPLETE | {"SMTP_URL": "http://me:Xq9-secret-part@host"},
        COMPLETE | {"BASE_URL": "https://me:Xq9-secret-part@host"},
        COMPLETE | {"TOKEN_KEYS": "Xq9-secret-part"},
        COMPLETE | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(path)},
    ]
    for environ in attempts:
        with pytest.raises(BadConfig) as refused:
            Config.from_environ(environ)
        assert "Xq9" not in f"{refused.value} {refused.value.__cause__!r}"


def test_the_simulator_environment_needs_no_switch_for_plain_http(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INSECURE_TRANSPORT)
    app: Flask = create_app(config)
    app.extensions["dunahub"].database.dispose()
    assert os.environ[INSECURE_TRANSPORT]


NAMES = sorted(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config.py").read_text()))
NAMES = sorted({*NAMES, "DATABASE_URL", INSECURE_TRANSPORT, "FLASK_DEBUG"})
ODD = st.sampled_from(
    [
        *(
            "",
            " ",
            ",",
            "0",
            "-1",
            "1",
            "²",
            "1e3",
            "nan",
            "64",
            "80",
            "119",
            "yes",
            "no",
            "x" * 40,
        ),
        *(
            "simulator",
            "sandbox",
            "production",
            "http://",
            "https://:1",
            "http://[",
            "//",
            "a@b@c:1",
        ),
        *(
            "https://dunahub.example",
            "http://localhost:5001",
            "smtp://a:b@c",
            "postgres://x/y",
            KEY,
        ),
        *(COMPLETE.values()),
    ]
)


def _refused_by_name(environ: dict[str, str], changed: set[str]) -> None:
    """Accepts, or refuses in words that name what was changed or is now missing. Anything else is
    a traceback."""
    with suppress(BadConfig):
        Config.from_environ(environ)
        return
    with pytest.raises(BadConfig, match="|".join([*changed, "is not set"])):
        Config.from_environ(environ)


@settings(suppress_health_check=[HealthCheck.too_slow])  # its tables of Unicode
@given(st.dictionaries(st.sampled_from(NAMES), ODD | st.text(max_size=60), max_size=3))
@example({"BASE_URL": "http://["})
@example({"QUICKBOOKS_ENVIRONMENT": "production"})  # which needs more than the simulator
def test_any_values_are_accepted_or_refused_by_name(changes: dict[str, str]) -> None:
    changes = {name: value.replace("\0", "") for name, value in changes.items()}
    for base in (SIMULATED, PRODUCTION, COMPLETE):
        _refused_by_name(base | changes, {*changes})


def test_any_two_settings_with_one_value_are_accepted_or_refused_by_name() -> None:
    """What is pasted into two places at once, for each pair of settings and each kind of value."""
    for one, other in combinations(NAMES, 2):
        for value in ("", "7", "a@b.example", "https://a.example", KEY, COMPLETE["METRICS_TOKEN"]):
            _refused_by_name(COMPLETE | {one: value, other: value}, {one, other})


STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_Pw7Zt3Vn8Rk2Lx6Qd9Hb4Jf1Mg5Ys0",
    "STRIPE_WEBHOOK_SECRET": "whsec_Xq3pT9wZk7Lr2Vx8Nc,whsec_Ga8rU2vQe6Bn1Zk7Tf",
}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_SECRET_KEY": "pk_test_Pw7Zt3Vn8Rk2Lx6Qd9Hb"}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_WEBHOOK_SECRET": "Xq3pT9wZk7Lr2Vx8Nc"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_ACCOUNTS": "v3"}, "STRIPE_ACCOUNTS"),
        ({"STRIPE_API_BASE": "https://stripe.example"}, "STRIPE_API_BASE"),
        ({"STRIPE_API_BASE": "127.0.0.1:5002"}, "STRIPE_API_BASE"),
    ],
)
def test_case_s06_a_stripe_that_cannot_work_is_refused_by_name(
    change: dict[str, str], names: str
) -> None:
    assert Config.from_environ(SIMULATED | STRIPE).stripe_is_live is False
    with pytest.raises(BadConfig, match=names):
        Config.from_environ(SIMULATED | STRIPE | change)


LIVE = STRIPE | {"STRIPE_SECRET_KEY": "sk_live_Pw7Zt3Vn8Rk2Lx6Qd9Hb4Jf1Mg5Ys0"}
RESTRICTED = STRIPE | {"STRIPE_SECRET_KEY": "rk_live_Pw7Zt3Vn8Rk2Lx6Qd9Hb4Jf1Mg5Ys0"}
SANDBOX = PRODUCTION | {"QUICKBOOKS_ENVIRONMENT": "sandbox"}


def test_case_s06_test_money_is_for_test_books_and_real_money_for_real_ones() -> None:
    assert Config.from_environ(PRODUCTION | LIVE).stripe_is_live
    assert Config.from_environ(PRODUCTION | RESTRICTED).stripe_is_live
    for environ in (SIMULATED | STRIPE, SANDBOX | STRIPE):
        assert not Config.from_environ(environ).stripe_is_live
    for environ in (PRODUCTION | STRIPE, SANDBOX | LIVE, SANDBOX | RESTRICTED, SIMULATED | LIVE):
        with pytest.raises(BadConfig, match=r"STRIPE_SECRET_KEY.* QUICKBOOKS_ENVIRONMENT"):
            Config.from_environ(environ)
    with pytest.raises(BadConfig, match="STRIPE_API_BASE"):
        Config.from_environ(PRODUCTION | LIVE | {"STRIPE_API_BASE": "http://127.0.0.1:5002"})
    with pytest.raises(BadConfig, match="BASE_URL"):
        Config.from_environ(PRODUCTION | LIVE | {"BASE_URL": "http://localhost"})


@pytest.mark.parametrize(
    ("name", "value"), [("STRIPE_ACCOUNTS", "v3"), ("STRIPE_API_BASE", "http://127.0.0.1:5002")]
)
def test_case_s06_what_only_stripe_uses_is_not_silently_ignored(name: str, value: str) -> None:
    with pytest.raises(BadConfig, match=name):
        Config.from_environ(COMPLETE | {name: value})
