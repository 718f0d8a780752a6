"""Starts the `milvus` package's server where its own command line falls short.

usage: milvus_launcher.py METRICS_PORT [arguments of milvus-server...]

The stock launcher overwrites METRICS_PORT with 9091, probes ports without SO_REUSEADDR (ports
left in TIME_WAIT move it silently) and does not stop its child when it is told to stop.
"""

import os
import signal
import socket
import subprocess
import sys

import milvus

children = []
original_popen = subprocess.Popen


def popen(*arguments, **options):
    child = original_popen(*arguments, **options)
    children.append(child)
    return child


def try_bind_port(_, port):
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
        probe.listen()
        return probe
    except OSError:
        probe.close()
        return None


def terminate(*_):
    for child in children:
        child.terminate()
        try:
            child.wait(4)
        except subprocess.TimeoutExpired:
            child.kill()
    os._exit(0)


metrics_port = int(sys.argv.pop(1))
subprocess.Popen = popen
for server in (milvus.default_server, milvus.debug_server):
    server.webservice_port = metrics_port
milvus.MilvusServerConfig.try_bind_port = try_bind_port
signal.signal(signal.SIGTERM, terminate)
milvus.main()
