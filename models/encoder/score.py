#!/usr/bin/env python3
"""What the encoder and the cross-encoder are worth, from their files.

    score.py --model qiao-encoder.gguf [--ranker qiao-ranker.gguf] --pairs pairs.jsonl [--cmrc cmrc2018/]

Held pairs (corpus.py) of each kind: a text's partner among those of at most 1,000 pairs of the kind. CMRC 2018: the
passage of a question among all 848; neither was trained on. @1: how often it is first; MRR@10: mean of 1 / place, up to the tenth.
With a ranker, the encoder's first ten are put in the ranker's order.
"""

import argparse
import glob
import json
import os

import torch

import bert


@torch.no_grad()
def vectors(model, tokenizer, texts):
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    rows = [bert.framed(tokenizer.encode(texts[n]), length=model.shape["positions"])[0] for n in order]
    out = torch.zeros(len(texts), model.shape["dim"])
    for n in range(0, len(rows), 64):
        out[order[n:n + 64]] = model.embed(bert.padded(rows[n:n + 64]))
    return out


@torch.no_grad()
def reordered(ranker, tokenizer, question, texts, places):
    rows = [bert.framed(tokenizer.encode(question), tokenizer.encode(texts[p]), ranker.shape["positions"]) for p in places]
    scores = ranker.score(bert.padded([r[0] for r in rows]), bert.padded([r[1] for r in rows]))
    return [places[n] for n in scores.argsort(descending=True).tolist()]


def judge(args, questions, answers, right):
    """right[n]: the place of question n's answer. Returns @1, MRR@10, and both again by the ranker."""
    near = (vectors(*args.encoder, questions) @ vectors(*args.encoder, answers).T).topk(min(10, len(answers)), dim=1).indices.tolist()
    figures = []
    for by_ranker in (False, True) if args.cross else (False,):
        first = total = 0
        for n, places in enumerate(near):
            places = reordered(*args.cross, questions[n], answers, places) if by_ranker else places
            place = next((k for k, p in enumerate(places) if answers[p] == answers[right[n]]), None)
            if place is not None:
                total += 1 / (place + 1)
                first += place == 0
        figures += [first / len(near), total / len(near)]
    return figures


def held_pairs(path):
    kinds = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            if pair.get("held"):
                kinds.setdefault(pair["kind"], []).append((pair["a"], pair["b"]))
    return kinds


def cmrc(root):
    passages, questions, right = [], [], []
    for path in sorted(glob.glob(os.path.join(root, "*.json"))):
        with open(path, encoding="utf-8") as file:
            for article in json.load(file)["data"]:
                for paragraph in article["paragraphs"]:
                    passages.append(paragraph["context"])
                    for question in paragraph["qas"]:
                        questions.append(question["question"])
                        right.append(len(passages) - 1)
    return questions, passages, right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ranker")
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--cmrc", help="folder with CMRC 2018's development set")
    parser.add_argument("--most", type=int, default=1000, help="pairs of a kind, and questions of CMRC")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.encoder, args.cross = bert.load(args.model), bert.load(args.ranker) if args.ranker else None
    print("kind          n     @1   MRR@10" + ("   ranked: @1   MRR@10" if args.cross else ""))
    for kind, pairs in held_pairs(args.pairs).items():
        pairs = pairs[:args.most]
        figures = judge(args, [a for a, _ in pairs], [b for _, b in pairs], list(range(len(pairs))))
        print(f"{kind:10} {len(pairs):5}  " + "   ".join(f"{f:.3f}" for f in figures), flush=True)
    if args.cmrc:
        questions, passages, right = cmrc(args.cmrc)
        figures = judge(args, questions[:args.most], passages, right)
        print(f"CMRC2018   {len(questions[:args.most]):5}  " + "   ".join(f"{f:.3f}" for f in figures), flush=True)


if __name__ == "__main__":
    main()
