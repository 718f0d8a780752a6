"""python -m servers NAME [--port P] [--data DIR]: runs a server until it is interrupted."""

import argparse
import signal
import sys

from . import SERVERS, create


def main():
    parser = argparse.ArgumentParser(prog="scripts/server", description=__doc__)
    parser.add_argument("name", choices=sorted(SERVERS))
    parser.add_argument("--port", type=int)
    parser.add_argument("--data", help="data directory; without it a temporary one is removed at the end")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with create(arguments.name, arguments.data, arguments.port) as server:
        print(server.url, flush=True)
        server.process.wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
