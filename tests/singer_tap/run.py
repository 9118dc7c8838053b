"""singer's tap-quickbooks from PyPI against the simulator: every stream to its end.

Run by `test_simulator_foreign.py` in an environment that has the tap; not a test itself.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from importlib import import_module
from pathlib import Path

URL = os.environ["SIMULATOR_URL"]
FOLDER = Path(sys.argv[1])

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
client = import_module("tap_quickbooks.client")
client.SANDBOX_ENDPOINT_BASE = client.PROD_ENDPOINT_BASE = URL  # type: ignore[attr-defined]
client.TOKEN_REFRESH_URL = f"{URL}/oauth2/v1/tokens/bearer"  # type: ignore[attr-defined]

told = json.dumps({"realm_id": os.environ["REALM"]}).encode()
with urllib.request.urlopen(f"{URL}/_simulator/grant", told, timeout=30) as answer:
    granted = json.load(answer)
config = {key: granted[key] for key in ("realm_id", "client_id", "client_secret", "refresh_token")}
config |= {"start_date": "2015-01-01T00:00:00Z", "user_agent": "tap", "sandbox": "true"}
config["max_results"] = "7"  # so that there are pages
(FOLDER / "config.json").write_text(json.dumps(config))

catalog = import_module("tap_quickbooks.discover").do_discover().to_dict()
for stream in catalog["streams"]:
    for entry in stream["metadata"]:
        entry["metadata"]["selected"] = True
(FOLDER / "catalog.json").write_text(json.dumps(catalog))

sys.argv = ["tap-quickbooks", "--config", str(FOLDER / "config.json")]
sys.argv += ["--catalog", str(FOLDER / "catalog.json")]
import_module("tap_quickbooks").main()
