from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shoal_operator.core.snapshot import Look
from shoal_operator.runtime.figures import MOST_LOOKS, Counters, PodSeries, RevisionSeries, parse


def test_a_worker_s_metrics_are_read() -> None:
    registry = CollectorRegistry()
    requests = Counter("shoal_requests", "x", ("code",), registry=registry)
    duration = Histogram("shoal_request_duration_seconds", "x", buckets=(0.1, 0.3, 1.0), registry=registry)
    for seconds in (0.2, 0.2, 0.2, 5.0):
        duration.observe(seconds)
    requests.labels("OK").inc(3)
    requests.labels("INVALID_ARGUMENT").inc()
    rows, noise = Counter("shoal_rows", "x", registry=registry), Counter("shoal_noise_rows", "x", registry=registry)
    rows.inc(20)
    noise.inc(3)
    counters = parse(generate_latest(registry).decode())
    assert (counters.rows, counters.noise_rows) == (20, 3)
    assert (counters.calls, counters.errors) == (4, 1)
    assert counters.seconds == pytest.approx(5.6)
    assert counters.durations == {0.1: 0, 0.3: 3, 1.0: 0, float("inf"): 1}
    assert replace(counters, seconds=1).to_look().squares == pytest.approx(3 * 0.2**2 + 1.0**2)


def test_rows_out_of_reach_count_only_where_the_worker_tells_them() -> None:
    served = "# TYPE shoal_rows counter\nshoal_rows_total 20\n"
    told = "# TYPE shoal_out_of_reach_rows counter\nshoal_out_of_reach_rows_total 0\n"
    without, with_range = parse(served), parse(served + told)
    assert (without.rows, without.ranged_rows) == (20, 0)
    assert (with_range.rows, with_range.ranged_rows, with_range.out_of_reach_rows) == (20, 20, 0)
    both = (with_range + parse(served + told.replace("total 0", "total 3"))).to_look()
    assert (both.ranged_rows, both.out_of_reach_rows) == (40, 3)


def test_text_without_our_metrics_reads_as_nothing_served() -> None:
    assert parse("# HELP up x\n# TYPE up gauge\nup 1\n") == Counters()


def test_what_is_no_metrics_text_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse("<html>not here</html>\n")


def reading(calls: float, errors: float, seconds: float) -> Counters:
    return Counters(calls, errors, seconds, {0.1: calls})


def test_only_what_came_after_the_baseline_counts() -> None:
    series = PodSeries(reading(100, 5, 50))
    series.update(reading(110, 6, 51))
    assert series.total() == reading(10, 1, 1)


def test_a_restarted_worker_counts_from_zero_and_keeps_what_it_served_before() -> None:
    series = PodSeries(reading(100, 5, 50))
    series.update(reading(110, 6, 51))
    series.update(reading(3, 1, 0.5))
    series.update(reading(4, 1, 0.75))
    assert series.total() == reading(14, 2, 1.75)


def test_what_is_passed_over_does_not_count() -> None:
    series = PodSeries(reading(100, 5, 50))
    series.update(reading(110, 6, 51))
    series.pass_over(reading(150, 30, 80))
    series.update(reading(151, 30, 80.5))
    assert series.total() == reading(11, 1, 1.5)


def test_the_squares_are_never_less_than_the_mean_allows() -> None:
    assert Counters(4, 0, 2.0, {0.1: 4}).to_look().squares == 1.0


def test_looks_are_kept_apart_and_add_up_however_many_there_are() -> None:
    series = RevisionSeries()
    series.pods["one"] = PodSeries(Counters())
    for number in range(1, 1001):
        series.pods["one"].update(reading(10 * number, number, number))
        series.end_look()
        figures = series.figures("")
        assert len(figures.looks) < MOST_LOOKS
        assert sum(look.calls for look in figures.looks) == figures.calls == 10 * number
    assert series.figures("").looks[-1] == Look(10, 1, 1, 0.1, {0.1: 10})


def test_leases_of_a_stream_count_as_the_rest_does_and_never_backwards() -> None:
    gauge = "# TYPE shoal_stream_leased gauge\nshoal_stream_leased {}\n"
    series = RevisionSeries()
    series.pods["a"] = PodSeries(parse(gauge.format(100)))
    for leased in (130, 20):
        # The second is of a worker that was started again.
        series.pods["a"].update(parse(gauge.format(leased)))
    series.end_look()
    assert series.figures("now").leased == 50
