#!/usr/bin/env python3
"""bench/search/run.py BIN [DOCUMENTS] [SECONDS]: lexical search side by side: qiao over HTTP with the index in its memory, and with `backend: redisearch`; SQLite's
FTS5 bare; Debian's RediSearch.

The documents are made from the words of QIAO_SHARED/data/search/vaswani and sentences of cmrc2018, by a fixed seed: a title of 6 words, a
text of 40, or a Chinese passage's piece; a price and a category. The queries are two or three words of some document's title.
Every system gets the same documents in batches of 1,000 and the same queries, any word matching, the best 20 wanted; queries come
at 50 a second whether or not the last one is answered (one thread; what is late counts from when it was due). "alone" is the median
of queries that are asked one after another. RediSearch is left out where redisearch.so is not installed.
"""
import collections
import http.client
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

BIN = sys.argv[1] if len(sys.argv) > 1 else "build/bin"
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 20
RATE, LIMIT = 50, 20
SHARED = os.environ.get("QIAO_SHARED", "../shared") + "/data/search/"
MODULE = "/usr/lib/redis/modules/redisearch.so"


def words_and_pieces():
    words = re.findall(r"[a-z]{3,}", open(SHARED + "vaswani/docs.trec", encoding="latin-1").read())
    pieces = []
    for article in json.load(open(SHARED + "cmrc2018/dev.json"))["data"]:
        for paragraph in article["paragraphs"]:
            pieces += [piece for piece in re.split("[。！？，；]", paragraph["context"]) if len(piece) > 8]
    return words, pieces


def make():
    chance = random.Random(5)
    words, pieces = words_and_pieces()
    documents, queries = [], []
    for number in range(COUNT):
        if number % 4 == 3:
            title, text = chance.choice(pieces), "，".join(chance.choices(pieces, k=3))
        else:
            title, text = " ".join(chance.choices(words, k=6)), " ".join(chance.choices(words, k=40))
        documents.append({"id": number, "title": title, "text": text, "price": chance.randrange(1, 5000),
                          "category": "c%d" % chance.randrange(30)})
    while len(queries) < RATE * SECONDS:
        title = chance.choice(documents)["title"]
        if title.count(" ") == 5:
            queries.append(" ".join(chance.sample(title.split(), chance.choice([2, 3]))))
    return documents, queries


def report(name, load_seconds, ask, queries):
    for query in queries[:20]:
        ask(query)
    times, begin = [], time.perf_counter()
    for i, query in enumerate(queries):
        due = begin + i / RATE
        while (now := time.perf_counter()) < due:
            time.sleep(due - now)
        ask(query)
        times.append(time.perf_counter() - due)
    times.sort()
    alone = []
    for query in queries[:100]:
        begin = time.perf_counter()
        ask(query)
        alone.append(time.perf_counter() - begin)
    alone.sort()
    at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]
    print(f"{name:22} {COUNT / load_seconds:9.0f} documents/s   p50 {at(.5):6.2f} ms   p99 {at(.99):6.2f} ms   worst {times[-1] * 1000:6.2f} ms   alone {alone[50] * 1000:6.2f} ms", flush=True)


def bench_sqlite(documents, queries):
    base = sqlite3.connect(":memory:")
    base.execute("CREATE VIRTUAL TABLE t USING fts5(title, text, tokenize='porter unicode61')")
    begin = time.perf_counter()
    for at in range(0, COUNT, 1000):
        base.executemany("INSERT INTO t(rowid, title, text) VALUES (?, ?, ?)",
                         [(d["id"], d["title"], d["text"]) for d in documents[at:at + 1000]])
        base.commit()
    seconds = time.perf_counter() - begin
    sql = f"SELECT rowid, title FROM t WHERE t MATCH ? ORDER BY rank LIMIT {LIMIT}"
    report("sqlite3 FTS5, bare", seconds, lambda q: base.execute(sql, (" OR ".join(f'"{w}"' for w in q.split()),)).fetchall(), queries)


class Redis:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def call(self, *words):
        self.send(*words)
        return self.reply()


def start_redis(folder, name, *more):
    path = f"{folder}/{name}.sock"
    process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder, *more],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            Redis(path).call("PING")
            return process, path
        except (OSError, RuntimeError):
            time.sleep(0.05)
    raise SystemExit(f"{name}: redis-server does not start")


