"""A workload whose requests may fail while a fault that explains it is on, and at no other time."""

import httpx

from history import now
from workload import Workload

# A request that began before the fault, or was still in its retry after it, belongs to it.
SLACK = 1.0
READS = ("get", "where", "query", "count")


class WindowedWorkload(Workload):
    connection_errors = (Exception,)

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "tolerate_connection_errors": True})
        self.windows = []  # [name, from, until, own_errors, lost_connections, reads_too]

    def open_window(self, name: str, own_errors: bool = False, lost_connections: bool = False, reads_too: bool = True) -> None:
        """own_errors: the API's own errors are allowed. lost_connections: so is a connection that breaks."""
        self.windows.append([name, now(), float("inf"), own_errors, lost_connections, reads_too])

    def close_window(self) -> None:
        self.windows[-1][2] = now()

    def _connection_error(self, kind, error, began) -> None:
        with self._lock:
            self.tolerated.append((kind, began, now(), f"{type(error).__name__}: {str(error)[:300]}",
                                   isinstance(error, httpx.TransportError)))
        self._stopping.wait(0.05)  # do not spin while nothing works

    def unexplained(self) -> list:
        """What no fault explains, in words."""
        return [f"the application's {kind} failed at {began:.3f} to {ended:.3f}: {text} ({self._names(began, ended)})"
                for kind, began, ended, text, transport in self.tolerated
                if not any((lost if transport else own) and (reads_too or kind not in READS)
                           and ended >= since and began <= until + SLACK
                           for _, since, until, own, lost, reads_too in self.windows)]

    def _names(self, began, ended) -> str:
        """The faults about that time, in words."""
        near = [f"{name} from {since:.3f} to {until:.3f}" for name, since, until, *_ in self.windows
                if ended >= since - 5 and began <= until + 5]
        return ", ".join(near) or "no fault was on for seconds before and after"
