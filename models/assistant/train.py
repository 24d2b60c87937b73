#!/usr/bin/env python3
"""Trains the Qwen3-architecture decoder on the CPU.

    train.py --corpus corpus.jsonl --tokenizer tokenizer.json --out run/ --steps 3000

Dialogues are packed into rows of --row tokens, each closed by <|endoftext|>; a row's dialogues do not see one
another, but positions run through the row, so that late positions are trained too. Only the answers' tokens
have a loss (plain texts: all). The weights stay float32; the matrix products run in bfloat16 where the CPU
is fast at it (--bf16). The rate warms up, holds, and falls along a cosine over the last --cooldown steps, so a
run can be cut short by resuming its checkpoint with fewer --steps.
"""

import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F

from tokenizer import Tokenizer

SHAPE = dict(dim=256, layers=6, heads=4, kv_heads=2, head_dim=64, ffn=704, theta=10000.0, eps=1e-6, context=1024)


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
        p = torch.softmax(q @ k.transpose(2, 3) * s["head_dim"] ** -0.5 + mask, -1)
        x = x + product((p @ v).transpose(1, 2).reshape(b, t, -1), self.attn_output.weight)
        y = self.ffn_norm(x)
        return x + product(F.silu(product(y, self.ffn_gate.weight)) * product(y, self.ffn_up.weight), self.ffn_down.weight)


class Model(torch.nn.Module):
    def __init__(self, shape, vocabulary):
        super().__init__()
        self.shape = shape
        self.token_embd = torch.nn.Embedding(vocabulary, shape["dim"])
        self.blk = torch.nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.output_norm = RmsNorm(shape["dim"], shape["eps"])
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                torch.nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape["layers"]) if deep else 0.02 if "embd" in name else shape["dim"] ** -0.5)

    def forward(self, ids, mask, product, positions=None):
        """ids: [batch][length]; mask: added to the scores. Returns the normed last hidden states."""
        cos, sin = rope_tables(self.shape, ids.shape[1] if positions is None else int(positions.max()) + 1)
        if positions is not None:
            cos, sin = cos[positions], sin[positions]
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, mask, cos, sin, product)
        return self.output_norm(x)


def product_fp32(x, weight):
    return F.linear(x, weight)


def product_bf16(x, weight):
    return F.linear(x.bfloat16(), weight.bfloat16()).float()


def load_documents(path, tokenizer):
    """Each document: (ids, whether each id is learned). <|endoftext|> closes it."""
    documents = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            if "text" in item:
                ids = tokenizer.encode(item["text"])
                learned = [True] * len(ids)
            else:
                ids, learned = tokenizer.chat(item["messages"], prompt=False)
            documents.append((ids + [tokenizer.end], learned + ["text" in item]))
    return documents


def rows(documents, length, seed):
    """Endless rows of `length` ids packed from shuffled documents; yields ids, learned, document numbers."""
    rng = random.Random(seed)
    ids, learned, owner, number = [], [], [], 0
    while True:
        order = list(range(len(documents)))
        rng.shuffle(order)
        for i in order:
            doc, mine = documents[i]
            if len(ids) + min(len(doc), 96) > length:  # the tail is padded with a cut document
                yield ids + [0] * (length - len(ids)), learned + [False] * (length - len(ids)), owner + [-1] * (length - len(ids))
                ids, learned, owner = [], [], []
            room = length - len(ids)
            ids, learned, owner = ids + doc[:room], learned + mine[:room], owner + [number] * min(room, len(doc))
            number += 1


def batch_of(source, count):
    picked = [next(source) for _ in range(count)]
    ids, learned, owner = (torch.tensor([r[k] for r in picked]) for k in range(3))
    t = ids.shape[1]
    seen = (owner[:, :, None] == owner[:, None, :]) & torch.ones(t, t, dtype=torch.bool).tril()
    mask = torch.zeros(count, 1, t, t).masked_fill_(~seen[:, None], -1e9)
    return ids, learned, mask


def rate_at(step, args):
    if step < args.warmup:
        return args.rate * (step + 1) / args.warmup
    left = args.steps - step
    if left >= args.cooldown:
        return args.rate
    return args.rate * (0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * left / args.cooldown)))


def save(path, model, optimizer, step, args):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "shape": model.shape,
                "settings": vars(args)}, path + ".part")
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--cooldown", type=int, default=900)
    parser.add_argument("--warmup", type=int, default=60)
    parser.add_argument("--row", type=int, default=256)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--long-every", type=int, default=16, help="each such step takes rows of four times the length, a quarter as many")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--save-every", type=int, default=100)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    os.makedirs(args.out, exist_ok=True)
    product = product_bf16 if args.bf16 else product_fp32
    tokenizer = Tokenizer.load(args.tokenizer)
    documents = load_documents(args.corpus, tokenizer)
    model = Model(SHAPE, len(tokenizer.tokens))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=args.rate, betas=(0.9, 0.97), eps=1e-8)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(documents)} documents, {sum(len(d[0]) for d in documents)} tokens", flush=True)

    step, path = 0, os.path.join(args.out, "checkpoint.pt")
    if os.path.exists(path):
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        print(f"resumed at step {step}", flush=True)
    short, long = rows(documents, args.row, args.seed + step), rows(documents, 4 * args.row, args.seed + 7 + step)
    began, seen, mean = time.time(), 0, None
    while step < args.steps:
        lengthy = args.long_every and step % args.long_every == args.long_every - 1
        ids, learned, mask = batch_of(long, max(1, args.batch // 4)) if lengthy else batch_of(short, args.batch)
        hidden = model(ids, mask, product)[:, :-1][learned[:, 1:]]  # only where the next id is learned
        logits = product(hidden, model.token_embd.weight)
        loss = F.cross_entropy(logits, ids[:, 1:][learned[:, 1:]])
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, args)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + ids.numel()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 20 == 0:
            print(f"step {step}/{args.steps}  loss {mean:.4f}  rate {optimizer.param_groups[0]['lr']:.2e}  {seen / (time.time() - began):.0f} tokens/s  "
                  f"{time.time() - began:.0f} s", flush=True)
        if step % args.save_every == 0 or step == args.steps:
            save(path, model, optimizer, step, args)


if __name__ == "__main__":
    main()
