"""A TCP relay between vmproxy and a database, to slow the link down, to cut it, or to speak TLS in the database's place."""

import collections
import selectors
import socket
import threading
import time

from servers.base import HOST, free_port


class Relay:
    def __init__(self, target_port: int, tls=None):
        """tls: the ssl.SSLContext by which it speaks with those who connect; what goes on is plain."""
        self.port = free_port()
        self.delay = 0.0      # seconds added to each direction of each chunk
        self.refuse = False   # new connections are closed at once
        self.ends = collections.deque(maxlen=100)  # (time, why) of connections that those who connect did not end
        self._target_port = target_port
        self._tls = tls
        self._listener = socket.create_server((HOST, self.port))
        self._connections = set()
        self._lock = threading.Lock()
        self._closing = False
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def cut(self) -> None:
        """Resets every connection there is."""
        # Under the lock, as _serve() closes: else a descriptor may be another relay's by the time that it is shut down.
        with self._lock:
            for connection in self._connections:
                try:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self._connections = set()

    def close(self) -> None:
        self._closing = True
        self._listener.close()
        self.cut()

    def watch(self):
        """For each connection an object that is told what passes: sending(bytes) before they go to the database, sent(bytes)
        when they have, answered(bytes) before they go back; when that is False, they do not, and the connection ends. What
        takes its time in one of them holds its connection up."""
        return None

    def greet(self, client) -> None:
        """What a protocol says in the clear before it speaks TLS. OSError: the connection ends."""

    def _accept(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            if self._tls is not None:
                client.settimeout(10)
                self.greet(client)
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection((HOST, self._target_port), timeout=5)
        except OSError as error:
            self.ends.append((time.monotonic(), f"no connection to the server: {error!r}"))
            client.close()
            return
        watch = self.watch()
        pair = {client: server, server: client}
        why = ""
        with self._lock:
            self._connections.update(pair)
        selector = selectors.DefaultSelector()
        for each in pair:
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(each, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in selector.select():
                    chunk = key.fileobj.recv(1 << 16)  # under TLS one whole record: nothing is left that select would not show
                    if not chunk:
                        why = "" if key.fileobj is client else "the server ended it"
                        return
                    if self.delay:
                        time.sleep(self.delay)
                    if watch and key.fileobj is server and not watch.answered(chunk):
                        return
                    if watch and key.fileobj is client:
                        watch.sending(chunk)
                    pair[key.fileobj].sendall(chunk)
                    if watch and key.fileobj is client:
                        watch.sent(chunk)
        except OSError as error:
            why = repr(error)
        finally:
            if why:
                self.ends.append((time.monotonic(), why))
            selector.close()
            with self._lock:
                self._connections.difference_update(pair)
                for each in pair:
                    each.close()
