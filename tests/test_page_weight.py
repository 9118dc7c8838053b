"""What a page costs to load for the first time: bytes as they are sent."""

import gzip
import re
from pathlib import Path

import pytest
from flask import Flask

from web import security

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


@pytest.mark.parametrize("way", ["gzip", "br"])
def test_pages_are_sent_compressed_to_browsers_that_say_they_can(app: Flask, way: str) -> None:
    whole = app.test_client().get("/sign-up")
    assert "Content-Encoding" not in whole.headers
    answer = app.test_client().get("/sign-up", headers={"Accept-Encoding": way})
    assert answer.headers["Content-Encoding"] == way
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.data) < len(whole.data) / 3


def test_a_file_without_a_version_is_not_kept_before_any_page_was_made(app: Flask) -> None:
    security._version_of.cache_clear()
    with app.test_client().get("/static/app.js") as answer:
        assert "immutable" not in answer.headers["Cache-Control"]
    version = security._version_of("app.js")
    security._version_of.cache_clear()
    with app.test_client().get(f"/static/app.js?v={version}") as answer:
        assert "immutable" in answer.headers["Cache-Control"]


def test_a_versioned_file_is_kept_for_a_year(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/sign-in").get_data(as_text=True)
    addresses = set(re.findall(r"/static/[\w./-]+\?v=\w+", page))
    assert len(addresses) >= 2
    for address in addresses:
        with client.get(address) as answer:
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            tag = answer.headers["ETag"]
        with client.get(address, headers={"If-None-Match": tag}) as answer:
            assert answer.status_code == 304
    for stale in (address.replace("?v=", "?v=0"), address.partition("?")[0]):
        with client.get(stale) as answer:
            assert "immutable" not in answer.headers.get("Cache-Control", "")
