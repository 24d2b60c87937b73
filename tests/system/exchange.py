"""One request on a connection of its own, and the judging of what came; what Redis was asked, and a node that is killed while it works: for
the tests' clients."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse


def ask(url, method, path, body=None, user=None):
    """(status, bytes). `body` is sent as it is when it is bytes, else as JSON."""
    parsed = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=120)
    headers = {"Content-Type": "application/json"}
    if user:
        headers["X-Qiao-User"] = user
    text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:3000]}")
    print(f"ok: {what}")


def await_that(what, holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not so within {seconds} s: {what}")
        time.sleep(0.05)


class Killer(threading.Thread):
    """Kills a node's process as soon as requests are under way there."""

    def __init__(self, url, node, pid):
        super().__init__(daemon=True)
        self.url, self.node, self.pid, self.killed, self.over = url, node, pid, False, False
        self.start()

    def run(self):
        while not self.over:
            nodes = json.loads(ask(self.url, "GET", "/admin/nodes")[1])["nodes"]
            if any(one["name"] == self.node and one["in_flight"] for one in nodes):
                os.kill(self.pid, signal.SIGKILL)
                self.killed = True
                return

    def wait(self):
        """Whether it has."""
        self.over = True
        self.join()
        return self.killed


class Monitor(threading.Thread):
    """Every command that Redis runs from now on, as Redis tells it."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.seen, self.marks = port, b"", 0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"MONITOR\r\n")
        self.start()
        await_that("Redis tells what it runs", lambda: b"+OK" in self.seen)

    def run(self):
        while part := self.socket.recv(1 << 16):
            self.seen += part

    def lines(self):
        """All up to now: an ECHO of ours comes after everything that was asked before it."""
        self.marks += 1
        mark = f"mark-{id(self)}-{self.marks}-"
        subprocess.run(["redis-cli", "-p", str(self.port), "echo", mark], check=True, capture_output=True)
        await_that("Redis has told all", lambda: mark.encode() in self.seen)
        return self.seen.split(b"\r\n")
