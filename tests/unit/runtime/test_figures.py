import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shoal_operator.runtime.figures import Counters, PodSeries, parse, window_figures


def test_a_worker_s_metrics_are_read() -> None:
    registry = CollectorRegistry()
    requests = Counter("shoal_requests", "x", ("code",), registry=registry)
    duration = Histogram("shoal_request_duration_seconds", "x", buckets=(0.1, 0.3, 1.0), registry=registry)
    for seconds in (0.2, 0.2, 0.2, 5.0):
        duration.observe(seconds)
    requests.labels("OK").inc(3)
    requests.labels("INVALID_ARGUMENT").inc()
    counters = parse(generate_latest(registry).decode())
    assert (counters.calls, counters.errors) == (4, 1)
    assert counters.seconds == pytest.approx(5.6)
    assert counters.squares == pytest.approx(3 * 0.2**2 + 1.0**2)


def test_text_without_our_metrics_reads_as_nothing_served() -> None:
    assert parse("# HELP up x\n# TYPE up gauge\nup 1\n") == Counters()


def test_what_is_no_metrics_text_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse("<html>not here</html>\n")


def test_only_what_came_after_the_baseline_counts() -> None:
    series = PodSeries(Counters(100, 5, 50, 60))
    series.update(Counters(110, 6, 51, 61))
    assert series.total() == Counters(10, 1, 1, 1)


def test_a_restarted_worker_counts_from_zero_and_keeps_what_it_served_before() -> None:
    series = PodSeries(Counters(100, 5, 50, 60))
    series.update(Counters(110, 6, 51, 61))
    series.update(Counters(3, 1, 0.5, 0.2))
    series.update(Counters(4, 1, 0.75, 0.3))
    assert series.total() == Counters(14, 2, 1.75, 1.3)


def test_the_squares_are_never_less_than_the_mean_allows() -> None:
    series = PodSeries(Counters())
    series.update(Counters(4, 0, 2.0, 0.5))
    assert window_figures([series]).seconds_square_sum == 1.0
