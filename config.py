"""Configuration from the environment. A missing or bad value stops
the start, naming the variable."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from cryptography.fernet import Fernet
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

Environment = Literal["simulator", "sandbox", "production"]

SIMULATOR_CLIENT_ID = "dunahub-development"
SIMULATOR_CLIENT_SECRET = "dunahub-development-secret"  # noqa: S105  (opens nothing but a simulator)


# Placeholders from examples. A value that contains one is not a secret.
PLACEHOLDERS = ("change", "secret", "example", "password", "development", "postgres", "dunahub")
# Intuit may work on a request for this long. Sending it again earlier could execute it twice.
INTUIT_WORKS_FOR = timedelta(seconds=120)
SLOW_ANSWER = timedelta(seconds=10)  # a full batch takes about as long on a slow day at Intuit
# gunicorn ends a process 75 s after TERM: a longer call would be cut off by each deploy
MAX_CALL_DEADLINE = timedelta(seconds=70)
MAX_POLL_INTERVAL = timedelta(seconds=20)  # /readyz fails when nothing polled for 30 s
LARGEST_SECRET_FILE = 64 * 1024
MIN_COMPARED_LENGTH = 8  # a shorter password may occur inside a longer secret by chance


class BadConfig(Exception):
    """The environment does not describe a valid configuration."""


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
    call_deadline: timedelta  # for one call to QuickBooks in total
    lease: timedelta  # longer than one call may take; renewed before each
    # Intuit ends a request at 120 s and may still be working on it until then
    resend_after: timedelta
    poll_interval: timedelta
    drainers: int  # threads that drain lanes, per process
    counts_batch_items: bool  # QuickBooks counts each item of a batch as a call
    proxies: int  # trusted proxies in front of us, for the client's address
    metrics_token: str = field(repr=False)  # "": /metrics answers only this machine
    payments_webhook_secrets: tuple[str, ...] = field(repr=False)  # (): webhooks are refused
    stripe_secret_key: str = field(repr=False)  # "": clients can't pay online
    # of the platform, and of connected accounts
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_accounts: str  # which of Stripe's two ways to make an account: v2, or v1
    stripe_api_base: str  # "": Stripe itself; otherwise a simulator on this machine
    smtp_url: str = field(repr=False)  # "": no e-mail is sent
    mail_from: str
    operators: tuple[str, ...]  # e-mail addresses of the operators

    @property
    def secrets(self) -> tuple[str, ...]:
        """All values that must never appear in logs, pages or errors."""
        return tuple(value for _name, value in self._named_secrets() if value)

    @property
    def stripe_is_live(self) -> bool:
        """Whether real money moves."""
        return self.stripe_secret_key.startswith(STRIPE_LIVE_KEYS)

    @property
    def redirect_uri(self) -> str:
        return self.base_url.rstrip("/") + "/settings/quickbooks/callback"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Reads and checks the environment. Raises BadConfig, naming the variable at fault."""
        read = _Reader(environ)
        environment = read.choice("QUICKBOOKS_ENVIRONMENT", ("simulator", "sandbox", "production"))
        simulated = environment == "simulator"
        base_url = read.text("BASE_URL", "http://127.0.0.1:5000" if simulated else None)
        config = cls(
            database_url=read.database(),
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
            metrics_token=read.bearer("METRICS_TOKEN"),
            payments_webhook_secrets=read.secrets("PAYMENTS_WEBHOOK_SECRET"),
            stripe_secret_key=read.secret("STRIPE_SECRET_KEY", ""),
            stripe_webhook_secrets=read.secrets("STRIPE_WEBHOOK_SECRET"),
            stripe_accounts=read.text("STRIPE_ACCOUNTS", "v2"),
            stripe_api_base=read.text("STRIPE_API_BASE", "").rstrip("/"),
            smtp_url=read.secret("SMTP_URL", ""),
            mail_from=read.text("MAIL_FROM", ""),
            operators=read.addresses("OPERATORS"),
        )
        config._judge(environ)
        return config

    @property
    def is_for_this_machine(self) -> bool:
        """Whether browsers on this machine alone reach us: a developer's."""
        return _is_this_machine(urlsplit(self.base_url).hostname)

    def _judge(self, environ: Mapping[str, str]) -> None:
        """Refuses combinations of values that are wrong together."""
        self._judge_times()
        self._judge_base_url()
        self._judge_mail()
        self._judge_stripe()
        self._judge_secrets_differ()
        if self.environment == "simulator":
            self._judge_simulator()
        else:
            self._judge_intuit(environ)

    def _judge_times(self) -> None:
        if not self.call_deadline < self.lease < self.resend_after:
            raise BadConfig(
                "CALL_DEADLINE must be shorter than LEASE, and LEASE shorter than RESEND_AFTER"
                f" (they are {self.call_deadline}, {self.lease} and {self.resend_after})."
            )
        if self.call_deadline > MAX_CALL_DEADLINE:
            raise BadConfig(
                f"CALL_DEADLINE must be at most {MAX_CALL_DEADLINE.seconds} seconds: a process that"
                " is stopped waits that long for its calls, and 75 seconds at most."
            )
        if self.poll_interval > MAX_POLL_INTERVAL:
            raise BadConfig(
                f"POLL_INTERVAL must be at most {MAX_POLL_INTERVAL.seconds} seconds:"
                " /readyz reports a poller that does not look for work."
            )

    def _judge_base_url(self) -> None:
        parts = _web_address("BASE_URL", self.base_url)
        if parts.path not in ("", "/"):
            raise BadConfig("BASE_URL must not have a path: DunaHub is served at the root.")
        if parts.scheme == "https":
            return
        if self.environment == "production":
            raise BadConfig("BASE_URL must start with https:// in production.")
        if not _is_this_machine(parts.hostname):
            raise BadConfig(
                f"BASE_URL is {self.base_url}: passwords and tokens would cross the network in the"
                " clear. Use https://, or http://localhost for a test on this machine."
            )

    def _judge_simulator(self) -> None:
        base = urlsplit(self.base_url)
        if not self.is_for_this_machine:
            raise BadConfig(
                "QUICKBOOKS_ENVIRONMENT is simulator, which is for one's own machine, but"
                f" BASE_URL is {self.base_url}. Set it to sandbox or production."
            )
        simulator = _web_address("SIMULATOR_URL", self.simulator_url)
        if not _is_this_machine(simulator.hostname):
            raise BadConfig(
                f"SIMULATOR_URL is {self.simulator_url}: a simulator must run on this machine."
            )
        if _port(base) == _port(simulator):
            raise BadConfig("SIMULATOR_URL and BASE_URL name the same port.")

    def _judge_intuit(self, environ: Mapping[str, str]) -> None:
        """Refuses values that are only acceptable with a simulator on this machine."""
        for name, (unset, why) in FOR_DEVELOPMENT.items():
            if environ.get(name, "").lower() not in unset:
                raise BadConfig(f"{name} is set. {why} Unset it.")
        if self.resend_after <= INTUIT_WORKS_FOR:
            raise BadConfig(
                f"RESEND_AFTER must be above {INTUIT_WORKS_FOR.seconds} seconds: Intuit may work on"
                " a request for that long, and would then do it twice."
            )
        if self.call_deadline < SLOW_ANSWER:
            raise BadConfig(
                f"CALL_DEADLINE must be at least {SLOW_ANSWER.seconds} seconds: QuickBooks needs as"
                " long for a full batch."
            )
        if self.client_id == SIMULATOR_CLIENT_ID:
            raise BadConfig("QUICKBOOKS_CLIENT_ID is the simulator's. Set your Intuit app's.")
        if self.client_id == self.client_secret:
            raise BadConfig("QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET are the same.")
        if self.client_secret == SIMULATOR_CLIENT_SECRET:
            raise BadConfig("QUICKBOOKS_CLIENT_SECRET is the simulator's. Set your Intuit app's.")
        self._judge_guessable()

    def _judge_mail(self) -> None:
        if not self.smtp_url:
            for name, value in (("MAIL_FROM", self.mail_from), ("OPERATORS", self.operators)):
                if value:
                    raise BadConfig(f"{name} is set, but SMTP_URL is not: no e-mail would be sent.")
            return
        parts = _split("SMTP_URL", self.smtp_url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise BadConfig(
                "SMTP_URL must look like smtp://user:password@host:587 (STARTTLS) or smtps://…:465."
            )
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadConfig(
                "SMTP_URL must end after the port. Write / ? # @ in a password as %2F %3F %23 %40."
            )
        if bool(parts.username) != bool(parts.password):
            raise BadConfig("SMTP_URL must have both a user and a password, or neither.")
        if not _is_mailbox(parseaddr(self.mail_from)[1]):
            raise BadConfig("SMTP_URL is set; then MAIL_FROM must be an e-mail address.")

    def _judge_stripe(self) -> None:
        if self.stripe_accounts not in ("v1", "v2"):
            raise BadConfig("STRIPE_ACCOUNTS must be v1 or v2.")
        if self.stripe_secret_key:
            self._judge_stripe_secrets()
            self._judge_stripe_mode()
        elif self.stripe_webhook_secrets:
            raise BadConfig("STRIPE_WEBHOOK_SECRET is set, but STRIPE_SECRET_KEY is not.")
        elif self.stripe_api_base:
            raise BadConfig("STRIPE_API_BASE is set, but STRIPE_SECRET_KEY is not.")

    def _judge_stripe_secrets(self) -> None:
        if not self.stripe_secret_key.startswith((*STRIPE_LIVE_KEYS, *STRIPE_TEST_KEYS)):
            raise BadConfig(
                "STRIPE_SECRET_KEY must be a secret key of Stripe's: it starts with sk_test_,"
                " sk_live_, rk_test_ or rk_live_."
            )
        if not self.stripe_webhook_secrets:
            raise BadConfig(
                "STRIPE_SECRET_KEY is set; then STRIPE_WEBHOOK_SECRET must be, too: without it we"
                " would not hear of payments."
            )
        if any(not each.startswith("whsec_") for each in self.stripe_webhook_secrets):
            raise BadConfig("STRIPE_WEBHOOK_SECRET must hold values that start with whsec_.")

    def _judge_stripe_mode(self) -> None:
        if self.stripe_is_live != (self.environment == "production"):
            kind = "for real money" if self.stripe_is_live else "a test key"
            raise BadConfig(
                f"STRIPE_SECRET_KEY is {kind}, but QUICKBOOKS_ENVIRONMENT is {self.environment}:"
                " use test keys with a simulator or sandbox, and live keys with production."
                " Otherwise money that never moved would be in real books, or real money in none."
            )
        if self.stripe_api_base:
            address = _web_address("STRIPE_API_BASE", self.stripe_api_base)
            if not _is_this_machine(address.hostname) or self.stripe_is_live:
                raise BadConfig(
                    "STRIPE_API_BASE is for a simulator on this machine and test keys. Unset it."
                )

    def _judge_secrets_differ(self) -> None:
        """Refuses one value for two purposes: it would leak from one to the other."""
        named = [(name, value) for name, value in self._named_secrets() if value]
        for (one, left), (other, right) in combinations(named, 2):
            short, long = sorted((left, right), key=len)
            if short == long or (len(short) >= MIN_COMPARED_LENGTH and short in long):
                names = f"{one} and {other} hold" if one != other else f"{one} holds"
                raise BadConfig(f"{names} the same secret. Make one for each purpose.")

    def _named_secrets(self) -> list[tuple[str, str]]:
        return [
            ("SECRET_KEY", self.secret_key),
            *(("TOKEN_KEYS", key) for key in self.token_keys),
            ("QUICKBOOKS_CLIENT_SECRET", self.client_secret),
            ("METRICS_TOKEN", self.metrics_token),
            *(("PAYMENTS_WEBHOOK_SECRET", each) for each in self.payments_webhook_secrets),
            ("STRIPE_SECRET_KEY", self.stripe_secret_key),
            *(("STRIPE_WEBHOOK_SECRET", each) for each in self.stripe_webhook_secrets),
            ("DATABASE_URL", self._database.password or ""),
            ("SMTP_URL", unquote(urlsplit(self.smtp_url).password or "")),
        ]

    @property
    def _database(self) -> URL:
        return _database_address(self.database_url)

    def _judge_guessable(self) -> None:
        if len(self.secret_key) < 32:
            raise BadConfig("SECRET_KEY is too short: use at least 32 random characters.")
        if _is_guessable(self.secret_key):
            raise BadConfig("SECRET_KEY can be guessed: use at least 32 random characters.")
        if any(len(set(key)) < 12 for key in self.token_keys):
            raise BadConfig("TOKEN_KEYS can be guessed. Make one with: flask tokens new-key")
        if self.metrics_token and _is_guessable(self.metrics_token, shortest=16):
            raise BadConfig("METRICS_TOKEN can be guessed: use at least 16 random characters.")
        if any(_is_guessable(each, shortest=32) for each in self.payments_webhook_secrets):
            raise BadConfig(
                "PAYMENTS_WEBHOOK_SECRET can be guessed: use at least 32 random characters."
            )
        password = self._database.password
        if password is not None and _is_guessable(password, shortest=8, distinct=5):
            raise BadConfig("DATABASE_URL has a password that can be guessed.")


STRIPE_LIVE_KEYS, STRIPE_TEST_KEYS = ("sk_live_", "rk_live_"), ("sk_test_", "rk_test_")

INSECURE_TRANSPORT = "OAUTHLIB_INSECURE_TRANSPORT"

# Variables for a developer's machine only, and the values that switch them off.
FOR_DEVELOPMENT = {
    INSECURE_TRANSPORT: (
        ("",),  # oauthlib takes any text for yes, "0" too
        "It sends tokens over plain http and is for the simulator only.",
    ),
    "FLASK_DEBUG": (
        ("", "0", "false", "no"),
        "It shows code and values to visitors when something fails.",
    ),
}


def _is_guessable(secret: str, *, shortest: int = 0, distinct: int = 10) -> bool:
    lower = secret.lower()
    is_poor = len(secret) < shortest or len(set(secret)) < distinct
    return is_poor or any(word in lower for word in PLACEHOLDERS)


def database_url(environ: Mapping[str, str] = os.environ) -> str:
    """The database URL, for commands that need nothing else. Raises BadConfig."""
    return _Reader(environ).database()


def _database_address(text: str) -> URL:
    """Parts of DATABASE_URL. Raises BadConfig without showing the
    address, which holds a password."""
    try:
        address = make_url(text)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername.partition("+")[0] not in ("postgres", "postgresql"):
        raise BadConfig("DATABASE_URL must look like postgresql://user:password@host/dunahub.")
    if address.port is not None and not 0 < address.port < 65_536:
        raise BadConfig("DATABASE_URL has a port that does not exist.")
    if not address.database:
        raise BadConfig(
            "DATABASE_URL must name a database: postgresql://user:password@host/dunahub."
        )
    if {"password", "sslpassword"} & address.query.keys():
        # There, it would be neither judged nor hidden in logs.
        raise BadConfig("DATABASE_URL must have no password after the ?: put it before the @.")
    return address


_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)


