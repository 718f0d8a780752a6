"""A relay that counts what passes to the server and lets only so many bytes a second go there."""

import socket
import threading
import time

from relay import Relay


class SlowRelay(Relay):
    def __init__(self, target_port: int):
        self.rate = 0.0   # bytes a second to the server, of all connections together; 0: as they come
        self.passed = 0
        self._turn = threading.Lock()
        self._free_at = 0.0
        super().__init__(target_port)

    def _serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        except OSError:
            client.close()
            return
        with self._lock:
            self._connections.update((client, server))
        for each in (client, server):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()
        self._pass(client, server, True)

    def _pass(self, source, to, slowed: bool) -> None:
        try:
            while chunk := source.recv(1 << 14):
                if slowed:
                    self._wait_for_turn(len(chunk))
                to.sendall(chunk)
        except OSError:
            pass
        for each in (source, to):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self._lock:
            self._connections.difference_update((source, to))

    def _wait_for_turn(self, count: int) -> None:
        with self._turn:
            self.passed += count
            rate = self.rate
            if rate <= 0:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / rate
            until = self._free_at
        while self.rate > 0 and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
