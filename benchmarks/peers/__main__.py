"""A contestant's process: `python -m benchmarks.peers NAME URL …`."""

import sys

import uvloop

from benchmarks.peers import naive, pgqueuer, procrastinate


def main() -> None:
    name, url, *others = sys.argv[1:]
    match name:
        case "procrastinate":
            uvloop.run(procrastinate.work(url))
        case "pgqueuer":
            uvloop.run(pgqueuer.work(url, batch=int(others[0])))
        case "naive":
            naive.work(url)
        case unknown:
            sys.exit(f"There is no contestant {unknown}.")


main()
