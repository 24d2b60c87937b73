#!/usr/bin/env python3
"""What recommend.sh asks.

recommend.py shop URL SECOND ITEMS          the demo shop's catalogue, consents and events
recommend.py gorse URL ITEMS                Gorse's paths, as its clients ask
recommend.py slices URL SLICED ITEMS        a catalogue that two nodes share is ranked as one node ranks it
recommend.py lists URL MODEL USERS LISTS    the same lists as the probe's
"""
import http.client
import json
import sys
import time
import urllib.parse

connections = {}


def ask(url, method, path, body=None, user=None, region=None):
    parsed = urllib.parse.urlparse(url)
    connection = connections.setdefault(url, http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=120))
    headers = {"Content-Type": "application/json"}
    if user:
        headers["X-Qiao-User"] = user
    if region:
        headers["X-Qiao-Region"] = region
    text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    text = answer.read() or b"null"
    is_json = answer.getheader("Content-Type", "application/json").startswith("application/json")
    return answer.status, json.loads(text) if is_json else text.decode()


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {seen}")
    print(f"ok: {what}")


def recommend(url, user=None, region=None, **body):
    status, answer = ask(url, "POST", "/v1/recommendations", body, user, region)
    if status != 200:
        sys.exit(f"not so: recommendations are given: {status} {answer}")
    return answer


def event(number, item):
    return {"id": f"e{number}", "user": "ann", "type": "view", "item": item}


def shop(url, second, items):
    catalogue = [json.loads(line) for line in open(items, encoding="utf-8")]
    with open(items, "rb") as file:
        status, answer = ask(url, "PUT", "/v1/items?wait=true", file.read())
    check("the catalogue is stored", status == 200 and answer["stored"] == len(catalogue), status, answer)
    known = {item["id"]: item for item in catalogue}

    visit = recommend(url, session=["phone-bamboo-3"], count=5, explain=True, region="cn")
    ids = [row["item"] for row in visit["data"]]
    check("a visit is answered by what fits to it",
          visit["basis"] == "session" and len(set(ids)) == 5 and "phone-bamboo-3" not in ids, visit)
    check("with titles and the reason", all(row["title"] for row in visit["data"])
          and visit["because"][0]["item"] == "phone-bamboo-3", visit)
    sold = {i for i, item in known.items() if item["available"] and "sg" in item["regions"]}
    there = recommend(url, session=["phone-bamboo-3"], count=20, region="sg")
    check("only what is sold in the region", len(there["data"]) > 0 and {row["item"] for row in there["data"]} <= sold, there)
    status, answer = ask(url, "PUT", "/v1/items?wait=true",
                         json.dumps({**known[ids[0]], "available": False}).encode())
    check("an item is sold out", status == 200, answer)
    after = [row["item"] for row in recommend(url, session=["phone-bamboo-3"], count=5, region="cn")["data"]]
    check("and not recommended any more; the others move up", after[:4] == ids[1:], ids, after)

    cold = recommend(url, user="ann")
    check("who is not known gets what is popular", cold["basis"] == "popular" and not cold["personalized"], cold)
    for purpose in ({"history": True}, {"recommendations": True}):
        status, answer = ask(url, "PUT", "/v1/me/consents", {"consents": purpose}, "ann")
        check("a consent is given", status == 200, answer)
    status, answer = ask(url, "POST", "/v1/events", {"events": [event(1, "phone-bamboo-3")]}, "ann")
    check("an event is stored", status == 200 and answer["stored"] == 1, status, answer)
    took = []
    for number, item in enumerate(list(known)[10:60], 2):
        ask(url, "POST", "/v1/events", {"events": [event(number, item)]}, "ann")
        begin = time.monotonic()
        seen = recommend(second, user="ann", count=100)
        took.append(1000 * (time.monotonic() - begin))
        if seen["basis"] != "history" or item in [row["item"] for row in seen["data"]]:
            sys.exit(f"not so: event {number} counts in the next recommendation: {seen}")
    print(f"ok: each event counts in the next recommendation, which took {sorted(took)[-1]:.1f} ms at most")
    warm = recommend(second, user="ann", count=10)
    check("the other scheduler knows the history", warm["basis"] == "history" and warm["personalized"], warm)
    ask(url, "PUT", "/v1/me/personalization", {"enabled": False}, "ann")
    off = recommend(second, user="ann", count=10)
    check("with personalization off it is not used", off["basis"] == "popular" and not off["personalized"], off)
    for body, part in (({"session": []}, "session"), ({"session": [True]}, "session[0]"), ({"count": 0}, "count"),
                       ({"count": 101}, "count"), ({"filter": "a = 1 OR"}, "filter"), ({"model": "nobody"}, "model"),
                       ({"scenario": "hom"}, "scenario"), ({"scenario": "similar"}, "item"),
                       ({"scenario": "similar", "item": "no-such-item"}, "item")):
        status, answer = ask(url, "POST", "/v1/recommendations", body)
        check(f"a wrong {part} is named", status in (400, 404) and answer["error"]["param"] == part, status, answer)
    unknown = recommend(url, session=["no-such-item"])
    check("items that nobody knows lead to what is popular", unknown["basis"] == "popular", unknown)


    filters(url, known)


