#!/usr/bin/env python3
"""tests/system/appends.py STATE URL BASE KILLED REPLACED: appends to sessions through failovers of Redis; what appends.sh says.

The Redis servers are redis-1…redis-3 at BASE…BASE+2, the Sentinels at BASE+3…. Each client appends turn after turn; one that is not
answered 200 is sent again with its turn id until it is. A session takes a few turns, then the next begins. After each failover all
sessions of the round are read back and compared with what was answered.
"""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

STATE, URL, BASE = pathlib.Path(sys.argv[1]), urllib.parse.urlparse(sys.argv[2]), int(sys.argv[3])
KILLED, REPLACED = int(sys.argv[4]), int(sys.argv[5])
CLIENTS, TURNS_OF_A_SESSION = 4, 6
BEFORE, AFTER, LIMIT_S = 5, 5, 120  # answered turns of each client, before a failover and after it


def ask_redis(port, *words):
    done = subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=10)
    return done.stdout


def master_port():
    return int(ask_redis(BASE + 3, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "qiao").split()[1])


def await_that(what, test, seconds=60):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            sys.exit(f"not so: {what}")
        time.sleep(0.05)


def in_step():
    """A master whose two replicas follow it, and of which all Sentinels know."""
    port = master_port()
    info = ask_redis(port, "INFO", "replication")
    states = [ask_redis(BASE + 3 + i, "INFO", "sentinel") for i in range(3)]
    return ("role:master" in info and info.count("state=online") == 2
            and all("status=ok" in s and f":{port},slaves=2," in s for s in states))


def ask(method, path, user, body=None):
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Authorization": "Bearer sk-one-0123456789", "X-Qiao-User": user, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, socket.timeout):
        return 0, None
    finally:
        connection.close()


class Client(threading.Thread):
    """Appends until it is told to stop; `answered`: by session, the turns that were."""

    def __init__(self, name):
        super().__init__()
        self.name_, self.stopping, self.answered, self.gap, self.again, self.refusals = name, False, {}, 0.0, 0, {}
        self.count = 0

    def run(self):
        latest = time.monotonic()
        while not self.stopping:
            count = self.count
            session = f"{self.name_}-{count // TURNS_OF_A_SESSION}"
            text = f"turn {count} of {self.name_}"
            body = {"session": {"id": session, "turn_id": f"t{count}", "durability": "replicated"}, "max_tokens": 2,
                    "messages": [{"role": "user", "content": text}]}
            begin = time.monotonic()
            while True:
                status, answer = ask("POST", "/v1/chat/completions", self.name_, body)
                if status == 200:
                    break
                self.again += 1
                code = answer["error"]["code"] if answer else "connection"
                self.refusals[code] = self.refusals.get(code, 0) + 1
                if status in (400, 409, 413, 422) or time.monotonic() > begin + LIMIT_S:
                    self.answered = None
                    print(f"not so: {text} is stored within {LIMIT_S} s: {status} {answer}", file=sys.stderr)
                    return
                time.sleep(0.02)
            self.answered.setdefault(session, []).append((text, answer["choices"][0]["message"]["content"]))
            self.gap = max(self.gap, time.monotonic() - latest)
            latest = time.monotonic()
            self.count += 1


def missing(client):
    """Turns that were answered and do not stand in their session, or not in their order."""
    lost = 0
    for session, turns in client.answered.items():
        status, stored = ask("GET", f"/v1/sessions/{session}", client.name_)
        said = [(t["role"], t["content"]) for t in stored["turns"]] if status == 200 else []
        want = [pair for text, reply in turns for pair in (("user", text), ("assistant", reply))]
        if said[:len(want)] != want:
            lost += sum(pair not in said for pair in want[::2]) or 1
            print(f"{session}: {len(said) // 2} turns of {len(turns)}", file=sys.stderr)
    return lost


def restart(index):
    name = f"redis-{index + 1}"
    log = open(STATE / "log" / f"{name}.log", "ab")
    process = subprocess.Popen(
        ["redis-server", "--port", str(BASE + index), "--bind", "127.0.0.1", "--dir", str(STATE / name), "--save", "",
         "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", str(master_port())],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    (STATE / "run" / f"{name}.pid").write_text(str(process.pid))


def fail_over(kill):
    """Until there is another master; one that was killed comes back as its replica."""
    old = master_port()
    if kill:
        name = f"redis-{old - BASE + 1}"
        os.kill(int((STATE / "run" / f"{name}.pid").read_text()), signal.SIGKILL)
    else:
        await_that("a Sentinel fails over", lambda: "OK" in ask_redis(BASE + 3, "SENTINEL", "FAILOVER", "qiao"))
    await_that("another master", lambda: master_port() != old)
    if kill:
        restart(old - BASE)


def await_turns(clients, more):
    before = [client.count for client in clients]
    await_that(f"each client has {more} turns answered: {before}", lambda: all(
        client.answered is None or client.count >= count + more for client, count in zip(clients, before)), LIMIT_S)


def play(number, kill):
    await_that("all are in step", in_step)
    clients = [Client(f"r{number}c{i}") for i in range(CLIENTS)]
    for client in clients:
        client.start()
    await_turns(clients, BEFORE)
    fail_over(kill)
    await_that("all are in step again", in_step)
    await_turns(clients, AFTER)
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join()
    if any(client.answered is None for client in clients):
        sys.exit(1)
    refusals = {}
    for client in clients:
        for code, count in client.refusals.items():
            refusals[code] = refusals.get(code, 0) + count
    return (sum(len(t) for c in clients for t in c.answered.values()), sum(missing(c) for c in clients),
            max(c.gap for c in clients), refusals)


def main():
    failed = False
    for how, count in (("killed", KILLED), ("replaced", REPLACED)):
        rounds = [play(f"{how[0]}{i}", how == "killed") for i in range(count)]
        if not rounds:
            continue
        answered, lost, gaps = sum(r[0] for r in rounds), sum(r[1] for r in rounds), sorted(r[2] for r in rounds)
        refusals = {}
        for one in rounds:
            for code, times in one[3].items():
                refusals[code] = refusals.get(code, 0) + times
        print(f"master {how}, {count} times: {answered} appends answered, {lost} lost; longest pause of a client "
              f"{gaps[len(gaps) // 2]:.1f} s (median), {gaps[-1]:.1f} s (longest); sent again {refusals}")
        failed |= lost > 0 or answered < 20 * count
    print("not so: nothing that was answered is lost" if failed else "ok: every turn that was answered stands in its session")
    sys.exit(failed)


main()
