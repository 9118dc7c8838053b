"""Airbyte's source-quickbooks from PyPI against the simulator: every stream to its end.

Its addresses stand in its manifest, so requests are led elsewhere on their way out. Run by
`test_simulator_foreign.py` in an environment that has the source; not a test itself.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any

URL = os.environ["SIMULATOR_URL"]
FOLDER = Path(sys.argv[1])
INTUIT = ("https://sandbox-quickbooks.api.intuit.com", "https://oauth.platform.intuit.com")

adapters = import_module("requests.adapters")
sends = adapters.HTTPAdapter.send


def send(adapter: object, request: Any, **options: object) -> object:
    for host in INTUIT:
        request.url = request.url.replace(host, URL)
    return sends(adapter, request, **options)


adapters.HTTPAdapter.send = send

told = json.dumps({"realm_id": os.environ["REALM"]}).encode()
with urllib.request.urlopen(f"{URL}/_simulator/grant", told, timeout=30) as answer:
    granted = json.load(answer)
config = {key: granted[key] for key in ("realm_id", "client_id", "client_secret", "refresh_token")}
config |= {"access_token": granted["access_token"], "sandbox": True}
config |= {"start_date": "2015-01-01T00:00:00Z", "token_expiry_date": "2020-01-01T00:00:00Z"}
(FOLDER / "config.json").write_text(json.dumps(config))

source = import_module("source_quickbooks.source").SourceQuickbooks()
logger = import_module("logging").getLogger("airbyte")
catalog = source.discover(logger, config)
streams = [
    {
        "stream": {
            "name": each.name,
            "json_schema": each.json_schema,
            "supported_sync_modes": ["full_refresh"],
        },
        "sync_mode": "full_refresh",
        "destination_sync_mode": "overwrite",
    }
    for each in catalog.streams
]
(FOLDER / "catalog.json").write_text(json.dumps({"streams": streams}))
entrypoint = import_module("airbyte_cdk.entrypoint")
arguments = ["read", "--config", str(FOLDER / "config.json")]
entrypoint.launch(source, [*arguments, "--catalog", str(FOLDER / "catalog.json")])
