"""Draws docs/pictures/performance/*.svg from the benchmarks' JSON output.

python -m benchmarks.engine --json > var/engine.json
python -m benchmarks.plots var/*.json
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.company import SCENARIOS
from benchmarks.harness import median, percentile, shown
from development.stack import ROOT

PICTURES = ROOT / "docs" / "pictures" / "performance"
OURS, OTHERS, LINES = "#2f6f4f", "#9aa3ad", ("#2f6f4f", "#b3541e", "#3d5a80")
STYLE = Path(__file__).with_name("plots.mplstyle")

Raw = Mapping[str, Sequence[float]]


class Told(TypedDict):
    """The parts of a benchmark's JSON that are drawn."""

    benchmark: str
    quick: bool
    raw: dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, help="JSON of benchmarks, one a file")
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder of the pictures")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    for path in asked.results:
        told: Told = json.loads(path.read_text())
        print(draw(told, asked.to))


def draw(told: Told, folder: Path) -> Path:
    """Draws one picture of one benchmark; returns its path."""
    with rc_context(fname=STYLE):
        figure = Figure(figsize=(8, max(3.6, 0.27 * len(told["raw"]))), layout="constrained")
        PLOTS[told["benchmark"]](figure.subplots(), told["raw"])
        if told["quick"]:
            figure.suptitle("quick: these figures mean nothing", color="#b3541e")
        path = folder / f"{told['benchmark']}.svg"
        figure.savefig(path, metadata={"Date": None})
    return path


def _bars(axes: Axes, raw: Raw, *, unit: str) -> None:
    """Medians, with the range of eight in ten measurements, or of all if there are few."""
    names = list(raw)[::-1]
    middle = [median(raw[name]) for name in names]
    spread = [
        [value - percentile(raw[name], 0.1) for name, value in zip(names, middle, strict=True)],
        [percentile(raw[name], 0.9) - value for name, value in zip(names, middle, strict=True)],
    ]
    colors = [OURS if name.startswith("ours") else OTHERS for name in names]
    if OURS not in colors:  # not a race, but one thing in several sizes
        colors = [OURS] * len(names)
    bars = axes.barh(names, middle, xerr=spread, color=colors, ecolor="#40474f", height=0.65)
    axes.bar_label(bars, labels=[shown(value) for value in middle], padding=4)
    axes.margins(x=0.15)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)


def _company(axes: Axes, raw: Raw) -> None:
    """Records sent over time, with what the limits would allow."""
    for scenario, color in zip(SCENARIOS, LINES, strict=True):
        arrivals = raw[scenario.name]
        axes.plot(arrivals, range(1, len(arrivals) + 1), color=color, label=scenario.name)
    longest = max(arrivals[-1] for arrivals in raw.values())
    for ceiling in sorted({scenario.ceiling for scenario in SCENARIOS}):
        axes.plot([0, longest], [0, ceiling * longest / 60], color=OTHERS, linestyle=":")
        axes.annotate(
            f"{ceiling:,} a minute", (longest, ceiling * longest / 60), ha="right", va="bottom"
        )
    axes.set_xlabel("seconds since the first")
    axes.set_ylabel("records sent")
    _legend_above(axes)


def _latency(axes: Axes, raw: Raw) -> None:
    """The share that had arrived by then, without load and under load."""
    idle = ("ours", "procrastinate", "PgQueuer")
    for name, color in zip(idle, LINES, strict=True):
        _shares(axes, raw[name], color, f"request, idle: {name}")
    _shares(axes, raw["all records"], "#111", "In QuickBooks, 1,000 a minute", linestyle="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("seconds after the commit")
    axes.set_ylabel("share of records")
    _legend_above(axes)


def _shares(
    axes: Axes, delays: Sequence[float], color: str, label: str, linestyle: str = "-"
) -> None:
    shares = [number / len(delays) for number in range(1, len(delays) + 1)]
    least = 0.0001  # a request may arrive before we see the commit return
    axes.step(
        [max(delay, least) for delay in delays], shares, color=color, label=label, ls=linestyle
    )


def _legend_above(axes: Axes) -> None:
    """Puts the legend where no line can cross it."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _memory(axes: Axes, raw: Raw) -> None:
    for (name, values), color in zip(raw.items(), LINES, strict=False):
        axes.plot(range(len(values)), values, color=color, label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("samples, in the course of the drain")
    axes.set_ylabel("MB resident")
    axes.legend(loc="lower right")


def _bars_of(unit: str) -> Callable[[Axes, Raw], None]:
    return lambda axes, raw: _bars(axes, raw, unit=unit)


PLOTS: dict[str, Callable[[Axes, Raw], None]] = {
    "engine": _bars_of("entries a second"),
    "companies": _bars_of("records a second"),
    "processes": _bars_of("records a second"),
    "capture": _bars_of("ms a save"),
    "claim": _bars_of("ms a claim"),
    "pages": _bars_of("ms a page"),
    "company": _company,
    "latency": _latency,
    "memory": _memory,
}


if __name__ == "__main__":
    main()
