"""python -m tests.simulation.mutations [NAME…]: plays each until it is found; prints a table."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from development.database import migrate
from development.postgres import throwaway_postgres
from tests.simulation.mutations import ROOT, Mutation
from tests.simulation.mutations.cases import CASES
from tests.simulation.mutations.inventions import INVENTIONS

PROCESSOR = 300  # seconds for one mutation
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "var", "__pycache__", ".*_cache", "node_modules"
)
_SUMMARY = re.compile(r"^(\d+) acts, .*$", re.MULTILINE)
_VIOLATION = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """What the simulation came to with one mutation."""

    acts: int
    violation: str | None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutations")
    parser.add_argument("names", nargs="*", help="how names begin; all when there are none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processor", type=int, default=PROCESSOR, help="seconds for each")
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    chosen = [
        one
        for one in (*CASES, *INVENTIONS)
        if not options.names or one.name.startswith(tuple(options.names))
    ]
    with throwaway_postgres() as server, ThreadPoolExecutor(options.at_once) as pool:
        url = server.url()
        migrate(url)  # no mutation changes a table
        limits = ["--database", url, "--seed", str(options.seed)]
        limits += ["--processor", str(options.processor)]
        playing = [pool.submit(play, one, limits) for one in chosen]
        missed = 0
        for one, result in zip(chosen, playing, strict=True):
            found = result.result()
            missed += found.violation is None and one.unseen is None
            print(_row(one, found), flush=True)
    print(f"{len(chosen)} mutations, {missed} not found")
    sys.exit(bool(missed))


def _row(mutation: Mutation, found: Found) -> str:
    if found.violation:
        result = f"found after {found.acts} acts: {found.violation[:90]}"
    elif mutation.unseen:
        result = f"not found after {found.acts} acts: {mutation.unseen}"
    else:
        result = f"NOT FOUND after {found.acts} acts"
    return f"{mutation.name:<12} {mutation.says[:60]:<60} {result}"


def play(mutation: Mutation, limits: list[str]) -> Found:
    """Runs the simulation in a copy of the tree with the mutation in it."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        mutation.apply(copy)
        told = subprocess.run(
            [
                *(sys.executable, "-m", "tests.simulation", "--stop", "--histories=1000000"),
                *(["--money"] if mutation.money else []),
                *limits,
            ],
            check=False,  # 1: found
            cwd=copy,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    summary = _SUMMARY.search(told.stdout)
    if summary is None:
        raise RuntimeError(f"{mutation.name}: the simulation did not run\n{told.stderr[-2000:]}")
    violation = _VIOLATION.search(told.stdout)
    return Found(int(summary[1]), violation[2] if violation else None)


if __name__ == "__main__":
    main()
