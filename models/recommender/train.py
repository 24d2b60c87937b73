#!/usr/bin/env python3
"""Trains a SASRec on histories and writes it as a GGUF file that qiao-node serves.

    train.py --events events.ndjson --out model.gguf [--report report.json] [--name NAME] [--sequences FILE]

The events are what `qiaoctl recommender export` writes, a user a line: {"user": …, "items": [ids, oldest first],
"times": [ms]}. Of each user with three items and more the last one is kept to be found (test), the one before to choose the best
epoch by (validation), the rest is learned from. The report has HR@k and NDCG@k over the full catalogue, without the items
that the user had before, beside what three simple rules reach: the most popular, items seen together (co-visitation), and
what most often followed the last item.

Debian's python3-torch and python3-numpy; one thread unless --threads says otherwise. The model is the one of
node/model/sasrec.h; every row is an item, and the last position is the newest item's.
"""

import argparse
import json
import math
import struct
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

CUTS = (5, 10, 20)
U32, F32, STRING, ARRAY = 4, 6, 8, 9  # value types of GGUF keys
TENSOR_F32, ALIGNMENT = 0, 32


# ---- what is learned from


def read_events(path, least):
    """(users, item ids, histories as lists of rows). Rows are numbered by how often an item comes, the most often first."""
    histories, counts = [], {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                user, items = record["user"], record["items"]
                times = record.get("times") or list(range(len(items)))
                if len(times) != len(items) or not all(isinstance(item, str) and item for item in items):
                    raise ValueError("items have to be ids, with a time for each")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sys.exit(f"{path}:{number}: {error}")
            items = [item for _, item in sorted(zip(times, items), key=lambda pair: pair[0])]
            items = [item for at, item in enumerate(items) if at == 0 or item != items[at - 1]]
            histories.append((user, items))
            for item in items:
                counts[item] = counts.get(item, 0) + 1
    ids = sorted((item for item in counts if counts[item] >= least), key=lambda item: (-counts[item], item))
    if not ids:
        sys.exit(f"{path}: no items")
    row = {item: at for at, item in enumerate(ids)}
    kept = [(user, [row[item] for item in items if item in row]) for user, items in histories]
    kept = [(user, rows) for user, rows in kept if len(rows) >= 2]
    return [user for user, _ in kept], ids, [rows for _, rows in kept]


# ---- the model: node/model/sasrec.h


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads, self.dropout = o.heads, o.dropout
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            setattr(self, name, nn.Linear(o.dim, o.dim))
        self.attn_output_norm = nn.LayerNorm(o.dim, eps=o.epsilon)
        self.ffn_up, self.ffn_down = nn.Linear(o.dim, o.ffn), nn.Linear(o.ffn, o.dim)
        self.layer_output_norm = nn.LayerNorm(o.dim, eps=o.epsilon)

    def drop(self, x):
        return functional.dropout(x, self.dropout, self.training)

    def forward(self, x, mask):
        batch, length, dim = x.shape
        split = lambda y: y.view(batch, length, self.heads, dim // self.heads).transpose(1, 2)
        q, k, v = split(self.attn_q(x)), split(self.attn_k(x)), split(self.attn_v(x))
        scores = q @ k.transpose(2, 3) / math.sqrt(dim // self.heads) + mask
        mixed = (self.drop(scores.softmax(-1)) @ v).transpose(1, 2).reshape(batch, length, dim)
        x = self.attn_output_norm(x + self.drop(self.attn_output(mixed)))
        return self.layer_output_norm(x + self.drop(self.ffn_down(functional.gelu(self.ffn_up(x)))))


class Model(nn.Module):
    def __init__(self, items, o):
        super().__init__()
        self.item_embd = nn.Embedding(items + 1, o.dim)  # the last row is padding, and stays here
        self.position_embd = nn.Embedding(o.context, o.dim)
        self.embd_norm = nn.LayerNorm(o.dim, eps=o.epsilon)
        self.blk = nn.ModuleList(Block(o) for _ in range(o.blocks))
        self.padding, self.dropout = items, o.dropout
        for weight in (self.item_embd.weight, self.position_embd.weight):
            nn.init.normal_(weight, std=0.05)

    def forward(self, rows):
        """[batch, length] of rows, padded in front -> [batch, length, dim]."""
        length = rows.shape[1]
        mask = torch.full((length, length), -1e9).triu(1) + torch.where(rows == self.padding, -1e9, 0.0)[:, None, None, :]
        positions = self.position_embd.weight[-length:]
        x = functional.dropout(self.embd_norm(self.item_embd(rows) + positions), self.dropout, self.training)
        for block in self.blk:
            x = block(x, mask)
        return x

    def scores(self, hidden):
        return hidden @ self.item_embd.weight[:-1].T


def padded(histories, length, padding):
    out = np.full((len(histories), length), padding, dtype=np.int64)
    for at, history in enumerate(histories):
        tail = history[-length:]
        if tail:
            out[at, length - len(tail):] = tail
    return torch.from_numpy(out)


# ---- how good it is


def judge(score, histories, targets, batch=512):
    """HR@k and NDCG@k of `score` (histories -> [n, items] array); what a user had before is not in the list, and who had
    the target before is passed over."""
    asked = [(h, t) for h, t in zip(histories, targets) if t not in h and h]
    hits, gains = dict.fromkeys(CUTS, 0.0), dict.fromkeys(CUTS, 0.0)
    for first in range(0, len(asked), batch):
        part = asked[first:first + batch]
        scores = np.array(score([h for h, _ in part]), dtype=np.float32)
        for at, (history, target) in enumerate(part):
            scores[at, history] = -np.inf
            ours = scores[at, target]
            rank = int((scores[at] > ours).sum() + (scores[at, :target] == ours).sum())
            for cut in CUTS:
                if rank < cut:
                    hits[cut] += 1
                    gains[cut] += 1 / math.log2(rank + 2)
    count = max(1, len(asked))
    return {"users": len(asked), **{f"HR@{k}": round(hits[k] / count, 4) for k in CUTS},
            **{f"NDCG@{k}": round(gains[k] / count, 4) for k in CUTS}}


def rules(histories, items):
    """The simple ones, learned from the same histories."""
    popular = np.zeros(items, dtype=np.float32)
    together = np.zeros((items, items), dtype=np.float32)
    follows = np.zeros((items, items), dtype=np.float32)
    for history in histories:
        popular[history] += 1
        for at, item in enumerate(history):
            for other in history[max(0, at - 5):at]:
                if other != item:
                    together[other, item] += 1
                    together[item, other] += 1
            if at:
                follows[history[at - 1], item] += 1
    cosine = together / np.sqrt(np.maximum(popular[:, None] * popular[None, :], 1))
    faint = popular / (popular.max() + 1) * 1e-3  # where a rule knows nothing

    def seen_together(part):
        out = np.zeros((len(part), items), dtype=np.float32)
        for at, history in enumerate(part):
            for age, item in enumerate(reversed(history[-20:])):
                out[at] += cosine[item] * 0.85 ** age
        return out + faint

    return {"popularity": lambda part: np.tile(popular, (len(part), 1)), "co_visitation": seen_together,
            "last_item_followed_by": lambda part: np.stack([follows[h[-1]] for h in part]) + faint}


def model_scores(model, context):
    def score(part):
        model.eval()
        with torch.no_grad():
            return model.scores(model(padded(part, context, model.padding))[:, -1]).numpy()

    return score


# ---- learning


def progress(text, done, total, started):
    if not sys.stderr.isatty() and done < total:
        return
    share = done / max(1, total)
    bar = "#" * int(30 * share) + "-" * (30 - int(30 * share))
    left = (time.time() - started) / max(share, 1e-6) * (1 - share)
    sys.stderr.write(f"\r{text} [{bar}] {100 * share:3.0f}% {left:4.0f} s left " + ("\n" if done == total else ""))
    sys.stderr.flush()


def batches(histories, o, padding, rng):
    """Histories in random order, each cut at a random place half of the time, so that short ones are known as well."""
    cut = []
    for at in rng.permutation(len(histories)):
        history = histories[at]
        end = len(history) if rng.random() < 0.5 or len(history) <= 2 else int(rng.integers(2, len(history) + 1))
        cut.append(history[max(0, end - o.context - 1):end])
    pool = 16 * o.batch  # those of like length go together, for less padding
    parts = [part[first:first + o.batch] for part in (sorted(cut[at:at + pool], key=len) for at in range(0, len(cut), pool))
             for first in range(0, len(part), o.batch)]
    for at in rng.permutation(len(parts)):
        part = parts[at]
        length = max(len(history) for history in part) - 1
        yield padded([h[:-1] for h in part], length, padding), padded([h[1:] for h in part], length, padding)


def train(model, learned, validation, o):
    learned = [history for history in learned if len(history) >= 2]
    rng = np.random.default_rng(o.seed)
    pool = 16 * o.batch
    steps = o.epochs * sum(math.ceil(min(pool, len(learned) - at) / o.batch) for at in range(0, len(learned), pool))
    optimizer = torch.optim.AdamW(model.parameters(), lr=o.rate, weight_decay=o.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, o.rate, total_steps=steps + 1, pct_start=0.1)
    best, kept, step, started = -1, None, 0, time.time()
    for epoch in range(1, o.epochs + 1):
        model.train()
        total = count = 0
        for rows, targets in batches(learned, o, model.padding, rng):
            wanted = targets != model.padding
            loss = functional.cross_entropy(model.scores(model(rows)[wanted]), targets[wanted], label_smoothing=o.smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            total, count = total + loss.item(), count + 1
            progress(f"epoch {epoch}/{o.epochs} loss {total / count:.3f}", step, steps, started)
        figures = judge(model_scores(model, o.context), *validation)
        sys.stderr.write(f"\repoch {epoch}: loss {total / count:.4f}, validation NDCG@10 {figures['NDCG@10']:.4f} HR@10 {figures['HR@10']:.4f}, {time.time() - started:.0f} s\033[K\n")
        if figures["NDCG@10"] > best:
            best, kept = figures["NDCG@10"], {name: value.clone() for name, value in model.state_dict().items()}
    if kept:
        model.load_state_dict(kept)
    return time.time() - started


# ---- the file


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, value):
    if kind == ARRAY:
        return string(name) + struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(string(v) for v in value)
    body = string(value) if kind == STRING else struct.pack({U32: "<I", F32: "<f"}[kind], value)
    return string(name) + struct.pack("<I", kind) + body


def write_gguf(path, model, ids, o):
    keys = [
        key("general.architecture", STRING, "sasrec"), key("general.name", STRING, o.name),
        key("general.file_type", U32, 0), key("sasrec.context_length", U32, o.context),
        key("sasrec.embedding_length", U32, o.dim), key("sasrec.block_count", U32, o.blocks),
        key("sasrec.feed_forward_length", U32, o.ffn), key("sasrec.attention.head_count", U32, o.heads),
        key("sasrec.attention.layer_norm_epsilon", F32, o.epsilon), key("sasrec.vocab_size", U32, len(ids)),
        key("sasrec.item_ids", ARRAY, ids),
    ]
    tensors = []
    for name, value in model.state_dict().items():
        array = value.numpy().astype("<f4")
        if name == "item_embd.weight":
            array = array[:-1]
        tensors.append((name, np.ascontiguousarray(array)))
    infos, data = [], []
    offset = 0
    for name, array in tensors:
        infos.append(string(name) + struct.pack("<I", array.ndim) + b"".join(struct.pack("<Q", n) for n in reversed(array.shape)) +
                     struct.pack("<IQ", TENSOR_F32, offset))
        data.append(array.tobytes() + bytes(-array.nbytes % ALIGNMENT))
        offset += len(data[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(infos)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + b"".join(data))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", required=True, help="NDJSON, as qiaoctl recommender export writes it")
    parser.add_argument("--out", required=True, help="the GGUF file")
    parser.add_argument("--report", help="JSON with the figures")
    parser.add_argument("--sequences", help="histories as rows, for qiao-probe recommend --sequences")
    parser.add_argument("--name", default="qiao-recommender")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--ffn", type=int, help="width of the inner layer; four times --dim unless given")
    parser.add_argument("--context", type=int, default=50, help="newest items that count")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--smoothing", type=float, default=0.0, help="of the labels")
    parser.add_argument("--least", type=int, default=1, help="an item that comes less often is left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    o.ffn = o.ffn or 4 * o.dim
    o.epsilon = 1e-12
    if o.dim % o.heads:
        parser.error("--heads has to divide --dim")
    return o


def main():
    o = parse()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    users, ids, histories = read_events(o.events, o.least)
    events = sum(len(history) for history in histories)
    print(f"{len(users)} users, {len(ids)} items, {events} events", file=sys.stderr)
    held = [history for history in histories if len(history) >= 3]
    if not held:
        sys.exit("no user has three items: nothing can be judged")
    learned = [history[:-2] if len(history) >= 3 else history for history in histories]
    model = Model(len(ids), o)
    seconds = train(model, learned, ([h[:-2] for h in held], [h[-2] for h in held]), o)
    test = ([h[:-1] for h in held], [h[-1] for h in held])
    report = {"users": len(users), "items": len(ids), "events": events, "settings": {k: v for k, v in vars(o).items() if k not in ("events", "out", "report", "sequences")},
              "seconds": round(seconds), "protocol": "leave-one-out, full catalogue, without the items that the user had before",
              "model": judge(model_scores(model, o.context), *test)}
    print("judging the simple rules", file=sys.stderr)
    report.update({name: judge(score, *test) for name, score in rules([h[:-1] for h in histories], len(ids)).items()})
    write_gguf(o.out, model, ids, o)
    if o.report:
        with open(o.report, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    if o.sequences:
        with open(o.sequences, "w", encoding="utf-8") as file:
            for user, history in zip(users, histories):
                file.write(" ".join(["".join(user.split()), *map(str, history)]) + "\n")
    width = max(len(name) for name in report)
    for name in ("model", "popularity", "co_visitation", "last_item_followed_by"):
        print(name.ljust(width), " ".join(f"{k} {v}" for k, v in report[name].items()))


if __name__ == "__main__":
    main()