def _web_address(name: str, text: str) -> SplitResult:
    """Scheme, host and optional port of our public address. Raises BadConfig."""
    parts = _split(name, text)
    if parts.scheme not in ("http", "https") or not _is_host(parts.hostname or ""):
        raise BadConfig(f"{name} must look like https://dunahub.example (it is {_shown(parts)}).")
    if parts.username is not None or parts.password is not None:
        raise BadConfig(f"{name} must not hold a user or password.")
    if "?" in text or "#" in text:
        raise BadConfig(f"{name} must end after the host and port (it is {_shown(parts)}).")
    return parts


def _split(name: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        good = parts.port is None or 0 < parts.port < 65_536
    except ValueError as problem:
        raise BadConfig(f"{name} is not an address: {problem}.") from problem
    if not good or parts.netloc.endswith(":"):
        raise BadConfig(f"{name} has a port that does not exist.")
    return parts


def _shown(parts: SplitResult) -> str:
    """The address for error messages, without a password."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_host(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        # Browsers read a last label of digits only as a mistyped IPv4 address.
        return bool(_HOST.fullmatch(name)) and not name.rstrip(".").rpartition(".")[2].isdecimal()
    return True


def _is_this_machine(host: str | None) -> bool:
    name = (host or "").rstrip(".")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _is_mailbox(address: str) -> bool:
    """Also accepts addresses like root@localhost, which cannot sign up but may be an operator's."""
    mailbox, _at, host = address.rpartition("@")
    return bool(re.fullmatch(r"[^\s@<>,;:\"()\[\]\\]{1,64}", mailbox)) and _is_host(host)


class _Reader:
    """Reads one variable at a time. `NAME_FILE` may name a file that holds the value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        if self.environ.get(f"{name}_FILE"):
            raise BadConfig(f"{name}_FILE is set, but {name} is no secret: set {name} itself.")
        return self._text(name, default)

    def _text(self, name: str, default: str | None) -> str:
        value = self.environ.get(name, "").strip() or default
        if value is None:
            raise BadConfig(f"{name} is not set. See the configuration table in README.md.")
        return _printable(name, value)

    def secret(self, name: str, default: str | None = None) -> str:
        path = self.environ.get(f"{name}_FILE", "").strip()
        if not path:
            return self._text(name, default)
        if self.environ.get(name, "").strip():
            raise BadConfig(f"{name} and {name}_FILE are both set. Unset one of them.")
        return self._secret_in(f"{name}_FILE", Path(path))

    def _secret_in(self, name: str, path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_SECRET_FILE + 1)
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or "no such path"
            raise BadConfig(f"{name} cannot be read: {why}.") from problem
        if len(content) > LARGEST_SECRET_FILE:
            raise BadConfig(f"{name} is a file too large to be a secret.")
        try:
            value = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            # Not chained: the error repeats the file's bytes.
            raise BadConfig(f"{name} is not a text file.") from None
        if not value:
            raise BadConfig(f"{name} is an empty file.")
        return _printable(name, value)

    def database(self) -> str:
        text = self.secret("DATABASE_URL")
        _database_address(text)
        return text

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
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,6})?", text):
            raise BadConfig(f"{name} is {text!r}; it must be a number of seconds.")
        value = float(text)
        if not 0 < value < 86_400:
            raise BadConfig(f"{name} is {text}; it must be above 0 and below a day.")
        return timedelta(seconds=value)

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,3}", text) or not least <= int(text) <= 64:
            raise BadConfig(f"{name} is {text!r}; it must be a whole number from {least} to 64.")
        return int(text)

    def addresses(self, name: str) -> tuple[str, ...]:
        found = _listed(name, self.text(name, ""))
        if not all(map(_is_mailbox, found)):
            raise BadConfig(f"{name} must hold e-mail addresses, separated by commas.")
        return found

    def bearer(self, name: str) -> str:
        """A token sent in a header. Other characters would arrive changed, or not at all."""
        token = self.secret(name, "")
        if not re.fullmatch(r"[!-~]*", token):
            raise BadConfig(f"{name} must be of ASCII letters, digits and signs, without blanks.")
        return token

    def secrets(self, name: str) -> tuple[str, ...]:
        """One value, or two while it is being rotated."""
        return _listed(name, self.secret(name, ""))

    def token_keys(self, name: str) -> tuple[str, ...]:
        keys = _listed(name, self.secret(name))
        for key in keys:
            try:
                Fernet(key)
            except ValueError as problem:
                raise BadConfig(
                    f"{name} holds a key that is not a Fernet key."
                    " Make one with: flask tokens new-key"
                ) from problem
        return keys


def _listed(name: str, text: str) -> tuple[str, ...]:
    found = tuple(each.strip() for each in text.split(",")) if text else ()
    if not all(found):
        raise BadConfig(f"{name} has an empty place before, between or after its commas.")
    return found


def _printable(name: str, value: str) -> str:
    """Refuses line breaks and control characters, which come from careless pasting."""
    if not value.isprintable():
        raise BadConfig(f"{name} holds a line break or another character that does not print.")
    return value
