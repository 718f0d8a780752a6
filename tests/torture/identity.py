"""What a result is of: vmproxy's own sources, and the commit whose tests came to it.

The parts of a night are hours apart, and a test may be mended between two of them. vmproxy must be the same in all: whatever it is
built from, which is all of the tree but what is named here.
"""

import hashlib
import pathlib
import subprocess

NOT_BUILT_FROM = {"tests", "docs", "bench", "scripts", ".ci", ".clang-format", ".clang-tidy", ".gitignore", "README.md"}


def git(root: pathlib.Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def sources(root: pathlib.Path) -> str:
    """The same for two commits that differ only in what vmproxy is not built from."""
    entries = [line for line in git(root, "ls-tree", "HEAD").splitlines() if line.partition("\t")[2] not in NOT_BUILT_FROM]
    if not entries:
        return "unknown"
    names = [entry.partition("\t")[2] for entry in entries]
    changed = "+changes" if git(root, "status", "--porcelain", "--", *names).strip() else ""
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:12] + changed


def tests(root: pathlib.Path) -> str:
    commit = git(root, "rev-parse", "--short", "HEAD").strip() or "unknown"
    return commit + ("+changes" if git(root, "status", "--porcelain", "--", "tests", "scripts").strip() else "")
