"""The rows of whole servers: ours is one node behind the scheduler, the peer llama-server."""
import asyncio
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from peer import engine, table

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLIENTS, PROMPT, ANSWER = 16, 128, 64
STREAMS, STREAM_CONTEXT, LONG_PROMPT, LONG_PROMPTS = 8, 256, 4096, 3
QUIET_SECONDS = 15
PATIENCE = 600


def free_port():
    """A port such that the cluster's others, P + 100 and P + 200, are free too."""
    for _ in range(100):
        port = random.randrange(20000, 40000)
        try:
            for offset in (0, 100, 200):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    sys.exit("bench/peers: no free ports")


def wait_ready(url, process=None):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if process and process.poll() is not None:
            sys.exit(f"bench/peers: llama-server ended at once ({process.returncode})")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"bench/peers: {url} does not answer")


class OurServer:
    def __init__(self, flags, path):
        self.folder = tempfile.mkdtemp(prefix="qiao-peers-")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.setting = "one node behind one scheduler"
        del flags
        engine.run([ROOT / "deploy/local", "--detach", "--nodes", 1, "--state", self.folder, "--port", port, "--model", path])

    def stop(self):
        engine.run([ROOT / "deploy/local", "stop", "--state", self.folder])
        shutil.rmtree(self.folder, ignore_errors=True)


class TheirServer:
    """As many slots as clients, one unified cache, and batches of 512."""

    def __init__(self, flags, path, peer, slots, cells):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [peer.folder / "llama-server", "-m", path, "-t", flags.threads, "-tb", flags.threads, "-np", slots, "-c", cells,
                   "-kvu", "-b", 512, "-ub", 512, "-fa", "on", "-cram", 0]
        self.setting = f"-t {flags.threads} -np {slots} -c {cells} -kvu -b 512 -ub 512 -fa on -cram 0"
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(part) for part in command] + ["--host", "127.0.0.1", "--port", str(port)],
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        wait_ready(self.url + "/health", self.process)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def load(flags, url, words, requests, seed):
    """qiao-load's figures."""
    command = [flags.bin / "qiao-load", "--url", url, "--concurrency", min(CLIENTS, requests), "--requests", requests,
               "--prompt-tokens", words, "--max-tokens", ANSWER if requests > 1 else 1, "--language", "en", "--temperature", 0,
               "--seed", seed, "--timeout", PATIENCE, "--retries", 0, "--json", "-"]
    return json.loads(engine.run(command))


def words_of(flags, url):
    """How many words make a prompt of PROMPT tokens there, its template included."""
    short, long = (load(flags, url, words, 1, 1)["tokens"]["prompt"] for words in (20, 100))
    return max(1, round(20 + (PROMPT - short) * 80 / (long - short)))


def load_round(flags, server, seed):
    words = words_of(flags, server.url)
    report = load(flags, server.url, words, 3 * CLIENTS, seed)
    return {"tokens_per_s": report["tokens"]["completion_per_s"], "ttft_ms": report["first_token_ms"]["p50"],
            "prompt_tokens": report["tokens"]["prompt"] / report["requests"]["answered"]}


# ---- the gaps of running streams ---------------------------------------------------------------

def distinct_words(count, rng):
    """Words of three letters: each is one token of a synthetic vocabulary."""
    return " ".join("".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(3)) for _ in range(count))


