#!/usr/bin/env python3
"""How often the exported model's greedy last answer is right, by kind of question, on dialogues of a fresh seed.

    score.py --model qiao-mini.gguf --count 40 --seed 99

Phrasings, names and sums are drawn from the same generator as the training data, so this measures what it learned,
not what it could generalise to. Where an answer may be worded in several ways, only its key part is compared.
"""

import argparse
import random
import re

import torch

import everyday
import generate
import grounded
import longform
import shop
from ask import Assistant
from phrases import rough


ARCHIVE = grounded.Archive(None)


def key_part(text):
    """Numbers, names and the like decide; the frames that have two wordings do not."""
    text = text.lower()
    for frame, same in (("you can get ", ""), ("comes in ", ""), ("come in ", ""), (" in ", " "), ("costs ", "is "), ("cost ", "are "),
                        ("售价 ", "的价格是 "), ("可以选", ""), ("的保修期是", "保修")):
        text = text.replace(frame, same)
    text = re.sub(r"the warranty of (.*) is (\d+) months", r"\1 has a warranty of \2 months", text)
    return re.sub(r"[\s，。.,]", "", text)


def probe(rng, kind):
    """One dialogue whose last question is of `kind`: messages up to the question, and the right answer."""
    talk = generate.Talk(rng.choice(["en", "zh"]))
    chain = {"recall": [everyday.tell, None, everyday.recall], "follow-up": [shop.named_fact, shop.follow_fact],
             "price, fact": [shop.named_fact], "rule": [shop.rule], "cheaper": [shop.cheaper], "sum": [everyday.sums],
             "translate": [everyday.translate], "small talk": [everyday.small_talk], "capital": [everyday.capital],
             "unknown": [everyday.unknown], "recommend": [shop.recommend], "explain": [longform.explain], "count": [everyday.count],
             "compare, day, unit": [rng.choice([everyday.compare, everyday.next_day, everyday.convert])], "spell": [everyday.spell], "notes": []}[kind]
    if kind == "notes":
        messages = grounded.dialogue(rng, generate.SYSTEMS, ARCHIVE, talk)["messages"]
        return messages[:-1], messages[-1]["content"]
    messages = []
    for handler in chain:
        question, answer = (handler or everyday.capital)(rng, talk)
        messages += [{"role": "user", "content": question if handler is everyday.tell else rough(rng, talk.lang, question)},
                     {"role": "assistant", "content": answer}]
    return messages[:-1], answer


def chinese(text):
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=99)
    parser.add_argument("--show", action="store_true", help="print what was wrong")
    args = parser.parse_args()
    torch.set_num_threads(1)
    assistant, rng = Assistant(args.model), random.Random(args.seed)
    language = total = 0
    for kind in ("price, fact", "follow-up", "rule", "recommend", "cheaper", "recall", "small talk", "capital", "translate", "sum", "count", "unknown", "explain",
                 "compare, day, unit", "spell", "notes"):
        good = 0
        for _ in range(args.count):
            messages, want = probe(rng, kind)
            got = assistant.answer(messages)[0]
            # A fact of a product may be told with or without its price; the shorter answer then begins the longer.
            a, b = sorted((key_part(got), key_part(want)), key=len)
            right = a == b or (kind in ("price, fact", "follow-up") and len(a) > 12 and b.startswith(a))
            good += right
            language += chinese(got) == chinese(want)
            total += 1
            if args.show and not right:
                print("   ", messages[-1]["content"], "->", got, "| want:", want)
        print(f"{kind:18} {good} of {args.count}", flush=True)
    print(f"language           {language} of {total}")


if __name__ == "__main__":
    main()
