"""The fault points: each in the list is in the code as often as it says, and a program that is shipped has none."""

import json
import os
import subprocess

from fault_points import points, uses
from vmproxy import binary


def run(*arguments, faults=None):
    environment = {key: value for key, value in os.environ.items() if key != "VMPROXY_FAULTS"}
    if faults is not None:
        environment["VMPROXY_FAULTS"] = faults
    # A port where nobody answers: the list is that of the program.
    return subprocess.run([binary(), "--admin", "http://127.0.0.1:9", *arguments], capture_output=True, text=True,
                          timeout=60, env=environment, check=False)


def test_each_point_is_in_the_code_as_often_as_the_list_says():
    found = uses()
    wrong = [f"{point.name} is named {len(found.get(point.name, []))} times instead of {point.places}: "
             f"{found.get(point.name)}" for point in points() if len(found.get(point.name, [])) != point.places]
    unlisted = sorted(set(found) - {point.name for point in points()})  # would not compile, but where nothing is built
    assert wrong == [] and unlisted == []
    assert len(points()) >= 48


def test_the_program_has_all_of_them_or_no_trace_of_any():
    listed = run("debug", "faults", "-o", "json")
    inside = open(binary(), "rb").read()
    if listed.returncode == 0:
        assert [point["name"] for point in json.loads(listed.stdout)["points"]] == [point.name for point in points()]
        assert "/release/" not in binary()
        refused = run("version", faults="write.begun:1:nothing")
        assert refused.returncode == 2 and "no such action" in refused.stderr
        assert run("version", faults="write.begun:1:kill").returncode == 0
        return
    assert listed.returncode == 3 and "this build has no fault points" in listed.stderr
    assert [point.name for point in points() if point.name.encode() in inside] == []
    assert [point.meaning for point in points() if point.meaning.encode() in inside] == []
    # Whoever arms one must not believe that it acts.
    refused = run("version", faults="write.begun:1:kill")
    assert refused.returncode == 3 and "no fault points" in refused.stderr
