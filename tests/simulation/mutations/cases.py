"""The faults that the engine's first edition had, put back against the present code."""

from tests.simulation.mutations import Change, Mutation

_WAVES = "outbox/waves.py"
_COUNTERPARTS = "outbox/counterparts.py"
_LANES = "outbox/lanes.py"
_CHANGES = "outbox/changes.py"
_TROUBLE = "outbox/trouble.py"
_COMPOSING = "quickbooks/composing.py"
_UPDATING = "quickbooks/updating.py"
_WHOSE = "quickbooks/whose.py"
_JUDGE = "quickbooks/judge.py"
_READING = "quickbooks/reading.py"

CASES = (
    Mutation(
        "e01",
        "an update is compared with the first document, not the last",
        (
            Change(
                _COUNTERPARTS,
                "sent_document = coalesce(EXCLUDED.sent_document, CASE\n",
                "sent_document = coalesce(link.sent_document, EXCLUDED.sent_document, CASE\n",
            ),
        ),
    ),
    Mutation(
        "e02",
        "send again writes only keys of the new document: clears are lost",
        (
            Change(
                _UPDATING,
                "    if base is not None:\n        changes = documents",
                '    if base is not None and not due.knowledge.get("compares"):\n'
                "        changes = documents",
            ),
        ),
    ),
    Mutation(
        "e03",
        "pruning takes the document that comparisons start from",
        (
            Change(
                "outbox/prune.py",
                "    ), items AS (",
                """    ), forgotten AS (
        UPDATE outbox_links AS link SET sent_document = NULL, sent_values = NULL
        FROM outbox AS entry JOIN old ON old.id = entry.id
        WHERE link.lane_id = entry.lane_id AND link.aggregate_type = entry.aggregate_type
          AND link.aggregate_id = entry.aggregate_id
    ), items AS (""",
            ),
        ),
    ),
    Mutation(
        "e04",
        "a bare 403 counts as not taken: one record stops the lane",
        (
            Change(
                _JUDGE,
                "Said.NOTHING: _all(_PERHAPS),  # the sign-in was probed",
                "Said.NOTHING: _all(Verdict(Fate.NOT_TAKEN, Lane.DOWN)),  #",
            ),
        ),
    ),
    Mutation(
        "e05",
        "a record that is never answered is tried for ever",
        (Change("outbox/settle.py", "SILENCES = 5 ", "SILENCES = 10**6 "),),
    ),
    Mutation(
        "e06",
        "200 with {} is read as an answer: nothing there",
        (
            Change(
                _JUDGE,
                "        Said.ANOTHER: _all(_UNKNOWN),\n        Said.NOTHING: (_PERHAPS, _PERHAPS,"
                " _UNKNOWN, _UNKNOWN, _PERHAPS, _PERHAPS, _PERHAPS),",
                "        Said.ANOTHER: _all(_UNKNOWN),\n        Said.NOTHING: _all(_SEEN),",
            ),
        ),
    ),
    Mutation(
        "e07",
        "what changed while disconnected is not compared on reconnecting",
        (
            Change(
                _LANES,
                "        changes.withhold_changes(session, lane_id, lane.organization_id,"
                " lane.closed_at)\n",
                "",
            ),
        ),
    ),
    Mutation(
        "e07b",
        "what waited at the disconnect goes as it was then",
        (
            Change(
                _CHANGES,
                "entry.state IN ('pending', 'failed')\n              AND entry.lane_id = :lane",
                "false\n              AND entry.lane_id = :lane",
            ),
        ),
    ),
    Mutation(
        "e08",
        "a payment applies a balance that was frozen when it was captured",
        (
            Change(
                "quickbooks/kinds/payment.py",
                "    if billed.balance is not None:\n",
                "    if billed is None:\n",
            ),
        ),
    ),
    Mutation(
        "e09",
        "a late refusal of an old sign-in holds the new one",
        (
            Change(
                _TROUBLE,
                "    if sent.sign_in != lane.sign_in:\n        return  # about",
                "    if not sent:\n        return  # about",
            ),
            Change(
                _TROUBLE,
                "    if sent.sign_in != lane.sign_in:\n        return\n",
                "",
            ),
        ),
    ),
    Mutation(
        "e10",
        "the database's trouble counts as the entry's crash",
        (
            Change(
                "outbox/poller.py",
                "counts=not isinstance(problem, db.DATABASE_ERRORS)",
                "counts=True",
            ),
        ),
    ),
    Mutation(
        "e11",
        "an unanswered create is looked for by today's marks only",
        (
            Change(
                "quickbooks/unanswered.py",
                '        if doubt.intent == "create" and (document :=',
                '        if doubt.intent == "never" and (document :=',
            ),
        ),
    ),
    Mutation(
        "e12",
        "a decision about a deleted lead's customer does nothing",
        (
            Change(
                _COMPOSING,
                "return due.record.type == RecordType.LEAD and link is not None and chosen",
                "return False and chosen",
            ),
        ),
    ),
    Mutation(
        "e13",
        "what is in doubt when the owner leaves it is sent all the same",
        (
            Change(
                _LANES,
                '    session.execute(_SKIP_ONCE_LOOKED_FOR, {"lane": lane_id})\n',
                "",
            ),
        ),
    ),
    Mutation(
        "e14",
        "what was sent is rendered again by today's settings",
        (
            Change(
                _UPDATING,
                "    if due.known.declined_values is None and sent is not None:\n        if sent",
                "    if due.known.declined_values is None and sent == {}:\n        if sent",
            ),
        ),
    ),
    Mutation(
        "e16",
        "an answer with another object is believed",
        (
            Change(
                _JUDGE,
                "        Said.ANOTHER: _all(_UNKNOWN),",
                "        Said.ANOTHER: _all(_SEEN),",
            ),
        ),
    ),
    Mutation(
        "e18",
        "send again of what is withheld says that it will be sent",
        (
            Change(
                "outbox/actions.py",
                "        if entry.withheld and entry.state == State.PENDING:\n"
                "            return WITHHELD\n",
                "",
            ),
        ),
    ),
    Mutation(
        "e19",
        "what a person chose is forgotten when the record is edited",
        (
            Change(
                "outbox/capture.py",
                "            RETURNING id, aggregate_id, lane_id\n        ), marked AS (",
                """            RETURNING id, aggregate_id, lane_id
        ), forgotten AS (
            UPDATE outbox_links AS link SET decision = '{{}}'
            FROM captured
            WHERE link.lane_id = captured.lane_id AND link.aggregate_type = '{type_.value}'
              AND link.aggregate_id = captured.aggregate_id
        ), marked AS (""",
            ),
        ),
    ),
    Mutation(
        "e22",
        "a question that is answered ends an outage of writes",
        (
            Change(
                _TROUBLE,
                'session.execute(_NOTHING_LEFT, {"lane": sent.lane_id})',
                'session.execute(_WORKS, {"lane": sent.lane_id})',
            ),
        ),
    ),
    Mutation(
        "e27",
        "a throttle told inside a batch does not slow the lane",
        (
            Change(
                "outbox/poller.py",
                'if reading.trouble and reading.trouble.reason == "throttled":',
                "if answer.status == 429:",
            ),
        ),
    ),
    Mutation(
        "e28",
        "a bare 401 for one record ends the firm's sign-in",
        (
            Change(
                _JUDGE,
                "Said.NOTHING: _all(_PERHAPS),  # the sign-in was probed",
                "Said.NOTHING: _all(Verdict(Fate.NOT_TAKEN, Lane.SIGNED_OUT)),  #",
            ),
        ),
    ),
    Mutation(
        "e32",
        "a payment recorded while disconnected is never found",
        (Change(_CHANGES, "AND made.id > :after", "AND made.id > :after AND false"),),
    ),
    Mutation(
        "e34",
        "two leads of one customer cannot share it",
        (
            Change(
                _COUNTERPARTS,
                '"shares": due.known.decision.get("use") == remote.id',
                '"shares": False',
            ),
        ),
    ),
    Mutation(
        "r01",
        "an error of the inside, of an item whose work was done, is a no",
        (
            Change(
                _JUDGE,
                "Said.INSIDE: (_PERHAPS, _PERHAPS, _UNKNOWN, _UNKNOWN,",
                "Said.INSIDE: (_PERHAPS, _PERHAPS, _REFUSED, _REFUSED,",
            ),
        ),
    ),
    Mutation(
        "r02",
        "an internal error in the clothes of a rule is a no",
        (
            Change(
                _JUDGE,
                "    return bool(has_number or _INTERNAL_WORDS.search(words))",
                "    return bool(has_number and not words)",
            ),
        ),
    ),
    Mutation(
        "r04",
        "a create goes a second time before it was looked for",
        (
            Change(
                "outbox/dispatches.py",
                '    if dispatch.sends and any(item.intent == "create" for item in waiting):\n'
                "        return not dispatch.goes_again"
                " or dispatch.age >= REQUEST_ID_TRUSTED_FOR\n",
                "",
            ),
        ),
    ),
    Mutation(
        "r06",
        "a code in the body of a 5xx holds the lane",
        (
            Change(
                _JUDGE,
                "    Status.DOWN: dict.fromkeys(Said, _all(_PERHAPS)),",
                "    Status.DOWN: {**dict.fromkeys(Said, _all(_PERHAPS)), **_ROWS_OF_FAULTS},",
            ),
        ),
    ),
    Mutation(
        "r08",
        "a create that is refused as stale is an exception",
        (
            Change(
                _READING,
                '    if tries < STALE_TRIES and item.intent == "create":\n'
                '        return Learned({"stale": tries})\n'
                '    if tries >= STALE_TRIES or not written or "Id" not in written:',
                "    if tries >= STALE_TRIES or not written:",
            ),
        ),
    ),
    Mutation(
        "r09",
        "a refused read rests the writes too",
        (
            Change(
                _TROUBLE,
                '    elif sent.method == "GET":\n        _settle_question',
                '    elif sent.method == "NONE":\n        _settle_question',
            ),
        ),
    ),
    Mutation(
        "r11",
        "agreement beside contradiction links silently",
        (
            Change(
                _WHOSE,
                "    return has_other_name or bool(phone and one",
                "    return not has_other_name and not phone and bool(phone and one",
            ),
        ),
    ),
    Mutation(
        "r12",
        "an address among several of one field is not seen",
        (
            Change(
                _WHOSE,
                'return frozenset(filter(None, one["email"].split(",")))',
                'return frozenset(filter(None, [one["email"]]))',
            ),
        ),
    ),
    Mutation(
        "r17",
        "a payment of a moved invoice goes with the old customer",
        (
            Change(
                "quickbooks/inactive.py",
                '    document["CustomerRef"] = {"value": there["customer"]}\n',
                "",
            ),
        ),
    ),
)
