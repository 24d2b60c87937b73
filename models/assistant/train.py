#!/usr/bin/env python3
"""Trains the Qwen3-architecture decoder, on a GPU where there is one.

    train.py --tokenizer tokenizer.json --out run/ --seconds 420 --dialogues dialogues/ --bf16 --compile

Dialogues are made while it trains, by worker processes that each have a seed (generate.py), so that none is seen twice
but people's. They are packed into rows of --row tokens, each closed by <|endoftext|>; a row's dialogues do not see one
another, but positions run through the row, so that late positions are trained too. Only the answers' tokens have a loss
(plain texts: all). The weights stay float32; the products run in bfloat16 with --bf16. The rate warms up, holds, and
falls along a cosine over the second half of the time. On a CPU: --row 512 --batch 8, and an hour or two.
"""

import argparse
import math
import multiprocessing
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from generate import Source
from tokenizer import Tokenizer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gguf_file

SHAPE = dict(dim=320, layers=8, heads=6, kv_heads=2, head_dim=64, ffn=896, theta=10000.0, eps=1e-6, context=2048)


class RmsNorm(torch.nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope_tables(shape, length):
    half = shape["head_dim"] // 2
    rate = shape["theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
    return angle.cos().float(), angle.sin().float()  # [length][half]


def rotate(x, cos, sin):
    """Half-split RoPE; x: [batch][heads][length][head_dim]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attend(q, k, v, mask):
    """softmax(q k / sqrt(width) + mask) v; older torch has no function of its own for it."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, attn_mask=mask.to(v.dtype))
    return torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + mask, -1) @ v


class Block(torch.nn.Module):
    def __init__(self, s):
        super().__init__()
        self.shape = s
        linear = lambda i, o: torch.nn.Linear(i, o, bias=False)
        self.attn_norm, self.ffn_norm = RmsNorm(s["dim"], s["eps"]), RmsNorm(s["dim"], s["eps"])
        self.attn_q, self.attn_output = linear(s["dim"], s["heads"] * s["head_dim"]), linear(s["heads"] * s["head_dim"], s["dim"])
        self.attn_k, self.attn_v = linear(s["dim"], s["kv_heads"] * s["head_dim"]), linear(s["dim"], s["kv_heads"] * s["head_dim"])
        self.attn_q_norm, self.attn_k_norm = RmsNorm(s["head_dim"], s["eps"]), RmsNorm(s["head_dim"], s["eps"])
        self.ffn_gate, self.ffn_up, self.ffn_down = linear(s["dim"], s["ffn"]), linear(s["dim"], s["ffn"]), linear(s["ffn"], s["dim"])

    def forward(self, x, mask, cos, sin, product):
        s, (b, t, _) = self.shape, x.shape
        y = self.attn_norm(x)
        split = lambda z, n: z.view(b, t, n, s["head_dim"]).transpose(1, 2)
        q = rotate(self.attn_q_norm(split(product(y, self.attn_q.weight), s["heads"])), cos, sin)
        k = rotate(self.attn_k_norm(split(product(y, self.attn_k.weight), s["kv_heads"])), cos, sin)
        v = split(product(y, self.attn_v.weight), s["kv_heads"])
        group = s["heads"] // s["kv_heads"]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        x = x + product(attend(q, k, v, mask).transpose(1, 2).reshape(b, t, -1), self.attn_output.weight)
        y = self.ffn_norm(x)
        return x + product(F.silu(product(y, self.ffn_gate.weight)) * product(y, self.ffn_up.weight), self.ffn_down.weight)


class Model(torch.nn.Module):
    def __init__(self, shape, vocabulary):
        super().__init__()
        self.shape = shape
        self.token_embd = torch.nn.Embedding(vocabulary, shape["dim"])
        self.blk = torch.nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.output_norm = RmsNorm(shape["dim"], shape["eps"])
        for name, table in zip(("cos", "sin"), rope_tables(shape, shape["context"])):
            self.register_buffer(name, table, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                torch.nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape["layers"]) if deep else 0.02 if "embd" in name else shape["dim"] ** -0.5)

    def forward(self, ids, mask, product, positions=None):
        """ids: [batch][length]; mask: added to the scores. Returns the normed last hidden states."""
        cos, sin = (self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]) if positions is None else (self.cos[positions], self.sin[positions])
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, mask, cos, sin, product)
        return self.output_norm(x)


def product_fp32(x, weight):
    return F.linear(x, weight)


def product_bf16(x, weight):
    return F.linear(x.bfloat16(), weight.bfloat16()).float()


