#!/usr/bin/env python3
"""What hybrid.sh asks.

hybrid.py personal URL REDIS_PORT ITEMS     the demo shop's items as an index, in a user's order and in nobody's
hybrid.py filters URL MODEL                 vectors under filters that let many pass, of which few are near
hybrid.py meaning URL SECOND MODEL PID      documents by their meaning, whose encoder then dies
"""
import json
import os
import signal
import sys

import exchange
from exchange import check

PARTS = ("lexical", "vector", "rerank", "personal")


def ask(url, method, path, body=None, user=None):
    status, read = exchange.ask(url, method, path, body, user)
    return status, json.loads(read or b"null")


def search(url, index, user=None, **body):
    """With all the time that a search may have: on a slow machine a part comes late, and is then left out."""
    body = {"deadline_ms": 10000, **body}
    status, answer = ask(url, "POST", f"/v1/indexes/{index}/search", body, user)
    if status != 200:
        sys.exit(f"not so: a search is answered: {status} {answer}")
    return answer


def ids(answer):
    return [hit["id"] for hit in answer["hits"]]


def adds_up(answer):
    """The fused score of every hit is what its parts add, and the order is theirs."""
    scores = []
    for hit in answer["hits"]:
        ranking = hit["_ranking"]
        total = sum(ranking[part]["adds"] for part in PARTS if part in ranking)
        if abs(total - ranking["score"]) > 1e-12:
            return False
        scores.append(ranking["score"])
    return len(scores) > 0 and scores == sorted(scores, reverse=True)


class Reads(exchange.Monitor):
    """Reads of histories."""

    def __init__(self, port):
        self.told = 0
        super().__init__(port)

    def reads(self):
        """Since the last call."""
        lines = self.lines()
        fresh, self.told = lines[self.told:-1], len(lines) - 1
        return [line for line in fresh if b"LRANGE" in line and b":events" in line]


def make_index(url, name, settings, documents):
    status, answer = ask(url, "PUT", f"/v1/indexes/{name}?wait=true", {**settings, "backend": os.environ.get("BACKEND", "memory")})
    check("an index is made", status in (200, 201), status, answer)
    status, answer = ask(url, "POST", f"/v1/indexes/{name}/documents?wait=true", documents)
    check("its documents are stored", status == 200, status, answer)


def personal(url, port, items):
    monitor = Reads(int(port))
    with open(items, "rb") as file:
        make_index(url, "shop", {"fields": ["titles"]}, file.read())
    question = {"q": "phone", "limit": 10}
    plain = search(url, "shop", **question)
    for user in (None, "ann"):
        answer = search(url, "shop", user, personalize=True, **question)
        check("without a consent the order is everybody's", ids(answer) == ids(plain), plain, answer)
        check("and the answer says so", answer["degraded"] == ["personal"], answer)
    ask(url, "PUT", "/v1/me/consents", {"consents": {"history": True, "recommendations": True}}, "ann")
    with open(items, encoding="utf-8") as file:
        liked = [item for item in map(json.loads, file) if item["category"] == "phone"][-3:]
    events = [{"id": f"e{n}", "type": "purchase", "item": item["id"]} for n, item in enumerate(liked)]
    status, answer = ask(url, "POST", "/v1/events", {"user": "ann", "events": events}, "ann")
    check("events are stored", status == 200 and answer["stored"] == 3, status, answer)
    monitor.reads()
    answer = search(url, "shop", "ann", personalize=True, **question)
    check("agreeing to recommendations is not agreeing to search", ids(answer) == ids(plain) and
          answer["degraded"] == ["personal"], answer)
    check("nothing was read of the history", monitor.reads() == [])
    ask(url, "PUT", "/v1/me/consents", {"consents": {"search": True}}, "ann")
    mine = search(url, "shop", "ann", personalize=True, **question)
    check("with the consent the order is the user's", ids(mine) != ids(plain) and "degraded" not in mine, plain, mine)
    check("Redis was asked for the history once", len(monitor.reads()) == 1)
    check("the parts add up to the score", adds_up(mine), mine)
    check("the parts are shown", all("lexical" in hit["_ranking"] and "personal" in hit["_ranking"] for hit in mine["hits"]), mine)
    more = search(url, "shop", "ann", personalize=1, **question)
    check("the more it weighs the more it decides",
          more["hits"][0]["_ranking"]["personal"]["rank"] <= mine["hits"][0]["_ranking"]["personal"]["rank"], mine, more)
    every = search(url, "shop", "ann", personalize=0.5, limit=20)
    check("without words everything is in the user's order", every["hits"][0]["_ranking"]["personal"]["rank"] == 1, every)
    check("nobody else's order has changed", ids(search(url, "shop", "bob", personalize=True, **question)) == ids(plain))
    ask(url, "PUT", "/v1/me/personalization", {"enabled": False}, "ann")
    monitor.reads()
    off = search(url, "shop", "ann", personalize=True, **question)
    check("the switch is above it", ids(off) == ids(plain) and off["degraded"] == ["personal"] and monitor.reads() == [], off)
    wrong(url)
    degraded(url)


