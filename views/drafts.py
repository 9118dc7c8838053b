"""Shows a form again that was submitted after the session had
ended, once the person has signed in."""

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from web.access import firms_only
from web.drafts import find

drafts = Blueprint("drafts", __name__, url_prefix="/drafts")
drafts.before_request(firms_only)


@drafts.get("/<secret>")
def show(secret: str) -> ResponseReturnValue:
    address, fields = find(secret) or abort(404)
    return render_template("accounts/draft.html", address=address, fields=fields)
