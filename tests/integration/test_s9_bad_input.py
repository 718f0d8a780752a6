"""S9: bad input gets a clear error of the right shape; nothing is lost, nothing crashes."""

import itertools
import json
import os
import re
import socket
import subprocess
import tempfile

import httpx
import pytest

import sides
from servers import create, free_port
from vmproxy import Vmproxy, binary, databases

_number = itertools.count(1)
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@pytest.fixture(scope="module")
def stage():
    """One Chroma, one PostgreSQL and one vmproxy for all bad input: it has to survive it all."""
    with create("chroma") as chroma, create("pgvector") as pgvector, \
            tempfile.TemporaryDirectory(prefix="vmproxy-s9-") as directory:
        vmproxy = Vmproxy(directory, *databases(chroma, pgvector)).start()
        vmproxy.command("start", timeout=300)
        yield chroma, pgvector, vmproxy
        print(vmproxy.log_tail())
        assert vmproxy.starts == 1
        vmproxy.stop()


@pytest.fixture
def chroma_of_stage(stage):
    return stage[0]


@pytest.fixture
def mirrored(stage):
    """A collection with one record, mirrored; afterwards both sides must agree and vmproxy live."""
    chroma, pgvector, vmproxy = stage
    name = f"things{next(_number)}"
    created = httpx.post(f"{vmproxy.url}{BASE}", json={"name": name}).json()["id"]
    first = {"ids": ["one"], "embeddings": [[1.0, 2.0, 3.0]], "documents": ["the only one"]}
    assert httpx.post(f"{vmproxy.url}{BASE}/{created}/upsert", json=first).status_code == 200
    yield vmproxy, created, name
    assert vmproxy.running, vmproxy.log_tail()
    assert httpx.get(f"{vmproxy.url}/api/v2/heartbeat").status_code == 200
    write = {"ids": ["last"], "embeddings": [[3.0, 2.0, 1.0]]}
    assert httpx.post(f"{vmproxy.url}{BASE}/{created}/upsert", json=write).status_code == 200
    vmproxy.wait(lambda s: s["lag"]["changes"] == 0, 60, "the mirror to catch up")
    left, right = sides.chroma_records(chroma, name), sides.pgvector_records(pgvector, name)
    assert {"one", "last"} <= left.keys()
    # PostgreSQL's text cannot hold U+0000: never silently, the key is in quarantine.
    refused = [key for key in left if key == "nul"]
    for key in refused:
        listed = vmproxy.command("quarantine", "list")
        assert key in listed and name in listed, listed
        left.pop(key), right.pop(key, None)
    assert sides.differences(left, right) == []


