"""How benchmarks count, compare and report. `.ci/run` checks that they run at all."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import company, plots
from benchmarks.company import Scenario
from benchmarks.harness import Asked, Report, Target, percentile, turns
from benchmarks.latency import customers_in
from benchmarks.workers import WorkerFailed, running_worker
from simulator.limits import Throttle
from simulator.testing import JournalEntry


def request(at: float, records: int = 30, status: int = 200) -> JournalEntry:
    body = '"bId"' * records if records > 1 else "{}"
    return JournalEntry(
        method="POST",
        path="/v3/company/1/batch" if records > 1 else "/v3/company/1/customer",
        query="",
        body=body,
        status=status,
        requestid=None,
        tid="",
        arrived_at=at,
        answered_at=at + 1,
        metered=False,
        metered_reads=0,
        replayed=False,
        realm="1",
        fault=None,
        answer=None,
    )


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7.0


def test_every_contestant_has_a_turn_in_each_round_and_none_always_goes_first() -> None:
    order = list(turns(["ours", "theirs", "naive"], 3))
    rounds = [order[start : start + 3] for start in (0, 3, 6)]
    assert [set(each) for each in rounds] == [{"ours", "theirs", "naive"}] * 3
    assert {each[0] for each in rounds} == {"ours", "theirs", "naive"}


@pytest.mark.parametrize(
    ("measured", "at_least", "met"), [(2.0, True, True), (0.9, True, False), (0.9, False, True)]
)
def test_a_target_says_whether_it_is_met(measured: float, at_least: bool, met: bool) -> None:
    assert Target("ratio", measured, 1.0, at_least).met is met


def test_a_report_in_json_is_one_object_with_what_the_table_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report("engine", "One way.", quick=True)
    report.tables["Rates"] = [{"contestant": "ours", "records/s": 2000.0, "least": None}]
    report.at_least("ours ÷ theirs", 2.0, 1.0)
    report.tell(Asked(quick=True, json=False), "18")
    table = capsys.readouterr().out
    assert "met: ours ÷ theirs, 2 (at least 1)" in table
    assert "2,000" in table
    report.tell(Asked(quick=True, json=True), "18")
    told = json.loads(capsys.readouterr().out)
    assert told["tables"] == {"Rates": [report.tables["Rates"][0]]}
    assert told["targets"] == [
        {"what": "ours ÷ theirs", "measured": 2.0, "at_least": 1.0, "met": True}
    ]


# --- One company's rate -------------------------------------------------------------------------


def admitted(scenario: Scenario, *, every: float) -> Sequence[JournalEntry]:
    """What the simulator's limiter lets through of a client that asks again and again."""
    throttle, journal = Throttle(), []
    weight = company.BATCH if scenario.counts_items else 1
    for number in range(int(company.MAX_SECONDS / every)):
        at = number * every
        if throttle.admits(at, "1", "app", company.BATCH, weight):
            journal.append(request(at))
    return journal


@pytest.mark.parametrize("scenario", company.SCENARIOS)
def test_who_takes_all_that_the_limiter_gives_reaches_the_ceiling(scenario: Scenario) -> None:
    """In bursts or evenly: whole minutes hold the same."""
    journal = admitted(scenario, every=0.2)
    seen = company.seen_in(journal, first_minute=company.FIRST_MINUTE)
    assert seen.by_batch == pytest.approx(scenario.ceiling, rel=0.025)


def test_the_first_minute_and_what_went_alone_do_not_raise_the_rate() -> None:
    burst = [request(at / 100) for at in range(40)]
    evenly = [request(60 + number * 3.0) for number in range(50)]
    alone = [request(60.0 + number, records=1) for number in range(150)]
    refused = [request(70.0, status=429)]
    journal = sorted([*burst, *evenly, *alone, *refused], key=lambda each: each["arrived_at"])
    seen = company.seen_in(journal, first_minute=60.0)
    assert (seen.by_batch, seen.by_single, seen.throttled) == (600, 60, 1)
    assert seen.sent == (40 + 50) * 30 + 150


def test_customers_are_found_in_single_calls_and_in_batches() -> None:
    alone = '{"DisplayName": "Customer 1a", "GivenName": "Ana"}'
    batch = '{"BatchItemRequest": [{"Customer": {"DisplayName":"Customer 2b"}, "bId": "0"}]}'
    assert [*customers_in(alone), *customers_in(batch)] == ["Customer 1a", "Customer 2b"]


# --- Workers ------------------------------------------------------------------------------------


def test_a_contestant_that_fails_is_heard_with_its_last_words() -> None:
    with (
        pytest.raises(WorkerFailed, match="no-such-contestant"),
        running_worker("benchmarks.peers", "no-such-contestant", "postgresql://nowhere/none"),
    ):
        pass


# --- Plots --------------------------------------------------------------------------------------


def test_the_same_figures_draw_the_same_picture(tmp_path: Path) -> None:
    raw = {"ours": [900.0, 1100.0, 1000.0], "theirs": [300.0, 280.0, 310.0]}
    told = plots.Told(benchmark="engine", quick=False, raw=raw)
    first = plots.draw(told, tmp_path).read_text()
    assert plots.draw(told, tmp_path).read_text() == first
    assert "theirs" in first
    assert "1,000" in first


def test_every_benchmark_with_figures_has_a_picture() -> None:
    folder = Path(plots.__file__).parent
    reporting = {path.stem for path in folder.glob("*.py") if " Report(" in path.read_text()}
    assert reporting - plots.PLOTS.keys() == set()