def document(item, tokenizer):
    """Its ids, and whether each is learned. <|endoftext|> closes it."""
    if "text" in item:
        ids = tokenizer.encode(item["text"])
        learned = [True] * len(ids)
    else:
        ids, learned = tokenizer.chat(item["messages"], prompt=False)
    return ids + [tokenizer.end], learned + ["text" in item]


def rows(source, tokenizer, length):
    """Endless rows of `length` ids packed from dialogues; yields ids, learned, document numbers (-1: padding)."""
    ids, learned, owner, number = [], [], [], 0
    while True:
        doc, mine = document(source.next(), tokenizer)
        if len(ids) + min(len(doc), 96) > length:  # the tail is padded with a cut document
            pad = length - len(ids)
            yield ids + [0] * pad, learned + [False] * pad, owner + [-1] * pad
            ids, learned, owner = [], [], []
        room = length - len(ids)
        ids, learned, owner = ids + doc[:room], learned + mine[:room], owner + [number] * min(room, len(doc))
        number += 1


def produce(args, seed, queue):
    source = Source(seed, args.focus, args.notes, args.talks, args.dialogues)
    made = rows(source, Tokenizer.load(args.tokenizer), args.row)
    while True:
        picked = [next(made) for _ in range(args.batch)]
        queue.put(tuple(np.array([row[k] for row in picked], dtype=kind) for k, kind in enumerate((np.int32, np.bool_, np.int32))))


def batches(args):
    """The workers start at once, before anybody else has threads."""
    queue = multiprocessing.Queue(maxsize=2 * args.workers)
    workers = [multiprocessing.Process(target=produce, args=(args, args.seed * 1000 + n, queue), daemon=True) for n in range(args.workers)]
    for worker in workers:
        worker.start()
    return iter(queue.get, None), workers


def mask_of(owner):
    t = owner.shape[1]
    seen = (owner[:, :, None] == owner[:, None, :]) & torch.ones(t, t, dtype=torch.bool, device=owner.device).tril()
    return torch.zeros(seen.shape, device=owner.device).masked_fill_(~seen, -1e9)[:, None]


def rate_at(done, args):
    if done < 0.02:
        return args.rate * (done + 0.001) / 0.021
    return args.rate * (1 if done < 0.5 else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5)))


def save(path, model, step, args):
    torch.save({"model": model.state_dict(), "step": step, "shape": model.shape, "settings": vars(args)}, path + ".part")
    os.replace(path + ".part", path)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--begin", help="a GGUF whose weights to begin with")
    parser.add_argument("--row", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 4))
    parser.add_argument("--focus", type=float, default=0.25, help="share of dialogues about what is hardest (generate.py)")
    parser.add_argument("--notes", type=float, default=0.3, help="share of dialogues over notes (grounded.py)")
    parser.add_argument("--talks", type=float, default=0.02, help="share of people's dialogues, of --dialogues")
    parser.add_argument("--dialogues", help="folder with kdconv/ and crosswoz/")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    os.makedirs(args.out, exist_ok=True)
    source, workers = batches(args)
    product = product_bf16 if args.bf16 and device == "cpu" else product_fp32
    model = Model(SHAPE, len(Tokenizer.load(args.tokenizer).tokens)).to(device)
    if args.begin:
        model.load_state_dict({k: torch.tensor(v) for k, v in gguf_file.load(args.begin)[1].items()})
    groups = [{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.05},
              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.97), eps=1e-8)
    run = torch.compile(model) if args.compile else model
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {device}", flush=True)
    path = os.path.join(args.out, "checkpoint.pt")
    step, seen, began, told, mean = 0, 0, time.time(), time.time(), None
    while (done := (time.time() - began) / args.seconds) < 1:
        ids, learned, owner = (torch.from_numpy(a).to(device) for a in next(source))
        ids, wanted = ids.long(), learned[:, 1:]
        with torch.autocast(device, torch.bfloat16, enabled=args.bf16 and device == "cuda"):
            hidden = run(ids, mask_of(owner), product)[:, :-1][wanted]  # only where the next id is learned
            logits = product(hidden, model.token_embd.weight)
        loss = F.cross_entropy(logits.float(), ids[:, 1:][wanted])
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, args)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + ids.numel()
        if time.time() - told > 15:
            told = time.time()
            mean = loss.item()
            print(f"step {step}  {100 * done:.0f} %  loss {mean:.4f}  {seen / (told - began):.0f} tokens/s", flush=True)
            save(path, model, step, args)
    save(path, model, step, args)
    print(f"{step} steps, {seen} tokens, {time.time() - began:.0f} s", flush=True)
    for worker in workers:  # they wait with full hands
        worker.kill()


if __name__ == "__main__":
    main()
