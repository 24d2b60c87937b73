#!/usr/bin/env python3
"""The same recommendations by torch: what a Python server of a SASRec computes for a batch of requests.

    sasrec.py MODEL.gguf [--batch 64] [--threads 2] [--seconds 5] [--top 20] [--length 50] [--seed 1]
    sasrec.py MODEL.gguf --sequences FILE [--lists N]      lists of N rows for each user of a file, as qiao-probe recommend prints them

Reads the weights from the GGUF file (F32), pads the histories to the longest of the batch, scores the whole catalogue, takes
what was seen out and the top of it. Prints requests/s. Debian's python3-torch.
"""

import argparse
import os
import random
import struct
import time

# torch has threads of its own; OpenBLAS' beside them, waiting in loops, cost it up to nine tenths of its speed here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
import torch
from torch.nn import functional

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def read_gguf(path):
    """(keys that are numbers or texts, tensors by name)."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    at = 8
    take = lambda form: struct.unpack_from("<" + form, data, at)

    def text():
        nonlocal at
        size, = take("Q")
        at += 8 + size
        return bytes(data[at - size:at]).decode()

    def value(kind):
        nonlocal at
        if kind == 8:
            return text()
        if kind == 9:
            item, count = take("IQ")
            at += 12
            if item != 8:
                at += SIZES[item] * count
                return None
            return [text() for _ in range(count)]
        form = {4: "I", 5: "i", 6: "f"}.get(kind)
        found = take(form)[0] if form else None
        at += SIZES[kind]
        return found

    tensor_count, key_count = take("QQ")
    at += 16
    keys, infos = {}, []
    for _ in range(key_count):
        name = text()
        kind, = take("I")
        at += 4
        keys[name] = value(kind)
    for _ in range(tensor_count):
        name = text()
        rank, = take("I")
        dims = struct.unpack_from(f"<{rank}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * rank)
        at += 16 + 8 * rank
        assert kind == 0, f"{name} is not F32"
        infos.append((name, dims, offset))
    start = (at + 31) // 32 * 32
    tensors = {}
    for name, dims, offset in infos:
        count = int(np.prod(dims))
        array = np.frombuffer(data, dtype="<f4", count=count, offset=start + offset).reshape(tuple(reversed(dims)))
        tensors[name] = torch.from_numpy(np.array(array))
    return keys, tensors


class Sasrec:
    def __init__(self, path):
        keys, self.t = read_gguf(path)
        self.context, self.heads = keys["sasrec.context_length"], keys["sasrec.attention.head_count"]
        self.blocks, self.epsilon = keys["sasrec.block_count"], keys["sasrec.attention.layer_norm_epsilon"]
        self.items = self.t["item_embd.weight"]
        self.catalogue = self.items.T.contiguous()

    def norm(self, x, name):
        return functional.layer_norm(x, x.shape[-1:], self.t[name + ".weight"], self.t[name + ".bias"], self.epsilon)

    def linear(self, x, name):
        return functional.linear(x, self.t[name + ".weight"], self.t[name + ".bias"])

    def vectors(self, histories):
        histories = [h[-self.context:] for h in histories]
        length = max(map(len, histories))
        rows = torch.zeros(len(histories), length, dtype=torch.long)
        empty = torch.zeros(len(histories), length)
        for at, history in enumerate(histories):
            rows[at, length - len(history):] = torch.tensor(history)
            empty[at, :length - len(history)] = -1e9
        x = self.norm(self.items[rows] + self.t["position_embd.weight"][-length:], "embd_norm")
        mask = torch.full((length, length), -1e9).triu(1) + empty[:, None, None, :]
        split = lambda y: y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)
        for block in range(self.blocks):
            part = lambda name, block=block: f"blk.{block}.{name}"
            q, k, v = (split(self.linear(x, part(f"attn_{name}"))) for name in "qkv")
            scores = (q @ k.transpose(2, 3) / (q.shape[-1] ** 0.5) + mask).softmax(-1)
            mixed = (scores @ v).transpose(1, 2).reshape(x.shape)
            x = self.norm(x + self.linear(mixed, part("attn_output")), part("attn_output_norm"))
            inner = functional.gelu(self.linear(x, part("ffn_up")))
            x = self.norm(x + self.linear(inner, part("ffn_down")), part("layer_output_norm"))
        return x[:, -1]

    def lists(self, histories, top, seen_score=-float("inf")):
        scores = self.vectors(histories) @ self.catalogue
        for at, history in enumerate(histories):
            scores[at, history] = seen_score
        return scores.topk(top)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sequences")
    parser.add_argument("--lists", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = Sasrec(options.model)
    if options.sequences:
        users = [line.split() for line in open(options.sequences, encoding="utf-8") if len(line.split()) > 2]
        for first in range(0, len(users), options.batch):
            part = users[first:first + options.batch]
            rows = model.lists([[int(i) for i in user[1:-1]] for user in part], options.lists, 0.0).indices.tolist()
            for user, found in zip(part, rows):
                print(user[0], *found)
        return
    chance = random.Random(options.seed)
    drawn = [[[chance.randrange(len(model.items)) for _ in range(chance.randint(1, options.length))] for _ in range(options.batch)]
             for _ in range(32)]
    done, started = 0, None
    with torch.inference_mode():
        while not started or time.perf_counter() - started < options.seconds:
            model.lists(drawn[done % len(drawn)], options.top)
            done += 1
            if done == 3 and not started:  # warm
                done, started = 0, time.perf_counter()
        seconds = time.perf_counter() - started
    print(f"{len(model.items)} items, {options.threads} threads, batch {options.batch}, top {options.top}, histories of 1 to "
          f"{options.length}: {done * options.batch / seconds:.0f} requests/s, {1000 * seconds / done:.2f} ms a batch")


if __name__ == "__main__":
    main()
