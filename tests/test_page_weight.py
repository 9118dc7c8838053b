"""What a page costs to load for the first time: bytes as they are sent."""

import gzip
from pathlib import Path

import pytest
from flask import Flask

STATIC = Path(__file__).parent.parent / "static"


@pytest.mark.parametrize("name", ["app.css", "app.js", "vendor/htmx-2.0.11/htmx.min.js"])
def test_static_files_are_sent_compressed_to_browsers_that_say_they_can(
    app: Flask, name: str
) -> None:
    whole = (STATIC / name).read_bytes()
    with app.test_client().get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) == len(answer.data) < len(whole) / 2
        assert gzip.decompress(answer.data) == whole
        tag = answer.headers["ETag"]
    with app.test_client().get(f"/static/{name}", headers={"If-None-Match": tag}) as answer:
        assert (answer.status_code, answer.data) == (304, b"")
    with app.test_client().get(f"/static/{name}") as answer:
        assert "Content-Encoding" not in answer.headers
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.data == whole


def test_pages_are_never_compressed_because_they_hold_secrets(app: Flask) -> None:
    answer = app.test_client().get("/sign-in", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
