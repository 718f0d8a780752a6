#!/usr/bin/env python3
"""Directly on Milvus, no vmproxy: does a Strong query show what was acknowledged? The figures of docs/decisions/0010.

  stale_reads.py [--port P] [--readers 4] [--hold] ...     without --port it starts a Milvus of tests/servers
--hold: no key is written while it is read. The last line has the numbers. A tool, not a test: it shows Milvus' defect."""
import argparse, pathlib, random, sys, threading, time, collections
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
ap = argparse.ArgumentParser()
ap.add_argument("--port", type=int)
ap.add_argument("--seconds", type=float, default=40)
ap.add_argument("--keys", type=int, default=200)
ap.add_argument("--writers", type=int, default=6)
ap.add_argument("--readers", type=int, default=2)
ap.add_argument("--batch", type=int, default=4)
ap.add_argument("--shards", type=int, default=1)
ap.add_argument("--mode", choices=["upsert", "delins", "delwaitins"], default="upsert")
ap.add_argument("--flush", type=float, default=5)   # 0: never
ap.add_argument("--deletes", type=float, default=0.0)
ap.add_argument("--preload", type=int, default=1000)
ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--pk", default="str")
ap.add_argument("--hold", action="store_true")
a = ap.parse_args()
from servers import create
from pymilvus import MilvusClient, DataType
server = None
if not a.port:
    server = create("milvus"); server.__enter__(); a.port = server.port
    print("server", a.port, flush=True)
uri = f"http://127.0.0.1:{a.port}"
def client():
    from pymilvus import MilvusClient
    return MilvusClient(uri)
c = client()
name = "probe%d" % (time.time()*1000)
s = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
if a.pk == "str": s.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
else: s.add_field("id", DataType.INT64, is_primary=True)
s.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
c.create_collection(name, schema=s, num_shards=a.shards)
ip = c.prepare_index_params(); ip.add_index("vector", index_type="FLAT", metric_type="COSINE")
c.create_index(name, ip); c.load_collection(name)
key = (lambda i: "k%d" % i) if a.pk == "str" else (lambda i: i)
rng0 = random.Random(a.seed)
vec = lambda r: [r.random() for _ in range(8)]
begun = [0]*a.keys; acked = [0]*a.keys  # even history: version; negative = deleted
gone = [False]*a.keys
locks = [threading.Lock() for _ in range(a.keys)]
ver = [0]*a.keys
stop = time.time() + 1e9
t0 = time.time()
def say(*x): print("%7.2f" % (time.time()-t0), *x, flush=True)
rows = [{"id": key(i), "vector": vec(rng0), "v": 0} for i in range(a.keys)] + \
       [{"id": key(10**6+i), "vector": vec(rng0), "v": 0} for i in range(a.preload)]
for i in range(0, len(rows), 500): c.upsert(name, rows[i:i+500])
stat = collections.Counter()
stale = {}
events = []
def expr(ids): return "id in [" + ", ".join(('"%s"' % key(i)) if a.pk == "str" else str(i) for i in ids) + "]"
def writer(n):
    r = random.Random(a.seed*100+n); m = client()
    while time.time() < stop:
        ids = sorted(r.sample(range(a.keys), r.randint(1, a.batch)))
        for i in ids: locks[i].acquire()
        try:
            if r.random() < a.deletes:
                for i in ids: begun[i] = ver[i] = ver[i]+1
                m.delete(name, filter=expr(ids))
                for i in ids: acked[i] = ver[i]; gone[i] = True
                stat["deletes"] += 1
            else:
                data = []
                for i in ids:
                    ver[i] += 1; begun[i] = ver[i]
                    data.append({"id": key(i), "vector": vec(r), "v": ver[i]})
                if a.mode == "upsert": m.upsert(name, data)
                elif a.mode == "delins": m.delete(name, filter=expr(ids)); m.insert(name, data)
                else:
                    m.delete(name, filter=expr(ids))
                    while m.query(name, filter=expr(ids), output_fields=["v"], consistency_level="Strong"): stat["not yet gone"] += 1
                    m.insert(name, data)
                for i in ids: acked[i] = ver[i]; gone[i] = False
                stat["upserts"] += 1
        except Exception as e:
            stat["write errors"] += 1; say("write error", str(e)[:200])
            stat["unsure"] += 1
        finally:
            for i in ids: locks[i].release()
def pursue(m, i, b):
    t = time.time(); seen = []
    for n in range(60):
        need = acked[i]
        f = m.query(name, filter=expr([i]), output_fields=["v"], consistency_level="Strong")
        v = [x["v"] for x in f]; seen.append(v and v[0] >= need)
        if seen[-3:] == [True]*3: break
    return "".join(".!"[not s] for s in seen), "%.2f s" % (time.time()-t)
def check(m, ids, final=False):
    before = [acked[i] for i in ids]; wasgone = [gone[i] for i in ids]
    try: found = m.query(name, filter=expr(ids), output_fields=["v"], consistency_level="Strong")
    except Exception as e:
        stat["read errors"] += 1; say("read error", str(e)[:120]); return
    after = [begun[i] for i in ids]
    got = collections.defaultdict(list)
    for f in found: got[f["id"]].append(f["v"])
    for i, b, g, e in zip(ids, before, wasgone, after):
        stat["reads"] += 1
        vs = got[key(i)]
        bad = None
        if len(vs) > 1: bad = "twice"
        elif not vs and (a.deletes == 0 or (not g and b == e)): bad = "missing"
        elif vs and vs[0] < b: bad = "stale"
        elif vs and g and b == e and vs[0] <= b: bad = "back from the dead"
        if bad:
            stat[bad] += 1; stat["overlapped" if e > b else "NOT OVERLAPPED"] += 1
            try: n = m.query(name, filter=expr([i]), output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"]
            except Exception as x: n = str(x)[:40]
            say(bad, pursue(m, i, b), "final" if final else "", key(i), "saw", vs, "acked", b, "begun", e, "count(*)", n)
            if not final: stale.setdefault(i, time.time())
def reader(n):
    r = random.Random(a.seed*1000+n); m = client()
    while time.time() < stop:
        ids = sorted(r.sample(range(a.keys), 10))
        if a.hold:
            for i in ids: locks[i].acquire()
        check(m, ids)
        if a.hold:
            for i in ids: locks[i].release()
            continue
        again = list(stale)[:10]
        if again: check(m, again)
def flusher():
    m = client()
    while time.time() < stop:
        time.sleep(a.flush)
        if time.time() >= stop: break
        b = time.time()
        try: m.flush(name, timeout=60)
        except Exception as e: say("flush error", str(e)[:150]); continue
        say("flushed, took %.2f s" % (time.time()-b))
ts = [threading.Thread(target=writer, args=(n,)) for n in range(a.writers)] + \
     [threading.Thread(target=reader, args=(n,)) for n in range(a.readers)]
if a.flush: ts.append(threading.Thread(target=flusher))
stop = time.time() + a.seconds
for t in ts: t.start()
for t in ts: t.join()
say("quiet now", dict(stat))
time.sleep(3)
for i in range(0, a.keys, 20): check(c, list(range(i, min(a.keys, i+20))), True)
n = c.query(name, filter="v >= 0", output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"]
say("count", n, "due", a.keys - sum(gone) + a.preload)
say("RESULT", vars(a), dict(stat), "stale keys", len(stale))
if server: server.__exit__(None, None, None)
