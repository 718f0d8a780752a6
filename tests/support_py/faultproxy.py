"""The fault proxy of tests/faultproxy as a process with links; its README.md has the faults and their meaning.

    with FaultProxy({"target": pgvector.port}, seed=7) as proxy:
        proxy.set("target", "to_client", latency_ms=100)
        connect(proxy.ports["target"])
"""

import atexit
import json
import os
import pathlib
import socket
import subprocess
import threading

from servers.base import HOST

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary() -> str:
    """Beside the vmproxy under test when that is chosen."""
    chosen = os.environ.get("VMPROXY_BIN")
    folders = [pathlib.Path(chosen).parent] if chosen else []
    folders += [ROOT / "build" / preset / "bin" for preset in ("release", "dev")]
    for folder in folders:
        if os.access(folder / "faultproxy", os.X_OK):
            return str(folder / "faultproxy")
    raise RuntimeError(f"no faultproxy in {', '.join(map(str, folders))}: run scripts/build release")


class FaultProxy:
    """`links`: name to the upstream's port on this machine, or to "HOST:PORT"."""

    def __init__(self, links: dict, seed: int = 1):
        command = [binary(), "--seed", str(seed)]
        for name, upstream in links.items():
            command += ["--link", f"{name}=0:{upstream}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        atexit.register(self.close)
        ready = json.loads(self.process.stdout.readline() or "null")
        if ready is None:
            raise RuntimeError(f"{' '.join(command)} ended with {self.process.wait()}")
        self.ports = ready["links"]
        self._control = socket.create_connection((HOST, ready["control"]), timeout=30)
        self._answers = self._control.makefile("r", encoding="utf-8")
        self._one = threading.Lock()  # at a time asks

    def set(self, link: str, direction: str, **faults) -> None:
        """Replaces the faults of that direction."""
        self._ask(do="set", link=link, direction=direction, faults=faults)

    def refuse(self, link: str, refused: bool = True) -> None:
        self._ask(do="set", link=link, refuse=refused)

    def duplicate(self, link: str, after_ms: int = 0, **bounds) -> None:
        self._ask(do="set", link=link, duplicate={"after_ms": after_ms, **bounds})

    def clear(self, *links: str) -> None:
        """Of these links, or of all."""
        for each in [{"link": link} for link in links] or [{}]:
            self._ask(do="clear", **each)

    def reset(self, link: str, direction: str | None = None) -> None:
        """Resets every connection there is, or that end of each which receives in a direction."""
        self._ask(do="reset", link=link, **({"direction": direction} if direction else {}))

    def half_close(self, link: str, direction: str) -> None:
        self._ask(do="half_close", link=link, direction=direction)

    def counts(self, link: str) -> dict:
        return self._ask(do="counts")["links"][link]

    def requests(self, since: int = 0, below: int | None = None) -> list:
        """All that the log has, or the entries of these numbers; fails when it did not have room for all."""
        found, number = [], since
        while True:
            answer = self._ask(do="log", **{"from": number})
            assert answer["dropped"] == 0, "the log was full: call forget() more often"
            found += answer["requests"]
            number = answer["next"]
            if number >= min(answer["end"], answer["end"] if below is None else below):
                return found if below is None else found[:len(found) - max(0, number - below)]

    def logged(self) -> int:
        """The number that the next entry of the log gets."""
        return self._ask(do="log", **{"from": 1 << 62})["end"]

    def forget(self, below: int | None = None) -> None:
        self._ask(do="forget", **({} if below is None else {"below": below}))

    def close(self) -> None:
        atexit.unregister(self.close)
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=10)
        self.process.stdout.close()

    def _ask(self, **request) -> dict:
        with self._one:
            self._control.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(self._answers.readline())
        if not answer["ok"]:
            raise ValueError(f"{request}: {answer['error']}")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
