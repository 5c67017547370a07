"""The rounds of one variant, and what is drawn of them: the calmest rounds' median and percentiles, pairs by round."""
import math
import statistics
from typing import NamedTuple

DISTURBED = 0.95  # of full speed: below it a round is drawn pale
FEWEST = 9  # rounds a median is taken of, disturbed or not, where there are so many


class Point(NamedTuple):
    round: int
    value: float
    pace: float = 1.0  # how fast its slowest CPU ran, as a share of full speed, less what others took of it

    @property
    def disturbed(self):
        return self.pace < DISTURBED


class Series(list):
    """The points of one variant, a round each. A statistic of no point is None."""

    @property
    def values(self):
        return [p.value for p in self]

    @property
    def calm(self):
        """The values of all undisturbed rounds; where they are fewer than nine, of the next calmest, too."""
        count = max(FEWEST, sum(not p.disturbed for p in self))
        return [p.value for p in sorted(self, key=lambda p: -p.pace)[:count]]

    @property
    def median(self):
        return statistics.median(self.calm) if self else None

    def percentile(self, percent):
        values = sorted(self.calm)
        if not values:
            return None
        at = percent / 100 * (len(values) - 1)
        below = math.floor(at)
        return values[below] + (at - below) * (values[math.ceil(at)] - values[below])

    def paired(self, other, combine):
        """combine(own, other's) for each round both have, as calm as the less calm of them."""
        others = {p.round: p for p in other}
        pairs = ((p, others[p.round]) for p in self if p.round in others)
        return Series(Point(p.round, combine(p.value, q.value), min(p.pace, q.pace)) for p, q in pairs)

    def over(self, other):
        return self.paired(other, lambda a, b: a / b)

    def minus(self, other):
        return self.paired(other, lambda a, b: a - b)

    def scaled(self, factor):
        return Series(p._replace(value=p.value * factor) for p in self)
