"""Faults that the engine never had, in every part of it that decides something."""

from tests.simulation.mutations import Change, Mutation

_WAVES = "outbox/waves.py"
_VOIDING = "quickbooks/voiding.py"
_PAYMENT = "quickbooks/kinds/payment.py"
_REFUND = "quickbooks/kinds/refund.py"
_SETTLE = "outbox/settle.py"
_COUNTERPARTS = "outbox/counterparts.py"
_LANES = "outbox/lanes.py"
_DRAFTS = "quickbooks/drafts.py"
_DOCUMENTS = "quickbooks/documents.py"
_JUDGE = "quickbooks/judge.py"
_READING = "quickbooks/reading.py"

INVENTIONS = (
    Mutation(
        "order",
        "an invoice's change passes the payments captured before it",
        (
            Change(
                _WAVES,
                "      AND other.lane_id = :lane AND other.state = 'pending'"
                " AND other.id < mine.id\n      AND NOT other.",
                "      AND other.lane_id = :lane AND other.state = 'pending'"
                " AND other.id < mine.id AND false\n      AND NOT other.",
            ),
            Change(
                _WAVES,
                'if any(entry.state == "pending" and entry.id < first_payment for',
                'if any(entry.state == "never" and entry.id < first_payment for',
            ),
        ),
    ),
    Mutation(
        "dialogue",
        "a newer version supersedes one that is being looked up",
        (
            Change(
                _WAVES,
                "if talking := next((entry.id for entry in entries if entry.talks_on(taken_back)),"
                " 0):",
                "if talking := next((entry.id for entry in entries if entry is None), 0):",
            ),
        ),
    ),
    Mutation(
        "fence",
        "a late answer is settled though the lease was lost",
        (
            Change(
                _SETTLE,
                "    WHERE id = :lane AND lease_token = :token\n    RETURNING {trouble.FACTS}",
                "    WHERE id = :lane AND lease_token >= :token\n    RETURNING {trouble.FACTS}",
            ),
        ),
    ),
    Mutation(
        "balance",
        "what a payment took of its invoice is not remembered",
        (
            Change(
                _SETTLE,
                "remote_balance = (link.remote_balance::numeric - payment.applied)::text",
                "remote_balance = link.remote_balance",
            ),
        ),
    ),
    Mutation(
        "doubt",
        "that a create may have arrived is not kept",
        (
            Change(
                _COUNTERPARTS,
                "    if entries:\n        session.execute(_KEEP_DOUBTS",
                "    if not entries:\n        session.execute(_KEEP_DOUBTS",
            ),
        ),
    ),
    Mutation(
        "decline",
        "a declined amount flows with the next edit",
        (Change(_LANES, '    session.execute(_DECLINE, {"lane": lane_id})\n', ""),),
    ),
    Mutation(
        "repeat",
        "a rule that refuses a repeat is a definite no",
        (
            Change(
                _JUDGE,
                "_ROWS_OF_FAULTS: dict[Said, _Row] = {\n    Said.RULE: (_REFUSED, _UNKNOWN,"
                " _REFUSED, _UNKNOWN,",
                "_ROWS_OF_FAULTS: dict[Said, _Row] = {\n    Said.RULE: (_REFUSED, _REFUSED,"
                " _REFUSED, _REFUSED,",
            ),
        ),
    ),
    Mutation(
        "withdraw",
        "a request in doubt is withdrawn as if it had not been taken",
        (
            Change(
                _LANES,
                "WHERE dispatch.id = item.dispatch_id AND dispatch.sends = 0",
                "WHERE dispatch.id = item.dispatch_id AND dispatch.sends <= 1",
            ),
        ),
    ),
    Mutation(
        "claims",
        "two payments of one invoice go in one batch",
        (
            Change(
                _DRAFTS,
                "        claims |= {f\"invoice there {linked['TxnId']}\" for linked in"
                ' line.get("LinkedTxn", ())}\n    return records_changed(one.due) | claims',
                '        claims |= {f"{linked}" for linked in line.get("Never", ())}\n'
                "    return frozenset(claims)",
            ),
        ),
    ),
    Mutation(
        "under_way",
        "a request goes though it meets another that is under way",
        (
            Change(
                _DRAFTS,
                "    if not taken or not isinstance(step, Ask | Write):",
                "    if True or not isinstance(step, Ask | Write):",
            ),
        ),
    ),
    Mutation(
        "clear",
        "a memo that was taken out stays there",
        (
            Change(
                _DOCUMENTS,
                '    "CustomerMemo": {"value": ""},\n    "PrivateNote"',
                '    "PrivateNote"',
            ),
        ),
    ),
    Mutation(
        "overwrite",
        "an edit writes the whole document over a bookkeeper's",
        (
            Change(
                "quickbooks/updating.py",
                "        changes = documents.changed(base, document)\n        for doubt",
                "        changes = {**document}\n        for doubt",
            ),
        ),
    ),
    Mutation(
        "stuck",
        "a newer version waits for an older one that is free again",
        (
            Change(
                _SETTLE,
                "    if freed:\n        session.execute(_RELEASE_NEWER",
                "    if not freed:\n        session.execute(_RELEASE_NEWER",
            ),
        ),
    ),
    Mutation(
        "places",
        "items of a batch are read by their place in the answer",
        (
            Change(
                _READING,
                'told = [(str(one.get("bId")), one) for one in items if isinstance(one, dict)]',
                "told = [(str(place), one) for place, one in enumerate(items)"
                " if isinstance(one, dict)]",
            ),
        ),
    ),
    Mutation(
        "released",
        "what waits for a record is not told that it arrived",
        (
            Change(
                _SETTLE,
                "    if records:\n        rows = [",
                "    if not records:\n        rows = [",
            ),
        ),
    ),
    # --- Money that goes back
    Mutation(
        "rest",
        "a payment of which a part was entered by hand is voided with the rest",
        (Change(_VOIDING, "if part := _part_by_hand(due):", "if part := Decimal(0):"),),
        money=True,
    ),
    Mutation(
        "void",
        "a payment that was taken back is updated, not voided",
        (Change(_PAYMENT, '= {"operation": "update", "include": "void"}', "= {}"),),
        money=True,
    ),
    Mutation(
        "credit",
        "what was credit stays credit after the void that makes room for it",
        (Change(_SETTLE, "entered = list(_freed(payments)), ", "entered = list[int](), "),),
        money=True,
    ),
    Mutation(
        "receipts",
        "a refund receipt whose answer was lost is created a second time",
        (
            Change(
                _REFUND,
                'day = on_day(str(document["TxnDate"]))\n    return [Question(',
                'day = on_day("2020-01-01")\n    return [Question(',
            ),
        ),
        money=True,
    ),
)