def filters(url, known):
    visit = ["phone-bamboo-3"]

    def ids(**body):
        return [row["item"] for row in recommend(url, **body)["data"]]

    cheap = ids(session=visit, filter="price < 500 AND NOT category = case", count=100)
    check("a filter holds for all that is recommended", len(cheap) == 100
          and all(known[i]["price"] < 500 and known[i]["category"] != "case" for i in cheap), cheap)
    free = ids(session=visit, count=100)
    both = [i for i in free if known[i]["price"] < 500 and known[i]["category"] != "case"]
    check("and the list is the unfiltered one without the others, filled up", cheap[:len(both)] == both and both, both, cheap)
    check("a filter that nothing passes leaves nothing", ids(session=visit, filter="price < 0") == [])
    phones = ids(session=visit, filter=["category = phone", ["attributes.line = bamboo", "attributes.colour = black"]], count=100)
    check("lists are ANDs of ORs", phones and all(known[i]["category"] == "phone" and
          (known[i]["attributes"]["line"] == "bamboo" or known[i]["attributes"]["colour"] == "black") for i in phones), phones)
    for text, place in (("price < 1 OR 1=1; DROP TABLE items", "filter: at byte 16"), ("price < 'a'", "a number is expected"),
                        ("a = 1 AND (b = 2", "parenthesis"), ("(" * 200 + "a = 1", "at most 64"),
                        ("a IN [" + "1," * 3000 + "1]", "values"), ("_geoRadius(1,2,3)", "functions")):
        status, answer = ask(url, "POST", "/v1/recommendations", {"session": visit, "filter": text})
        check(f"'{text[:20]}' is refused with its place", status == 400 and place in answer["error"]["message"]
              and answer["error"]["param"] == "filter", status, answer)

    first = free[0]
    changed = {**known[first], "price": 1}
    ask(url, "PUT", "/v1/items?wait=true", json.dumps(changed).encode())
    check("a filter follows the catalogue", ids(session=visit, filter="price = 1") == [first])
    ask(url, "PUT", "/v1/items?wait=true", json.dumps(known[first]).encode())
    check("to and fro", ids(session=visit, filter="price = 1") == [])

    similar = recommend(url, scenario="similar", item="phone-bamboo-3", count=20)
    check("similar items are of the item's category", similar["basis"] == "item" and not similar["personalized"]
          and similar["data"] and {known[row["item"]]["category"] for row in similar["data"]} == {"phone"}
          and "phone-bamboo-3" not in [row["item"] for row in similar["data"]], similar)
    bought = ids(scenario="also-bought", item="phone-bamboo-3", count=20, exclude_seen=False)
    check("also-bought is what follows the item", bought == ids(session=visit, count=20), bought)
    popular = recommend(url, scenario="popular", filter="category = phone", count=5)
    check("popular items are filtered, too", popular["basis"] == "popular"
          and all(known[row["item"]]["category"] == "phone" for row in popular["data"]), popular)


