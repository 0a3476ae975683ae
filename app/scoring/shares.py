"""Shares of clips, and how far they could lie elsewhere."""

import math

from app.scoring.bootstrap import NO_INTERVAL, Interval

Z = 1.959964  # of 95 %


def share_range(hits: float, of: float) -> Interval:
    """Interval of 95 % of the share hits / of; without clips nan.

    Source: E. B. Wilson, Probable inference, JASA 22, 1927: it holds near 0 and 1 and for few clips too.
    """
    if of <= 0:
        return NO_INTERVAL
    p, more = hits / of, Z * Z / of
    middle, half = p + more / 2, Z * math.sqrt(p * (1 - p) / of + more / of / 4)
    return Interval(max(0.0, (middle - half) / (1 + more)), min(1.0, (middle + half) / (1 + more)))