def bench_redisearch(folder, documents, queries):
    if not os.path.exists(MODULE):
        print("RediSearch: not installed")
        return
    process, path = start_redis(folder, "redisearch", "--loadmodule", MODULE)
    try:
        redis = Redis(path)
        redis.call("FT.CREATE", "t", "SCHEMA", "title", "TEXT", "text", "TEXT", "price", "NUMERIC")
        begin = time.perf_counter()
        for at in range(0, COUNT, 1000):
            for d in documents[at:at + 1000]:
                language = ["LANGUAGE", "chinese"] if d["id"] % 4 == 3 else []
                redis.send("FT.ADD", "t", d["id"], "1.0", *language, "FIELDS", "title", d["title"], "text", d["text"], "price", d["price"])
            for _ in documents[at:at + 1000]:
                redis.reply()
        report("RediSearch", time.perf_counter() - begin,
               lambda q: redis.call("FT.SEARCH", "t", "|".join(q.split()), "LIMIT", 0, LIMIT), queries)
    finally:
        process.kill()
        process.wait()


def write_on(port, documents):
    """A process that replaces 1,000 documents a second, 100 at once, until it is killed."""
    child = os.fork()
    if child:
        return child
    client, turn = http.client.HTTPConnection("127.0.0.1", port), 0
    while True:
        turn += 1
        some = [{**documents[(turn * 7919 + 31 * i) % COUNT], "id": documents[(turn * 104729 + 17 * i) % COUNT]["id"]} for i in range(100)]
        begin = time.perf_counter()
        client.request("POST", "/v1/indexes/t/documents", json.dumps(some).encode())
        client.getresponse().read()
        time.sleep(max(0, 0.1 - (time.perf_counter() - begin)))


def memory_of(process):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1]) / 1024


def start_keeper(folder, backend):
    """The Redis that keeps the index where the scheduler does not; what tells the scheduler of it."""
    if backend == "memory":
        return None, []
    process, path = start_redis(folder, "keeper", "--loadmodule", MODULE, "MINPREFIX", "1", "MAXEXPANSIONS", "1000000",
                                "MAXDOCTABLESIZE", "5000000", "TIMEOUT", "10000", "ON_TIMEOUT", "FAIL")
    return process, ["--search-redisearch", f"local:t={path}"]


def bench_qiao(folder, documents, queries, backend):
    if backend != "memory" and not os.path.exists(MODULE):
        print("qiao over RediSearch: not installed")
        return
    counts = collections.Counter(word for d in documents[:2000] for word in set(d["text"].split()))
    common = [word for word, _ in counts.most_common(12)]
    redis, path = start_redis(folder, "qiao-" + backend)
    keeper, flags = start_keeper(folder, backend)
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    scheduler = subprocess.Popen([f"{BIN}/qiao-scheduler", "--listen", f"127.0.0.1:{port}", "--listen-nodes",
                                  f"ipc://{folder}/{backend}.sock", "--redis-host", path, *flags], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(method, path, body):
            client.request(method, path, json.dumps(body, ensure_ascii=False).encode())
            answer = client.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(text.decode())
            return json.loads(text)

        ask("PUT", "/v1/indexes/t", {"fields": {"title": 1, "text": 1}, "facets": ["category"], "sortable": ["price"], "backend": backend})
        begin, version = time.perf_counter(), 0
        for at in range(0, COUNT, 1000):
            version = ask("POST", "/v1/indexes/t/documents", documents[at:at + 1000])["index_version"]
        while True:
            try:
                ask("POST", "/v1/indexes/t/search", {"q": "x", "min_version": version, "deadline_ms": 10000})
                break
            except RuntimeError:
                continue
        seconds = time.perf_counter() - begin
        search = lambda more: lambda q: ask("POST", "/v1/indexes/t/search", {"q": q, "limit": LIMIT, **more})
        report("qiao, " + backend, seconds, search({}), queries)
        report("  with facets, filter", seconds, search({"facets": ["*"], "filter": "price < 2500", "highlight": True}), queries)
        report("  sorted", seconds, search({"sort": ["price:asc"], "filter": "category != c7"}), queries)
        report("  common words", seconds, search({}), [" ".join(random.Random(i).sample(common, 3)) for i in range(len(queries))])
        writer = write_on(port, documents)
        try:
            report("  while 1,000/s are put", seconds, search({"facets": ["*"], "filter": "price < 2500"}), queries)
        finally:
            os.kill(writer, 9)
            os.waitpid(writer, 0)
        print("scheduler's memory: %d MB%s" % (memory_of(scheduler), ", its RediSearch's: %d MB" % memory_of(keeper) if keeper else ""))
    finally:
        scheduler.terminate()
        scheduler.wait()
        for process in [redis, keeper]:
            if process:
                process.kill()
                process.wait()


if __name__ == "__main__":
    made = make()
    where = tempfile.mkdtemp(prefix="qiao-bench-search-")
    try:
        print(f"{COUNT} documents, {RATE} queries a second for {SECONDS:.0f} s, the best {LIMIT}")
        bench_qiao(where, *made, "memory")
        bench_qiao(where, *made, "redisearch")
        bench_sqlite(*made)
        bench_redisearch(where, *made)
    finally:
        shutil.rmtree(where)
