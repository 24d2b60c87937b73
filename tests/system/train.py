#!/usr/bin/env python3
"""train.py fill URL ITEMS | check DIR: users of a shop that agree or do not, and what an export may have of them."""
import json
import random
import sys
import urllib.request

USERS, AGREED = 90, 60  # of those who agreed, the last five have personalization off


def call(method, url, body, user=None):
    headers = {"Content-Type": "application/json", **({"X-Qiao-User": user} if user else {})}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=120) as reply:
        return json.load(reply)


def fill(url, path):
    chance = random.Random(5)
    items = [json.loads(line)["id"] for line in open(path, encoding="utf-8")]
    with open(path, "rb") as file:
        call("PUT", url + "/v1/items?wait=true", file.read())
    lines = {}
    for item in items:
        lines.setdefault(item.rsplit("-", 1)[0], []).append(item)
    liked = [line for line in lines.values() if len(line) >= 4][:6]
    for number in range(USERS):
        user = f"user-{number:03d}"
        given = {"history": True, "recommendations": number < AGREED}
        call("PUT", url + "/v1/me/consents", {"consents": given}, user)
        line = chance.choice(liked)
        seen = [chance.choice(line[:4] if at % 4 else chance.choice(liked)[:4]) for at in range(12)]
        events = [{"id": f"{user}-{at}", "type": "view" if at % 3 else "purchase", "item": item, "time": 1790000000 + 60 * at}
                  for at, item in enumerate(seen)]
        events.append({"id": f"{user}-s", "type": "search", "properties": {"query": "secret words"}, "time": 1790001000})
        if number == 0:  # what but one user had
            events.append({"id": "rare", "type": "cart", "item": items[-1], "time": 1790000001})
        told = call("POST", url + "/v1/events", {"events": events}, user)
        assert told["stored"] == len(events), told
        if AGREED - 5 <= number < AGREED:
            call("PUT", url + "/v1/me/personalization", {"enabled": False}, user)
    print(items[-1])


def check(directory, rare):
    text = open(directory + "/events.ndjson", encoding="utf-8").read()
    records = [json.loads(line) for line in text.splitlines()]
    assert len(records) == AGREED - 5, f"{len(records)} histories"
    assert "user-0" not in text and "secret" not in text, "a name or a search"
    assert len({record["user"] for record in records}) == len(records)
    assert all(isinstance(record["user"], int) for record in records)
    assert all(len(record["items"]) == 12 == len(record["times"]) for record in records)
    assert rare not in text, "an item that one user had"
    assert all(time % 86400000 == 0 for record in records for time in record["times"]), "times to the ms"
    catalogue = [json.loads(line) for line in open(directory + "/items.ndjson", encoding="utf-8")]
    assert any(item["id"] == rare and item["titles"] for item in catalogue), "the catalogue is not whole"


if __name__ == "__main__":
    {"fill": fill, "check": check}[sys.argv[1]](*sys.argv[2:])
