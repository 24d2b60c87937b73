"""Where a secret may stand, and in which forms: what canary.py looks with.

A marker is a part that all secrets have. It is looked for as UTF-8, whole and in parts, as UTF-16 (both orders), escaped as JSON escapes
what is not ASCII, and as the ids of its tokens: a run of them as int32 and int64, as uint16, and as msgpack writes integers.
"""
import json
import os
import struct
import subprocess
import urllib.parse
import urllib.request

RUN = 5  # ids in a row: fewer are a chance
PART = 12  # letters, likewise
PAGE = os.sysconf("SC_PAGE_SIZE")
WINDOW = 8 << 20


def msgpack_int(number):
    if number < 128:
        return struct.pack(">B", number)
    if number < 256:
        return b"\xcc" + struct.pack(">B", number)
    if number < 65536:
        return b"\xcd" + struct.pack(">H", number)
    return b"\xce" + struct.pack(">I", number)


def token_ids(probe, model, texts):
    """Of each text, a line of it."""
    done = subprocess.run([probe, "tokenize", "--model", model], input="\n".join(texts) + "\n", capture_output=True, text=True,
                          check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def common_run(lists):
    """The longest run of ids that all lists have."""
    first = lists[0]
    for size in range(len(first), 0, -1):
        for at in range(len(first) - size + 1):
            run = first[at:at + size]
            if all(any(other[i:i + size] == run for i in range(len(other) - size + 1)) for other in lists[1:]):
                return run
    return []


def id_forms(name, run):
    run = run[:RUN] if len(run) > RUN else run
    return {
        f"{name} int32": struct.pack(f"<{len(run)}i", *run),
        f"{name} int64": struct.pack(f"<{len(run)}q", *run),
        f"{name} uint16": struct.pack(f"<{len(run)}H", *run),
        f"{name} msgpack": b"".join(msgpack_int(number) for number in run),
    }


def forms_of(marker, probe, models):
    """{form: bytes}"""
    forms = {
        "utf-8": marker.encode(),
        "its first letters": marker[:PART].encode(),
        "its last letters": marker[-PART:].encode(),
        "utf-16le": marker.encode("utf-16le"),
        "utf-16be": marker.encode("utf-16be"),
        "json": json.dumps(marker)[1:-1].encode(),
        "url": urllib.parse.quote(marker).encode(),
    }
    for model in models:
        lists = token_ids(probe, model, [f"{head}{marker}{tail}" for head, tail in
                                         (("", ""), ("x ", " 17"), ("Remember: ", "-0042"), ("7", "."))])
        run = common_run(lists)
        if len(run) < RUN:
            raise SystemExit(f"not so: the marker is {RUN} tokens of {os.path.basename(model)} at least: {run}")
        forms |= id_forms(os.path.basename(model), run)
    return forms


def find_in(data, forms):
    return [name for name, text in forms.items() if text in data]


def present_runs(pid, begin, end):
    """Parts of a mapping that are in memory, or were written out."""
    first, count = begin // PAGE, (end - begin) // PAGE
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(first * 8)
        entries = pagemap.read(count * 8)
    start = None
    for index in range(len(entries) // 8 + 1):
        there = index < len(entries) // 8 and entries[index * 8 + 7] & 0xC0
        if there and start is None:
            start = index
        if not there and start is not None:
            yield begin + start * PAGE, begin + index * PAGE
            start = None


def find_in_memory(pid, forms):
    """[(form, where)] in everything that the process may write to."""
    found = []
    most = max(len(text) for text in forms.values())
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            words = line.split(maxsplit=5)
            begin, end = (int(part, 16) for part in words[0].split("-"))
            if not words[1].startswith("rw"):
                continue
            name = words[5].strip() if len(words) > 5 else "anonymous"
            for low, high in present_runs(pid, begin, end):
                found += find_in_run(memory, low, high, forms, most, name)
    return found


def find_in_run(memory, low, high, forms, most, name):
    found = []
    for at in range(low, high, WINDOW):
        size = min(WINDOW + most, high - at)
        try:
            memory.seek(at)
            data = memory.read(size)
        except OSError:
            continue
        for form in find_in(data, forms):
            place = data.index(forms[form])
            around = data[max(0, place - 48):place + 80]
            found.append((form, f"{name} at {at + place:x}", around))
    return found


def find_in_files(folder, forms):
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                with open(os.path.join(path, name), "rb") as file:
                    data = file.read()
            except OSError:
                continue
            found += [(form, os.path.join(path, name), b"") for form in find_in(data, forms)]
    return found


def find_in_text(url, forms):
    with urllib.request.urlopen(url, timeout=10) as answer:
        data = answer.read()
    return [(form, url, b"") for form in find_in(data, forms)]


def find_in_redis(port, forms):
    """Every key and its value as Redis dumps it, the slow log, and what clients wait with."""
    found = []

    def say(*words):
        return subprocess.run(["redis-cli", "-p", str(port), "--raw", *words], capture_output=True, check=True).stdout

    for what in (("slowlog", "get", "-1"), ("client", "list"), ("info", "all")):
        found += [(form, " ".join(what), b"") for form in find_in(say(*what), forms)]
    script = ("local out = {} local cursor = '0' repeat local page = redis.call('scan', cursor, 'count', 1000) cursor = page[1] "
              "for _, key in ipairs(page[2]) do out[#out + 1] = key local kind = redis.call('type', key).ok "
              "if kind == 'string' then out[#out + 1] = redis.call('get', key) "
              "elseif kind == 'hash' then for _, part in ipairs(redis.call('hgetall', key)) do out[#out + 1] = part end "
              "elseif kind == 'list' then for _, part in ipairs(redis.call('lrange', key, 0, -1)) do out[#out + 1] = part end "
              "elseif kind == 'set' then for _, part in ipairs(redis.call('smembers', key)) do out[#out + 1] = part end "
              "elseif kind == 'zset' then for _, part in ipairs(redis.call('zrange', key, 0, -1)) do out[#out + 1] = part end "
              "elseif kind == 'stream' then for _, row in ipairs(redis.call('xrange', key, '-', '+')) do "
              "for _, part in ipairs(row[2]) do out[#out + 1] = part end end end end until cursor == '0' return out")
    values = subprocess.run(["redis-cli", "-p", str(port), "--raw", "eval_ro", script, "0"], capture_output=True, check=True).stdout
    found += [(form, "a value", b"") for form in find_in(values, forms)]
    return found
