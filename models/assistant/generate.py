#!/usr/bin/env python3
"""Writes the training dialogues: one JSON object a line, {"messages": [...]} or {"text": ...}.

    generate.py --count 60000 --seed 1 --out corpus.jsonl
    generate.py --count 60000 --seed 2 --focus 0.3 --dialogues dialogues/ --out second.jsonl

A dialogue is a chain of handlers over one `Talk`, which remembers what has been said: the product under
discussion, the last fact asked for, what the user told about themself. So follow-ups have one right answer.
The language may change in the middle; each answer is in the language of its question.
"""

import argparse
import glob
import json
import os
import random
import zipfile

import everyday
import grounded
import longform
import shop
from phrases import rough

SYSTEMS = [
    "You are a helpful assistant.", "You are a helpful assistant.", "You are Qiao, the assistant of a small shop.", "Answer briefly and politely.",
    "You are a friendly shop assistant.", "Answer in the language of the user.", "You are a helpful assistant. Answer in the language of the question.",
    "You are a concise assistant.", "你是一个有用的助手。", "你是一个乐于助人的助手。", "你是桥边数码的客服小桥。", "请用用户的语言回答。", "请简短、礼貌地回答。", "你是小桥，一个友好的助手。",
]


class Talk:
    """What the dialogue knows so far."""

    def __init__(self, lang):
        self.lang = lang
        self.product = None
        self.fact = None
        self.known = {}  # "name" -> (value, language)


def weighted(rng, handlers):
    return rng.choices([h for h, _ in handlers], [w for _, w in handlers])[0]


def system_with_context(rng, talk):
    """A system message that already says something about the user, as a session's context would."""
    key = rng.choice(["name", "city", "like"])
    x = everyday.value_of(rng, key, talk.lang)
    talk.known[key] = (x, talk.lang)
    base = rng.choice(SYSTEMS) if rng.random() < 0.5 else ""
    said = {"en": {"name": "The user's name is {x}.", "city": "The user lives in {x}.", "like": "The user likes {x}."},
            "zh": {"name": "用户的名字是{x}。", "city": "用户住在{x}。", "like": "用户喜欢{x}。"}}[talk.lang][key].format(x=x)
    return (base + " " + said).strip()


def next_turn(rng, talk, last):
    """Chooses what is asked next, given the handler of the turn before."""
    roll = rng.random()
    if last in (longform.story, longform.more) and roll < 0.3:
        return longform.more
    if talk.product is not None and last in SHOP_TURNS and roll < 0.6:
        return weighted(rng, shop.FOLLOW)
    if talk.known and roll < 0.75 and rng.random() < 0.6:
        return everyday.recall
    if rng.random() < 0.12:
        return everyday.tell
    room = rng.choices([shop, everyday, longform], [46, 40, 14])[0]
    return weighted(rng, room.HANDLERS)


SHOP_TURNS = {h for h, _ in shop.HANDLERS} | {h for h, _ in shop.FOLLOW}


def dialogue(rng):
    talk = Talk(rng.choice(["en", "zh"]))
    messages = []
    roll = rng.random()
    if roll < 0.06:
        messages.append({"role": "system", "content": system_with_context(rng, talk)})
    elif roll < 0.45:
        messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
    turns = rng.choices([1, 2, 3, 4, 6], [38, 22, 20, 12, 8])[0]
    last = None
    for _ in range(turns):
        if last is not None and not talk.known and rng.random() < 0.08:
            talk.lang = "zh" if talk.lang == "en" else "en"
        handler = next_turn(rng, talk, last)
        question, answer = handler(rng, talk)
        messages.append({"role": "user", "content": rough(rng, talk.lang, question) if handler is not everyday.tell else question})
        messages.append({"role": "assistant", "content": answer})
        last = handler
    return {"messages": messages}


def focused(rng):
    """What a small model finds hardest, undiluted: names told some turns ago, "it", and sums."""
    talk = Talk(rng.choice(["en", "zh"]))
    roll = rng.random()
    if roll < 0.4:  # told, perhaps something else, asked back
        chain = [everyday.tell] * rng.choice([1, 1, 2]) + [None] * rng.choice([0, 0, 1, 1, 2]) + [everyday.recall] * rng.choice([1, 1, 2])
    elif roll < 0.8:
        chain = [rng.choice([shop.named_fact, shop.named_fact, shop.recommend, shop.extreme, shop.cheaper])]
        chain += [weighted(rng, shop.FOLLOW) for _ in range(rng.choice([1, 1, 2, 3]))]
    else:
        chain = [everyday.sums] * rng.choice([1, 2, 3])
    messages = [{"role": "system", "content": rng.choice(SYSTEMS)}] if rng.random() < 0.3 else []
    for k, handler in enumerate(chain):
        if k and rng.random() < 0.05:
            talk.lang = "zh" if talk.lang == "en" else "en"
        handler = handler or weighted(rng, rng.choice([shop, everyday]).HANDLERS)
        question, answer = handler(rng, talk)
        if handler is not everyday.tell:
            question = rough(rng, talk.lang, question)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def spoken(path_root, rng):
    """Dialogues between people, of KdConv and CrossWOZ: the first who speaks asks."""
    talks = []
    for path in sorted(glob.glob(os.path.join(path_root, "kdconv", "*.json"))):
        with open(path, encoding="utf-8") as file:
            talks += [[m["message"] for m in talk["messages"]] for talk in json.load(file)]
    for path in sorted(glob.glob(os.path.join(path_root, "crosswoz", "*.json.zip"))):
        with zipfile.ZipFile(path) as archive:
            whole = json.loads(archive.read(archive.namelist()[0]))
        talks += [[m["content"] for m in whole[key]["messages"]] for key in sorted(whole)]
    out = []
    for texts in talks:
        texts = texts[:len(texts) // 2 * 2]
        out.append({"messages": [{"role": "user" if n % 2 == 0 else "assistant", "content": t} for n, t in enumerate(texts)]})
    rng.shuffle(out)
    return out


class Source:
    """Endless dialogues of a seed. `focus`, `notes`, `talks`: shares of what is hardest, of dialogues over notes, of people's."""

    def __init__(self, seed, focus=0.0, notes=0.0, talks=0.0, dialogues=None):
        self.rng = random.Random(seed)
        self.focus, self.notes, self.talks = focus, notes, talks if dialogues else 0.0
        self.archive = grounded.Archive(dialogues)
        self.people = spoken(dialogues, self.rng) if dialogues else []

    def next(self):
        roll = self.rng.random()
        if roll < self.talks:
            return self.rng.choice(self.people)
        if roll < self.talks + self.notes:
            return grounded.dialogue(self.rng, SYSTEMS, self.archive, Talk(self.rng.choice(["en", "zh"])))
        if self.focus and self.rng.random() < self.focus:
            return focused(self.rng)
        if self.rng.random() < 0.02:  # plain text, for completions without a template
            return {"text": longform.story_text(self.rng, self.rng.choice(["en", "zh"]))}
        return dialogue(self.rng)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--focus", type=float, default=0.0, help="share of dialogues about what is hardest")
    parser.add_argument("--notes", type=float, default=0.2, help="share of dialogues over notes")
    parser.add_argument("--talks", type=float, default=0.03, help="share of people's dialogues, of --dialogues")
    parser.add_argument("--dialogues", help="folder with kdconv/ and crosswoz/")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    source = Source(args.seed, args.focus, args.notes, args.talks, args.dialogues)
    with open(args.out, "w", encoding="utf-8") as out:
        for _ in range(args.count):
            out.write(json.dumps(source.next(), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