def wrong(url):
    for body, param in (({"hybrid": True}, "hybrid"), ({"hybrid": {"ratio": 1}}, "hybrid"),
                        ({"hybrid": {"semantic_ratio": 2}}, "hybrid.semantic_ratio"), ({"rerank": 1}, "rerank"),
                        ({"rerank": {"depth": 101}}, "rerank.depth"), ({"personalize": "yes"}, "personalize"),
                        ({"personalize": -0.1}, "personalize"), ({"personalize": True, "sort": ["price:asc"]}, "sort")):
        status, answer = ask(url, "POST", "/v1/indexes/shop/search", body)
        check(f"a wrong {param} is named", status == 400 and answer["error"]["param"] == param, status, answer)


def degraded(url):
    plain = search(url, "shop", q="phone")
    answer = search(url, "shop", q="phone", hybrid={"semantic_ratio": 0.5}, rerank=True)
    check("parts that nobody can do are told", answer["degraded"] == ["vector", "rerank"] and ids(answer) == ids(plain), answer)
    check("words alone lack nothing", "degraded" not in search(url, "shop", q="phone", hybrid={"semantic_ratio": 0}))
    check("an empty question has nothing to compare with", "degraded" not in search(url, "shop", hybrid={}, rerank=True))


TEXTS = {"kitten": "A kitten sleeps in the sun", "puppy": "A young dog runs after a ball", "engine": "The engine of the car is broken",
         "bread": "Fresh bread is baked every morning", "rain": "It will be wet tomorrow, take an umbrella",
         "money": "The bank raised its interest rate", "doctor": "A physician treats people who are ill"}


def whole(url, index="texts", count=len(TEXTS)):
    """Every document has its vector, and every node that a search may ask holds them all."""
    status, answer = ask(url, "GET", f"/v1/indexes/{index}")
    vectors = answer.get("vectors", {}) if status == 200 else {}
    return vectors.get("documents") == count and vectors["waiting"] == 0 and 0 < vectors["shards_version"] == vectors["version"]


def wait_for(what, holds, seconds=120):
    exchange.await_that(what, holds, seconds)
    print(f"ok: {what}")


