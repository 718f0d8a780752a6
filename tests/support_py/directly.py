"""What a script of SDK calls is answered by a real server, without vmproxy."""

from servers import create


def ask(script, system: str) -> list:
    with create(system) as server:
        return script.run("127.0.0.1", server.port)
