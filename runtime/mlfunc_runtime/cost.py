"""What a batch costs, learned on line from those that ran:

    seconds = (fixed + each * n + unit * n * longest) * bend(n)

`n * longest` is what a model computes that pads its inputs to the longest one. Where the cost does
not depend on a term, or a term cannot be told from another yet, learning leaves it near zero, or
where it was. `bend` is what the three terms do not explain, by the number of requests.
"""

from __future__ import annotations

from math import sqrt
from typing import cast

# Batches that must have run before anything is decided by what they cost.
_ENOUGH = 5
# With each batch, what all before it count for becomes less by this factor.
_FORGET = 0.99
# When all that ran lately took much longer, or much less, than foretold, it is another model now.
_DRIFTED = (0.67, 1.5)
_AFTER_DRIFT = 0.02
# Of what the data say, relative: a direction they say nothing about stays where it was.
_INERTIA = 0.003
# The bend at a knot is an average of so many batches, at most, and of so many that it was 1 for.
_BEND_MEMORY = 20.0
_BEND_PRIOR = 5.0
_BEND_LIMITS = (0.25, 4.0)
_SWEEPS = 30  # of coordinate descent
# Batches between two solutions, which take 30 us; while little is known, each one counts.
_EACH = 8
_Terms = tuple[float, float, float]
_Sums = tuple[float, float, float, float, float, float, float, float, float]


