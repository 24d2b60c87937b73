#!/usr/bin/env python3
"""What canary.sh does: canary.py STATE PORT PROBE DECODER ENCODER [REGION]"""
import concurrent.futures
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time

from exchange import await_that
from canary_scan import find_in_files, find_in_memory, find_in_redis, find_in_text, forms_of

SECRETS = 1000
USERS = 20
REGION = sys.argv[6] if len(sys.argv) > 6 else None
SYLLABLES = "bra cle dro fli gru kwa ple sni tru vex zor mip jun hob".split()


def make_marker():
    """Letters that are no word, and two that JSON may escape."""
    dice = random.SystemRandom()
    return "".join(dice.choice(SYLLABLES) for _ in range(5)) + "密语" + "".join(dice.choice(SYLLABLES) for _ in range(6))


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:6000]}")
    print(f"ok: {what}", flush=True)


def ask(port, method, path, body=None, user=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers = {"Content-Type": "application/json"}
    if user:
        headers["X-Qiao-User"] = user
    if REGION:
        headers |= {"X-Qiao-Region": REGION, "X-Qiao-OS": "AcmeOS/99.0"}
    connection.request(method, path, None if body is None else json.dumps(body, ensure_ascii=body_is_escaped(path)).encode(), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def body_is_escaped(path):
    return "embeddings" in path  # the one kind that comes escaped


def say(port, number, secret):
    """The kinds take turns."""
    user = f"user-{number % USERS}"
    chat = {"messages": [{"role": "user", "content": f"Remember: {secret}"}], "max_tokens": 4}
    kinds = [
        ("POST", "/v1/chat/completions", chat),
        ("POST", "/v1/chat/completions", chat | {"stream": True, "n": 2}),
        ("POST", "/v1/chat/completions", chat | {"session": f"s{number}"}),
        ("POST", "/v1/chat/completions", {"messages": [{"role": "system", "content": f"The user is {secret}."}] + chat["messages"],
                                          "max_tokens": 2}),
        ("POST", "/v1/completions", {"prompt": f"{secret} and", "max_tokens": 4} | ({} if REGION else {"logprobs": 2})),
        ("POST", "/v1/embeddings", {"input": [f"about {secret}", "plain"], "model": "qiao-encoder"}),
        ("POST", "/v1/events", {"events": [{"type": "search", "properties": {"query": secret}}]}),
        ("POST", "/v1/events", {"events": [{"type": "view", "item": "phone-bamboo-1", "properties": {"note": secret}}]}),
        ("POST", "/v1/indexes/shop/search", {"q": secret, "limit": 3}),
        ("POST", "/v1/chat/completions", chat | {"context": ["history", "search:shop"]}),
        ("POST", "/v1/embeddings", {"input": secret + " and so on" * 3000, "truncate": True, "model": "qiao-encoder"}),  # a worker's
    ]
    method, path, body = kinds[number % len(kinds)]
    status, text = ask(port, method, path, body, user)
    return None if status == 200 else (path, status, text[:300])


class Places:
    """Everywhere, by name: what looks there."""

    def __init__(self, state, port):
        self.state, self.port = state, port
        self.pids = {name[:-4]: int(open(f"{state}/run/{name}").read()) for name in sorted(os.listdir(f"{state}/run"))}

    def programs(self):
        return {name: pid for name, pid in self.pids.items() if name.startswith(("node", "scheduler"))}

    def memory(self, forms):
        return {name: find_in_memory(pid, forms) for name, pid in self.programs().items()}

    def rest(self, forms):
        found = {"disk": find_in_files(self.state, forms)}
        for name, port in (("redis", self.port + 200), ("replica", self.port + 201)):
            found[name] = find_in_redis(port, forms)
        for offset in range(2):
            found[f"metrics {offset + 1}"] = find_in_text(f"http://127.0.0.1:{self.port + offset}/metrics", forms)
        return found


def redis(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, check=True).stdout.strip()


def rewrite_files(port):
    """The append-only file and the snapshot of one server, written anew."""
    for command, good in (("bgrewriteaof", "aof_last_bgrewrite_status:ok"), ("bgsave", "rdb_last_bgsave_status:ok")):
        await_that(f"Redis at {port} writes no file", lambda: not writes_files(port))
        said = redis(port, command)
        check(f"{command}: {said}", said.startswith("Background"))
        await_that(f"{command} is done", lambda: not writes_files(port))
        check("and good", good in redis(port, "info", "persistence"), redis(port, "info", "persistence"))


def writes_files(port):
    info = redis(port, "info", "persistence")
    return any(f"{what}:1" in info for what in ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"))


def in_step(port):
    """The replica has all that the master at `port` was told."""
    offset = [next(line for line in redis(at, "info", "replication").splitlines() if line.startswith(name)).split(":")[1]
              for at, name in ((port, "master_repl_offset"), (port + 1, "slave_repl_offset"))]
    return offset[0] == offset[1]


def plant(places, forms, marker):
    """Each kind of place is made to hold the marker, found there, and cleaned again."""
    port = places.port
    path = f"{places.state}/log/planted"
    with open(path, "wb") as file:
        file.write(b"".join(forms.values()))
    redis(port + 200, "set", "planted", marker)
    await_that("the replica has it", lambda: redis(port + 201, "get", "planted") != "")
    found = places.rest(forms)
    check("what is planted on disk is found in every form", {form for form, where, _ in found["disk"] if where == path} == set(forms),
          found["disk"], list(forms))
    check("and in Redis, its slow log and its replica", all(
        {"a value"} <= {where for _, where, _ in found[name]} for name in ("redis", "replica"))
        and "slowlog get -1" in {where for _, where, _ in found["redis"]}, found["redis"], found["replica"])
    check("and in its append-only file", any("redis/" in where for _, where, _ in found["disk"]), found["disk"])
    os.unlink(path)
    redis(port + 200, "del", "planted")
    for server in (port + 200, port + 201):
        redis(server, "slowlog", "reset")


def is_cached():
    """Whether prompts outlive their requests on nodes by the rules of the region."""
    if not REGION:
        return True
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(f"{root}/deploy/policy/{REGION}.json") as file:
        return json.load(file)["rules"]["privacy"]["cache_seconds"] > 0


def find_in_the_air(places, forms, secret):
    """While it is being read and while it is cached a secret is in memory, and found there: a scan that finds nothing means something."""
    half = json.dumps({"messages": [{"role": "user", "content": secret}]}, ensure_ascii=False).encode()
    with socket.create_connection(("127.0.0.1", places.port)) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + half)
        pid = places.pids["scheduler-1"]
        await_that("the scheduler has read it", lambda: any(form == "utf-8" for form, _, _ in find_in_memory(pid, forms)))
        found = places.memory(forms)
    check("a secret that a scheduler reads is found in its memory", any(form == "utf-8" for form, _, _ in found["scheduler-1"]),
          found["scheduler-1"])
    ids = [form for form, _, _ in found["node-1"] if "int32" in form]
    if is_cached():
        check("and its ids in the memory of the node that has cached them", ids, found["node-1"])
    else:
        check("and none in a node's, since nothing outlives its request", not ids, found["node-1"])


def erase(places):
    for number in range(USERS):
        status, text = ask(places.port + number % 2, "DELETE", "/v1/me", None, f"user-{number}")
        check(f"user-{number} is erased", status == 200, status, text) if status != 200 else None
        receipt = json.loads(text)
        if receipt["stages"]["node_caches"]["state"] != "complete":
            sys.exit(f"not so: the nodes have dropped what they cached of user-{number}: {text}")
    print(f"ok: {USERS} users are erased, and the nodes have dropped what they cached of them")


def at_rest(port):
    """Nobody is connected who asks, and the files that Redis has left behind are gone."""
    for at in (port, port + 1):
        text = ask(at, "GET", "/metrics")[1].decode()
        if "\nqiao_in_flight 0\n" not in text or "\nqiao_connections 1\n" not in text:  # this one
            return False
        nodes = json.loads(ask(at, "GET", "/admin/nodes")[1])["nodes"]
        if any(node["in_flight"] or node["running"] or node["waiting"] for node in nodes):
            return False
    return all(int(line.split(":")[1]) == 0 for at in (port + 200, port + 201)
               for line in redis(at, "info", "all").splitlines() if line.startswith("lazyfree_pending_objects"))


def found_anywhere(found):
    return {name: hits for name, hits in found.items() if hits}


def main():
    state, port, probe, *models = sys.argv[1], int(sys.argv[2]), sys.argv[3], *sys.argv[4:6]
    marker = make_marker()
    forms = forms_of(marker, probe, models)
    places = Places(state, port)
    secrets = [f"{marker}-{number:04d}-{random.randrange(10 ** 9):09d}" for number in range(SECRETS)]
    plant(places, forms, marker)
    for number in range(USERS):
        ask(port, "PUT", "/v1/me/consents", {"consents": {"history": True, "recommendations": True, "assistant": True}}, f"user-{number}")
    began = time.time()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [said for said in pool.map(lambda n: say(port + n % 2, n, secrets[n]), range(SECRETS)) if said]
    check(f"{SECRETS} secrets are told ({time.time() - began:.1f} s)", not wrong, wrong[:5], len(wrong))
    find_in_the_air(places, forms, secrets[0])
    erase(places)
    await_that("the replica is in step", lambda: in_step(port + 200))
    for server in (port + 200, port + 201):
        rewrite_files(server)
    await_that("nothing is under way", lambda: at_rest(port))
    began = time.time()
    rest, memory = found_anywhere(places.rest(forms)), found_anywhere(places.memory(forms))
    for name, hits in (rest | memory).items():
        for form, where, around in hits[:8]:
            print(f"found in {name}: {form}, {where}: {around!r}", file=sys.stderr)
    check("none is in logs, metrics, on disk, or in Redis and its replica", not rest, {name: len(hits) for name, hits in rest.items()})
    check(f"none is in the memory of schedulers and nodes (looked in {time.time() - began:.1f} s)", not memory,
          {name: len(hits) for name, hits in memory.items()})


if __name__ == "__main__":
    main()
