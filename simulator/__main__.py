"""`quickbooks-simulator --port 5001 [--host 127.0.0.1] [--data DIR]`, or `python -m simulator …`"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="quickbooks-simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001, help="0 picks a free one")
    parser.add_argument("--data", type=Path, help="a folder that keeps the books over a restart")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.host, arguments.port, arguments.data))


if __name__ == "__main__":
    main()
