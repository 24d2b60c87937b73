#!/usr/bin/env python3
"""What rights.sh asks: rights.py URL SECOND REDIS_PORT ITEMS"""
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse

from exchange import Monitor, ask, await_that, check

SECRET = "quince-and-marble"


def told(url, method, path, body=None, user=None, want=200):
    status, text = ask(url, method, path, body, user)
    if status != want:
        sys.exit(f"not so: {method} {path} is {want}: {status} {text[:500]}")
    return json.loads(text) if text else None


def reads(monitor, pattern):
    return sum(pattern in line.lower() and b" lua]" in line for line in monitor.lines())


def consents(url, user):
    told(url, "PUT", "/v1/me/consents", {"consents": {"history": True, "recommendations": True, "assistant": True}}, user)


def events(url, user, items):
    rows = [{"id": f"e{n}", "type": "view", "item": item, "time": 1790000000 + n} for n, item in enumerate(items)]
    for row in rows:
        row["time"] = int(time.time()) - 1000 + int(row["id"][1:])
    answer = told(url, "POST", "/v1/events", {"events": rows}, user)
    check(f"{len(items)} events of {user}'s are stored", answer["stored"] == len(items), answer)


def chat(url, user, session, text, most=8):
    return ask(url, "POST", "/v1/chat/completions",
               {"session": session, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": most},
               user)


def recommend(url, user):
    return told(url, "POST", "/v1/recommendations", {"count": 20}, user)


def lines(url, user):
    status, text = ask(url, "GET", "/v1/me/export", None, user)
    check(f"{user} gets an export", status == 200, status, text[:300])
    return [json.loads(line) for line in text.decode().splitlines()]


def of(rows, kind):
    return [row for row in rows if row["object"] == kind]


def export(url, second, user, bought):
    for session in ("one", "two"):
        status, text = chat(url, user, session, f"remember {SECRET}")
        check("a session is kept", status == 200, text)
    rows = lines(second, user)
    check("the export is whole", rows[0]["object"] == "export" and rows[-1] ==
          {"object": "end", "complete": True, "lines": len(rows) - 1}, rows[0], rows[-1])
    check("with what was agreed to", {row["purpose"] for row in of(rows, "consent")} ==
          {"history", "recommendations", "assistant"}, rows)
    check("with all events", [row["item"] for row in of(rows, "event")] == bought, rows)
    check("with the sessions", {row["id"] for row in of(rows, "session")} == {"one", "two"}, rows)
    check("and their turns", sum(SECRET in row["content"] for row in of(rows, "turn")) == 2
          and len(of(rows, "turn")) == 4, of(rows, "turn"))
    check("with the interests", {row["tag"] for row in of(rows, "tag")} == {"phone", "cover"}, of(rows, "tag"))
    off = lines(second, "nobody")
    check("who is not known gets an empty one", off[-1]["complete"] and not of(off, "event") and not of(off, "session"), off)
    told(url, "PUT", "/v1/me/personalization", {"enabled": False}, user)
    check("with personalization off it is the same", len(of(lines(url, user), "event")) == len(bought))
    told(url, "PUT", "/v1/me/personalization", {"enabled": True}, user)


def tags(url, second, phones, covers):
    """Ann with a tag taken away is recommended to as dan is, who never did anything with it."""
    seen = told(second, "GET", "/v1/me/tags", None, "ann")
    check("the interests are listed by weight", [(row["tag"], row["events"]) for row in seen["data"]] ==
          [("phone", len(phones)), ("cover", len(covers))] and abs(sum(row["weight"] for row in seen["data"]) - 1) < 0.01, seen)
    consents(url, "dan")
    events(url, "dan", phones)
    before = recommend(second, "ann")
    answer = told(url, "DELETE", "/v1/me/tags/cover", None, "ann")
    check("one is taken away", answer == {"object": "tag", "tag": "cover", "deleted": True}, answer)
    told(second, "DELETE", "/v1/me/tags/cover", None, "ann")
    seen = told(second, "GET", "/v1/me/tags", None, "ann")
    check("and listed as such", [row["tag"] for row in seen["data"]] == ["phone"] and seen["deleted"] == ["cover"], seen)
    after = recommend(second, "ann")
    check("recommendations make nothing of it", after["data"] != before["data"]
          and after["data"] == recommend(url, "dan")["data"], before, after)
    told(url, "PUT", "/v1/me/tags/cover", {}, "ann")
    check("given back it counts again", recommend(second, "ann")["data"] == before["data"])
    for path in ("/v1/me/tags/" + 300 * "x", "/v1/me/tags/%00", "/v1/me/tags/%ff"):
        told(url, "DELETE", path, None, "ann", want=400)
    print("ok: what is no tag is refused")


def personalization(url, second, redis_port):
    """Off: neither recommendations nor a grounded chat read the history, which MONITOR shows for both states."""
    body = {"messages": [{"role": "user", "content": "hello"}], "context": ["history"], "max_tokens": 2}
    monitor = Monitor(redis_port)
    recommend(url, "ann")
    told(second, "POST", "/v1/chat/completions", body, "ann")
    told(url, "GET", "/api/recommend/ann?n=5")
    on = reads(monitor, b'"lrange"')
    check("with personalization on the history is read", on >= 3, on)
    told(url, "PUT", "/v1/me/personalization", {"enabled": False}, "ann")
    recommend(url, "ann")
    recommend(second, "ann")
    told(second, "POST", "/v1/chat/completions", body, "ann")
    told(url, "GET", "/api/recommend/ann?n=5")
    ask(url, "GET", "/v1/me/tags", None, "ann")
    check("off, nothing of it is", reads(monitor, b'"lrange"') == on, on, reads(monitor, b'"lrange"'))
    told(url, "PUT", "/v1/me/personalization", {"enabled": True}, "ann")


def keys(redis_port, pattern="*"):
    out = subprocess.run(["redis-cli", "-p", str(redis_port), "--raw", "keys", pattern], capture_output=True, check=True)
    return set(out.stdout.decode().split())


def erase_amid(url, second):
    """Erase while an answer of a session is under way: the receipt, and what came of the answer after it."""
    parsed = urllib.parse.urlparse(second)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=120)
    body = {"session": "one", "messages": [{"role": "user", "content": "tell me a long story"}], "stream": True,
            "temperature": 0, "max_tokens": 400, "logit_bias": json.loads(os.environ["ENDLESS"])}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"X-Qiao-User": "ann"})
    answer = connection.getresponse()
    answer.readline()
    receipt = told(url, "DELETE", "/v1/me", None, "ann")
    rest = answer.read()
    connection.close()
    return receipt, rest


