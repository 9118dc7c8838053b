"""Stripe's webhook: verified by its library, each event processed once, answered fast.

Stripe keeps the client's browser waiting for our answer, so nothing here uses the network. Failures
answer 500; Stripe then retries for days.
"""

import structlog
from flask import Response, abort, jsonify, request

from processors import recording
from processors.processor import BadSignature
from views.webhooks import MAX_BODY, EventRefused, webhooks
from web.access import dunahub, public, session

log = structlog.get_logger()

LARGEST_EVENT = 4 * MAX_BODY


@webhooks.post("/stripe")
@public
def receive_stripe() -> Response:
    processor = dunahub().processor
    if processor is None:
        abort(404)
    request.max_content_length = LARGEST_EVENT
    body = request.get_data(cache=False)
    try:
        event = processor.event(body, request.headers.get("Stripe-Signature", ""))
    except BadSignature as problem:
        raise EventRefused(401, str(problem)) from problem
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as problem:
        raise EventRefused(400, "The body is no event.") from problem
    is_new = recording.carry_out(session(), event)
    session().commit()
    log.info("stripe event", event_id=event.id, type=event.type, is_new=is_new)
    return jsonify(received=True)
