"""Clients without a library between: each keeps one connection and asks as fast as it is answered.

An SDK hides which connection a request went over. Here each failure says whether the connection was fresh or had been used, and
what had come of the answer.
"""

import http.client
import threading

from history import now


class RawClients:
    def __init__(self, port: int, count: int, path: str):
        self._port, self._path = port, path
        self.answered = 0
        self.failures = []  # (when, words)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._ask_forever, daemon=True) for _ in range(count)]

    def start(self) -> "RawClients":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask_forever(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.connect()
            except OSError:
                self._stop.wait(0.01)  # nobody listens: nothing was sent
                continue
            self._use(connection)
            connection.close()

    def _use(self, connection) -> None:
        """Until the server says that it is the last one, or the connection breaks."""
        used, kept = 0, True
        while kept and not self._stop.is_set():
            step = "sending"
            try:
                connection.request("GET", self._path)
                step = "waiting for the answer"
                answer = connection.getresponse()
                step = "reading the answer"
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                what = f"a connection that had served {used} requests" if used else "a fresh connection"
                with self._lock:
                    self.failures.append((now(), f"{type(error).__name__} while {step} on {what}"))
                return
            used += 1
            kept = not answer.will_close
            with self._lock:
                self.answered += 1
            if answer.status != 200:
                with self._lock:
                    self.failures.append((now(), f"status {answer.status}"))
