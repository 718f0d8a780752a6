"""The one page: as values, and as text. page.py makes HTML of the same values."""

import dataclasses

from torture.row import FAILED, NOT_RUN, PASSED, SHORT, RowResult, number

ORDER = (FAILED, NOT_RUN, SHORT, PASSED)


@dataclasses.dataclass
class Report:
    title: str
    about: list            # of pairs of words: machine, program, seed, time
    rows: list             # of (Row, RowResult or None)
    notes: list            # what else keeps this from being a pass

    @property
    def results(self) -> list:
        return [result for _, result in self.rows if result is not None]

    def count(self, verdict: str) -> int:
        return sum(1 for result in self.results if result.verdict == verdict)

    @property
    def load(self) -> dict:
        return added(result.load for result in self.results)

    @property
    def faults(self) -> dict:
        return added(result.faults for result in self.results)

    @property
    def kills(self) -> int:
        return sum(result.kills for result in self.results)

    @property
    def operations(self) -> int:
        return sum(result.operations for result in self.results)

    @property
    def anomalies(self) -> int:
        return sum(result.anomaly_count for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: all ran and passed. 1: something is wrong. 2: nothing is, but not all of it ran or came to its end."""
        if self.count(FAILED):
            return 1
        return 2 if not self.results or self.count(NOT_RUN) or self.count(SHORT) or self.notes else 0

    def to_json(self) -> dict:
        return {"title": self.title, "about": dict(self.about), "load": self.load, "faults": self.faults, "kills": self.kills,
                "operations_checked": self.operations, "anomalies": self.anomalies, "notes": self.notes,
                "verdicts": {verdict: self.count(verdict) for verdict in ORDER}, "exit_code": self.exit_code,
                "rows": [result.to_json() for result in self.results]}

    def last_line(self) -> str:
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in (PASSED, *ORDER[:-1]))
        return (f"torture: {counts}; {sum(self.faults.values()):,} faults, {self.kills:,} kills, "
                f"{self.operations:,} operations checked, {self.anomalies} anomalies")

    def to_text(self) -> str:
        lines = [self.title, ""]
        lines += [f"{name:<10}{value}" for name, value in self.about]
        lines += [f"{'load':<10}{listed(self.load)}", f"{'faults':<10}{listed(self.faults)}", f"{'kills':<10}{self.kills:,}",
                  f"{'checked':<10}{self.operations:,} operations, {self.anomalies} anomalies", ""]
        wide = max((len(row.name) for row, _ in self.rows), default=0) + 2
        lines.append(f"{'row':<{wide}}{'done':>12}{'asked':>12}  {'min:s':>7}  result")
        for row, result in self.rows:
            if result is None:
                lines.append(f"{row.name:<{wide}}{'':>12}{'':>12}  {'':>7}  in another part")
                continue
            took = f"{int(result.seconds) // 60}:{int(result.seconds) % 60:02d}"
            lines.append(f"{row.name:<{wide}}{result.done:>12,}{result.asked:>12,}  {took:>7}  {result.verdict}")
            if result.not_run:
                lines.append(f"{'':<{wide}}needs {result.not_run}")
            lines += [f"{'':<{wide}}{'MISSED: ' if figure.missed else ''}{figure}" for figure in result.figures]
        for result in self.results:
            if result.anomaly_count or result.verdict == FAILED:
                lines += ["", f"{result.name}: {result.anomaly_count} anomalies; again: {result.again}"]
                lines += [f"  {text}" for text in result.anomalies]
        lines += ["", *self.notes, self.last_line()]
        return "\n".join(lines) + "\n"


def added(many) -> dict:
    total = {}
    for counts in many:
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def listed(counts: dict) -> str:
    return ", ".join(f"{number(count)} {name}" for name, count in counts.items()) or "none"


__all__ = ["Report", "RowResult", "added", "listed"]