def erase(url, second, redis_port, before):
    """What `before` does not have is ann's; none of it stands after the erasure, nor comes back by what was in the air."""
    receipt, rest = erase_amid(url, second)
    check("everything is erased", receipt["erased"]["sessions"] == 2 and receipt["erased"]["consents"] == 3
          and receipt["stages"]["service"]["state"] == "complete", receipt)
    tries = 0
    while b"erased" not in rest and tries < 10:  # the answer was faster than the erasure
        receipt, rest = erase_amid(url, second)
        tries += 1
    check("the answer that was in the air is not stored", b"erased" in rest, rest[-500:])
    left = {key for key in keys(redis_port) - before if key.startswith(("qiao:{u:", "qiao:{p:"))
            and not key.endswith(":erased") and ":erasure:" not in key}
    check("nothing of it is left in Redis", not left, left)
    check("and no session", told(second, "GET", "/v1/sessions", None, "ann")["data"] == [])
    status, text = ask(second, "GET", "/v1/me/events", None, "ann")
    check("no event is shown", status == 403, status, text)
    rows = lines(second, "ann")
    check("an export is empty", [row["object"] for row in rows] == ["export", "personalization", "limits", "end"], rows)
    for body in ({"count": 20}, {"count": 20, "session": ["phone-bamboo-1"]}, {"scenario": "similar", "item": "phone-bamboo-1"}):
        both = [re.sub(rb'"rec-[0-9a-f]+"', b'""', ask(second, "POST", "/v1/recommendations", body, user)[1])
                for user in ("zoe", "ann")]
        check("but for their number, recommendations equal a stranger's byte for byte",
              both[0] == both[1] and b'"item"' in both[0], both)
    return receipt["id"]


def follow(url, second, redis_port, erasure):
    receipt = told(second, "GET", f"/v1/me/erasures/{erasure}", None, "ann")
    check("the receipt stands at the other scheduler", receipt["id"] == erasure and receipt["state"] == "service", receipt)
    check("the nodes have dropped what they held", receipt["stages"]["node_caches"]["state"] == "complete", receipt)
    check("without an append-only file", receipt["stages"]["append_only_file"] == {"state": "none"}, receipt)
    check("and the snapshot may be older", receipt["stages"]["snapshot"]["state"] == "pending", receipt)
    subprocess.run(["redis-cli", "-p", str(redis_port), "bgsave"], check=True, capture_output=True)
    await_that("the erasure is complete", lambda: told(url, "GET", f"/v1/me/erasures/{erasure}", None, "ann")["state"] == "complete")
    receipt = told(url, "GET", f"/v1/me/erasures/{erasure}", None, "ann")
    check("when Redis has written it anew all is complete", receipt["state"] == "complete"
          and receipt["stages"]["snapshot"]["state"] == "complete", receipt)
    told(url, "GET", f"/v1/me/erasures/{erasure}", None, "dan", want=404)
    told(url, "GET", "/v1/me/erasures/nonsense", None, "ann", want=400)
    print("ok: a receipt is shown to its user alone")


def main():
    url, second, redis_port, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    items = [json.loads(line) for line in open(path, encoding="utf-8")]
    told(url, "PUT", "/v1/items?wait=true", open(path, "rb").read())
    await_that("the other scheduler has the catalogue", lambda: told(second, "GET", "/v1/items")["count"] == len(items))
    phones = [item["id"] for item in items if item["category"] == "phone"][:6]
    covers = [item["id"] for item in items if item["category"] == "cover"][:4]
    recommend(url, "zoe")
    tags_of_dan = keys(redis_port)
    consents(url, "ann")
    events(url, "ann", phones[:3] + covers + phones[3:])
    export(url, second, "ann", phones[:3] + covers + phones[3:])
    only_ann = keys(redis_port)
    tags(url, second, phones, covers)
    before = tags_of_dan | (keys(redis_port) - only_ann)
    personalization(url, second, redis_port)
    follow(url, second, redis_port, erase(url, second, redis_port, before))


main()