def gorse(url, items):
    known = {item["id"]: item for item in map(json.loads, open(items, encoding="utf-8"))}

    def call(method, path, body=None):
        return ask(url, method, "/api/" + path, body)

    visit = [{"FeedbackType": "read", "UserId": "", "ItemId": i, "Timestamp": t}
             for i, t in (("phone-bamboo-5", "2026-02-02"), ("phone-bamboo-3", "2026-01-01T00:00:00Z"))]
    status, answer = call("POST", "session/recommend?n=5", visit)
    ours = recommend(url, session=["phone-bamboo-3", "phone-bamboo-5"], count=8)["data"]
    check("Gorse's session is a visit in order of time", status == 200 and [(row["Id"], row["Score"]) for row in answer]
          == [(row["item"], row["score"]) for row in ours[:5]], answer, ours)
    status, answer = call("POST", "session/recommend?n=3&offset=5", visit)
    check("n and offset page through it", [row["Id"] for row in answer] == [row["item"] for row in ours[5:8]], answer)
    status, answer = call("POST", "session/recommend/case?n=20", visit)
    check("a category is a filter", len(answer) == 20 and {known[row["Id"]]["category"] for row in answer} == {"case"}, answer)
    status, answer = call("GET", "item/phone-bamboo-3/neighbors?n=4")
    also = recommend(url, scenario="also-bought", item="phone-bamboo-3", count=4)["data"]
    check("neighbours are what is also bought", [row["Id"] for row in answer] == [row["item"] for row in also], answer)

    feedback = [{"FeedbackType": "star", "UserId": "gus", "ItemId": i, "Timestamp": ""} for i in ("phone-bamboo-3", "phone-bamboo-5")]
    status, answer = call("GET", "recommend/gus?n=3")
    check("who has not agreed gets what is popular", status == 200 and all(isinstance(i, str) for i in answer), status, answer)
    status, _ = ask(url, "PUT", "/v1/me/consents", {"consents": {"history": True, "recommendations": True}}, "gus")
    status, answer = call("POST", "feedback", feedback)
    check("feedback is stored", status == 200 and answer == {"RowAffected": 2}, status, answer)
    status, answer = call("GET", "recommend/gus?n=5")
    check("a user's feedback is the history", answer == [row["item"] for row in recommend(url, user="gus", count=5)["data"]]
          and not set(answer) & {"phone-bamboo-3", "phone-bamboo-5"}, answer)
    status, answer = call("GET", "recommend/gus/case?n=5")
    check("within a category", len(answer) == 5 and {known[i]["category"] for i in answer} == {"case"}, answer)
    status, answer = call("GET", "popular/phone?n=2")
    check("what is popular in a category", status == 200 and answer and all(known[row["Id"]]["category"] == "phone" for row in answer), answer)
    status, answer = call("DELETE", "user/gus")
    check("a user is deleted", answer == {"RowAffected": 1}, answer)


def slices(url, sliced, items):
    known = [json.loads(line)["id"] for line in open(items, encoding="utf-8")]
    for i in range(0, len(known) - 8, 8):
        for body in ({"count": 100}, {"count": 20, "explain": True, "filter": "price > 100"}, {"exclude_seen": False, "count": 7}):
            body["session"] = known[i:i + 1 + i % 7]
            whole, parts = (recommend(at, **body) for at in (url, sliced))
            if (whole["data"], whole.get("because")) != (parts["data"], parts.get("because")):
                sys.exit(f"not so: slices give the same list: {whole} {parts}")
    print(f"ok: {3 * len(range(0, len(known) - 8, 8))} lists of slices are those of the whole")


def lists(url, model, users, wanted):
    want = {line.split()[0]: line.split()[1:] for line in open(wanted) if line[0].isdigit() and len(line.split()) == 21}
    same = 0
    for line in open(users):
        user, *items = line.split()
        answer = recommend(url, model=model, session=items[:-1], count=20)
        if [row["item"] for row in answer["data"]] != want[user]:
            sys.exit(f"not so: user {user} gets the probe's list: {answer} {want[user]}")
        same += 1
    check(f"{same} users get the same 20 items as from qiao-probe", same == len(want) > 0)


if __name__ == "__main__":
    {"shop": shop, "gorse": gorse, "slices": slices, "lists": lists}[sys.argv[1]](*sys.argv[2:])