def exchange(port: int, request: bytes, half_close=True) -> bytes:
    """One raw request; all that comes back until the peer closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            try:
                chunk = connection.recv(1 << 16)
            except (ConnectionResetError, TimeoutError):
                return answer
            if not chunk:
                return answer
            answer += chunk


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


BODIES = {
    "truncated": b'{"ids":["bad"],"embeddings":[[1,2',
    "empty": b"",
    "not json": b"hello",
    "deeply nested": b'{"ids":["bad"],"embeddings":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "nested metadata": b'{"ids":["bad"],"embeddings":[[1,2,3]],"metadatas":[{"a":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}]}",
    "not utf-8": b'{"ids":["\xff\xfe"],"embeddings":[[1,2,3]]}',
    "wrong dimension": b'{"ids":["bad"],"embeddings":[[1,2]]}',
    "huge number": b'{"ids":["bad"],"embeddings":[[1e999,2,3]]}',
    "nan": b'{"ids":["bad"],"embeddings":[[NaN,2,3]]}',
    "null id": b'{"ids":[null],"embeddings":[[1,2,3]]}',
    "empty id": b'{"ids":[""],"embeddings":[[1,2,3]]}',
    "no ids": b'{"embeddings":[[1,2,3]]}',
    "zero ids": b'{"ids":[],"embeddings":[]}',
    "nul in a document": b'{"ids":["nul"],"embeddings":[[1,2,3]],"documents":["a\\u0000b"]}',
    "lone surrogate": b'{"ids":["bad"],"embeddings":[[1,2,3]],"documents":["\\ud800"]}',
    "the same id twice": b'{"ids":["twice","twice"],"embeddings":[[1,2,3],[3,2,1]]}',
    "duplicate json key": b'{"ids":["x"],"ids":["y"],"embeddings":[[1,2,3]]}',
    "gzip without saying so": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_answered_as_chroma_answers_it(name, mirrored, chroma_of_stage):
    vmproxy, uuid, _ = mirrored
    path = f"{BASE}/{uuid}/upsert"
    headers = {"content-type": "application/json"}
    through = httpx.post(f"{vmproxy.url}{path}", content=BODIES[name], headers=headers, timeout=60)
    direct = httpx.post(f"{chroma_of_stage.url}{path}", content=BODIES[name], headers=headers, timeout=60)
    assert (through.status_code, through.text) == (direct.status_code, direct.text)


@pytest.fixture(scope="module")
def promoted():
    """A vmproxy that answers from PostgreSQL alone, and a Chroma that has the same collection."""
    with create("chroma") as reference, create("chroma") as chroma, create("pgvector") as pgvector, \
            tempfile.TemporaryDirectory(prefix="vmproxy-s9-") as directory:
        vmproxy = Vmproxy(directory, *databases(chroma, pgvector)).start()
        first = {"ids": ["one"], "embeddings": [[1.0, 2.0, 3.0]], "documents": ["the only one"]}
        paths = []
        for url in (reference.url, vmproxy.url):
            created = httpx.post(f"{url}{BASE}", json={"name": "things"}).json()["id"]
            paths.append(f"{url}{BASE}/{created}")
            assert httpx.post(f"{paths[-1]}/upsert", json=first).status_code == 200
        vmproxy.command("start", timeout=300)
        vmproxy.command("cutover", "--percent", "100")
        vmproxy.command("promote")
        chroma.stop()
        yield vmproxy, *paths
        print(vmproxy.log_tail())
        assert vmproxy.starts == 1
        vmproxy.stop()


def said(answer) -> str:
    """Of a body nested too deeply Chroma names the whole way down, vmproxy its beginning."""
    return re.sub(r"(\[0\]|\.a)+: recursion limit", ": recursion limit", answer.text)


# What PostgreSQL cannot hold is refused there, not changed.
REFUSED_BY_POSTGRESQL = {"nul in a document"}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_after_promotion_is_answered_as_chroma_answers_it(name, promoted):
    vmproxy, direct, through = promoted
    headers = {"content-type": "application/json"}
    answers = [httpx.post(f"{url}/upsert", content=BODIES[name], headers=headers, timeout=60) for url in (direct, through)]
    if name in REFUSED_BY_POSTGRESQL:
        assert 400 <= answers[1].status_code < 500 and answers[1].json()["message"], answers[1].text
        assert httpx.post(f"{direct}/delete", json={"ids": ["nul"]}).status_code == 200
    else:
        assert (answers[1].status_code, said(answers[1])) == (answers[0].status_code, said(answers[0]))
    # Nothing is lost or half written: both have the same records.
    include = {"include": ["embeddings", "documents", "metadatas"]}
    left, right = (httpx.post(f"{url}/get", json=include, timeout=60).json() for url in (direct, through))
    records = [sorted(zip(found["ids"], found["embeddings"], found["documents"], found["metadatas"])) for found in (left, right)]
    assert records[0] == records[1] and "one" in left["ids"]
    assert vmproxy.running


def test_an_unknown_collection_and_wrong_paths(mirrored, chroma_of_stage):
    vmproxy, uuid, _ = mirrored
    for method, path in (("POST", f"{BASE}/00000000-0000-4000-8000-00000000dead/upsert"), ("POST", f"{BASE}/nope/add"),
                         ("GET", f"{BASE}/nope"), ("DELETE", f"{BASE}/nope"), ("GET", "/"), ("GET", "/api/v2/%zz"),
                         ("PUT", f"{BASE}/{uuid}"), ("POST", f"{BASE}/{uuid}/nothing")):
        body = {"ids": ["bad"], "embeddings": [[1, 2, 3]]} if method != "GET" else None
        through = httpx.request(method, vmproxy.url + path, json=body, timeout=30)
        direct = httpx.request(method, chroma_of_stage.url + path, json=body, timeout=30)
        assert (through.status_code, through.text) == (direct.status_code, direct.text), (method, path)


def too_large(url: str) -> int:
    body = b'{"ids":["big"],"embeddings":[[1,2,3]],"documents":["' + b"x" * (45 << 20) + b'"]}'
    try:
        return httpx.post(f"{url}/upsert", content=body, headers={"content-type": "application/json"}, timeout=120).status_code
    except httpx.TransportError:
        return 413  # a server may close while the body still comes


def test_a_body_larger_than_chroma_takes(mirrored, chroma_of_stage):
    vmproxy, uuid, _ = mirrored
    assert too_large(f"{vmproxy.url}{BASE}/{uuid}") == too_large(f"{chroma_of_stage.url}{BASE}/{uuid}")


def test_a_body_larger_than_chroma_takes_after_promotion(promoted):
    vmproxy, direct, through = promoted
    assert too_large(through) == too_large(direct)
    assert httpx.post(f"{through}/get", json={"ids": ["big"]}).json()["ids"] == []
    assert vmproxy.running


BROKEN = {
    "nonsense": b"\x00\x01\x02\x03\r\n\r\n",
    "no host": b"GET /api/v2/heartbeat HTTP/1.1\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "endless header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunked": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "line folding": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "h2 preface and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
    "h2 truncated": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04",
    "tls to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
}


SETTINGS, GOAWAY = 4, 7  # types of HTTP/2 frames
ANSWERS = {"endless header": 431, "many headers": 431, "h2 preface and noise": [SETTINGS, GOAWAY], "h2 truncated": [SETTINGS]}


def h2_frames(answer: bytes) -> list:
    """Types of the frames in their order, but for acknowledgements and windows."""
    types, at = [], 0
    while at + 9 <= len(answer):
        if answer[at + 3] in (SETTINGS, GOAWAY) and not (answer[at + 3] == SETTINGS and answer[at + 4] & 1):
            types.append(answer[at + 3])
        at += 9 + int.from_bytes(answer[at:at + 3], "big")
    return types


@pytest.mark.parametrize("state", ["mirrored", "promoted"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_frames(name, state, request):
    vmproxy = request.getfixturevalue(state)[0]
    answer = exchange(vmproxy.port, BROKEN[name])
    wanted = ANSWERS.get(name, 400)
    if isinstance(wanted, list):
        assert h2_frames(answer) == wanted, answer[:300]
    else:
        assert status_of(answer) == wanted, answer[:300]
    assert vmproxy.running


def test_a_client_that_goes_away_in_the_middle(mirrored, chroma_of_stage):
    vmproxy, uuid, name = mirrored
    body = json.dumps({"ids": ["half"], "embeddings": [[1, 2, 3]]}).encode()
    head = (f"POST {BASE}/{uuid}/upsert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    for cut in range(0, len(body), 7):
        with socket.create_connection(("127.0.0.1", vmproxy.port), timeout=20) as connection:
            connection.sendall(head + body[:cut])
    assert chroma_of_stage.client().get_collection(name, embedding_function=None).get(ids=["half"])["ids"] == []


def test_smuggling_is_refused(mirrored):
    """One body must not become two requests."""
    vmproxy, _, name = mirrored
    hidden = f"DELETE {BASE}/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = exchange(vmproxy.port, b"POST /api/v2/version HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(hidden) + 5) + hidden)
    assert status_of(answer) == 400 or answer == b"", answer[:300]
    assert httpx.get(f"{vmproxy.url}{BASE}/{name}").status_code == 200  # what was hidden has not been done


# Configuration and command line.
def run_config(text: str, directory, *arguments, **options):
    path = directory / "vmproxy.yaml"
    path.write_text(text)
    return subprocess.run([binary(), "-c", str(path), *arguments], capture_output=True, text=True,
                          timeout=60, check=False, **options)


GOOD = """
data_dir: {data}
admin: {{listen: "127.0.0.1:{admin}"}}
databases:
  old: {{system: chroma, url: "{old}"}}
  new: {{system: pgvector, url: "{new}"}}
