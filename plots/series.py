"""The rounds of one variant, and what is said of them: median, percentiles, interval, pairs by round."""
import math
import statistics
from typing import NamedTuple, Optional


class Point(NamedTuple):
    round: int
    value: Optional[float]  # None when nothing finite was measured
    valid: bool
    reason: str = ""


class Series(list):
    """The points of one variant, a round each. A statistic of no valid point is None."""

    @property
    def valid(self):
        return [p.value for p in self if p.valid]

    @property
    def invalid(self):
        return [p.value for p in self if not p.valid and p.value is not None]

    @property
    def median(self):
        return statistics.median(self.valid) if self.valid else None

    def percentile(self, percent):
        values = sorted(self.valid)
        if not values:
            return None
        at = percent / 100 * (len(values) - 1)
        below = math.floor(at)
        return values[below] + (at - below) * (values[math.ceil(at)] - values[below])

    def interval(self):
        """The exact 95 % order-statistic interval of the median; None with fewer than 6 valid points."""
        values, tail, rank = sorted(self.valid), 0, 0
        while tail + math.comb(len(values), rank) <= 0.025 * 2 ** len(values):
            tail += math.comb(len(values), rank)
            rank += 1
        return (values[rank - 1], values[-rank]) if rank and len(values) >= 6 else None

    def paired(self, other, combine):
        """combine(own, other's) for each round both have; valid where both are."""
        others = {p.round: p for p in other}
        points = Series()
        for p in self:
            q = others.get(p.round)
            if q is not None and p.value is not None and q.value is not None:
                points.append(Point(p.round, combine(p.value, q.value), p.valid and q.valid, p.reason or q.reason))
        return points

    def over(self, other):
        return self.paired(other, lambda a, b: a / b)

    def minus(self, other):
        return self.paired(other, lambda a, b: a - b)

    def scaled(self, factor):
        return Series(p._replace(value=p.value * factor) if p.value is not None else p for p in self)
