#!/usr/bin/env python3
"""tests/system/gate.py STATE BIN PORT: what gate.sh says, over its processes. gate.py pipe PORT TO: what comes at PORT goes to TO."""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

def pipe(port, to):
    """What comes at `port` goes to `to`, and back."""
    listener = socket.create_server(("127.0.0.1", port))

    def pump(source, sink):
        try:
            while got := source.recv(65536):
                sink.sendall(got)
        except OSError:
            pass
        for link in (source, sink):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    while True:
        near = listener.accept()[0]
        try:
            far = socket.create_connection(("127.0.0.1", to), timeout=1)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


if sys.argv[1] == "pipe":
    pipe(int(sys.argv[2]), int(sys.argv[3]))

STATE, BIN, PORT = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
URLS = [f"http://127.0.0.1:{PORT}", f"http://127.0.0.1:{PORT + 1}"]
REDIS = PORT + 200
STREAMS = int(os.environ.get("STREAMS", "100"))
KERNEL = (16 << 10) + 4096  # bytes of a stream that may have left for the kernel: LEASH_KERNEL_BYTES, and what is around them


def check(what, good, why=""):
    if not good:
        print(f"not so: {what} {why}", file=sys.stderr)
        sys.exit(1)
    print(f"ok: {what}")


def check_quietly(what, good):
    if not good:
        check(what, False)


def heard():
    """Both schedulers act on the latest change."""
    epoch = int(redis(master(), "GET", "qiao:{gate}:epoch"))
    seen = []

    def all_have():
        seen[:] = [ask("/admin/gate", url=url)[1]["epoch"] for url in URLS]
        return seen == [epoch] * len(URLS)

    check(f"both schedulers have heard of change {epoch}", eventually(60, all_have), str(seen))


def eventually(seconds, function):
    end = time.monotonic() + seconds
    while not function():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ask(path, body=None, url=URLS[0], headers=None):
    """(status, answer) of a POST of `body`, or a GET."""
    request = urllib.request.Request(url + path, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ctl(*words, good=True, url=URLS[0]):
    """qiaoctl gate …: its output; and whether it ended as it should."""
    done = subprocess.run([f"{BIN}/qiaoctl", "--url", url, "--region", "cn", "--feature", "assistant", "gate", *words],
                          capture_output=True, text=True, timeout=120)
    if (done.returncode == 0) != good:
        check(f"gate {' '.join(words)} {'works' if good else 'is refused'}", False, done.stdout + done.stderr)
    return done.stdout + done.stderr


def chat(url=URLS[0], user="anna", region="cn", **more):
    return ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, **more}, url,
               {"X-Qiao-User": user, "X-Qiao-Region": region})


def code_of(answer):
    return answer[1].get("error", {}).get("code") if answer[0] != 200 else "served"


def pid(name):
    return int((STATE / "run" / f"{name}.pid").read_text())


def redis(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=60).stdout.strip()


# --- streams --------------------------------------------------------------------------------------

SO_TIMESTAMPING, RX_SOFTWARE = 37, 1 << 3 | 1 << 4  # linux/net_tstamp.h


def receive(link):
    """What came, and when its last byte did: as the kernel says, since this thread may be late on a busy machine."""
    got, notes, _, _ = link.recvmsg(65536, 256)
    for _, kind, data in notes:
        if kind == SO_TIMESTAMPING:
            seconds, nanoseconds = struct.unpack_from("qq", data)
            if seconds:
                return got, seconds + nanoseconds / 1e9
    return got, time.time()