def meaning(url, second, model, pid):
    lines = "\n".join(json.dumps({"id": name, "text": text, "length": len(text)}) for name, text in TEXTS.items())
    make_index(url, "texts", {"fields": ["text"], "filterable": ["length"], "embedder": {"model": model, "fields": ["text"]}},
               lines.encode())
    wait_for("every document has its vector", lambda: whole(url))
    wait_for("at the other scheduler, too", lambda: whole(second))
    for q, want in (("feline pets", "kitten"), ("automobile repair", "engine"), ("weather forecast", "rain"), ("hospital medicine", "doctor")):
        check("words do not find it", ids(search(url, "texts", q=q)) == [], q)
        for at in (url, second):
            answer = search(at, "texts", q=q, hybrid={"semantic_ratio": 0.5})
            check("vectors do", ids(answer)[0] == want and "degraded" not in answer and adds_up(answer), q, answer)
    q = "a sleeping cat, or fresh bread"
    words, vectors = (search(url, "texts", q=q, hybrid={"semantic_ratio": ratio}) for ratio in (0, 1))
    both = search(url, "texts", q=q, hybrid={"semantic_ratio": 0.5, "model": model})
    check("ratio 0 is the words", ids(words) == ids(search(url, "texts", q=q)), words)
    check("ratio 1 is the vectors", len(ids(vectors)) == len(TEXTS) and all("lexical" not in hit["_ranking"] for hit in vectors["hits"]), vectors)
    check("and between them both have a say", adds_up(both) and {"lexical", "vector"} <= set(both["hits"][0]["_ranking"]), both)
    some = search(url, "texts", q="feline pets", hybrid={"semantic_ratio": 1}, filter="length > 30")
    check("a filter holds before the cut", sorted(ids(some)) == sorted(name for name, text in TEXTS.items() if len(text) > 30), some)
    none = search(url, "texts", q="feline pets", hybrid={"semantic_ratio": 1}, filter="length > 1000")
    check("also where nothing passes", ids(none) == [] and "degraded" not in none, none)
    one = search(url, "texts", q="feline pets", hybrid={"semantic_ratio": 1}, filter="length > 30", limit=1, offset=1)
    check("pages are of one list", ids(one) == ids(some)[1:2], one)
    status, answer = ask(url, "POST", "/v1/indexes/texts/search", {"q": "a", "hybrid": {"model": "another"}})
    check("another model is refused by name", status == 400 and answer["error"]["param"] == "hybrid.model", status, answer)
    status, answer = ask(url, "POST", "/v1/indexes/texts/documents?wait=true", json.dumps({"id": "wolf", "text": "Wolves howl at night", "length": 1}).encode())
    check("a document is added", status == 200, answer)
    wait_for("and found by its meaning", lambda: ids(search(second, "texts", q="wild canine animals", hybrid={}))[:1] == ["wolf"])
    os.kill(int(pid), signal.SIGKILL)
    gone = lambda: search(url, "texts", q="sleeps", hybrid={}).get("degraded") == ["vector"]
    wait_for("without its encoder the words go on, and say so", gone)
    check("and find what they find", ids(search(url, "texts", q="sleeps", hybrid={})) == ["kitten"])
    status, answer = ask(url, "POST", "/v1/indexes/texts/search", {"q": "a", "hybrid": {"model": model}})
    check("a model that is named is an error", status == 503, status, answer)


def filters(url, model):
    """More documents about kittens than a list is long that is filtered afterwards; the filter lets pass what is about engines."""
    rows = [("kitten", f"A kitten with number {n} sleeps in the sun") for n in range(2100)]
    rows += [("engine", f"The engine with number {n} of the car is broken") for n in range(900)]
    lines = "\n".join(json.dumps({"id": f"{kind}-{n}", "text": text, "kind": kind, "n": n}) for n, (kind, text) in enumerate(rows))
    make_index(url, "many", {"fields": ["text"], "filterable": ["kind", "n"], "embedder": {"model": model, "fields": ["text"]}}, lines.encode())

    wait_for("three thousand documents have their vectors", lambda: whole(url, "many", len(rows)), 300)
    question = {"q": "a kitten that sleeps", "hybrid": {"semantic_ratio": 1}}
    every = search(url, "many", limit=1000, **question)
    check("kittens are nearest", {hit["kind"] for hit in every["hits"]} == {"kitten"}, every["hits"][:3])
    near = search(url, "many", limit=100, filter="n >= 1000 OR kind = engine", **question)
    want = [hit["id"] for hit in every["hits"] if hit["n"] >= 1000]
    check("what passes of many is the same list", ids(near)[:len(want)] == want[:100], want, near)
    far = search(url, "many", limit=300, filter="kind = engine", **question)
    scores = [hit["_ranking"]["vector"]["score"] for hit in far["hits"]]
    check("what passes and is far is found all the same", {hit["kind"] for hit in far["hits"]} == {"engine"} and len(scores) == 300 and
          scores == sorted(scores, reverse=True) and "degraded" not in far, len(scores), far["hits"][:3])
    some = search(url, "many", limit=100, filter="kind = engine AND n < 2500 AND n != 2200", **question)
    want = [hit["id"] for hit in far["hits"] if hit["n"] < 2500 and hit["n"] != 2200]
    check("also of few", ids(some)[:len(want)] == want[:100], want, some)
    both = search(url, "many", limit=20, filter="kind = engine", q="kitten number 2222", hybrid={}, personalize=True)
    check("words and judges go on with it", len(ids(both)) == 20 and {hit["kind"] for hit in both["hits"]} == {"engine"} and
          both["degraded"] == ["personal"], both["hits"][:2])


if __name__ == "__main__":
    {"personal": personal, "filters": filters, "meaning": meaning}[sys.argv[1]](*sys.argv[2:])
