#!/usr/bin/env python3
"""swap.py change FILE OUT [OLD NEW]: another model of the same shape (one bit of its last weight; an item's name) | ask URL OUT:
recommendations from eight clients without a pause, until two items were each first in 100 answers, or anything but an answer came; OUT.begun
stands there when the first item was."""
import collections
import json
import sys
import threading
import time
import urllib.request


def change(path, out, *names):
    data = bytearray(open(path, "rb").read())
    data[-64] ^= 1
    if names:
        old, new = (name.encode() for name in names)
        assert len(old) == len(new)
        for text, other in ((old, new),):
            entry, changed = len(text).to_bytes(8, "little") + text, len(other).to_bytes(8, "little") + other
            assert data.count(entry) == 1
            data = data.replace(entry, changed)
    open(out, "wb").write(data)


def ask(url, out):
    firsts, wrong, lock = collections.Counter(), collections.Counter(), threading.Lock()
    until = time.monotonic() + 300

    def is_over():
        return wrong or len(firsts) > 1 and min(firsts.values()) >= 100 or time.monotonic() > until

    body = json.dumps({"model": "qiao-shop", "session": ["phone-bamboo-5"], "count": 1}).encode()

    def client():
        while not is_over():
            try:
                with urllib.request.urlopen(url + "/v1/recommendations", body, timeout=120) as reply:
                    answer = json.load(reply)
                good = answer["basis"] == "session"
                with lock:
                    (firsts if good else wrong)[answer["data"][0]["item"] if good else answer["basis"]] += 1
            except Exception as error:
                text = error.read().decode() if hasattr(error, "read") else str(error)
                with lock:
                    wrong[text[:200]] += 1

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    while not is_over() and sum(firsts.values()) < 100:
        time.sleep(0.01)
    open(out + ".begun", "w").close()
    for one in clients:
        one.join()
    with open(out, "w") as file:
        json.dump({"firsts": firsts, "wrong": wrong}, file)


if __name__ == "__main__":
    {"change": change, "ask": ask}[sys.argv[1]](*sys.argv[2:])
