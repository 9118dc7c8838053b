"""A missing or bad value stops the start and names itself."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from config import BadConfig, Config

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
