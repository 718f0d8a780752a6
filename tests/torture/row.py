"""What a row of the report is: its budget, what came of it, and the words of its last line."""

import dataclasses
import time
from typing import Callable, Optional

PASSED, FAILED, SHORT, NOT_RUN = "passed", "failed", "short", "not run"
# Where a row runs in the short form: each lane is a process, so that rows that wait for databases wait together. In a night rows
# run one after the other, so that figures are not disturbed.
MAIN, STACKS, POINTS, PROGRAMS, SPARE = "main", "stacks", "points", "programs", "spare"
NICE = {SPARE: 19}  # no clock judges what runs there: it takes what the others, which mostly wait, leave
ANOMALIES_KEPT = 50


class NotRun(Exception):
    """A piece that the row needs is not there. Never a pass: the run ends with a code that says so."""


@dataclasses.dataclass
class Budget:
    """So many units, in at most so many seconds. Whatever ends first ends the row; the units alone make it a pass."""
    count: int
    seconds: float
    part: tuple = (1, 1)  # for rows that go through a list: this share of it
    short: bool = False
    began: float = dataclasses.field(default_factory=time.monotonic)

    def left(self) -> float:
        return self.began + self.seconds - time.monotonic()

    def limit(self, night: float, short: float) -> float:
        """Of a figure. In scripts/test two stacks and compilers' leftovers share two cores: there a limit only says that something
        is wrong; what was measured is printed anyway."""
        return short if self.short else night

    def goes_on(self, done: int, unit_seconds: float = 0.0) -> bool:
        """Whether one more unit may begin, which will take about so long."""
        return done < self.count and self.left() > unit_seconds


@dataclasses.dataclass
class Figure:
    """One number of the report. Figures of several parts become one: sums are added, else the worst is kept."""
    name: str
    value: float
    unit: str = ""
    at_most: Optional[float] = None
    at_least: Optional[float] = None
    adds: bool = False

    @property
    def missed(self) -> bool:
        # Written so that a number that is none (NaN) misses its limit.
        return ((self.at_most is not None and not self.value <= self.at_most)
                or (self.at_least is not None and not self.value >= self.at_least))

    def merged(self, other: "Figure") -> "Figure":
        if self.adds:
            value = self.value + other.value
        else:
            value = (min if self.at_least is not None else max)(self.value, other.value)
            # One that is no number is the worst, whichever comes first.
            value = next((each for each in (self.value, other.value) if each != each), value)
        return dataclasses.replace(self, value=value)

    def __str__(self) -> str:
        limit = ""
        if self.at_most is not None:
            limit = f" (at most {number(self.at_most)})"
        elif self.at_least is not None:
            limit = f" (at least {number(self.at_least)})"
        return f"{self.name} {number(self.value)}{' ' if self.unit else ''}{self.unit}{limit}"


