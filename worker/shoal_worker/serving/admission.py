"""Which calls wait, which runs next and which are refused: the arithmetic of `dispatch`, without clock or thread.

Invariant: what is remembered is bounded by the calls in flight, of which there are at most twice `places`; nothing is
kept of a tenant that has none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from shoal_worker.errors import Overloaded

QUEUE_FULL, TENANT_SHARE, DEADLINE_SHORT, WORK_BUDGET = "QueueFull", "TenantShare", "DeadlineShort", "WorkBudget"
REASONS = (QUEUE_FULL, TENANT_SHARE, DEADLINE_SHORT, WORK_BUDGET)

# How much the newest call counts in the mean of what calls take beyond their expected time.
_NEWEST = 0.1
_TENANT_CHARACTERS = 128
_SPARE = 16


@dataclass(eq=False, slots=True)
class Call:
    """A call that was admitted."""

    tenant: str
    cost: float
    """Expected seconds of work."""
    deadline: float
    place: float
    """In the fair order: the least of those that wait is the next."""
    begin: Callable[["Call"], None]
    """Runs the work; called once, by whoever asks for the next call."""
    admitted: float
    started: float | None = None
    left: bool = False


@dataclass(slots=True)
class _Tenant:
    in_flight: int = 0
    finish: float = 0.0
    """Where the next call of this tenant comes in the fair order."""


@dataclass(slots=True)
class Admission:
    """A bounded queue before a bounded number of slots, fair among tenants by the seconds that their calls take.

    The order is start-time fair queueing: a call's place is where its tenant's call before ended, or where the queue
    is now. So tenants that wait get equal shares of the slots, however many calls or rows each of them sends, and one
    alone gets all. In one tenant the order is that of arrival.
    """

    slots: int
    places: int
    longest: float
    """Seconds of work that no call may exceed."""
    longest_wait: float
    """Seconds of work that may wait before a call, unless twice its own are more: so soon an overload is over."""
    running: int = 0
    overhead: float = 0.0
    """Mean seconds that calls took beyond what was expected of their rows."""
    _tenants: dict[str, _Tenant] = field(default_factory=dict)
    _order: list[tuple[float, int, Call]] = field(default_factory=list)
    _busy: set[Call] = field(default_factory=set)
    _now: float = 0.0
    """Place of the call that began last."""
    _sequence: int = 0
    _waiting: int = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Calls admitted and not yet ended."""
        return self._waiting + self.running

    @property
    def tenants(self) -> int:
        """Tenants with calls in flight."""
        return len(self._tenants)

    def admit(self, tenant: str, cost: float, seconds: float, now: float, begin: Callable[["Call"], None]) -> Call:
        """Give a place to a call that may take `seconds`, or raise the Overloaded that says why it gets none."""
        self._check_budget(cost, seconds)
        tenant = tenant[:_TENANT_CHARACTERS]
        self._check_places(tenant)
        known = self._tenants.get(tenant)
        place = max(self._now, known.finish) if known else self._now
        ahead = self._ahead_of(place)
        if ahead > max(self.longest_wait, 2 * (cost + self.overhead)):
            raise Overloaded(
                f"about {ahead:.3g} s of work wait before the call already",
                reason=QUEUE_FULL,
                remedy="Retry after a pause with jitter, or scale the deployment up",
                retry_after=ahead / 2,
            )
        wait = self._wait_after(ahead, now)
        if wait + cost > seconds:
            raise Overloaded(
                f"the call's turn would come in about {wait:.3g} s, too late for its deadline",
                reason=DEADLINE_SHORT,
                remedy="Retry after a pause with jitter, allow more time, or scale the deployment up",
                retry_after=wait,
            )
        if known is None:
            known = self._tenants[tenant] = _Tenant()
        known.in_flight += 1
        known.finish = place + cost
        call = Call(tenant, cost, now + seconds, place, begin, now)
        self._sequence += 1
        self._waiting += 1
        heappush(self._order, (place, self._sequence, call))
        return call

    def take(self, now: float) -> Iterator[Call]:
        """Take the calls whose turn it is, as many as there are slots; one that is too late is passed over."""
        while self.running < self.slots and self._order:
            place, _, call = heappop(self._order)
            if call.left:
                continue
            self._now = max(self._now, place)
            if call.deadline <= now:
                self.leave(call, now)
                continue
            self._waiting -= 1
            self.running += 1
            call.started = now
            self._busy.add(call)
            yield call

    def leave(self, call: Call, now: float, *, complete: bool = False) -> None:
        """Give the place back: the work ended, or nobody waits for it any more and it did not begin. Once is enough."""
        if call.left:
            return
        call.left = True
        if call.started is None:
            self._waiting -= 1
        else:
            self.running -= 1
            self._busy.discard(call)
            if complete:
                beyond = max(now - call.started - call.cost, 0.0)
                self.overhead += _NEWEST * (beyond - self.overhead)
        tenant = self._tenants[call.tenant]
        tenant.in_flight -= 1
        if not tenant.in_flight:
            del self._tenants[call.tenant]
        # A flood of calls that are cancelled must not pile up behind those that wait.
        if len(self._order) > 2 * self._waiting + _SPARE:
            self._order = [entry for entry in self._order if not entry[2].left]
            heapify(self._order)

    def _check_budget(self, cost: float, seconds: float) -> None:
        """Refuse what cannot end in time on an idle worker either."""
        allowed = min(seconds, self.longest)
        if cost > allowed:
            raise Overloaded(
                f"the rows take about {cost:.3g} s of work and the call may take {allowed:.3g} s",
                reason=WORK_BUDGET,
                remedy=f"Send 1/{int(cost / max(allowed, 1e-9)) + 1} of the rows per call"
                + ("" if allowed >= self.longest else ", or allow more time"),
            )

    def _check_places(self, tenant: str) -> None:
        """Refuse a tenant that has its share of the places: all if it is alone, else an equal part.

        A new tenant gets its share even while another still holds more than is its own by now; hence the twofold
        bound on all.
        """
        held = self._tenants[tenant].in_flight if tenant in self._tenants else 0
        others = len(self._tenants) - (held > 0)
        share = max(self.places // (others + 1), 1)
        if held >= share or self.in_flight >= 2 * self.places:
            raise Overloaded(
                f"{self.in_flight} calls are in flight already"
                + (f", {held} of them this tenant's, and its share is {share}" if others else ""),
                reason=TENANT_SHARE if others and held >= share else QUEUE_FULL,
                remedy="Retry after a pause with jitter, or scale the deployment up",
                retry_after=sum(self._time(call) for _, _, call in self._order if not call.left) / self.slots / 2,
            )

    def _ahead_of(self, place: float) -> float:
        """About how many seconds the slots take for the calls that wait before this place in the order."""
        return (
            sum(self._time(call) for before, _, call in self._order if before <= place and not call.left) / self.slots
        )

    def _wait_after(self, ahead: float, now: float) -> float:
        """About how long a call waits for a slot before which so much waits."""
        if self.running < self.slots and not self._waiting:
            return 0.0
        left = sum(max(self._time(call) - (now - call.started), 0.0) for call in self._busy if call.started is not None)
        return ahead + left / self.slots

    def _time(self, call: Call) -> float:
        return call.cost + self.overhead