class Stream(threading.Thread):
    """A chat whose answer takes long: when content came, and how it ended."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.port, self.user = PORT + number % 2, f"user-{number}"
        self.content = []  # (time, bytes)
        self.comments, self.end = 0, None

    def run(self):
        body = json.dumps({"stream": True, "max_tokens": 1200,
                           "messages": [{"role": "user", "content": "word " * 140}]}).encode()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=120) as link:
                link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE)
                link.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Qiao-Region: cn\r\n"
                             + f"X-Qiao-User: {self.user}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                self.read(link)
        except OSError as error:
            self.end = self.end or f"broken: {error}"

    def read(self, link):
        rest = b""
        while True:
            got, now = receive(link)
            if not got:
                self.end = self.end or "closed"
                return
            *lines, rest = (rest + got).split(b"\n")
            for line in lines:
                if line.startswith(b": "):
                    self.comments += 1
                if not line.startswith(b"data: "):
                    continue
                if b'"error"' in line:
                    self.end = json.loads(line[6:])["error"]["code"]
                elif line.startswith(b"data: [DONE]"):
                    self.end = self.end or "done"
                else:
                    self.content.append((now, len(line)))
            if self.end and b"0\r" in got:
                return

    def bytes_after(self, when):
        return sum(size for at, size in self.content if at > when)


def run_streams():
    streams = [Stream(number) for number in range(STREAMS)]
    for stream in streams:
        stream.start()
    check(f"{STREAMS} streams run over both schedulers",
          eventually(60, lambda: all(len(stream.content) > 2 or stream.end for stream in streams))
          and not any(stream.end for stream in streams), str([(s.port, s.end, len(s.content)) for s in streams if s.end or len(s.content) < 3][:9]))
    return streams


class Pulse(threading.Thread):
    """What the machine itself takes for a request that needs nothing, the longest one."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.stopping, self.longest = url, False, 0.0
        self.start()

    def run(self):
        while not self.stopping:
            begin = time.time()
            ask("/health", url=self.url)
            self.longest = max(self.longest, time.time() - begin)
            time.sleep(0.01)

    def stop(self):
        self.stopping = True
        self.join()
        return self.longest


def suspend(how="", url=URLS[0]):
    """When it was asked for and when it was answered, and what the answer says."""
    pulse = Pulse(url)
    begin = time.time()
    status, answer = ask("/admin/gate/suspend", {"region": "cn", "feature": "assistant"}, url)
    end = time.time()
    own = pulse.stop()
    check("suspend is answered", status == 200, str(answer))
    # By way of Redis, its replicas and the other scheduler: each may wait for the machine as long as the pulse did.
    check(f"suspend holds after {end - begin:.3f} s{how}", end - begin <= 1.0 + 4 * own, f"and a request that needs nothing took {own:.3f} s")
    return begin, end, answer


# --- the order of things --------------------------------------------------------------------------

