"""Companies and their books in memory; each change is also written to the log.

Stored objects are never changed in place: a change stores a new object. So an answer being written
stays consistent, and nothing needs to be copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal

from simulator.chance import Chance
from simulator.clock import Clock, timestamp
from simulator.documents import Document, Json, part_of, ref_of, text_of
from simulator.log import Change, Log
from simulator.schema import NAME_ENTITIES, Entity

DELETED_SUFFIX = " (deleted)"

# Properties with an index: exact match, in lower case.
INDEXED: dict[str, tuple[str, ...]] = {
    "Customer": ("DisplayName", "ParentRef"),
    "Vendor": ("DisplayName",),
    "Employee": ("DisplayName",),
    "Item": ("Name",),
    "Account": ("Name",),
    "PaymentMethod": ("Name",),
    "Invoice": ("DocNumber", "CustomerRef"),
    "CreditMemo": ("DocNumber", "CustomerRef"),
    "SalesReceipt": ("DocNumber", "CustomerRef"),
    "RefundReceipt": ("DocNumber", "CustomerRef"),
    "Estimate": ("DocNumber", "CustomerRef"),
    "Payment": ("PaymentRefNum", "CustomerRef"),
}


@dataclass(slots=True)
class Switches:
    """A company's behaviour where Intuit's is unknown, or differs between companies.

    What a real company has in its Preferences or CompanyInfo is stored there; `control` maps the
    names of those switches.
    """

    language: str = "en"
    warn_duplicate_numbers: bool = True  # «warn if duplicate number is used»: not visible by API
    duplicate_name_detail: str = "id"  # id | null | words: the wording of a period
    inactive_names_reserved: bool = True
    inactive_ref_code: str = "2500"  # 2500 | 610: Intuit documents both
    book_close_password: bool = False  # closed books answer 6210 instead of 6200
    subscription_lapsed: bool = False
    multiple_errors: bool = False
    stale_name: str = "Craig Carlson"
    merged_customers: str = "inactive"  # inactive | gone: what a merged customer is by its old id
    # requestid
    replay_faults: bool = True
    requestid_while_running: str = "wait"  # wait | duplicate | 600
    requestid_ttl: float | None = None  # seconds; None: never forgotten
    requestid_mismatch: str = "replay"  # replay | 600: same id, different body
    # reads
    reads_a_month: int | None = None  # beyond it, reads get 429; writes go on
    list_delay: float = 0.0  # seconds by which queries and change data lag behind
    list_hides_new: bool = False  # … also for objects created meanwhile
    # money
    tax_override_kept: bool = True  # automated sales tax keeps a code and TotalTax that were sent
    fine_tax_rates: bool = True  # False: 6000 for a rate with more than two decimals
    closed_period_code: str = ""  # 5010: some companies answer this instead of 6200 and 6210
    # time
    latency: float = 0.0
    latency_per_item: float = 0.0
    works_on_after_hangup: float = 120.0
    # limits
    limits: bool = False
    batch_counts_items: bool = False
    batch_items: int = 30
    retry_after: int | None = None
    gateway_format: str = "json"  # json | xml: what 401, 403 and 429 answer in
    # authorization
    old_refresh_grace: float = 0.0
    refresh_rotates_after: float = 86400.0
    punish_concurrent_refresh: float = 0.0  # seconds within which a second refresh is punished
    code_reuse_revokes: bool = True
    user_lost_admin: bool = False
    wrong_environment: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer given under a requestid, to be repeated."""

    status: int
    body: bytes
    request: str  # method, path and body that the id was used for
    at: float


