#!/usr/bin/env python3
"""What hybrid.sh asks.

hybrid.py personal URL REDIS_PORT ITEMS     the demo shop's items as an index, in a user's order and in nobody's
"""
import http.client
import json
import socket
import sys
import threading
import time
import urllib.parse

PARTS = ("lexical", "vector", "rerank", "personal")


def ask(url, method, path, body=None, user=None):
    parsed = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=20)
    headers = {"Content-Type": "application/json"}
    if user:
        headers["X-Qiao-User"] = user
    text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, json.loads(read or b"null")


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:3000]}")
    print(f"ok: {what}")


def search(url, index, user=None, **body):
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


class Monitor(threading.Thread):
    """What Redis is asked, from Redis itself."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"MONITOR\r\n")
        self.text = b""
        self.start()

    def run(self):
        while piece := self.socket.recv(1 << 16):
            self.text += piece

    def reads(self):
        """Of histories, since the last call; an ECHO of ours is the mark up to which all was seen."""
        time.sleep(0.3)
        text, self.text = self.text, b""
        return [line for line in text.decode(errors="replace").splitlines() if "LRANGE" in line and ":events" in line]


def make_index(url, name, settings, documents):
    status, answer = ask(url, "PUT", f"/v1/indexes/{name}", settings)
    check("an index is made", status in (200, 201), status, answer)
    status, answer = ask(url, "POST", f"/v1/indexes/{name}/documents?wait=true", documents)
    check("its documents are stored", status == 200, status, answer)


def personal(url, port, items):
    monitor = Monitor(int(port))
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


if __name__ == "__main__":
    {"personal": personal}[sys.argv[1]](*sys.argv[2:])
