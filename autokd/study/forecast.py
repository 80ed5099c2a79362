"""How long jobs will take: multiply-accumulates times seconds per multiply-accumulate, learnt as jobs finish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FIT_FROM = 4  # with fewer finished trials a line through them says less than their mean
_MARGIN_LEAST, _MARGIN_MOST = 1.05, 1.5


@dataclass(frozen=True)
class Forecast:
    """``seconds = overhead + per_mac * macs`` of device time; ``margin`` covers four forecasts out of five."""

    per_mac: float
    overhead: float = 0.0
    margin: float = 1.2

    def seconds(self, macs: float) -> float:
        """The expected device seconds of a job that trains this many multiply-accumulates."""
        return self.overhead + self.per_mac * macs

    def safe(self, macs: float) -> float:
        """Device seconds that will probably do."""
        return self.margin * self.seconds(macs)


def calibrate(probe: float, seen: Sequence[tuple[float, float]]) -> Forecast:
    """A forecast from the probe's seconds per multiply-accumulate and finished trials ``(macs, device seconds)``.

    The probe counts as one trial in the geometric mean; from four trials on a line with an overhead is fitted too
    (least squares of relative errors) and used where both of its coefficients make sense.
    """
    usable = [(macs, seconds) for macs, seconds in seen if macs > 0 and seconds > 0]
    rates = [probe, *(seconds / macs for macs, seconds in usable)]
    mean = Forecast(math.exp(sum(math.log(rate) for rate in rates) / len(rates)))
    line = _line(usable) if len(usable) >= _FIT_FROM else None
    best = line or mean
    return Forecast(best.per_mac, best.overhead, _margin(best, usable))


def at_least(probe: float, rates: Sequence[float]) -> float:
    """Seconds per multiply-accumulate from the probe and from longer work that was slower, like a teacher's
    fine-tuning; at most half as much again, since short work of that kind is mostly start-up and scoring."""
    return min(max([probe, *rates]), _MARGIN_MOST * probe)


def _line(seen: Sequence[tuple[float, float]]) -> Forecast | None:
    """Minimises ``sum ((a + b m) / s - 1)^2``; None where a or b comes out negative or the points are alike."""
    xx = sum(1 / s**2 for _, s in seen)
    xy = sum(m / s**2 for m, s in seen)
    yy = sum(m * m / s**2 for m, s in seen)
    x, y = sum(1 / s for _, s in seen), sum(m / s for m, s in seen)
    determinant = xx * yy - xy * xy
    if determinant <= 1e-6 * xx * yy:
        return None
    a, b = (x * yy - y * xy) / determinant, (y * xx - x * xy) / determinant
    return Forecast(b, a) if a >= 0 and b > 0 else None


def _margin(best: Forecast, seen: Sequence[tuple[float, float]]) -> float:
    if len(seen) < _FIT_FROM:
        return Forecast.margin
    ratios = sorted(seconds / best.seconds(macs) for macs, seconds in seen)
    high = ratios[math.ceil(0.8 * len(ratios)) - 1]
    return min(max(high, _MARGIN_LEAST), _MARGIN_MOST)
