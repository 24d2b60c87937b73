#!/usr/bin/env python3
"""What embeddings.sh asks.

embeddings.py name FILE                           general.name of a GGUF
embeddings.py ask URL MODEL TEXTS VECTORS PID     texts (JSON) and vectors (float32) of the reference; PID: of a node to kill
"""
import base64
import json
import struct
import sys
import time
import urllib.error
import urllib.request

import exchange


def name(file):
    with open(file, "rb") as opened:
        head = opened.read(4096)
    at = head.index(b"general.name") + len(b"general.name") + 4
    size = struct.unpack_from("<Q", head, at)[0]
    print(head[at + 8:at + 8 + size].decode())


def ask(url, body):
    request = urllib.request.Request(url + "/v1/embeddings", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:600]}")
    print(f"ok: {what}")


def vectors(url, model, texts, **more):
    status, answer = ask(url, {"model": model, "input": texts, **more})
    if status != 200:
        sys.exit(f"not so: embeddings are given: {status} {answer}")
    assert [row["index"] for row in answer["data"]] == list(range(len(answer["data"])))
    return [row["embedding"] for row in answer["data"]]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def asks(url, model, texts_file, vectors_file, pid):
    texts = [row["text"] for row in json.load(open(texts_file, encoding="utf-8"))]
    raw = open(vectors_file, "rb").read()
    dim = len(raw) // 4 // len(texts)
    reference = [struct.unpack_from(f"<{dim}f", raw, 4 * dim * i) for i in range(len(texts))]
    together = vectors(url, model, texts)
    worst = min(cosine(a, b) for a, b in zip(together, reference))
    check(f"the vectors are the reference's, worst cosine {worst:.7f}", worst >= 0.9999, worst)
    check("a text alone has the same", all(vectors(url, model, text)[0] == v for text, v in zip(texts, together)))
    coded = [struct.unpack(f"<{dim}f", base64.b64decode(text)) for text in vectors(url, model, texts, encoding_format="base64")]
    check("base64 says the same numbers",
          all(abs(x - y) <= 1e-6 * max(abs(x), 1e-3) for a, b in zip(coded, together) for x, y in zip(a, b)))
    short = vectors(url, model, texts, dimensions=64)
    check("fewer dimensions are the first ones, of length 1",
          all(len(s) == 64 and abs(sum(x * x for x in s) - 1) < 1e-4 and cosine(s, v[:64]) > 0.99999 for s, v in zip(short, together)))
    many = [texts[i % len(texts)] for i in range(1500)]
    killer = exchange.Killer(url, "node-9", int(pid))
    begin = time.monotonic()
    got = vectors(url, model, many)
    check("a node was killed while it had a part of many texts", killer.wait())
    check(f"1,500 texts in {time.monotonic() - begin:.1f} s while a node is killed: none is lost or another's",
          all(v == together[i % len(texts)] for i, v in enumerate(got)))
    for body, part in (({"input": []}, "input"), ({"input": [1, -1]}, "input"), ({"input": "a", "dimensions": dim + 1}, "dimensions"),
                       ({"input": "a", "encoding_format": "hex"}, "encoding_format"), ({"input": "word " * 600}, "input")):
        status, answer = ask(url, {"model": model, **body})
        check(f"a wrong {part} is named", status == 400 and (answer["error"]["param"] or "").startswith(part), status, answer)


if __name__ == "__main__":
    {"name": name, "ask": asks}[sys.argv[1]](*sys.argv[2:])
