#!/usr/bin/env python3
"""bench/search/hybrid.py BIN [DOCUMENTS] [SECONDS] [ENCODER]: searches by words and vectors over HTTP, 50 a second, and what each part takes.

The documents and queries are those of run.py; the titles are embedded by ENCODER (models/encoder/qiao-encoder.gguf), which one node
serves with one thread and which holds the vectors, too. Scheduler, node, Redis and this client share the machine.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import http.client
import shutil
import socket

import run

ENCODER = sys.argv[4] if len(sys.argv) > 4 else os.path.dirname(os.path.abspath(__file__)) + "/../../models/encoder/qiao-encoder.gguf"


def memory(process):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1]) / 1024


class Client:
    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port)
        self.http.connect()
        self.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.degraded = 0

    def text(self, method, path, body=None):
        self.http.request(method, path, None if body is None else json.dumps(body, ensure_ascii=False).encode())
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(text.decode()[:300])
        return text.decode()

    def ask(self, method, path, body=None):
        return json.loads(self.text(method, path, body))

    def search(self, more):
        def search(q):
            answer = self.ask("POST", "/v1/indexes/t/search", {"q": q, "limit": run.LIMIT, **more})
            self.degraded += "degraded" in answer
        return search

    def parts(self):
        """Sums and counts of the parts' histograms."""
        out = {}
        for kind, part, value in re.findall(r'qiao_search_part_seconds_(sum|count)\{part="(\w+)"\} (\S+)', self.text("GET", "/metrics")):
            out.setdefault(part, {})[kind] = float(value)
        return out


def wait_for(what, seconds=1200):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise SystemExit("it takes too long")
        time.sleep(0.1)


def load(client, documents):
    wait_for(lambda: "embed" in client.text("GET", "/v1/models"), 30)
    name = client.ask("GET", "/v1/models")["data"][0]["id"]
    client.ask("PUT", "/v1/indexes/t", {"fields": {"title": 1, "text": 1}, "sortable": ["price"], "embedder": {"model": name, "fields": ["title"]}})
    begin = time.perf_counter()
    for at in range(0, run.COUNT, 1000):
        client.ask("POST", "/v1/indexes/t/documents", documents[at:at + 1000])
    put = time.perf_counter() - begin

    def is_whole():
        vectors = client.ask("GET", "/v1/indexes/t").get("vectors", {})
        return vectors.get("documents") == run.COUNT and vectors["shards_held"] == vectors["shards"]
    wait_for(is_whole)
    seconds = time.perf_counter() - begin
    print(f"{run.COUNT} documents in {put:.1f} s; all with their vectors, on the node, after {seconds:.1f} s", flush=True)
    return seconds


def bench(folder, documents, queries):
    redis, path = run.start_redis(folder, "qiao")
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    nodes = f"ipc://{folder}/nodes.sock"
    scheduler = subprocess.Popen([f"{run.BIN}/qiao-scheduler", "--listen", f"127.0.0.1:{port}", "--listen-nodes", nodes, "--redis-host", path],
                                 stderr=subprocess.DEVNULL)
    node = subprocess.Popen([f"{run.BIN}/qiao-node", "--model", ENCODER, "--threads", "1", "--scheduler", nodes], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        client = Client(port)
        seconds = load(client, documents)
        for name, more in (("words", {}), ("words and vectors", {"hybrid": {"semantic_ratio": 0.5}}),
                           ("vectors alone", {"hybrid": {"semantic_ratio": 1}}),
                           ("both, filtered", {"hybrid": {"semantic_ratio": 0.5}, "filter": "price < 2500"})):
            before, client.degraded = client.parts(), 0
            run.report(name, seconds, client.search(more), queries)
            if not more:
                continue
            means = []
            for part, now in sorted(client.parts().items()):
                then = before.get(part, {"sum": 0, "count": 0})
                if now["count"] > then["count"]:
                    means.append(f"{part} {1000 * (now['sum'] - then['sum']) / (now['count'] - then['count']):.2f} ms")
            print(f"    means: {', '.join(means)}; degraded: {client.degraded}", flush=True)
        print(f"memory: scheduler {memory(scheduler):.0f} MB, node {memory(node):.0f} MB")
    finally:
        for process in (scheduler, node, redis):
            process.terminate()
        for process in (scheduler, node, redis):
            process.wait()


if __name__ == "__main__":
    made = run.make()
    where = tempfile.mkdtemp(prefix="qiao-bench-hybrid-")
    try:
        print(f"{run.COUNT} documents, {run.RATE} queries a second for {run.SECONDS:.0f} s, the best {run.LIMIT}")
        bench(where, *made)
    finally:
        shutil.rmtree(where)