class Cost:
    """Seconds of a batch by its number of requests and the size of its longest one.

    Forgetting least squares of relative errors: a batch that took long weighs less, so the first
    call for a shape, two or three times slower, moves little. Source: L. Ljung, System
    Identification, 2nd edition, section 11.2 (forgetting).
    """

    __slots__ = (
        "_bends",
        "_drift",
        "_hefts",
        "_sums",
        "largest",
        "longest",
        "most",
        "observed",
        "terms",
    )

    def __init__(self) -> None:
        self.terms: _Terms = (0.0, 0.0, 0.0)
        self.observed = 0
        self.largest = 0  # how many requests the largest batch had
        self.longest = 0.0  # size of the largest request of all
        self.most = 0.0  # units of the batch that had the most
        self._drift = 1.0
        self._sums: _Sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._bends = [1.0, 1.0]
        self._hefts = [0.0, 0.0]

    @property
    def known(self) -> bool:
        """Whether enough batches ran to decide by it."""
        return self.observed >= _ENOUGH

    def seconds(self, n: int, longest: float) -> float:
        """How long a batch of `n` takes. 0 while nothing is known."""
        return self._straight(n, longest) * self.bend(n)

    def foretold(self, n: int, longest: float) -> float:
        """The same, of what is larger than all that ran as of the largest: nobody is refused for
        what it may cost, or it would never be learned.
        """
        n = min(n, self.largest or n)
        return self.seconds(n, min(longest, self.longest or longest, self.most / n or longest))

    def bend(self, n: int) -> float:
        """Between powers of two, where it is learned, it is interpolated: it has no steps."""
        knot = n.bit_length() - 1
        if knot + 1 >= len(self._bends):
            return self._bends[-1]
        base = 1 << knot
        low = self._bends[knot]
        return low + (self._bends[knot + 1] - low) * (n - base) / base

    def observe(self, n: int, longest: float, seconds: float) -> None:
        """A batch took so long."""
        seconds = max(seconds, 1e-9)
        if not self.observed:
            self.terms = (seconds / 2, 0.0, seconds / 2 / (n * longest))
        self._notice_drift(seconds / max(self.seconds(n, longest), 1e-9))
        self._gather(n, n * longest, seconds)
        self.observed += 1
        self.largest = max(self.largest, n)
        self.longest = max(self.longest, longest)
        self.most = max(self.most, n * longest)
        if self.observed < _EACH or not self.observed % _EACH:
            self.terms = self._solve()
        self._learn_bend(n, seconds / max(self._straight(n, longest), 1e-9))

    def _straight(self, n: int, longest: float) -> float:
        fixed, each, unit = self.terms
        return fixed + (each + unit * longest) * n

    def _gather(self, n: int, units: float, seconds: float) -> None:
        """The moments of 1, n and units, and their products with the seconds; by hand: in loops it
        takes thrice as long.
        """
        fixed, each, unit = self.terms
        w = max(seconds, fixed + each * n + unit * units) ** -2.0
        one, n_1, u_1, n_n, u_n, u_u, s_1, s_n, s_u = self._sums
        self._sums = (
            one * _FORGET + w,
            n_1 * _FORGET + w * n,
            u_1 * _FORGET + w * units,
            n_n * _FORGET + w * n * n,
            u_n * _FORGET + w * units * n,
            u_u * _FORGET + w * units * units,
            s_1 * _FORGET + w * seconds,
            s_n * _FORGET + w * seconds * n,
            s_u * _FORGET + w * seconds * units,
        )

    def _notice_drift(self, ratio: float) -> None:
        """Start anew, from the same terms at the new pace."""
        self._drift += 0.1 * (min(ratio, 3.0) - self._drift)
        low, high = _DRIFTED
        if not low < self._drift < high:
            fixed, each, unit = self.terms
            self.terms = (fixed * self._drift, each * self._drift, unit * self._drift)
            self._sums = cast("_Sums", tuple(value * _AFTER_DRIFT for value in self._sums))
            self._drift = 1.0

    def _solve(self) -> _Terms:
        """In units in which each term alone weighs the same, so that sizes may be of any scale."""
        one, n_1, u_1, n_n, u_n, u_u, s_1, s_n, s_u = self._sums
        scale = (sqrt(one), sqrt(n_n), sqrt(u_u))
        stay = 1.0 + _INERTIA
        n_1, u_1, u_n = (
            n_1 / scale[0] / scale[1],
            u_1 / scale[0] / scale[2],
            u_n / scale[1] / scale[2],
        )
        matrix = ((stay, n_1, u_1), (n_1, stay, u_n), (u_1, u_n, stay))
        pull = [_INERTIA * term * unit for term, unit in zip(self.terms, scale, strict=True)]
        target = (s_1 / scale[0] + pull[0], s_n / scale[1] + pull[1], s_u / scale[2] + pull[2])
        solved = _not_negative(matrix, target, _cramer(matrix, target))
        return (solved[0] / scale[0], solved[1] / scale[1], solved[2] / scale[2])

    def _learn_bend(self, n: int, ratio: float) -> None:
        low, high = _BEND_LIMITS
        ratio = min(max(ratio, low), high)
        knot = n.bit_length() - 1
        while len(self._bends) < knot + 2:
            self._bends.append(self._bends[-1])
            self._hefts.append(0.0)
        share = n / (1 << knot) - 1
        for place, part in ((knot, 1 - share), (knot + 1, share)):
            self._hefts[place] = min(self._hefts[place] + part, _BEND_MEMORY)
            step = part / (self._hefts[place] + _BEND_PRIOR)
            self._bends[place] += step * (ratio - self._bends[place])


def _cramer(m: tuple[_Terms, _Terms, _Terms], t: _Terms) -> _Terms:
    """The solution of three equations; the inertia on the diagonal keeps them regular."""
    (a, b, c), (d, e, f), (g, h, i) = m
    x, y, z = t
    minors = (e * i - f * h, d * i - f * g, d * h - e * g)
    whole = a * minors[0] - b * minors[1] + c * minors[2]
    return (
        (x * minors[0] - b * (y * i - f * z) + c * (y * h - e * z)) / whole,
        (a * (y * i - f * z) - x * minors[1] + c * (d * z - y * g)) / whole,
        (a * (e * z - y * h) - b * (d * z - y * g) + x * minors[2]) / whole,
    )


def _not_negative(m: tuple[_Terms, _Terms, _Terms], t: _Terms, start: _Terms) -> _Terms:
    """The least squares without negative terms, by coordinate descent from `start`."""
    if min(start) >= 0.0:
        return start
    x, y, z = (max(0.0, value) for value in start)
    (a, b, c), (_, e, f), (_, _, i) = m
    for _ in range(_SWEEPS):
        x = max(0.0, (t[0] - b * y - c * z) / a)
        y = max(0.0, (t[1] - b * x - f * z) / e)
        z = max(0.0, (t[2] - c * x - f * y) / i)
    return (x, y, z)