@dataclass(slots=True)
class Company:
    realm: str
    name: str
    country: str
    switches: Switches = field(default_factory=Switches)
    objects: dict[str, dict[str, Document]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, dict[str, str]] = field(default_factory=dict)  # entity → id → when
    replays: dict[str, Replay] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)  # per month, if they are counted
    # Earlier versions by entity and id: (until when, document or nothing), oldest first.
    past: dict[str, dict[str, list[tuple[float, Document | None]]]] = field(default_factory=dict)
    # derived
    index: dict[tuple[str, str], dict[str, dict[str, None]]] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def home_currency(self) -> str:
        preferences = self.preference("CurrencyPrefs")
        return ref_of(preferences, "HomeCurrency") or ("CAD" if self.country == "CA" else "USD")

    @property
    def is_us(self) -> bool:
        return self.country == "US"

    def all(self, entity: str) -> dict[str, Document]:
        return self.objects.get(entity, {})

    def get(self, entity: str, object_id: str) -> Document | None:
        objects = self.objects.get(entity)
        return objects.get(object_id) if objects else None

    def listed(self, entity: str, now: float) -> dict[str, Document]:
        """What a query finds: the books as they are now, or as they were `list_delay` ago."""
        past = self.past.get(entity)
        if not past or not self.switches.list_delay:
            return self.all(entity)
        moment = now - self.switches.list_delay
        found = dict(self.all(entity))
        for object_id, versions in past.items():
            later = [document for until, document in versions if until > moment]
            if not later:
                continue
            if later[0] is None and self.switches.list_hides_new:
                found.pop(object_id, None)
            elif shown := next((each for each in later if each), None):
                found[object_id] = shown
        return found

    def remember_past(self, entity: str, object_id: str, now: float) -> None:
        if not self.switches.list_delay:
            self.past.clear()
            return
        versions = self.past.setdefault(entity, {}).setdefault(object_id, [])
        versions[:] = [each for each in versions if each[0] > now - self.switches.list_delay]
        versions.append((now, self.get(entity, object_id)))

    def with_value(self, entity: str, name: str, value: str) -> Iterator[Document]:
        """Objects whose indexed property has this value, ignoring case."""
        ids = self.index.get((entity, name), {}).get(value.casefold(), {})
        objects = self.all(entity)
        return (objects[object_id] for object_id in ids)

    def preference(self, group: str) -> Document:
        preferences = self.get("Preferences", "1")
        return part_of(preferences, group) if preferences else {}

    def copy(self) -> Company:
        """Documents are never changed in place, so both copies share them."""
        return Company(
            realm=self.realm,
            name=self.name,
            country=self.country,
            switches=replace(self.switches),
            objects={entity: dict(objects) for entity, objects in self.objects.items()},
            sequences=dict(self.sequences),
            deleted={entity: dict(when) for entity, when in self.deleted.items()},
            replays=dict(self.replays),
            reads=dict(self.reads),
            past={
                entity: {object_id: list(each) for object_id, each in by_id.items()}
                for entity, by_id in self.past.items()
            },
            index={
                key: {value: dict(ids) for value, ids in by_value.items()}
                for key, by_value in self.index.items()
            },
            names=dict(self.names),
        )

    def name_holder(self, name: str) -> tuple[str, str] | None:
        return self.names.get(folded_name(name))


def folded_name(name: str) -> str:
    """For comparing names: ignores case and extra white space."""
    return " ".join(name.removesuffix(DELETED_SUFFIX).split()).casefold()