def spring_2026():
    """A feature goes live in a region before its approval: each path that could do it."""
    for url in URLS:
        check("without a gate nobody is served", code_of(chat(url)) == "region_not_approved")
        check("in upper case neither", code_of(chat(url, region="CN")) == "region_not_approved")
        check("another region is none", code_of(chat(url, region="eu")) == "region_not_approved")
        check("no region neither", code_of(ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, url)) == "region_required")
        check("a text's completion neither", code_of(ask("/v1/completions", {"prompt": "x"}, url, {"X-Qiao-Region": "cn"})) == "region_not_approved")
        check("a vector neither", code_of(ask("/v1/embeddings", {"input": "x"}, url, {"X-Qiao-Region": "cn"})) == "region_not_approved")
        check("what its policy does not allow has no gate",
              ask("/admin/gate/draft", {"region": "cn", "feature": "search"}, url)[0] == 409)
    for verb in ["roll 100", "live", "pause", "submit", "suspend"]:
        ctl(*verb.split(), good=False)
    ctl("draft", "--models", "echo-1,echo-2,echo-3", good=False)  # those are nodes
    model = next(one["name"] for one in ask("/admin/status")[1]["models"])
    ctl("draft", "--models", model)
    for verb in ["roll 100", "live", "pause"]:
        ctl(*verb.split(), good=False)
    check("a draft opens nothing", code_of(chat()) == "pending")
    ctl("submit")
    for verb in ["roll 100", "live", "pause"]:
        ctl(*verb.split(), good=False)
    out = ctl("approve", "--sign-key", str(STATE / "keys/ann.key"), good=False)
    check("no signature is taken without evidence", "filing" in out, out)
    ctl("evidence", str(STATE / "filing.txt"), "--type", "filing", "--reference", "CN-2026-1")
    out = ctl("approve", "--sign-key", str(STATE / "keys/ann.key"), good=False)
    check("nor with one piece of two", "assessment" in out, out)
    ctl("evidence", str(STATE / "assessment.txt"), "--type", "assessment", "--reference", "A-1")
    out = ctl("approve", "--sign-key", str(STATE / "keys/mallory.key"), good=False)
    check("nor of a stranger", "mallory" in out, out)
    ctl("approve", "--sign-key", str(STATE / "keys/ann.key"))
    ctl("approve", "--sign-key", str(STATE / "keys/ann.key"), good=False)
    check("one key of two opens nothing", code_of(chat()) == "pending")
    ctl("live", good=False)
    # By hand, in Redis: the state, the share, all of it; with a new epoch, so that schedulers look.
    record = redis(master(), "HGET", "qiao:{gate}:records", "cn/assistant")
    for forged in [record.replace('"pending"', '"live"'), '{"state":"live"}', record[65:].replace('"pending"', '"live"')]:
        redis(master(), "HSET", "qiao:{gate}:records", "cn/assistant", forged)
        redis(master(), "INCR", "qiao:{gate}:epoch")
        heard()
        for url in URLS:
            check("what was written into Redis opens nothing", code_of(chat(url)) == "region_not_approved", code_of(chat(url)))
    redis(master(), "HSET", "qiao:{gate}:records", "cn/assistant", record)
    redis(master(), "INCR", "qiao:{gate}:epoch")
    check("the record is back", eventually(60, lambda: code_of(chat()) == "pending"))
    flags = ask("/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "anna", "region": "cn"}})[1]["flags"]
    check("no SDK is told that anything is open", not any(flag["value"] for flag in flags))


def approve():
    for key in ["ann", "bo"]:
        ctl("approve", "--sign-key", str(STATE / f"keys/{key}.key"))


def go_live():
    ctl("roll", "100")
    ctl("live")
    check("it is live at both schedulers", eventually(60, lambda: all(code_of(chat(url)) == "served" for url in URLS)))


def rollout():
    ctl("approve", "--sign-key", str(STATE / "keys/bo.key"))
    check("an approval alone opens nothing", code_of(chat()) == "not_in_rollout")
    ctl("roll", "30")
    users = [f"user-{number}" for number in range(60)]
    heard()
    inside = {user for user in users if code_of(chat(URLS[0], user)) == "served"}
    check("some users are in, the same at the other scheduler",
          0 < len(inside) < 60 and all((code_of(chat(URLS[1], user)) == "served") == (user in inside) for user in users), str(len(inside)))
    flag = ask("/ofrep/v1/evaluate/flags/assistant", {"context": {"targetingKey": sorted(inside)[0], "region": "cn"}})[1]
    check("an SDK is told so", flag["value"] is True, str(flag))
    ctl("roll", "10", good=False)
    ctl("roll", "60")
    heard()
    more = {user for user in users if code_of(chat(URLS[1], user)) == "served"}
    check("who is in stays in", inside < more, f"{len(inside)} {len(more)}")
    ctl("pause")
    heard()
    check("also while it is paused", more == {user for user in users if code_of(chat(URLS[0], user)) == "served"})
    out = ctl("explain", "--user", sorted(set(users) - more)[0])
    check("explain says why", "not_in_rollout" in out and "60.00%" in out, out)


def master():
    """As the first Sentinel says."""
    return int(redis(REDIS + 3, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "qiao").split()[1])


def suspended_live():
    streams = run_streams()
    begin, end, answer = suspend()
    check("both schedulers said so", answer["holders"] == 2 and answer["acknowledged"] == 2, str(answer))
    for stream in streams:
        stream.join(60)
    ends = {stream.end for stream in streams}
    check("each stream was told why", ends == {"suspended"}, str(ends))
    late = max(stream.bytes_after(end) for stream in streams)
    check("no content came after the answer", late <= KERNEL and sum(stream.bytes_after(end) > 0 for stream in streams) == 0, str(late))
    check("and nobody is let in", all(code_of(chat(url)) == "suspended" for url in URLS))
    ctl("live", good=False)
    print(f"   suspend with {STREAMS} streams: {1000 * (end - begin):.0f} ms")


def stands_still(name):
    """A signal is not yet its effect."""
    state = pathlib.Path(f"/proc/{pid(name)}/status")
    check(f"{name} stands still", eventually(60, lambda: "State:\tT" in state.read_text()))


def suspended_with_one_that_stands_still():
    ctl("submit")
    approve()
    go_live()
    streams = run_streams()
    os.kill(pid("scheduler-2"), signal.SIGSTOP)
    stands_still("scheduler-2")
    begin, end, answer = suspend(", without the one that stands still")
    check("which was waited for", answer["holders"] == 2 and answer["acknowledged"] == 1, str(answer))
    before = time.time()
    os.kill(pid("scheduler-2"), signal.SIGCONT)
    for stream in streams:
        stream.join(60)
    still = [stream for stream in streams if stream.port == PORT + 1]
    check("all streams end", all(stream.end for stream in streams))
    check("when it goes on it lets out no content", all(stream.bytes_after(before) <= KERNEL for stream in still)
          and sum(stream.bytes_after(before) > 0 for stream in still) <= 1,
          str([stream.bytes_after(before) for stream in still][:9]))
    ends = {stream.end for stream in streams}
    check("but says why", ends <= {"suspended", "gate_unreachable"}, str(ends))
    print(f"   suspend with a scheduler that stands still: {1000 * (end - begin):.0f} ms")


def suspended_with_one_that_is_cut_off():
    """The pipe stands still: scheduler-2 hears nothing of Redis, and Redis nothing of it; its clients and its nodes are all there."""
    ctl("submit")
    approve()
    go_live()
    streams = run_streams()
    os.kill(pid("pipe"), signal.SIGSTOP)
    stands_still("pipe")
    begin, end, answer = suspend(", without the one that is cut off")
    for stream in streams:
        stream.join(60)
    check("no content came after the answer", sum(stream.bytes_after(end) for stream in streams) == 0)
    far = [stream for stream in streams if stream.port == PORT + 1]
    check("the one that is cut off held its streams, and ended them", {stream.end for stream in far} == {"gate_unreachable"}
          and all(stream.comments > 0 for stream in far), str({stream.end for stream in far}))
    check("the other cut its own", {stream.end for stream in streams if stream not in far} == {"suspended"})
    check("nobody is let in there", code_of(chat(URLS[1])) == "gate_unreachable")
    os.kill(pid("pipe"), signal.SIGCONT)
    check("nor when it is back", eventually(60, lambda: code_of(chat(URLS[1])) == "suspended"))
    print(f"   suspend with a scheduler that is cut off: {1000 * (end - begin):.0f} ms")


def suspended_behind_an_old_master():
    """redis-1 stands still until another is master, then goes on as the old one, alone; scheduler-2 sees no other."""
    ctl("submit")
    approve()
    go_live()
    streams = run_streams()
    os.kill(pid("redis-1"), signal.SIGSTOP)
    check("another is master", eventually(60, lambda: master() != REDIS))
    check("from which scheduler-1 has its lease", eventually(60, lambda: ask("/admin/gate")[1]["lease"]))
    os.kill(pid("redis-1"), signal.SIGCONT)
    begin, end, answer = suspend()
    for _ in range(20):
        check_quietly("the old master gives no lease", not ask("/admin/gate", url=URLS[1])[1]["lease"])
        check_quietly("and lets nobody in", code_of(chat(URLS[1])) in ("gate_unreachable", "suspended"))
        time.sleep(0.05)
    for stream in streams:
        stream.join(60)
    check("no content came after the answer", sum(stream.bytes_after(end) for stream in streams) == 0,
          str([stream.bytes_after(end) for stream in streams if stream.bytes_after(end)][:5]))
    ends = {stream.end for stream in streams}
    check("all ended with a reason", ends <= {"suspended", "gate_unreachable"}, str(ends))
    print(f"   suspend behind an old master: {1000 * (end - begin):.0f} ms")


spring_2026()
rollout()
go_live()
suspended_live()
suspended_with_one_that_stands_still()
suspended_with_one_that_is_cut_off()
suspended_behind_an_old_master()