async def post(url, body):
    """Send, and leave what is read to the caller; the headers are read."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    status = await reader.readline()
    if b" 200 " not in status:
        rest = await asyncio.wait_for(reader.read(500), 5)
        raise RuntimeError(f"{url}: {status!r} {rest[-300:]!r}")
    while await reader.readline() not in (b"\r\n", b""):
        pass
    return reader, writer


async def events(reader):
    """The data of each event of a chunked event stream."""
    text = b""
    while True:
        size = int(await reader.readline() or b"0", 16)
        if size == 0:
            return
        text += (await reader.readexactly(size + 2))[:size]
        while b"\n\n" in text:
            event, text = text.split(b"\n\n", 1)
            if event.startswith(b"data:"):
                yield event[5:].strip()


def has_content(event):
    if event == b"[DONE]":
        return False
    choices = json.loads(event).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


def question(model, words, rng, answer):
    return {"model": model, "messages": [{"role": "user", "content": distinct_words(words, rng)}], "max_tokens": answer,
            "stream": True, "temperature": 0}


class Streams:
    """Long answers under way, and the gaps between their tokens while `gaps` is a list."""

    def __init__(self, url, model, rng):
        self.url, self.model, self.rng = url, model, rng
        self.gaps = None
        self.begun = 0
        self.ended = 0

    async def follow(self):
        reader, writer = await post(self.url, question(self.model, STREAM_CONTEXT, self.rng, 6000))
        previous, first = None, True
        async for event in events(reader):
            if not has_content(event):
                continue
            now = time.monotonic()
            if first:
                self.begun += 1
                first = False
            elif self.gaps is not None:
                self.gaps.append(now - previous)
            previous = now
        self.ended += 1
        writer.close()


async def long_prompt(url, model, rng):
    """One long prompt until its answer of one token is whole."""
    reader, writer = await post(url, question(model, LONG_PROMPT - 16, rng, 1))
    async for _ in events(reader):
        pass
    writer.close()


def p99(gaps):
    return sorted(gaps)[min(len(gaps) - 1, int(0.99 * len(gaps)))] * 1000


async def gaps_of(url, model, seed):
    rng = random.Random(seed)
    streams = Streams(url, model, rng)
    tasks = [asyncio.create_task(streams.follow()) for _ in range(STREAMS)]
    while streams.begun < STREAMS:
        await asyncio.sleep(0.05)
        for task in tasks:
            if task.done() and task.exception():
                raise task.exception()
    streams.gaps = []
    await asyncio.sleep(QUIET_SECONDS)
    quiet, streams.gaps = streams.gaps, []
    for _ in range(LONG_PROMPTS):
        await long_prompt(url, model, rng)
    disturbed = streams.gaps
    if streams.ended:
        raise RuntimeError(f"{streams.ended} streams ended too early to measure")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"quiet_ms": p99(quiet), "disturbed_ms": p99(disturbed), "stretch": p99(disturbed) / p99(quiet)}


def gaps_round(flags, server, seed):
    del flags
    with urllib.request.urlopen(server.url + "/v1/models", timeout=10) as answer:
        model = json.load(answer)["data"][0]["id"]
    return asyncio.run(asyncio.wait_for(gaps_of(server.url, model, seed), PATIENCE))


# ---- rows --------------------------------------------------------------------------------------

def measure(flags, name, shape, kind, path, peers):
    """The rows of "server" (two) or of "gaps" (three)."""
    fair = [peer for peer in peers if hasattr(peer, "folder") and (peer.folder / "llama-server").exists()]
    one_round = load_round if name == "server" else gaps_round
    slots, cells = (CLIENTS, CLIENTS * 512) if name == "server" else (STREAMS + 1, 65536)
    found, settings = {"qiao": []}, {}
    for seed in range(1, flags.server_rounds + 1):
        sides = [("qiao", lambda: OurServer(flags, path))]
        sides += [(peer.name, lambda peer=peer: TheirServer(flags, path, peer, slots, cells)) for peer in fair]
        for side, start in sides:
            server = start()
            try:
                found.setdefault(side, []).append(one_round(flags, server, seed))
            finally:
                server.stop()
            settings[side] = server.setting
    settings.pop("qiao", None)

    def pick(key):
        return {side: [values[key] for values in rounds] for side, rounds in found.items()}
    if name == "server":
        return [table.row("server, 16 clients", shape, kind, pick("tokens_per_s"), settings, {}),
                table.row("server, first token p50", shape, kind, pick("ttft_ms"), settings, {}, "ms", "less")]
    return [table.row("8 streams, gap p99 undisturbed", shape, kind, pick("quiet_ms"), settings, {}, "ms", "less"),
            table.row("8 streams, gap p99 beside 4k prompts", shape, kind, pick("disturbed_ms"), settings, {}, "ms", "less"),
            table.row("8 streams, beside 4k prompts / undisturbed", shape, kind, pick("stretch"), settings, {}, "×", "less")]
