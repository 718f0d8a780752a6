"""A small disk of its own for the journal that can be full, fail, or be read-only.

Full is real, a tmpfs and a file that takes what is left, but for space that the store has reserved before: that, EIO and
EROFS come from a library that is loaded before the program's own (bad_disk.c). Writes and syncs of files below `path` end
with the error that the file `verdict` names. Where the slot of capture gaps can still be overwritten, as on a real disk that is
full, the verdict has a minus. A disk can be slow as well: each sync takes so much longer.
"""

import contextlib
import errno
import pathlib
import shutil
import subprocess
import tempfile

from torture.row import NotRun

SIZE_MB = 160
ERRORS = {"full": -errno.ENOSPC, "EIO beside the slot": -errno.EIO, "EIO": errno.EIO, "read-only": errno.EROFS}


def slot_works(kind: str) -> bool:
    return ERRORS[kind] < 0


class BadDisk:
    def __init__(self, context):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vmproxy-torture-disk-"))
        self.path, self._verdict = self.folder / "disk", self.folder / "verdict"
        self.path.mkdir()
        library = self.folder / "bad_disk.so"
        source = pathlib.Path(__file__).with_name("bad_disk.c")
        compiler = shutil.which("clang-19") or shutil.which("cc")
        if compiler is None:
            raise NotRun("a C compiler (clang-19)")
        built = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], capture_output=True,
                               text=True, check=False)
        if built.returncode != 0:
            raise NotRun(f"bad_disk.c, which does not compile: {built.stderr[-500:]}")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", self.path], capture_output=True,
                                 text=True, check=False)
        if mounted.returncode != 0:
            raise NotRun(f"the right to mount a tmpfs (root): {mounted.stderr.strip()}")
        self.environment = {"LD_PRELOAD": str(library), "BAD_DISK_PATH": str(self.path), "BAD_DISK_VERDICT": str(self._verdict)}

    def spoil(self, kind: str) -> None:
        if kind == "full":
            self._fill()
        self._say(str(ERRORS[kind]))

    def slow_down(self, milliseconds: int) -> None:
        self._say(f"s{milliseconds}")

    def _say(self, verdict: str) -> None:
        fresh = self._verdict.with_suffix(".new")
        fresh.write_text(verdict)
        fresh.rename(self._verdict)

    def _fill(self) -> None:
        with open(self.path / "ballast", "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * (64 << 10))

    def mend(self) -> None:
        self._verdict.unlink(missing_ok=True)
        (self.path / "ballast").unlink(missing_ok=True)

    def __enter__(self) -> "BadDisk":
        return self

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", "-l", self.path], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
