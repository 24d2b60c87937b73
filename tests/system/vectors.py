#!/usr/bin/env python3
"""What vectors.sh asks.

vectors.py fill URL MODEL COUNT SECONDS      an index of COUNT documents, until all have vectors
vectors.py exact URL MODEL COUNT             searches give the order of a plain reckoning over /v1/embeddings
vectors.py filtered URL MODEL COUNT          the same among some
vectors.py change URL SECOND MODEL           a document's text changes, one goes
vectors.py steady URL SECOND SECONDS         searches go on: each is answered, whole
vectors.py copies URL COPIES SECONDS         until every shard is on so many nodes
vectors.py later URL MODEL SECONDS           a document is written and found by its vector
"""
import json
import struct
import sys
import time
import urllib.error
import urllib.request

INDEX = "/v1/indexes/things"
NOUNS = ["lamp", "kettle", "bicycle", "violin", "umbrella", "telescope", "ladder", "teapot", "camera", "tent"]
KINDS = ["a small", "a very old", "a broken", "a wooden", "an electric"]
PLACES = ["for the kitchen", "from my grandmother", "that can be folded", "in the garden"]
QUERIES = ["something to boil water", "a musical instrument", "I want to look at the stars", "shelter for the night outdoors"]


def text(number):
    return f"{KINDS[number % 5]} {NOUNS[number // 5 % 10]} {PLACES[number // 50 % 4]}"


def call(method, url, body=None):
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def must(holds, *seen):
    if not holds:
        sys.exit(f"seen: {str(seen)[:800]}")


def embed(url, model, texts):
    status, answer = call("POST", url + "/v1/embeddings", {"model": model, "input": texts})
    must(status == 200, status, answer)
    return [row["embedding"] for row in answer["data"]]


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def rounded(vector):
    scale = single(max(abs(value) for value in vector) / 127)
    return scale, [max(-127, min(127, round(single(value / scale)))) for value in vector]


def scores(url, model, query, numbers):
    """Of every document, the best first."""
    vectors = embed(url, model, [query] + [text(number) for number in numbers])
    query_scale, wanted = rounded(vectors[0])
    found = []
    for number, vector in zip(numbers, vectors[1:]):
        scale, values = rounded(vector)
        found.append((sum(a * b for a, b in zip(wanted, values)) * query_scale * scale, f"d{number}"))
    return sorted(found, reverse=True)


def search(url, query, **more):
    return call("POST", url + INDEX + "/search",
                {"q": query, "hybrid": {"semantic_ratio": 1}, "limit": 20, "showRankingScoreDetails": True, "deadline_ms": 10000, **more})


def compare(url, model, numbers, **more):
    for query in QUERIES:
        expected = scores(url, model, query, numbers)
        status, answer = search(url, query, **more)
        must(status == 200 and "degraded" not in answer, status, answer)
        hits = [(hit["_ranking"]["vector"]["score"], hit["id"]) for hit in answer["hits"]]
        must(len(hits) == min(20, len(numbers)), len(hits))
        by_id = {one: score for score, one in expected}
        for (score, one), (best, _) in zip(hits, expected):
            must(abs(by_id[one] - score) < 1e-5 and abs(best - score) < 1e-5, query, one, score, best, by_id[one])


def status_of(url):
    code, answer = call("GET", url + INDEX)
    return answer.get("vectors", {}) if code == 200 else {}


def until(seconds, holds):
    end = time.time() + seconds
    while not holds():
        must(time.time() < end, "not in time")
        time.sleep(0.05)


def is_current(url):
    """Every node that a search may ask has all that this scheduler knows of the vectors."""
    vectors = status_of(url)
    return vectors.get("waiting") == 0 and 0 < vectors["shards"] and vectors["version"] == vectors["shards_version"]


def fill(url, model, count, seconds):
    status, answer = call("PUT", url + INDEX, {"fields": ["text"], "filterable": ["number"], "embedder": {"model": model}})
    must(status == 200, status, answer)
    lines = "".join(json.dumps({"id": f"d{number}", "text": text(number), "number": number}) + "\n" for number in range(int(count)))
    status, answer = call("POST", url + INDEX + "/documents?wait=true", lines)
    must(status == 200 and not answer.get("errors"), status, answer)
    until(int(seconds), lambda: status_of(url).get("documents") == int(count) and is_current(url))


def exact(url, model, count):
    compare(url, model, range(int(count)))


def filtered(url, model, count):
    compare(url, model, range(50, 90), filter="number >= 50 AND number < 90")


def change(url, second, model):
    sentence = "the parliament debates a law about fishing quotas"
    call("POST", url + INDEX + "/documents?wait=true", json.dumps({"id": "d7", "text": sentence, "number": 7}))
    until(20, lambda: search(second, "politicians argue about catching fish")[1]["hits"][0]["id"] == "d7")
    call("DELETE", url + INDEX + "/documents/d7")
    until(20, lambda: all(hit["id"] != "d7" for hit in search(second, "politicians argue about catching fish")[1]["hits"]))
    call("POST", url + INDEX + "/documents?wait=true", json.dumps({"id": "d7", "text": text(7), "number": 7}))
    until(60, lambda: is_current(url) and is_current(second))


def steady(url, second, seconds):
    end, count = time.time() + int(seconds), 0
    while time.time() < end:
        for one in (url, second):
            status, answer = search(one, QUERIES[count % 4])
            must(status == 200 and "degraded" not in answer and len(answer["hits"]) == 20, count, status, answer)
            count += 1
    print(count, "searches")


def copies(url, wanted, seconds):
    until(int(seconds), lambda: status_of(url).get("copies", 0) >= int(wanted))


def later(url, model, seconds):
    status, answer = call("POST", url + INDEX + "/documents?wait=true",
                          json.dumps({"id": "late", "text": "an astronaut floats outside the space station", "number": 1000}))
    must(status == 200, status, answer)
    until(int(seconds), lambda: search(url, "someone in orbit around the earth")[1]["hits"][0]["id"] == "late")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
