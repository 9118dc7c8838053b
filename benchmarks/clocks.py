"""A process whose clock is ahead, by Debian's libfaketime."""

from pathlib import Path

PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def library() -> Path | None:
    """Where it is installed, if it is: apt-get install faketime."""
    found = (path for place in PLACES for path in Path("/").glob(place.lstrip("/")))
    return next(found, None)


def ahead_of_time(seconds: float) -> dict[str, str]:
    """The environment in which a process believes that it is so many seconds later."""
    path = library()
    if path is None:
        raise FileNotFoundError("libfaketime is not installed: apt-get install faketime")
    return {
        "LD_PRELOAD": str(path),
        "FAKETIME": f"{seconds:+g}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # time-outs are durations
        "NO_FAKE_STAT": "1",  # by the times of files gunicorn sees that a worker is alive
    }
