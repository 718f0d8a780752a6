"""Whether one of two measurements, made in turn, is more than a factor over the other, or only noisy."""

import math

import numpy

EXACT_UP_TO = 12  # rounds whose outcomes are all tried
SAMPLED = 4_000   # else so many


def more_than(these, those, factor: float, seed: int) -> tuple:
    """These and those by round -> (geometric mean of their ratios, chance of ratios as high if none were over `factor`).

    Fisher's test for pairs: were these no higher than `factor` times those, each round might as well have come out the other way
    round. Rounds may be as noisy as they like, and what is measured within one may hang together.
    """
    pairs = [(this, that) for this, that in zip(these, those) if this > 0 and that > 0]
    if not pairs:
        return float("nan"), float("nan")
    logs = numpy.log([this / that for this, that in pairs])
    over = logs - math.log(factor)
    if len(over) <= EXACT_UP_TO:
        outcomes = (numpy.arange(2 ** len(over))[:, None] >> numpy.arange(len(over))) & 1
    else:
        outcomes = numpy.random.default_rng(seed).integers(0, 2, (SAMPLED, len(over)))
    sums = (1 - 2 * outcomes) @ over
    return float(numpy.exp(logs.mean())), float((sums >= over.sum() - 1e-9).mean())
