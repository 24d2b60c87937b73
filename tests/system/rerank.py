#!/usr/bin/env python3
"""What rerank.sh asks. PYTHONPATH has reference.py.

rerank.py make ENCODER FILE            a cross-encoder: the encoder's body with a seeded head
rerank.py ask URL FILE PROBE PID       PID: of a node to kill
"""
import json
import math
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request

import exchange
import reference

QUERY = "how to bake bread"
TEXTS = ["Mix flour, water, salt and yeast.", "The stock market fell on Monday.", "Bread is baked in a hot oven.", "",
         "A bicycle has two wheels."]


def make(encoder, file):
    random.seed(3)
    model = reference.Model(encoder)
    dim = model.of("embedding_length")

    def numbers(count, width):
        return [random.gauss(0, width) for _ in range(count)]

    reference.add_tensors(model, file, {"cls.weight": ([dim, dim], numbers(dim * dim, 1 / dim ** 0.5)),
                                        "cls.bias": ([dim], numbers(dim, 0.1)),
                                        "cls.output.weight": ([dim, 1], numbers(dim, 0.3)), "cls.output.bias": ([1], [0.25])})


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:600]}")
    print(f"ok: {what}")


def scores(url, texts, **more):
    """As the texts stand, of an answer in the shape of text-embeddings-inference."""
    status, answer = post(url, "/rerank", {"query": QUERY, "texts": texts, **more})
    if status != 200:
        sys.exit(f"not so: scores are given: {status} {answer}")
    if [row["score"] for row in answer] != sorted((row["score"] for row in answer), reverse=True):
        sys.exit(f"not so: the best come first: {answer}")
    by_index = {row["index"]: row["score"] for row in answer}
    return [by_index[i] for i in range(len(texts))]


def second_computation(file, probe):
    model = reference.Model(file)

    def ids(text):
        said = subprocess.run([probe, "tokenize", "--model", file], input=text.encode(), capture_output=True, check=True).stdout
        return [int(word) for word in said.split()]

    first, last = (model.pairs[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "seperator"))
    begin = [first, *ids(QUERY), last]
    return [reference.score(model, begin + ids(text) + [last], len(begin)) for text in TEXTS]


def ask(url, file, probe, pid):
    models = json.load(urllib.request.urlopen(url + "/v1/models"))["data"]
    name, other = (next(row["id"] for row in models if kind in row["capabilities"]) for kind in ("score", "generate"))
    raw = scores(url, TEXTS, raw_scores=True)
    wanted = second_computation(file, probe)
    worst = max(abs(a - b) for a, b in zip(raw, wanted))
    check(f"the scores are the second computation's, {min(wanted):.3f} to {max(wanted):.3f}, worst difference {worst:.1e}",
          worst < 1e-4 and max(wanted) - min(wanted) > 0.1, raw, wanted)
    check("a text alone has the same", [scores(url, [text], raw_scores=True)[0] for text in TEXTS] == raw)
    likely = scores(url, TEXTS)
    check("without raw_scores they are between 0 and 1", all(abs(p - 1 / (1 + math.exp(-x))) < 1e-6 for p, x in zip(likely, raw)))
    status, answer = post(url, "/v1/rerank", {"model": name, "query": QUERY, "documents": [{"text": text} for text in TEXTS],
                                              "top_n": 3, "return_documents": True})
    best = sorted(range(len(TEXTS)), key=lambda i: -raw[i])[:3]
    check("the other shape says the same", status == 200 and [row["index"] for row in answer["results"]] == best and
          all(row["relevance_score"] == likely[row["index"]] and row["document"]["text"] == TEXTS[row["index"]]
              for row in answer["results"]), answer)
    long = ["bread " * 600, "bread " * 700]
    check("what the model does not read makes no difference", len(set(scores(url, long, truncate=True))) == 1)
    status, answer = post(url, "/rerank", {"query": QUERY, "texts": long})
    check("a text that is too long is refused unless it may be cut",
          status == 400 and answer["error"]["param"] == "texts[0]" and answer["error"]["code"] == "context_length_exceeded", answer)
    status, answer = post(url, "/v1/rerank", {"model": other, "query": QUERY, "documents": TEXTS})
    check("a model that does not score says so", status == 400 and "does not score" in answer["error"]["message"], status, answer)
    many = [TEXTS[i % len(TEXTS)] for i in range(1000)]
    killer = exchange.Killer(url, "node-9", int(pid))
    begin = time.monotonic()
    got = scores(url, many, raw_scores=True)
    check("a node was killed while it had a part of many texts", killer.wait())
    check(f"1,000 texts in {time.monotonic() - begin:.1f} s while a node is killed: none is lost or another's",
          all(number == raw[i % len(TEXTS)] for i, number in enumerate(got)))


if __name__ == "__main__":
    {"make": make, "ask": ask}[sys.argv[1]](*sys.argv[2:])
