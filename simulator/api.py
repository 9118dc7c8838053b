"""The accounting API: from a request to an answer, in the order Intuit's servers work.

    rule of a fault → token → company → throttle → requestid → latency → operation → answer

Everything between the requestid and the answer runs without waiting, so that calls never meet
half way; what waits (latency, faults) stands before or behind it.
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass, field

from simulator import answers, batch, oddities, operations, reading, refusals, reports
from simulator.answers import Answer
from simulator.books import Books
from simulator.clock import envelope_time
from simulator.documents import Document, Json, Malformed, dump_json, parse_json, part_of
from simulator.exchange import Exchange, Pause, Request, Running, Steps, fault_from
from simulator.injection import Call
from simulator.journal import Entry
from simulator.log import as_fragment
from simulator.markup import parse_xml
from simulator.oauth import Grant
from simulator.query import parse, run
from simulator.refusals import Fault, Refusal
from simulator.schema import Entity, entity_named
from simulator.state import Simulator
from simulator.store import Company, Replay
from simulator.validation import checked_path_id

MAX_REQUEST_ID_LENGTH = 50
MAX_BATCH_REQUEST_ID_LENGTH = 36
REFUSED_BODY_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
XML_BODY_TYPES = ("application/xml", "text/xml")


@dataclass(slots=True)
class Visit(Exchange):
    """One API request while it is processed."""

    realm: str = ""
    parts: list[str] = field(default_factory=list)  # path segments after the realm
    grant: Grant | None = None

    @property
    def operation(self) -> str:
        """The operation, as fault rules name it."""
        if not self.parts:
            return ""
        head, *rest = self.parts
        if head in ("query", "batch", "cdc"):
            return head
        if rest[1:] in (["pdf"], ["send"]):
            return rest[1]
        if self.request.method == "GET":
            return "read"
        word = self.request.query.get("operation", "").lower()
        if "void" in self.request.query.get("include", "").lower() or word == "void":
            return "void"
        if word == "delete":
            return "delete"
        body = self.request.body
        return "update" if b'"Id"' in body or b"<Id>" in body else "create"

    @property
    def entity(self) -> str:
        known = entity_named(self.parts[0]) if self.parts else None
        return known.name if known else ""


class Api:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._running: dict[tuple[str, str], Running] = {}

    def begin(self, request: Request) -> Visit:
        _, _, _, realm, *parts = request.path.split("/")
        source = self.simulator.clock.source()
        entry = Entry(
            method=request.method,
            path=request.path,
            query=request.query_string,
            body=request.body,
            realm=realm,
            tid=answers.new_tid(source, self.simulator.world.chance),
            requestid=request.query.get("requestid", ""),
            arrived_at=source,
        )
        self.simulator.journal.entries.append(entry)
        parts = [part for part in parts if part]
        visit = Visit(self.simulator, request, entry, realm=realm, parts=parts)
        if self.simulator.injection.rules:
            visit.take_rule(_as_call(visit))
        return visit

    def works_on(self, visit: Visit) -> float:
        """Seconds that work continues after the client has disconnected."""
        company = self.simulator.world.companies.get(visit.realm)
        return company.switches.works_on_after_hangup if company else 0.0

    # The way of a request ---------------------------------------------------------------------

    def answer(self, visit: Visit) -> Steps:
        refused = self._check_token(visit) or self._check_throttle(visit)
        if refused:
            return refused
        company = self.simulator.world.companies[visit.realm]
        if refused := self._check_reads(visit, company):
            return refused
        request_id = visit.entry.requestid
        if visit.request.method != "POST" or not request_id or visit.operation == "query":
            if seconds := _time_taken(visit, company):
                yield Pause(seconds)
            return self._work(visit, company)
        return (yield from self._answer_once(visit, company, request_id))

    def _answer_once(self, visit: Visit, company: Company, request_id: str) -> Steps:
        """Repeats the first answer given under a requestid."""
        is_batch = visit.operation == "batch"
        if len(request_id) > (MAX_BATCH_REQUEST_ID_LENGTH if is_batch else MAX_REQUEST_ID_LENGTH):
            return self._refuse(visit, company, refusals.malformed_request_id())
        key = (company.realm, request_id)
        while running := self._running.get(key):
            how = company.switches.requestid_while_running
            if how == "600":
                return self._refuse(visit, company, refusals.duplicate_request_id())
            if how == "duplicate":
                break
            yield running
        if not is_batch and (known := self._replay(visit, company, request_id)):
            return known
        running = Running()
        self._running[key] = running
        try:
            if seconds := _time_taken(visit, company):
                yield Pause(seconds)
            answer = self._work(visit, company)
            if not is_batch:
                self._remember(visit, company, request_id, answer)
                self.simulator.log.commit()
            return answer
        finally:
            if self._running.get(key) is running:
                del self._running[key]
            running.end()

    def _replay(self, visit: Visit, company: Company, key: str) -> Answer | None:
        replay = self._known(company, key)
        if replay is None:
            return None
        switches = company.switches
        if switches.requestid_mismatch == "600" and replay.request != _digest(
            visit, visit.request.body
        ):
            return self._refuse(visit, company, refusals.duplicate_request_id())
        visit.entry.replayed = True
        json_type = answers.JSON_SUCCESS if replay.status == 200 else answers.JSON_ERROR
        content_type = answers.XML if replay.body.startswith(b"<") else json_type
        return Answer(replay.status, replay.body, content_type)

    def _known(self, company: Company, key: str) -> Replay | None:
        replay = company.replays.get(key)
        ttl = company.switches.requestid_ttl
        if replay and ttl is not None and self.simulator.clock.now() - replay.at > ttl:
            return None
        return replay

    def _remember(self, visit: Visit, company: Company, key: str, answer: Answer) -> None:
        if answer.status == 200 or (company.switches.replay_faults and answer.status < 500):
            now = self.simulator.clock.now()
            replay = Replay(answer.status, answer.body, _digest(visit, visit.request.body), now)
            self.simulator.world.remember(company, key, replay)

    # Gateway ----------------------------------------------------------------------------------

    def _check_token(self, visit: Visit) -> Answer | None:
        now = self.simulator.clock.now()
        scheme, _, token = visit.request.header("authorization").partition(" ")
        company = self.simulator.world.companies.get(visit.realm)
        as_xml = visit.as_xml or bool(company and company.switches.gateway_format == "xml")
        if visit.request.grant:
            visit.grant, token = self.simulator.oauth.live(visit.request.grant), "revoked"
        elif scheme.lower() != "bearer" or not token:
            return answers.unauthenticated("", now, as_xml)
        else:
            visit.grant = self.simulator.oauth.grant_of(token)
        if visit.grant is None:
            return answers.unauthenticated(token, now, as_xml)
        wrong = company is None or visit.grant.realm != visit.realm
        if wrong or (company and company.switches.wrong_environment):
            return answers.unauthorized(now, as_xml)
        if company and company.switches.user_lost_admin:
            detail = ": -11014-You do not have access to use QuickBooks Online Plus."
            name = "AuthorizationFailure"
            return answers.gateway(401, "120", name, detail, "AUTHENTICATION", now, as_xml)
        return None

    def _check_throttle(self, visit: Visit) -> Answer | None:
        company = self.simulator.world.companies[visit.realm]
        switches = company.switches
        if not switches.limits or visit.grant is None:
            return None
        items = _batch_items(visit)
        weight = max(1, items) if switches.batch_counts_items else 1
        now = self.simulator.clock.now()
        app = visit.grant.client_id
        if self.simulator.throttle.admits(now, visit.realm, app, items, weight):
            return None
        as_xml = visit.as_xml or switches.gateway_format == "xml"
        return answers.throttled(now, as_xml, switches.retry_after)

    def _check_reads(self, visit: Visit, company: Company) -> Answer | None:
        """Reads have a monthly allowance; writes go on when it is used up."""
        is_read = visit.operation in ("read", "query", "cdc", "pdf")
        if not is_read or self._may_read(company):
            return None
        as_xml = visit.as_xml or company.switches.gateway_format == "xml"
        return answers.throttled(self.simulator.clock.now(), as_xml, company.switches.retry_after)

    def _may_read(self, company: Company) -> bool:
        """Counts the read, unless this month's allowance is used up."""
        allowed = company.switches.reads_a_month
        if allowed is None:
            return True
        month = self.simulator.clock.today().isoformat()[:7]
        if company.reads.get(month, 0) >= allowed:
            return False
        company.reads[month] = company.reads.get(month, 0) + 1
        return True

    # Work -------------------------------------------------------------------------------------

    def _work(self, visit: Visit, company: Company) -> Answer:
        """The operation itself, without a pause. Its changes are in the log when this returns."""
        includes = visit.request.query.get("include", "").lower()
        books = Books(self.simulator.world, company, frozenset(includes.split(",")))
        try:
            answer = self._dispatch(visit, books)
        except Refusal as refusal:
            answer = self._refuse(visit, company, *refusal.faults)
        except Exception:  # a bug of ours: logged here, and a 500 for the client as from Intuit
            if self.simulator.is_loud:
                raise
            traceback.print_exc()
            answer = self._refuse(
                visit, company, refusals.internal_error("see the simulator's log")
            )
        self.simulator.log.commit()
        if self.simulator.journal.keeps_answers:
            visit.entry.answer = answer.body
        return answer

    def _refuse(self, visit: Visit, company: Company, *faults: Fault) -> Answer:
        now = self.simulator.clock.now()
        return answers.fault(faults, company.switches.language, now, visit.as_xml)

    def _dispatch(self, visit: Visit, books: Books) -> Answer:
        if visit.do.get("bump_sync_token"):
            self._bump(visit, books)
        if "answer_of" in visit.do:
            return self._answer_of_another(visit, books)
        return self._act(visit, books)

    def _answer_of_another(self, visit: Visit, books: Books) -> Answer:
        """The work is done, but the answer shows another object."""
        answer = self._act(visit, books)
        other = books.company.get(visit.entity, str(visit.do["answer_of"]))
        return self._success(visit, {visit.entity: other}) if other else answer

    def _act(self, visit: Visit, books: Books) -> Answer:
        method = visit.request.method
        match [method, *visit.parts]:
            case ["POST", "batch"]:
                return self._batch(visit, books)
            case ["GET" | "POST", "query"]:
                return self._query(visit, books)
            case ["GET", "cdc"]:
                visit.entry.reads = 1
                changes = reading.changes(
                    books,
                    visit.request.query.get("entities", ""),
                    visit.request.query.get("changedSince", ""),
                )
                return self._success(visit, {"CDCResponse": [changes]})
            case ["GET", "reports", name]:
                visit.entry.reads = 1
                return self._report(visit, books, name)
            case ["GET", "preferences"]:
                return self._read(visit, books, "Preferences", "1")
            case ["GET", "companyinfo", _]:
                return self._read(visit, books, "CompanyInfo", "1")
            case ["GET", name, object_id] if entity_named(name):
                return self._read(visit, books, name, checked_path_id(object_id))
            case ["GET", name, object_id, "pdf"] if entity_named(name):
                return self._pdf(visit, books, name, checked_path_id(object_id))
            case ["POST", "upload"]:
                return self._success(visit, oddities.upload(books, visit.request.body))
            case ["POST", "taxservice", "taxcode"]:
                return self._success(visit, oddities.create_tax_code(books, self._body(visit)))
            case ["POST", name, object_id, "send"] if entity := entity_named(name):
                address = visit.request.query.get("sendTo", "")
                sent = operations.send(books, entity, checked_path_id(object_id), address)
                return self._success(visit, {entity.name: sent})
            case ["POST", name] if entity := entity_named(name):
                return self._change(visit, books, entity)
        path = visit.request.path
        url = f"{visit.request.base}{path}"
        words = f"Could not find resource for relative : {path} of full path: {url}"
        raise Refusal(refusals.unsupported_operation(words))

    def _success(self, visit: Visit, content: Document) -> Answer:
        return answers.success(content, self.simulator.clock.now(), visit.as_xml)

    def _read(self, visit: Visit, books: Books, name: str, object_id: str) -> Answer:
        visit.entry.reads = 1
        entity = entity_named(name)
        assert entity is not None
        document = operations.read(books, entity, object_id)
        if "invoicelink" in books.includes and entity.name == "Invoice":
            link = f"https://connect.intuit.com/portal/app/CommerceNetwork/view/{object_id}"
            document = {**document, "InvoiceLink": link}
        return self._success(visit, {entity.name: document})

    def _pdf(self, visit: Visit, books: Books, name: str, object_id: str) -> Answer:
        visit.entry.reads = 1
        entity = entity_named(name)
        assert entity is not None
        document = operations.read(books, entity, object_id)
        return Answer(200, reading.pdf(books, entity, document), "application/pdf")

    def _report(self, visit: Visit, books: Books, name: str) -> Answer:
        try:
            report = reports.report(books, name, dict(visit.request.query))
        except ValueError as error:
            raise Refusal(refusals.malformed_date("start_date", str(error))) from None
        return Answer(200, dump_json(report))

    def _query(self, visit: Visit, books: Books) -> Answer:
        visit.entry.reads = 1
        statement = visit.request.query.get("query", "")
        if visit.request.method == "POST" and not statement:
            statement = visit.request.body.decode("utf-8", "replace")
        rows = run(books.company, parse(statement), self.simulator.clock.now())
        return self._success(visit, {"QueryResponse": rows})

    def _change(self, visit: Visit, books: Books, entity: Entity) -> Answer:
        body = self._body(visit)
        match visit.request.query.get("operation", "").lower():
            case "delete":
                changed = operations.delete(books, entity, body)
            case "void":
                changed = operations.void(books, entity, body)
            case "update" | "create" | "" if "void" in books.includes:
                changed = operations.void(books, entity, body)
            case "update" | "create" | "":
                changed = operations.save(books, entity, body)
            case other:
                raise Refusal(refusals.unsupported_operation(other))
        return self._success(visit, {entity.name: changed})

    def _body(self, visit: Visit) -> Json:
        content_type = visit.request.header("content-type").partition(";")[0].strip().lower()
        if content_type in REFUSED_BODY_TYPES:
            raise Refusal(refusals.invalid_content_type(content_type))
        if not visit.request.body.strip():
            raise Refusal(
                refusals.unreadable_property("No content to map to Object due to end of input")
            )
        try:
            if content_type in XML_BODY_TYPES:
                return parse_xml(visit.request.body)
            return parse_json(visit.request.body)
        except Malformed as error:
            raise Refusal(refusals.unreadable_property(str(error))) from None

    def _bump(self, visit: Visit, books: Books) -> None:
        try:
            body = parse_json(visit.request.body)
        except Malformed:
            return
        object_id = body.get("Id") if isinstance(body, dict) else None
        if isinstance(object_id, str):
            operations.touch(books, visit.entity, object_id)

    # Batch ------------------------------------------------------------------------------------

    def _batch(self, visit: Visit, books: Books) -> Answer:
        company, request_id = books.company, visit.entry.requestid
        limit = company.switches.batch_items
        items = batch.items_of(self._body(visit), limit, bool(request_id))
        visit.entry.reads = batch.reads_in(items)
        responses: list[object] = []
        replayed = 0
        for index, item in enumerate(items):
            bid = batch.bid_of(item)
            key = f"{request_id}\n{bid}" if request_id and bid else ""
            told: Document = {"bId": bid} if bid else {}
            known = self._known(company, key) if key else None
            if known:
                replayed += 1
                responses.append(as_fragment(known.body))
                continue
            fault = _item_fault(visit, index, bid)
            if fault and not part_of(visit.do, "item_fault").get("after_commit"):
                responses.append({**fault, **told})
                continue
            response = self._item(books, item)
            body = dump_json({**response, **told})
            is_final = "Fault" not in response or company.switches.replay_faults
            if key and is_final:
                replay = Replay(200, body, "", self.simulator.clock.now())
                self.simulator.world.remember(company, key, replay)
            responses.append({**fault, **told} if fault else as_fragment(body))
        visit.entry.replayed = replayed == len(items)
        kept = self._without_missing(visit, items, responses)
        now = self.simulator.clock.now()
        answer = dump_json({"BatchItemResponse": kept, "time": envelope_time(now)})
        if visit.as_xml:
            content = parse_json(answer)
            assert isinstance(content, dict)
            del content["time"]
            return answers.success(content, now, as_xml=True)
        return Answer(200, answer)

    def _item(self, books: Books, item: Document) -> Document:
        """One BatchItemResponse, without its bId."""
        if "Query" in item and not self._may_read(books.company):
            return batch.refused(books, Refusal(refusals.throttled()))
        return batch.run_item(books, item, self.simulator.clock.now())

    def _without_missing(
        self, visit: Visit, items: list[Document], responses: list[object]
    ) -> list[object]:
        missing = visit.do.get("missing_bids")
        if isinstance(missing, int) and not isinstance(missing, bool):
            return responses[: max(0, len(responses) - missing)]
        if isinstance(missing, list):
            pairs = zip(items, responses, strict=True)
            return [response for item, response in pairs if batch.bid_of(item) not in missing]
        return responses


def _item_fault(visit: Visit, index: int, bid: str) -> Document | None:
    told = part_of(visit.do, "item_fault")
    if not told or (told.get("bId", bid), told.get("index", index)) != (bid, index):
        return None
    return {"Fault": refusals.fault_body((fault_from(told),), "en")}


def _time_taken(visit: Visit, company: Company) -> float:
    switches = company.switches
    if not switches.latency_per_item:
        return switches.latency
    return switches.latency + switches.latency_per_item * (_batch_items(visit) or 1)


def _batch_items(visit: Visit) -> int:
    """The apparent number of items before the body is parsed; 0 if it is no batch."""
    body = visit.request.body
    return body.count(b'"bId"') or body.count(b"bId=") if visit.operation == "batch" else 0


def _as_call(visit: Visit) -> Call:
    return Call(
        method=visit.request.method,
        path=visit.request.path,
        realm=visit.realm,
        entity=visit.entity,
        operation=visit.operation,
        body=visit.request.body.decode("utf-8", "replace") or visit.request.query.get("query", ""),
    )


def _digest(visit: Visit, raw: bytes) -> str:
    text = f"{visit.request.method} {visit.request.path} ".encode() + raw
    return hashlib.blake2b(text, digest_size=12).hexdigest()
