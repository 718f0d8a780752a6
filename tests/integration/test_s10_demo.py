"""S10: scripts/demo tells its story to the end, with the numbers that matter, and exit code 0."""

import os
import pathlib
import re
import subprocess

import pytest

from vmproxy import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.live(last=True)
def test_the_demo(scale):
    quick = ["--quick"] if scale.factor < 1 else []
    result = subprocess.run([ROOT / "scripts" / "demo", *quick], capture_output=True, text=True, timeout=600,
                            check=False, env={**os.environ, "VMPROXY_BIN": binary()})
    print(result.stdout[-6000:], result.stderr[-2000:])
    assert result.returncode == 0
    numbers = dict(re.findall(r"^  (\w[\w: ]*?)  +(\S+)", result.stdout.partition("The numbers")[2], re.M))
    assert int(numbers["writes"]) > 100 and int(numbers["reads"].rstrip(",")) > 100
    assert numbers["errors"] == "0" and numbers["lost"] == "0"
    assert re.search(r"reads +\d+, 0 of them stale", result.stdout)
    assert int(numbers["took"]) <= 240, "about three minutes"
    assert "0 differences" in result.stdout and "Where to look next" in result.stdout
