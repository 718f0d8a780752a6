"""Which row gets how much: of a whole night, of a part of it, of a short run."""

import math

from torture.row import Budget, Row

NIGHT_MINUTES = 420.0  # what the rows ask for together, in parts of at most an hour: seven
PART_MINUTES_MAX = 60.0
SHORT_SECONDS = 16 * 60  # of a lane of the short form at the most; counts end it in less than half of that, but on a slow machine
PLANNED = 0.95  # of the minutes; the rest is for what a row does after its time: a history judged, servers stopped


def share(count: int, index: int, parts: int) -> int:
    """The index-th of `parts` shares; all of them add up to the count."""
    return earlier(count, index + 1, parts) - earlier(count, index, parts)


def earlier(count: int, index: int, parts: int) -> int:
    """How much of the count the shares before the index-th have."""
    return count * (index - 1) // parts


def minutes_of(rows: list) -> float:
    """What a night of these takes."""
    return sum(row.night[1] for row in rows) / 60 / PLANNED


def budgets(rows: list, minutes: float, part=None, short: bool = False) -> dict:
    """{row: Budget or None}. None: another part has it.

    part (i, n): that share of a night's counts. Without one: the share that fits into the minutes, of all but what is measured
    only as a whole. The seconds of the rows are
    stretched or squeezed so that all of them together take the minutes; counts are not squeezed, so a row that was too slow
    ends as "short" and says how far it came.
    """
    if short:
        return {row: Budget(*row.short, short=True) if row.short else None for row in rows}
    wanted = {}
    fits = min(1.0, minutes / minutes_of(rows))
    for row in rows:
        count, seconds = row.night
        if part is None:
            fraction = 1.0 if row.fixed else fits
            wanted[row] = (max(1, math.ceil(count * fraction)), seconds * fraction, (1, 1))
        else:
            mine = place(row, rows, part)
            wanted[row] = (share(count, *mine), seconds / mine[1], mine) if mine else None
    total = sum(entry[1] for entry in wanted.values() if entry)
    stretch = minutes * 60 * PLANNED / total if total else 1.0
    return {row: Budget(entry[0], entry[1] * stretch, entry[2]) if entry and entry[0] > 0 else None
            for row, entry in wanted.items()}


def granted(seconds: float, to_come: float, left: float) -> float:
    """A row's seconds when this and all later rows together have planned `to_come` and there are `left`: what earlier rows did
    not need is its to use, what they took too long is taken from all that come."""
    if left >= to_come:
        return seconds + left - to_come
    return seconds * max(0.0, left / to_come)


def place(row: Row, rows: list, part: tuple):
    """Which share of the row this part has; None: none of it. What cannot be cut is in the first part, and all that can be in
    the others, so that each of them has as much to do as the next."""
    index, parts = part
    if parts == 1 or not any(each.whole for each in rows):
        return part
    if row.whole:
        return (1, 1) if index == 1 else None
    return (index - 1, parts - 1) if index > 1 else None


def parse_part(text: str) -> tuple:
    try:
        index, parts = (int(word) for word in text.split("/"))
    except ValueError:
        raise ValueError(f"--part {text}: I/N was expected, as in 1/4") from None
    if not 1 <= index <= parts:
        raise ValueError(f"--part {text}: there are parts 1 to {parts}")
    return index, parts


__all__ = ["Row", "budgets", "earlier", "granted", "minutes_of", "parse_part", "share", "PLANNED", "NIGHT_MINUTES", "PART_MINUTES_MAX"]
