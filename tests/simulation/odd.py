"""Answers of every row and column of `judge`'s table, whether the work was done or not.

What no design can bear is left out: a rule that refuses a first send which was done, a request that
was turned away at the door and done all the same.
"""

import json
import random
import re
from dataclasses import dataclass
from datetime import timedelta

from outbox.company import Answer, Problem, Sent
from quickbooks.judge import Said, Status

CODES: dict[Status, tuple[int, ...]] = {
    Status.GOOD: (200,),
    Status.REFUSED: (400, 404, 413),
    Status.DOOR: (401, 403),
    Status.THROTTLED: (429,),
    Status.DOWN: (500, 503, 504),
    Status.ODD: (302, 408),
}
PROBLEMS = {
    Status.NOT_SENT: Problem.NOT_SENT,
    Status.NO_SIGN_IN: Problem.TOKENS_UNAVAILABLE,
    Status.UNANSWERED: Problem.UNANSWERED,
    Status.SIGNED_OUT: Problem.SIGNED_OUT,
}
REFUSED_SIGN_INS = (Status.SIGNED_OUT, Status.GOOD, Status.REFUSED)
FAULTS: dict[Said, tuple[tuple[str, str, str], ...]] = {
    Said.RULE: (
        ("6200", "ValidationFault", "The account period has closed"),
        ("2050", "ValidationFault", "String length is either shorter or longer than supported"),
    ),
    Said.INSIDE: (
        ("10000", "SystemFault", "An application error has occurred"),
        ("6000", "ValidationFault", "An unexpected error occurred (-30003)"),
        ("4242", "ServiceFault", "What this is nobody knows"),
    ),
    Said.THROTTLED: (("3001", "ThrottlingFault", "The request limit was reached"),),
    Said.BUSY: (("130", "SystemFault", "Maintenance"), ("140", "SystemFault", "Wrong cluster")),
    Said.SIGNED_OUT: (("3200", "AUTHENTICATION", "Token expired"), ("3100", "AUTH", "Denied")),
    Said.ACCESS_LOST: (("120", "AUTHORIZATION", "Not authorized for this company"),),
    Said.PLAN_LAPSED: (("6190", "ValidationFault", "Subscription has ended"),),
    Said.COMPANY_RESET: (("10200", "ValidationFault", "The company was reset"),),
}
# Validation faults that name no rule of what was written.
_OF_NO_RULE = re.compile(r'"(?:6190|10200)"|\(-30003\)')
NOTHING = ("", "{}", "<html><body>Gateway</body></html>", '{"time":"2026"}')

# Turned away before any work.
AT_THE_DOOR = frozenset({Status.NOT_SENT, Status.NO_SIGN_IN, Status.THROTTLED})
DEFINITE = frozenset(
    {
        Said.RULE,
        Said.THROTTLED,
        Said.SIGNED_OUT,
        Said.ACCESS_LOST,
        Said.PLAN_LAPSED,
        Said.COMPANY_RESET,
    }
)


@dataclass(frozen=True)
class Odd:
    """One answer instead of the real one."""

    status: Status
    said: Said
    code: int | None
    fault: tuple[str, str, str] | None
    nothing: str
    is_done: bool  # the work was done before the answer was spoilt

    @property
    def name(self) -> str:
        done = "done" if self.is_done else "not done"
        code = self.fault[0] if self.fault else self.said
        return f"{self.code or self.status} {code}, {done}"

    def answer(self, real: Answer | None) -> Answer:
        """The spoilt answer; `real` is what was answered to work that was done."""
        if problem := PROBLEMS.get(self.status):
            return Answer(problem=problem)
        retry = timedelta(seconds=30) if self.code == 429 else None
        return Answer(status=self.code, body=self._body(real), retry_after=retry)

    def _body(self, real: Answer | None) -> str:
        if self.fault:
            return _fault(*self.fault)
        if real is None:
            return self.nothing
        return _with_another_id(real.body) if self.said is Said.ANOTHER else real.body


def draw(chance: random.Random) -> Odd:
    """Any of them, each status as likely as the next."""
    status = chance.choice([*CODES, *PROBLEMS])
    if status is Status.SIGNED_OUT:
        status = Status.UNANSWERED  # see `late_refusal`, and the act that ends the sign-in
    said = chance.choice([Said.OBJECT, Said.ANOTHER, Said.NOTHING, Said.NOTHING, *FAULTS])
    if status in PROBLEMS:
        said = Said.NOTHING
    if status is Status.GOOD and said is Said.OBJECT:
        said = Said.NOTHING
    is_definite = status in AT_THE_DOOR or (
        said in DEFINITE and status in (Status.GOOD, Status.REFUSED, Status.DOOR)
    )
    is_done = not is_definite and chance.random() < 0.6
    return Odd(
        status,
        said,
        chance.choice(CODES[status]) if status in CODES else None,
        chance.choice(FAULTS[said]) if said in FAULTS else None,
        chance.choice(NOTHING),
        is_done,
    )


def late_refusal(chance: random.Random) -> Odd:
    """Of the sign-in that the request went out with."""
    status = chance.choice(REFUSED_SIGN_INS)
    fault = chance.choice(FAULTS[Said.SIGNED_OUT])
    said = Said.NOTHING if status is Status.SIGNED_OUT else Said.SIGNED_OUT
    code = chance.choice(CODES[status]) if status in CODES else None
    return Odd(status, said, code, fault, "", is_done=False)


def _fault(code: str, type_: str, words: str) -> str:
    error = {"code": code, "Message": words, "Detail": words}
    return json.dumps({"Fault": {"type": type_, "Error": [error]}})


def _with_another_id(body: str) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return body
    for one in told.values() if isinstance(told, dict) else ():
        if isinstance(one, dict) and "Id" in one:
            one["Id"] = str(int(one["Id"]) + 1000)
    return json.dumps(told)


def is_refused_sign_in(sent: Sent, answer: Answer) -> bool:
    """Whether an answer says, for one that can be believed, that a person must act."""
    if answer.problem is Problem.SIGNED_OUT:
        return True
    told = any(f'"{code}"' in answer.body for code in ("3200", "3100", "120", "6190", "10200"))
    return told and answer.status is not None and answer.status < 500


def is_refused_by_a_rule(answer: Answer) -> bool:
    """Whether the books themselves were asked, and refused it at whichever door."""
    is_of_a_rule = '"ValidationFault"' in answer.body and not _OF_NO_RULE.search(answer.body)
    return answer.status in (401, 403, 404, 413) and is_of_a_rule
