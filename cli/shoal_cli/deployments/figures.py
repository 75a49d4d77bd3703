"""Figures, times and durations as people read them; pure. Used by all that prints."""

from datetime import datetime

_PERCENTS = frozenset({"errorRate", "noiseRatio", "outOfReach"})


def show_figure(gate: str, value: float | None) -> str:
    """Return a gate's figure in its unit.

    >>> show_figure("errorRate", 0.0123), show_figure("latency", 3.14159), show_figure("agreement", 0.98765)
    ('1.23 %', '3.1 ms', '0.988')
    >>> show_figure("readiness", 2.0), show_figure("latency", 0.234), show_figure("latency", None)
    ('2 ready', '0.23 ms', '')
    """
    if value is None:
        return ""
    if gate in _PERCENTS:
        return f"{value:.2%}".replace("%", " %")
    if gate.startswith("latency"):
        return f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"
    return f"{value:.0f} ready" if gate == "readiness" else f"{value:.3g}"


def show_seconds(seconds: float) -> str:
    """Return a duration with its two largest units.

    >>> show_seconds(0.4), show_seconds(41), show_seconds(101), show_seconds(3660), show_seconds(200_000)
    ('0 s', '41 s', '1 min 41 s', '1 h 1 min', '2 d 7 h')
    """
    total = max(0, round(seconds))
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for unit, size in sizes:
        count, total = divmod(total, size)
        if count:
            parts.append((unit, count, size))
    if not parts:
        return "0 s"
    # The second unit only where it is the next smaller one.
    first = sizes.index((parts[0][0], parts[0][2]))
    second = parts[1] if len(parts) > 1 and sizes.index((parts[1][0], parts[1][2])) == first + 1 else None
    return " ".join(f"{count} {unit}" for unit, count, _ in (parts[0], *([second] if second else [])))


def show_age(created: datetime | None, now: datetime) -> str:
    """Return how long ago something was made, with its largest unit, as kubectl does.

    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [show_age(now - timedelta(seconds=age), now) for age in (5, 130, 7300, 300_000)]
    ['5s', '2m', '2h', '3d']
    """
    if created is None:
        return ""
    age = max(0, int((now - created).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if age >= size:
            return f"{age // size}{unit}"
    return f"{age}s"


def show_time(time: datetime | None) -> str:
    """Return a time of day in the user's zone, with the date."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
