"""How fast the simulator is: `python -m benchmarks.simulator [--quick] [--json]`.

The load comes from `wrk` (Debian's package), which is not Python and keeps eight connections busy.
Every request has its own `requestid`, as our client sends them, and any answer but 200 counts as
an error. Client and server share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from simulator.testing import SimulatorHandle, running_simulator

CONNECTIONS = 8
RUN_SECONDS, QUICK_RUN_SECONDS = 10, 2  # seconds per run
WORDS = {"read": "read a customer", "batch": "batches of 30 customers"}
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

LUA = """
count, errors = 0, 0
local threads, thread = {}, 0
function setup(each) each:set("id", thread); thread = thread + 1; table.insert(threads, each) end
function init(args)
  path, kind = args[1], args[2]
  wrk.headers["Authorization"] = "Bearer " .. args[3]
  wrk.headers["Accept"] = "application/json"
  wrk.headers["Content-Type"] = "application/json"
  customer, start = args[4], args[5]
end
local function customer_body(name)
  return string.format([[{"DisplayName":"%s","GivenName":"Ana","FamilyName":"Rivera",
    "PrimaryEmailAddr":{"Address":"%s@example.com"},
    "PrimaryPhone":{"FreeFormNumber":"(555) 010-0000"}}]], name, name)
end
local function payment_body(name)
  return string.format([[{"TotalAmt":12.50,"CustomerRef":{"value":"%s"},"PaymentRefNum":"%s"}]],
    customer, name)
end
local function invoice_body()
  local line = [[{"Amount":150.00,"DetailType":"SalesItemLineDetail","Description":"Labor",
    "SalesItemLineDetail":{"ItemRef":{"value":"4"},"Qty":1.25,"UnitPrice":120}}]]
  return string.format([[{"CustomerRef":{"value":"%s"},"Line":[%s,%s,%s]}]],
    customer, line, line, line)
end
local function batch_body(name)
  local items = {}
  for n = 1, 30 do
    items[n] = string.format([[{"bId":"%d","operation":"create",
      "Customer":{"DisplayName":"%s-%d"}}]], n, name, n)
  end
  return [[{"BatchItemRequest":[]] .. table.concat(items, ",") .. "]}"
end
local bodies = {customer = customer_body, payment = payment_body, invoice = invoice_body,
  batch = batch_body}
function request()
  count = count + 1
  local name = start .. "-" .. id .. "-" .. count
  if kind == "read" then return wrk.format("GET", path .. "/customer/" .. customer) end
  local url = string.format("%s/%s?minorversion=75&requestid=%s", path, kind, name)
  return wrk.format("POST", url, nil, bodies[kind](name))
end
function response(status) if status ~= 200 then errors = errors + 1 end end
function done(summary)
  local wrong, net = 0, summary.errors
  for _, each in ipairs(threads) do wrong = wrong + each:get("errors") end
  io.write("WRONG ", wrong + net.connect + net.read + net.write + net.timeout, "\\n")
end
"""


@dataclass(frozen=True)
class Row:
    what: str
    kept: bool
    per_second: float
    mean_ms: float
    p99_ms: float
    errors: int


def measure(simulator: SimulatorHandle, script: Path, kind: str, kept: bool, seconds: int) -> Row:
    granted = simulator.grant()
    realm = granted["realm_id"]
    api = simulator.client(realm)
    made = api.post("customer", {"DisplayName": f"For {kind} {simulator.pid}"}).object("Customer")
    api.close()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script)]
    command += [simulator.url, "--", f"/v3/company/{realm}", kind, granted["access_token"]]
    command += [str(made["Id"]), f"{kind}{os.urandom(3).hex()}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    simulator.clear_journal()
    return Row(
        what={"read": "read a customer", "batch": "batches of 30 customers"}.get(
            kind, f"create {kind}s"
        ),
        kept=kept,
        per_second=float(found(r"Requests/sec:\s+([\d.]+)", told)),
        mean_ms=milliseconds(found(r"Latency\s+([\d.]+\w+)", told)),
        p99_ms=milliseconds(found(r"99%\s+([\d.]+\w+)", told)),
        errors=int(found(r"WRONG (\d+)", told)),
    )


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"wrk's answer could not be read:\n{text}")
    return match.group(1)


def milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    assert match
    return float(match.group(1)) * UNITS[match.group(2)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.simulator", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUN_SECONDS} seconds a run")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing; on Debian: apt-get install wrk")
    seconds = QUICK_RUN_SECONDS if arguments.quick else RUN_SECONDS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(LUA)
        for kept in (False, True):
            with running_simulator(Path(folder) / "books" if kept else None) as simulator:
                for kind in ("customer", "invoice", "payment", "batch", "read"):
                    rows.append(measure(simulator, script, kind, kept, seconds))
    if arguments.json:
        print(
            json.dumps(
                {"seconds": seconds, "cores": os.cpu_count(), "rows": [asdict(r) for r in rows]}
            )
        )
        return
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, wrk with {CONNECTIONS}")
    print(f"connections for {seconds} s a row, on the same cores; limits off, every id new\n")
    print(
        f"{'':28}{'books on disk':>15}{'requests/s':>12}{'mean ms':>10}{'99 % ms':>10}{'errors':>8}"
    )
    for row in rows:
        kept_word = "yes" if row.kept else "no"
        print(
            f"{row.what:28}{kept_word:>15}{row.per_second:12.0f}{row.mean_ms:10.2f}"
            f"{row.p99_ms:10.2f}{row.errors:8}"
        )


if __name__ == "__main__":
    main()
