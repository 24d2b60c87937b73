#!/usr/bin/env python3
"""Trains the sentence encoder, and from it the cross-encoder, on the pairs of corpus.py.

    train.py --pairs pairs.jsonl --vocabulary vocabulary.json --out run/ --seconds 240 --rank-seconds 120

The encoder: each step takes pairs of one kind; a text's own partner is to be nearer than all other partners in the
batch, both ways (cross entropy over cosines / 0.05). Every third step guesses masked pieces of running text instead.
The cross-encoder begins with the encoder's weights: of a text and eight candidates, its partner and those that the
encoder takes for its nearest, the partner is to score highest.

Both run for their seconds, on a GPU where there is one: the rate warms up, and falls along a cosine to the end. On a CPU
give --batch 128 and more time.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import time

import torch
import torch.nn.functional as F

import bert
import wordpiece

# How often a step takes a kind.
WEIGHTS = {"program": 5, "help": 4, "word": 4, "gloss": 4, "talk": 2, "fact": 5, "near": 4, "title": 0.5}
RUNNING = ("near", "help", "fact", "talk", "gloss")  # texts to guess pieces of
RANKED = {"fact": 6, "near": 3, "help": 3, "gloss": 3, "program": 2, "word": 1, "title": 0.5}
CUT = 128  # pieces of a text while training
MASKED = 0.15


def encode_lines(job):
    path, lines = job
    tokenizer = wordpiece.WordPiece.load(path)
    out = []
    for line in lines:
        pair = json.loads(line)
        if not pair.get("held"):
            out.append((pair["kind"], tokenizer.encode(pair["a"])[:254], tokenizer.encode(pair["b"])[:254]))
    return out


class Texts:
    """Many texts on the device: one row of ids, and where each begins; without [CLS] and [SEP]."""

    def __init__(self, rows, device):
        length = torch.tensor([min(len(r), CUT - 2) for r in rows])
        self.start = (torch.cumsum(torch.tensor([len(r) for r in rows]), 0) - torch.tensor([len(r) for r in rows])).to(device)
        self.length = length.to(device)
        self.ids = torch.tensor([i for r in rows for i in r] + [wordpiece.PAD] * CUT).to(device)
        self.mark = torch.tensor([hash(tuple(r)) for r in rows]).to(device)  # twins have the same

    def framed(self, picked):
        """[CLS] text [SEP] of each, padded. picked: [n] on the device."""
        length = self.length[picked]
        place = torch.arange(-(-(int(length.max()) + 2) // 8) * 8, device=picked.device)[None, :] - 1
        ids = self.ids[self.start[picked][:, None] + place.clamp(min=0)]
        ids = torch.where(place < length[:, None], ids, wordpiece.PAD)
        ids = torch.where(place == length[:, None], wordpiece.SEPARATOR, ids)
        return torch.where(place < 0, wordpiece.FIRST, ids)


def read_pairs(args):
    """kind -> [(ids, ids)], without [CLS] and [SEP]."""
    with open(args.pairs, encoding="utf-8") as file:
        lines = file.readlines()
    size = 20000
    jobs = [(args.vocabulary, lines[n:n + size]) for n in range(0, len(lines), size)]
    kinds = {}
    with multiprocessing.Pool(args.readers) as pool:
        for part in pool.imap(encode_lines, jobs):
            for kind, a, b in part:
                if a and b:
                    kinds.setdefault(kind, []).append((a, b))
    return kinds


def alike(first, second, count):
    """`count` pairs of about one length, so that little of a batch is padding."""
    longest = torch.maximum(first.length, second.length)
    order = (longest * (0.7 + 0.6 * torch.rand(longest.shape, device=longest.device))).argsort()
    start = int(torch.randint(max(1, len(order) - count), (1,)))
    return order[start:start + count]


def batch_size(args, kind):
    return {"word": 4, "program": 3, "title": 1, "gloss": 3}.get(kind, 1) * args.batch


def contrast(model, first, second, count, dropout):
    device = first.ids.device
    picked = alike(first, second, count)
    count = len(picked)
    va, vb = model.embed(first.framed(picked), dropout), model.embed(second.framed(picked), dropout)
    cosines = va @ vb.T / 0.05
    a, b = first.mark[picked], second.mark[picked]
    twins = ((a[:, None] == a[None, :]) | (b[:, None] == b[None, :])) & ~torch.eye(count, dtype=torch.bool, device=device)
    cosines = cosines.masked_fill(twins, -1e4)  # no wrong answers
    own = torch.arange(count, device=device)
    return (F.cross_entropy(cosines, own) + F.cross_entropy(cosines.T, own)) / 2


def guess(model, texts, count, dropout):
    device = texts.ids.device
    ids = texts.framed(alike(texts, texts, count))
    hidden = (torch.rand(ids.shape, device=device) < MASKED) & (ids > wordpiece.MASK)
    roll = torch.rand(ids.shape, device=device)
    shown = torch.where(hidden & (roll < 0.8), wordpiece.MASK, ids)
    shown = torch.where(hidden & (roll > 0.9), torch.randint(5, model.token_embd.num_embeddings, ids.shape, device=device), shown)
    x = model(shown, dropout=dropout)[hidden]
    return F.cross_entropy((x @ model.token_embd.weight.to(x.dtype).T).float(), ids[hidden])


def rate_at(done, top, warm):
    return top * min(1, done / warm) if done < warm else top * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))))


class Run:
    """Steps until the time is up; `done` goes from 0 to 1."""

    def __init__(self, model, args, seconds, top):
        groups = [{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.02},
                  {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
        self.model, self.args, self.seconds, self.top = model, args, seconds, top
        self.optimizer = torch.optim.AdamW(groups, lr=top, betas=(0.9, 0.98), eps=1e-6)
        self.began, self.count, self.means, self.told = time.time(), 0, {}, 0.0

    def done(self):
        return (time.time() - self.began) / self.seconds

    def step(self, name, loss):
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(min(1, self.done()), self.top, 0.04)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.count += 1
        if self.count % 20 == 0:
            self.means[name] = loss.item()
        if time.time() - self.told > 15:
            self.told = time.time()
            print(f"step {self.count}  {100 * self.done():.0f} %  " + "  ".join(f"{k} {v:.3f}" for k, v in sorted(self.means.items())), flush=True)


def train_encoder(model, kinds, args, device, rng):
    sides = {kind: [Texts([p[n] for p in pairs], device) for n in (0, 1)] for kind, pairs in kinds.items()}
    run = Run(model, args, args.seconds, args.rate)
    names, weights = [k for k in WEIGHTS if k in kinds], [w for k, w in WEIGHTS.items() if k in kinds]
    running = [k for k in RUNNING if k in kinds]
    while run.done() < 1:
        with torch.autocast(device, torch.bfloat16, enabled=args.bf16):
            if run.count % 3 == 2:
                run.step("guess", guess(model, rng.choice(sides[rng.choice(running)]), args.batch, 0.05))
            else:
                kind = rng.choices(names, weights)[0]
                run.step(kind, contrast(model, *sides[kind], batch_size(args, kind), 0.05))
    print(f"encoder: {run.count} steps, {time.time() - run.began:.0f} s", flush=True)


@torch.no_grad()
def nearest(model, kinds, args, device, rng):
    """kind -> [(a, b, [wrong b that the encoder finds near])], of a sample of each kind."""
    model.eval()
    out = {}
    for kind in (k for k in RANKED if k in kinds):
        picked = rng.sample(kinds[kind], min(len(kinds[kind]), args.mined))
        va, vb = [], []
        for n in range(0, len(picked), 1024):
            part = picked[n:n + 1024]
            with torch.autocast(device, torch.bfloat16, enabled=args.bf16):
                va.append(model.embed(bert.padded([bert.framed(x, length=CUT)[0] for x, _ in part], device)))
                vb.append(model.embed(bert.padded([bert.framed(y, length=CUT)[0] for _, y in part], device)))
        va, vb = torch.cat(va), torch.cat(vb)
        mined = []
        for n in range(0, len(picked), 2048):
            near = (va[n:n + 2048] @ vb.T).topk(min(40, len(picked)), dim=1).indices.tolist()
            for row, candidates in enumerate(near):
                a, b = picked[n + row]
                wrong = [c for c in candidates if picked[c][1] != b and picked[c][0] != a]
                mined.append((a, b, wrong))
        out[kind] = (picked, mined)
    model.train()
    return out


def train_ranker(model, kinds, mined, args, device, rng):
    run = Run(model, args, args.rank_seconds, args.rate / 2)
    names, weights = list(mined), [RANKED[k] for k in mined]
    groups = max(8, args.batch // 8)
    while run.done() < 1:
        kind = rng.choices(names, weights)[0]
        picked, sets = mined[kind]
        rows = []
        for _ in range(groups):
            a, b, wrong = rng.choice(sets)
            # Six that are near, from farther down the list too (the nearest may be right as well), and one by chance.
            others = [picked[c][1] for c in rng.sample(wrong[2:], min(6, max(0, len(wrong) - 2)))]
            others += [rng.choice(picked)[1] for _ in range(7 - len(others))]
            flip = kind in ("program", "help", "word", "gloss") and rng.random() < 0.3
            rows += [bert.framed(c, a, 192) if flip else bert.framed(a, c, 192) for c in [b] + others]
        with torch.autocast(device, torch.bfloat16, enabled=args.bf16):
            scores = model.score(bert.padded([r[0] for r in rows], device), bert.padded([r[1] for r in rows], device), 0.05).view(groups, 8)
            right = torch.zeros(groups, dtype=torch.long, device=device)
            # The list's order, and a little of each score's own meaning: a partner is above 0, the others below.
            target = F.one_hot(right, 8).float()
            loss = F.cross_entropy(scores, right) + 0.3 * F.binary_cross_entropy_with_logits(scores, target)
        run.step(kind, loss)
    print(f"cross-encoder: {run.count} steps, {time.time() - run.began:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--rank-seconds", type=float, default=120, help="0: no cross-encoder")
    parser.add_argument("--encoder", help="a GGUF to begin the cross-encoder with, in place of training one")
    parser.add_argument("--batch", type=int, default=1024, help="pairs of a step; more of those that are short")
    parser.add_argument("--mined", type=int, default=30000, help="pairs of a kind among which the cross-encoder's candidates are looked for")
    parser.add_argument("--rate", type=float, default=2.5e-4, help="at three times as much, nothing is learned")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readers", type=int, default=os.cpu_count())
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    os.makedirs(args.out, exist_ok=True)
    kinds = read_pairs(args)
    tokens = wordpiece.WordPiece.load(args.vocabulary).tokens
    model = bert.Bert(bert.SHAPE, len(tokens)).to(device)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {sum(map(len, kinds.values()))} pairs, "
          f"{sum(len(a) + len(b) for pairs in kinds.values() for a, b in pairs)} pieces, {device}", flush=True)
    if args.encoder:
        model.load_state_dict(bert.load(args.encoder)[0].state_dict())
    else:
        train_encoder(model, kinds, args, device, rng)
        bert.write(os.path.join(args.out, "qiao-encoder.gguf"), "qiao-encoder", "A small sentence encoder for Chinese and English.", model, tokens)
    if args.rank_seconds > 0:
        mined = nearest(model, kinds, args, device, rng)
        ranker = bert.Bert(bert.SHAPE, len(tokens), scores=True).to(device)
        ranker.load_state_dict(model.state_dict(), strict=False)
        train_ranker(ranker, kinds, mined, args, device, rng)
        bert.write(os.path.join(args.out, "qiao-ranker.gguf"), "qiao-ranker", "A small cross-encoder for Chinese and English.", ranker, tokens)


if __name__ == "__main__":
    main()