@dataclasses.dataclass
class RowResult:
    name: str
    unit: str
    asked: int = 0
    done: int = 0
    seed: int = 0
    seconds: float = 0.0
    load: dict = dataclasses.field(default_factory=dict)        # writes, records, reads, ...: what the application did
    faults: dict = dataclasses.field(default_factory=dict)      # by kind
    kills: int = 0                                              # of vmproxy, by SIGKILL
    operations: int = 0                                         # that the history checker judged
    figures: list = dataclasses.field(default_factory=list)
    pairs: dict = dataclasses.field(default_factory=dict)       # what is compared: [[this, that] of each round], by name
    anomalies: list = dataclasses.field(default_factory=list)   # texts; the first 50
    anomaly_count: int = 0
    unfinished: list = dataclasses.field(default_factory=list)  # texts: pieces that did not come to their end
    not_run: str = ""                                           # what is missing
    again: str = ""                                             # the command that repeats the row
    attempt: int = 1                                            # how often it was begun in this folder; of several parts, the most
    tests: str = ""                                             # the commit of the tests; of several parts, their commits

    @property
    def verdict(self) -> str:
        if self.not_run:
            return NOT_RUN
        if self.anomaly_count or any(figure.missed for figure in self.figures):
            return FAILED
        return PASSED if self.done >= self.asked and self.done > 0 and not self.unfinished else SHORT

    def fault(self, kind: str, count: int = 1) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + count

    def anomaly(self, text: str) -> None:
        self.anomaly_count += 1
        if len(self.anomalies) < ANOMALIES_KEPT:
            self.anomalies.append(text[:4000])

    def figure(self, name: str, value: float, unit: str = "", **limits) -> None:
        self.figures.append(Figure(name, round(float(value), 4), unit, **limits))

    def slowest(self, name: str, value: float, unit: str = "", **limits) -> None:
        """A figure that is measured several times: the largest counts."""
        for figure in self.figures:
            if figure.name == name:
                figure.value = max(figure.value, round(float(value), 4))
                return
        self.figure(name, value, unit, **limits)

    def figure_again(self, name: str, value: float, unit: str = "", **limits) -> None:
        """In the place of the one of this name, if there is one."""
        self.figures = [figure for figure in self.figures if figure.name != name]
        self.figure(name, value, unit, **limits)

    def add_load(self, counts: dict) -> None:
        for name, count in counts.items():
            self.load[name] = self.load.get(name, 0) + count

    def last_line(self) -> str:
        if self.not_run:
            return f"{self.name}: NOT RUN: needs {self.not_run}"
        said = [f"{self.done:,} of {self.asked:,} {self.unit}", f"{self.anomaly_count} anomalies"]
        if self.attempt > 1:
            said.append(f"attempt {self.attempt}")
        if self.operations:
            said.append(f"{self.operations:,} operations checked")
        said += self.unfinished
        return f"{self.name}: {self.verdict}: {', '.join(said + [str(figure) for figure in self.figures])}"

    def to_json(self) -> dict:
        return {**dataclasses.asdict(self), "verdict": self.verdict}

    @classmethod
    def from_json(cls, known: dict) -> "RowResult":
        known = dict(known)
        known.pop("verdict")
        return cls(**{**known, "figures": [Figure(**figure) for figure in known["figures"]]})

    def merged(self, other: "RowResult") -> "RowResult":
        """Two parts of one night. A part that could not run makes the sum one that has not run."""
        one = RowResult.from_json(self.to_json())
        for field in ("asked", "done", "seconds", "kills", "operations", "anomaly_count"):
            setattr(one, field, getattr(self, field) + getattr(other, field))
        for name in ("load", "faults"):
            mine, theirs = getattr(one, name), getattr(other, name)
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
        for name, rounds in other.pairs.items():
            one.pairs[name] = one.pairs.get(name, []) + rounds
        known = {figure.name: figure for figure in one.figures}
        for figure in other.figures:
            known[figure.name] = known[figure.name].merged(figure) if figure.name in known else figure
        one.figures = list(known.values())
        one.anomalies = (self.anomalies + other.anomalies)[:ANOMALIES_KEPT]
        # What one part did beyond its share does not make up for what another did not do.
        one.unfinished = [text for part in (self, other) for text in part.unfinished or
                          ([f"{part.done:,} of {part.asked:,} in a part"] if part.verdict == SHORT else [])]
        one.not_run = self.not_run or other.not_run
        one.attempt = max(self.attempt, other.attempt)
        one.tests = " ".join(sorted({*self.tests.split(), *other.tests.split()}))
        one.again = self.again if self.verdict != PASSED else other.again
        return one


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str                 # for people, one line
    unit: str
    short: tuple              # (count, seconds) in scripts/test; None: it has no short form
    night: tuple              # (count, seconds) of a whole night
    run: Callable             # (context, budget, seed) -> RowResult
    whole: bool = False       # cannot be cut: one part of a night has all of it
    fixed: bool = False       # its count is what is measured, not how often: it is the same however long a run is
    lane: str = MAIN
    judge: Optional[Callable] = None  # (result): figures of all rounds together; called again when parts have become one

    def result(self, budget: Budget, seed: int) -> RowResult:
        return RowResult(self.name, self.unit, asked=budget.count, seed=seed)


def number(value: float) -> str:
    if value != value:
        return "none"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