listeners:
  - {{listen: "127.0.0.1:{listen}", dialect: chroma, migration: m}}
migrations:
  m: {{source: old, target: new}}
"""


def good(directory, old="http://127.0.0.1:1", new="postgresql://postgres@127.0.0.1:1/app") -> str:
    return GOOD.format(data=directory / "data", admin=free_port(), listen=free_port(), old=old, new=new)


@pytest.mark.parametrize("name,change,expected", [
    ("broken yaml", lambda t: t + "\n  - ][", ["vmproxy.yaml:"]),
    ("unknown key", lambda t: t.replace("\ndatabases:", "\ndatabasess:"), ["databasess", "databases", "vmproxy.yaml:4"]),
    ("unknown system", lambda t: t.replace("system: chroma", "system: chromma"), ["chromma", "chroma", "vmproxy.yaml:5"]),
    ("unknown database", lambda t: t.replace("source: old", "source: olt"), ["olt", "vmproxy.yaml:"]),
    ("missing variable", lambda t: t.replace("system: chroma", "system: ${NOT_SET_ANYWHERE}"), ["NOT_SET_ANYWHERE"]),
    ("bad port", lambda t: t.replace('listen: "127.0.0.1:', 'listen: "127.0.0.1:9', 1).replace("admin: {listen: \"127.0.0.1:9", "admin: {listen: \"127.0.0.1:99999"), ["vmproxy.yaml:3"]),
    ("wrong type", lambda t: t.replace("listeners:", "listeners: 5\nlisteners_:"), ["vmproxy.yaml:"]),
    ("source is target", lambda t: t.replace("target: new", "target: old"), ["old"]),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_configuration_says_where(name, change, expected, tmp_path):
    result = run_config(change(good(tmp_path)), tmp_path, "config", "validate")
    assert result.returncode in (1, 2), (result.returncode, result.stdout, result.stderr)
    for word in expected:
        assert word in result.stderr + result.stdout, result.stderr + result.stdout


def test_a_good_configuration_is_accepted(tmp_path):
    result = run_config(good(tmp_path), tmp_path, "config", "validate")
    assert result.returncode == 0, result.stderr


def test_a_missing_file_and_unknown_words(tmp_path):
    for arguments, codes in ((["-c", str(tmp_path / "none.yaml"), "serve"], (1, 2)), (["no-such-command"], (2,)),
                             (["status", "--no-such-option"], (2,))):
        result = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode in codes, (arguments, result)
        assert result.stderr.strip(), arguments


def test_no_server_is_exit_code_6(tmp_path):
    result = run_config(good(tmp_path), tmp_path, "status")
    assert result.returncode == 6, (result.returncode, result.stderr)


def test_unreachable_databases_are_named(tmp_path):
    result = run_config(good(tmp_path), tmp_path, "check")
    assert result.returncode == 6, (result.returncode, result.stdout, result.stderr)
    assert "127.0.0.1:1" in result.stdout + result.stderr


def test_an_unreachable_target_leaves_the_application_alone(chroma, make_vmproxy):
    vmproxy = make_vmproxy({"system": "chroma", "url": chroma.url},
                           {"system": "pgvector", "url": "postgresql://postgres@127.0.0.1:1/app"})
    collection = f"{vmproxy.url}{BASE}"
    assert httpx.post(collection, json={"name": "things"}).status_code == 200
    result = vmproxy.run("start", timeout=120)
    assert result.returncode in (3, 6), (result.returncode, result.stderr)
    assert "127.0.0.1:1" in result.stdout + result.stderr
    assert httpx.get(f"{collection}/things").status_code == 200


def test_wrong_credentials_of_the_target_are_named_and_not_shown(pgvector, make_vmproxy):
    with create("chroma") as chroma:
        vmproxy = make_vmproxy({"system": "chroma", "url": chroma.url},
                               {"system": "pgvector", "url": f"postgresql://nobody:s3cret-word@127.0.0.1:{pgvector.port}/app"})
        assert httpx.post(f"{vmproxy.url}{BASE}", json={"name": "things"}).status_code == 200
        result = vmproxy.run("start", timeout=120)
        assert result.returncode not in (0, 130), result.stdout
        assert "nobody" in result.stdout + result.stderr
        assert "s3cret-word" not in result.stdout + result.stderr + vmproxy.log_path.read_text()


def test_after_a_promotion_only_callers_whom_the_source_let_in_are_served(pgvector, make_vmproxy):
    """This Chroma lets everybody in; afterwards nobody can be asked any more."""
    known, unknown = {"x-chroma-token": "known"}, {"x-chroma-token": "unknown"}
    with create("chroma") as chroma:
        vmproxy = make_vmproxy(*databases(chroma, pgvector))
        created = httpx.post(f"{vmproxy.url}{BASE}", json={"name": "things"}, headers=known)
        url = f"{vmproxy.url}{BASE}/{created.json()['id']}"
        one = {"ids": ["one"], "embeddings": [[1, 2, 3]]}
        assert httpx.post(f"{url}/upsert", json=one, headers=known).status_code == 200
        vmproxy.command("start", timeout=120)
        vmproxy.command("cutover", "--percent", "100")
        vmproxy.command("promote")
        chroma.stop()
    for headers in (unknown, {}):
        for path, body in (("get", {"ids": ["one"]}), ("upsert", {"ids": ["two"], "embeddings": [[1, 2, 3]]}), ("delete", {"ids": ["one"]})):
            refused = httpx.post(f"{url}/{path}", json=body, headers=headers)
            assert refused.status_code == 401 and refused.json()["error"], (path, refused.text)
    assert httpx.post(f"{url}/upsert", json={"ids": ["three"], "embeddings": [[3, 2, 1]]}, headers=known).status_code == 200
    assert sorted(httpx.post(f"{url}/get", json={}, headers=known).json()["ids"]) == ["one", "three"]


def test_an_admin_token_is_required_when_one_is_set(chroma, pgvector, make_vmproxy):
    vmproxy = make_vmproxy(*databases(chroma, pgvector), start=False)
    vmproxy.config["admin"]["token"] = "the-right-token"
    vmproxy.write_config()
    vmproxy.start()
    for headers in ({}, {"authorization": "Bearer wrong"}):
        assert httpx.get(f"{vmproxy.admin_url}/api/v1/status", headers=headers).status_code == 401
    right = {"authorization": "Bearer the-right-token"}
    assert httpx.get(f"{vmproxy.admin_url}/api/v1/status", headers=right).status_code == 200
    assert vmproxy.state() == "created"


def test_a_full_disk_under_the_journal(chroma, pgvector, make_vmproxy):
    """The application goes on (pass_and_mark); the hole is shown and closes the gates."""
    if os.geteuid() != 0:
        pytest.fail("needs root to mount a small file system")
    vmproxy = make_vmproxy(*databases(chroma, pgvector), start=False)
    disk = vmproxy.directory / "data"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=True)
    try:
        vmproxy.start()
        collection = httpx.post(f"{vmproxy.url}{BASE}", json={"name": "things"}).json()["id"]
        url = f"{vmproxy.url}{BASE}/{collection}"
        assert httpx.post(f"{url}/upsert", json={"ids": ["one"], "embeddings": [[1, 2, 3]]}).status_code == 200
        vmproxy.command("start", timeout=120)
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        for number in range(400):  # more than any preallocated room
            if number % 20 == 0 and vmproxy.status()["gaps"]:
                break
            answer = httpx.post(f"{url}/upsert", json={"ids": [f"n{number}"], "embeddings": [[number, 2, 3]]}, timeout=30)
            assert answer.status_code == 200, answer.text
            # A delete by id is journaled with its body and its keys: that is what fills the disk.
            answer = httpx.post(f"{url}/delete", json={"ids": [f"{number} {i} " + "x" * 90 for i in range(1000)]}, timeout=30)
            assert answer.status_code == 200, answer.text
        status = vmproxy.status()
        assert status["gaps"] >= 1, status
        assert vmproxy.run("cutover", "--percent", "10").returncode == 3
        filler.unlink()
        vmproxy.stop()
        vmproxy.start()
        assert vmproxy.status()["gaps"] >= 1, "a hole outlives a restart"
        vmproxy.command("validate", "--full", "--repair", timeout=120)
        vmproxy.wait(lambda s: s["gaps"] == 0, 60, "the gap to close after a clean validation")
        vmproxy.wait_drained()
        assert sides.differences(sides.chroma_records(chroma, "things"), sides.pgvector_records(pgvector, "things")) == []
    finally:
        vmproxy.stop()
        subprocess.run(["umount", "-l", str(disk)], check=False)
