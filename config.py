"""Config from the environment. A missing or bad value stops the start and names itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from cryptography.fernet import Fernet

Environment = Literal["simulator", "sandbox", "production"]

SIMULATOR_CLIENT_ID = "dunahub-development"
SIMULATOR_CLIENT_SECRET = "dunahub-development-secret"  # noqa: S105  (opens nothing but a simulator)


# What people write into examples and forget there. Found in a value, the value is no secret.
PLACEHOLDERS = ("change", "secret", "example", "password", "development", "postgres", "dunahub")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class BadConfig(Exception):
    """The environment does not describe a configuration we can run with."""


@dataclass(frozen=True)
class Config:
    database_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    token_keys: tuple[str, ...] = field(repr=False)  # Fernet: the first encrypts, all decrypt
    environment: Environment
    client_id: str
    client_secret: str = field(repr=False)
    simulator_url: str
    base_url: str  # how browsers reach us: the OAuth redirect address is built from it
    secure_cookies: bool
    call_deadline: timedelta  # one call to QuickBooks, in all
    lease: timedelta  # longer than one call may take; renewed before each
    resend_after: timedelta  # Intuit ends a request at 120 s and may still be at work until then
    poll_interval: timedelta
    drainers: int  # threads that drain lanes, per process
    counts_batch_items: bool  # QuickBooks counts each item of a batch as a call
    proxies: int  # in front of us, whose word on a visitor's address is believed
    metrics_token: str = field(repr=False)  # "": /metrics answers this machine only
    payments_webhook_secrets: tuple[str, ...] = field(repr=False)  # (): no processor may knock
    smtp_url: str = field(repr=False)  # "": nobody is told anything by e-mail
    mail_from: str
    operators: tuple[str, ...]  # e-mail addresses of whoever runs this

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must never be seen anywhere."""
        in_addresses = (urlsplit(url).password for url in (self.database_url, self.smtp_url))
        secrets = [self.secret_key, *self.token_keys, self.client_secret, self.metrics_token]
        secrets += self.payments_webhook_secrets
        secrets += [unquote(password) for password in in_addresses if password]
        return tuple(filter(None, secrets))

    @property
    def redirect_uri(self) -> str:
        return self.base_url.rstrip("/") + "/settings/quickbooks/callback"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Reads and judges the environment. Raises BadConfig, naming the variable at fault."""
        read = _Reader(environ)
        environment = read.choice("QUICKBOOKS_ENVIRONMENT", ("simulator", "sandbox", "production"))
        simulated = environment == "simulator"
        base_url = read.text("BASE_URL", "http://127.0.0.1:5000" if simulated else None)
        config = cls(
            database_url=read.secret("DATABASE_URL"),
            secret_key=read.secret("SECRET_KEY"),
            token_keys=read.token_keys("TOKEN_KEYS"),
            environment=environment,
            client_id=read.text("QUICKBOOKS_CLIENT_ID", SIMULATOR_CLIENT_ID if simulated else None),
            client_secret=read.secret(
                "QUICKBOOKS_CLIENT_SECRET", SIMULATOR_CLIENT_SECRET if simulated else None
            ),
            simulator_url=read.text("SIMULATOR_URL", "http://127.0.0.1:5001"),
            base_url=base_url,
            secure_cookies=base_url.startswith("https://"),
            call_deadline=read.seconds("CALL_DEADLINE", 60),
            lease=read.seconds("LEASE", 75),
            resend_after=read.seconds("RESEND_AFTER", 125),
            poll_interval=read.seconds("POLL_INTERVAL", 1),
            drainers=read.count("DRAINERS", 10),
            counts_batch_items=read.flag("QUICKBOOKS_COUNTS_BATCH_ITEMS"),
            proxies=read.count("PROXIES", 0, least=0),
            metrics_token=read.secret("METRICS_TOKEN", ""),
            payments_webhook_secrets=read.secrets("PAYMENTS_WEBHOOK_SECRET"),
            smtp_url=read.secret("SMTP_URL", ""),
            mail_from=read.text("MAIL_FROM", ""),
            operators=read.addresses("OPERATORS"),
        )
        config._judge(environ)
        return config

    def _judge(self, environ: Mapping[str, str]) -> None:
        if not self.call_deadline < self.lease < self.resend_after:
            raise BadConfig(
                "CALL_DEADLINE must be shorter than LEASE, and LEASE shorter than RESEND_AFTER"
                f" (they are {self.call_deadline}, {self.lease} and {self.resend_after})."
            )
        self._judge_mail()
        if self.environment == "simulator":
            parts = urlsplit(self.base_url)
            if parts.scheme == "https" and parts.hostname not in LOOPBACK:
                raise BadConfig(
                    "QUICKBOOKS_ENVIRONMENT is simulator, which is for one's own machine, but"
                    f" BASE_URL is {self.base_url}. Set it to sandbox or production."
                )
            return
        if environ.get("OAUTHLIB_INSECURE_TRANSPORT"):
            raise BadConfig(
                "OAUTHLIB_INSECURE_TRANSPORT is set. It sends tokens over plain http and is for the"
                " simulator only; unset it."
            )
        if not self.base_url.startswith("https://") and self.environment == "production":
            raise BadConfig("BASE_URL must start with https:// in production.")
        if self.client_secret == SIMULATOR_CLIENT_SECRET:
            raise BadConfig("QUICKBOOKS_CLIENT_SECRET is the simulator's. Set your Intuit app's.")
        self._judge_secrets()

    def _judge_mail(self) -> None:
        if not self.smtp_url:
            return
        parts = urlsplit(self.smtp_url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise BadConfig(
                "SMTP_URL must look like smtp://user:password@host:587 (STARTTLS) or smtps://…:465."
            )
        if "@" not in self.mail_from:
            raise BadConfig("SMTP_URL is set; then MAIL_FROM must be an e-mail address.")

    def _judge_secrets(self) -> None:
        if len(self.secret_key) < 32:
            raise BadConfig("SECRET_KEY is too short: use at least 32 random characters.")
        if _is_guessable(self.secret_key):
            raise BadConfig("SECRET_KEY can be guessed: use at least 32 random characters.")
        for key in self.token_keys:
            if len(set(key)) < 12:
                raise BadConfig("TOKEN_KEYS can be guessed. Make one with: flask tokens new-key")
        if self.metrics_token and (
            len(self.metrics_token) < 16 or _is_guessable(self.metrics_token)
        ):
            raise BadConfig("METRICS_TOKEN can be guessed: use at least 16 random characters.")
        if any(len(each) < 32 or _is_guessable(each) for each in self.payments_webhook_secrets):
            raise BadConfig(
                "PAYMENTS_WEBHOOK_SECRET can be guessed: use at least 32 random characters."
            )
        password = urlsplit(self.database_url).password
        if password is not None and (len(password) < 8 or _is_guessable(password, distinct=5)):
            raise BadConfig("DATABASE_URL has a password that can be guessed.")


def _is_guessable(secret: str, *, distinct: int = 10) -> bool:
    lower = secret.lower()
    return len(set(secret)) < distinct or any(word in lower for word in PLACEHOLDERS)


def database_url(environ: Mapping[str, str] = os.environ) -> str:
    """Where the database is, for what needs nothing else. Raises BadConfig."""
    return _Reader(environ).secret("DATABASE_URL")


class _Reader:
    """Reads one variable at a time; `NAME_FILE` may point at a file that holds it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environ.get(name, "").strip() or default
        if value is None:
            raise BadConfig(f"{name} is not set. See the configuration table in README.md.")
        return value

    def secret(self, name: str, default: str | None = None) -> str:
        path = self.environ.get(f"{name}_FILE")
        if not path:
            return self.text(name, default)
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as problem:
            raise BadConfig(f"{name}_FILE cannot be read: {problem.strerror}.") from problem

    def choice(self, name: str, choices: tuple[Environment, ...]) -> Environment:
        value = self.text(name)
        for choice in choices:
            if value == choice:
                return choice
        raise BadConfig(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")

    def flag(self, name: str) -> bool:
        value = self.text(name, "no").lower()
        if value not in ("yes", "no"):
            raise BadConfig(f"{name} is {value!r}; it must be yes or no.")
        return value == "yes"

    def seconds(self, name: str, default: float) -> timedelta:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError as problem:
            raise BadConfig(f"{name} is {text!r}; it must be a number of seconds.") from problem
        if not 0 < value < 86_400:
            raise BadConfig(f"{name} is {text}; it must be above 0 and below a day.")
        return timedelta(seconds=value)

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        text = self.text(name, str(default))
        if not text.isdigit() or not least <= int(text) <= 64:
            raise BadConfig(f"{name} is {text!r}; it must be a whole number from {least} to 64.")
        return int(text)

    def addresses(self, name: str) -> tuple[str, ...]:
        found = tuple(each.strip() for each in self.text(name, "").split(",") if each.strip())
        if any("@" not in each for each in found):
            raise BadConfig(f"{name} must hold e-mail addresses, separated by commas.")
        return found

    def secrets(self, name: str) -> tuple[str, ...]:
        """One, or while it is being changed two: the other side need not switch in our second."""
        return tuple(each.strip() for each in self.secret(name, "").split(",") if each.strip())

    def token_keys(self, name: str) -> tuple[str, ...]:
        keys = tuple(key.strip() for key in self.secret(name).split(","))
        for key in keys:
            try:
                Fernet(key)
            except ValueError as problem:
                raise BadConfig(
                    f"{name} holds a key that is not a Fernet key."
                    " Make one with: flask tokens new-key"
                ) from problem
        return keys
