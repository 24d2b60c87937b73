#!/usr/bin/env python3
"""tests/system/resume.py STATE URL URL: streams that are cut, by their client or by a scheduler's death, and gone on with elsewhere.

STATE is deploy/local's directory. Each answer is asked for whole first, then cut and resumed at many places, by another scheduler
each time; the joined text must be the whole one's, to the byte. The last lines say what was tried.
"""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse

STATE = pathlib.Path(sys.argv[1])
URLS = sys.argv[2:]
KILLS = int(os.environ.get("KILLS", "6"))
CUTS = int(os.environ.get("CUTS", "24"))
LONG = {"max_tokens": 400, "logit_bias": json.loads(os.environ["ENDLESS"])}
ASKED = {
    "greedy": {"temperature": 0, **LONG},
    "sampled": {"temperature": 1.3, **LONG},
    "stopped": {"temperature": 1, "stop": ["。\n", "zzz"], "max_tokens": 160},
    "three": {"temperature": 1.1, "n": 3, "max_tokens": 150, "logit_bias": LONG["logit_bias"], "stream_options": {"include_usage": True}},
}


class Broken(Exception):
    pass


class Reader:
    """What one client has of an answer, over as many connections as it took."""

    def __init__(self, name, key):
        body = {"stream": True, "messages": [{"role": "user", "content": "给我讲一个故事"}], **ASKED[name]}
        self.body = json.dumps(body).encode()
        self.key, self.last, self.done = key, None, False
        self.texts, self.roles, self.finishes = {}, {}, {}
        self.answer_ids, self.usage, self.events = set(), None, 0
        self.replayed = False

    def take(self, data):
        chunk = json.loads(data)
        assert "error" not in chunk, chunk
        self.answer_ids.add((chunk["id"], chunk["created"], chunk["model"]))
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            index = choice["index"]
            self.texts[index] = self.texts.get(index, "") + (choice["delta"].get("content") or "")
            self.roles[index] = self.roles.get(index, 0) + ("role" in choice["delta"])
            if choice["finish_reason"]:
                assert index not in self.finishes
                self.finishes[index] = choice["finish_reason"]

    def read(self, url, most=None, at=None):
        """Go on at `url`: to the end, or for `most` events, then leave; `at` is called before each event."""
        where = urllib.parse.urlparse(url)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=300)
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.key}
        if self.last:
            headers["Last-Event-ID"] = self.last
        try:
            connection.request("POST", "/v1/chat/completions", self.body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise SystemExit(f"not so: {response.status} {response.read().decode()}")
            self.replayed = response.headers.get("Idempotent-Replayed") == "true"
            seen = 0
            identity = None
            while most is None or seen < most:
                line = response.readline()
                if not line:
                    raise Broken()
                if line.startswith(b"id: "):
                    identity = line[4:].strip().decode()
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(b"data: [DONE]"):
                    self.done = True
                    return
                if at:
                    at(seen)
                self.take(line[6:])
                self.last = identity
                self.events += 1
                seen += 1
        except (http.client.HTTPException, OSError):
            raise Broken()
        finally:
            connection.close()

    def said(self):
        assert len(self.answer_ids) == 1, self.answer_ids
        usage = self.usage and (self.usage["prompt_tokens"], self.usage["completion_tokens"])
        return self.texts, self.roles, self.finishes, usage


def ready(url, nodes):
    where = urllib.parse.urlparse(url)
    try:
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
        connection.request("GET", "/ready")
        body = json.loads(connection.getresponse().read())
        return body["ready"] and body["nodes"] >= nodes and body["redis"] == "up"
    except (OSError, http.client.HTTPException):
        return False


def wait_ready(url, nodes):
    for _ in range(2400):
        if ready(url, nodes):
            return
        time.sleep(0.05)
    raise SystemExit(f"not so: {url} is not ready after two minutes")


class Scheduler:
    def __init__(self, number):
        self.pid_file = STATE / f"run/scheduler-{number}.pid"
        self.log = STATE / f"log/scheduler-{number}.log"
        self.url = URLS[number - 1]
        pid = int(self.pid_file.read_text())
        self.command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]

    def kill(self):
        os.kill(int(self.pid_file.read_text()), signal.SIGKILL)

    def has_ended(self):
        """Its ports are free again."""
        try:
            status = pathlib.Path(f"/proc/{self.pid_file.read_text().strip()}/status").read_text()
        except OSError:
            return True
        return "State:\tZ" in status and "Threads:\t1\n" in status

    def start(self):
        while not self.has_ended():
            time.sleep(0.01)
        with open(self.log, "a") as log:
            process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.pid_file.write_text(f"{process.pid}\n")
        wait_ready(self.url, 2)


def check(what, good):
    if not good:
        raise SystemExit(f"not so: {what}")
    print(f"ok: {what}", flush=True)


def cut_by_client(name):
    """The client leaves after each of many events, and after none, and asks elsewhere."""
    wrong, texts, events = 0, 0, 0
    for i in range(CUTS):
        if i % 12 == 0: # a key is good for 64 requests
            whole = Reader(name, f"{name}-whole-{i}")
            whole.read(URLS[0])
            golden = whole.said()
        texts += sum(len(text) for text in golden[0].values())
        events += whole.events
        place = whole.events - i % 2 if i >= CUTS - 2 else whole.events * i // CUTS
        reader = Reader(name, whole.key)
        if place > 0:
            reader.read(URLS[place % 2], most=place)
        while not reader.done: # and in small bites, a connection each
            reader.read(URLS[(place + reader.events) % 2], most=max(7, whole.events // 3))
        wrong += reader.said() != golden or reader.answer_ids != whole.answer_ids
    check(f"{name}: {CUTS} streams of {texts // CUTS} characters in {events // CUTS} events, left and gone on with: whole", wrong == 0)


def cut_by_death(name, schedulers):
    """The scheduler is killed before a given event comes, and the other one goes on."""
    whole = Reader(name, f"{name}-undisturbed")
    whole.read(URLS[0])
    delays = []
    wrong = 0
    for i in range(KILLS):
        victim, other = schedulers[i % 2], schedulers[1 - i % 2]
        # Half of them so early that no machine has sent the rest by then.
        place = 1 + (i // 2 if i % 2 == 0 else whole.events * i // (2 * KILLS))
        key = f"{name}-killed-{i}"
        reader = Reader(name, key)
        try:
            reader.read(victim.url, at=lambda seen: seen == place and victim.kill())
        except Broken:
            pass
        if not reader.done:
            begun = time.monotonic()
            reader.read(other.url, most=1)
            delays.append(time.monotonic() - begun)
            if not reader.done:
                reader.read(other.url)
        else:
            victim.kill() # it had sent all before it died
        again = Reader(name, key)
        again.read(other.url)
        wrong += reader.said() != again.said()
        if name == "greedy": # a seed is drawn for each key; without one all are the same
            wrong += reader.said() != whole.said()
        victim.start()
    delays.sort()
    check(f"{name}: {KILLS} schedulers killed in the midst of it, {len(delays)} streams went on at the other, whole; "
          f"the next event after {delays[len(delays) // 2]:.2f} s (median), {delays[-1]:.2f} s (longest)", wrong == 0 and delays)


def main():
    for url in URLS:
        wait_ready(url, 2)
    for name in ASKED:
        cut_by_client(name)
    schedulers = [Scheduler(1), Scheduler(2)]
    for name in ["greedy", "sampled", "three"]:
        cut_by_death(name, schedulers)


main()
