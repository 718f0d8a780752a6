"""A Chroma that asks for a token: the server itself has no users any more, a gateway in front of it does."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from servers.base import HOST


class TokenGate:
    def __init__(self, target_url: str, authorization: str):
        gate = self
        self.refused = 0
        self._closed = False

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                open_to_all = self.path.endswith(("/heartbeat", "/version"))
                if not open_to_all and self.headers.get("authorization") != authorization:
                    gate.refused += 1
                    return self.send(401, b'{"error":"ChromaError","message":"Unauthorized"}')
                kind = {"content-type": self.headers.get("content-type", "application/json")}
                got = httpx.request(self.command, target_url + self.path, content=body, headers=kind, timeout=60)
                return self.send(got.status_code, got.content, got.headers.get("content-type", "application/json"))

            def send(self, status, body, kind="application/json"):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="token gate", daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._server.shutdown()
        self._server.server_close()