class World:
    """All companies, the clock, random numbers, and the log that makes them persistent."""

    def __init__(self, log: Log, clock: Clock, chance: Chance) -> None:
        self.log = log
        self.clock = clock
        self.chance = chance
        self.companies: dict[str, Company] = {}

    # Companies --------------------------------------------------------------------------------

    def add_company(self, realm: str, name: str, country: str) -> Company:
        company = Company(realm, name, country)
        self.companies[realm] = company
        self.log.add("company", realm, name, country)
        return company

    def set_switches(self, company: Company, **values: object) -> None:
        for name, value in values.items():
            setattr(company.switches, name, value)
        self.log.add("switches", company.realm, values)

    # Objects ----------------------------------------------------------------------------------

    def next_id(self, company: Company, entity: Entity) -> str:
        sequence = entity.sequence or entity.name
        number = company.sequences.get(sequence, 0) + 1
        company.sequences[sequence] = number
        self.log.add("sequence", company.realm, sequence, number)
        return str(number)

    def skip_ids(self, company: Company, sequence: str, up_to: int) -> None:
        if company.sequences.get(sequence, 0) < up_to:
            company.sequences[sequence] = up_to
            self.log.add("sequence", company.realm, sequence, up_to)

    def put(self, company: Company, entity: str, document: Document) -> None:
        if company.past or company.switches.list_delay:
            company.remember_past(entity, text_of(document, "Id"), self.clock.now())
        self._put(company, entity, document)
        self.log.add("put", company.realm, entity, document)

    def delete(self, company: Company, entity: str, object_id: str) -> None:
        when = timestamp(self.clock.now())
        if company.past or company.switches.list_delay:
            company.remember_past(entity, object_id, self.clock.now())
        self._delete(company, entity, object_id, when)
        self.log.add("delete", company.realm, entity, object_id, when)

    def remember(self, company: Company, key: str, replay: Replay) -> None:
        company.replays[key] = replay
        if self.log.is_kept:
            body = replay.body.decode()
            self.log.add(
                "replay", company.realm, key, replay.status, body, replay.request, str(replay.at)
            )

    def _put(self, company: Company, entity: str, document: Document) -> None:
        object_id = text_of(document, "Id")
        objects = company.objects.setdefault(entity, {})
        before = objects.get(object_id)
        objects[object_id] = document
        for name in INDEXED.get(entity, ()):
            old = indexed_value(before, name) if before else None
            new = indexed_value(document, name)
            if old == new:
                continue
            ids_by_value = company.index.setdefault((entity, name), {})
            if old is not None:
                ids_by_value[old].pop(object_id, None)
            if new is not None:
                ids_by_value.setdefault(new, {})[object_id] = None
        if entity in NAME_ENTITIES:
            self._claim_name(company, entity, before, document)

    def _claim_name(
        self, company: Company, entity: str, before: Document | None, document: Document
    ) -> None:
        holder = (entity, text_of(document, "Id"))
        if before:
            old = folded_name(text_of(before, "DisplayName"))
            if company.names.get(old) == holder:
                del company.names[old]
        name = folded_name(text_of(document, "DisplayName"))
        other = company.get(*company.names.get(name, holder))
        if other is None or other is document or other.get("Active") is False:
            company.names[name] = holder

    def _delete(self, company: Company, entity: str, object_id: str, when: str) -> None:
        document = company.objects[entity].pop(object_id)
        company.deleted.setdefault(entity, {})[object_id] = when
        if entity in NAME_ENTITIES:
            name = folded_name(text_of(document, "DisplayName"))
            if company.names.get(name) == (entity, object_id):
                del company.names[name]
        for name in INDEXED.get(entity, ()):
            value = indexed_value(document, name)
            if value is not None:
                company.index[entity, name][value].pop(object_id, None)

    # The log ----------------------------------------------------------------------------------

    def apply(self, change: list[Json]) -> bool:
        """Replays a line of the log; False if it is not about companies."""
        match change:
            case ["put", str(realm), str(entity), dict(document)]:
                self._put(self.companies[realm], entity, document)
            case ["sequence", str(realm), str(sequence), int(number)]:
                self.companies[realm].sequences[sequence] = number
            case ["delete", str(realm), str(entity), str(object_id), str(when)]:
                self._delete(self.companies[realm], entity, object_id, when)
            case ["deleted", str(realm), str(entity), str(object_id), str(when)]:
                self.companies[realm].deleted.setdefault(entity, {})[object_id] = when
            case ["replay", str(realm), str(key), int(status), str(body), str(request), str(at)]:
                replay = Replay(status, body.encode(), request, float(at))
                self.companies[realm].replays[key] = replay
            case ["company", str(realm), str(name), str(country)]:
                self.companies[realm] = Company(realm, name, country)
            case ["country", str(realm), str(country)]:
                self.companies[realm].country = country
            case ["switches", str(realm), dict(values)]:
                _restore_switches(self.companies[realm].switches, values)
            case _:
                return False
        return True

    def snapshot(self) -> Iterator[Change]:
        for company in self.companies.values():
            realm = company.realm
            yield ["company", realm, company.name, company.country]
            yield ["switches", realm, asdict(company.switches)]
            for entity, objects in company.objects.items():
                for document in objects.values():
                    yield ["put", realm, entity, document]
            for sequence, number in company.sequences.items():
                yield ["sequence", realm, sequence, number]
            for entity, deleted in company.deleted.items():
                for object_id, when in deleted.items():
                    yield ["deleted", realm, entity, object_id, when]
            for key, replay in company.replays.items():
                body = replay.body.decode()
                yield ["replay", realm, key, replay.status, body, replay.request, str(replay.at)]


def indexed_value(document: Document, name: str) -> str | None:
    value = document.get(name)
    if isinstance(value, dict):
        value = value.get("value")
    return value.casefold() if isinstance(value, str) and value else None


def _restore_switches(switches: Switches, values: Document) -> None:
    known = {each.name for each in fields(Switches)}
    for name, value in values.items():
        if name in known:
            setattr(switches, name, float(value) if isinstance(value, Decimal) else value)
