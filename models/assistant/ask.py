#!/usr/bin/env python3
"""A reference answer from the exported GGUF itself: greedy, float32 over the dequantised weights.

    ask.py --model qiao-mini.gguf "How much is the Bamboo 5?" ["and a follow-up" ...]
    ask.py --model qiao-mini.gguf --golden golden.json      runs the demo questions and writes prompts, ids, answers

Reads the file with a reader of our own, tokenizer included, so that the file is checked end to end.
"""

import argparse
import json
import os
import sys

import torch

from tokenizer import Tokenizer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from gguf_file import load


class Assistant:
    def __init__(self, path):
        self.keys, tensors = load(path)
        self.w = {name: torch.tensor(array) for name, array in tensors.items()}
        get = lambda k: self.keys["qwen3." + k]
        self.layers, self.heads, self.kv_heads = get("block_count"), get("attention.head_count"), get("attention.head_count_kv")
        self.head_dim, self.eps, self.theta = get("attention.key_length"), get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")
        self.context = get("context_length")
        self.tokenizer = Tokenizer([m.split(" ") for m in self.keys["tokenizer.ggml.merges"]])
        if self.tokenizer.tokens != self.keys["tokenizer.ggml.tokens"]:
            raise ValueError("the merges do not make the file's tokens")

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.w[name]

    def step(self, ids, cache, start):
        """Feeds ids at positions start..; cache: per layer (k, v). Returns the logits after the last id."""
        half = self.head_dim // 2
        angle = torch.arange(start, start + len(ids), dtype=torch.float64)[:, None] * self.theta ** (-torch.arange(half, dtype=torch.float64) / half)
        cos, sin = angle.cos().float()[:, None], angle.sin().float()[:, None]  # [length][1][half]

        def rotate(x):
            a, b = x.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        x = self.w["token_embd.weight"][ids]
        for n in range(self.layers):
            w = lambda part: self.w[f"blk.{n}.{part}.weight"]
            y = self.norm(x, f"blk.{n}.attn_norm.weight")
            q = rotate(self.norm((y @ w("attn_q").T).view(len(ids), self.heads, -1), f"blk.{n}.attn_q_norm.weight"))
            k = rotate(self.norm((y @ w("attn_k").T).view(len(ids), self.kv_heads, -1), f"blk.{n}.attn_k_norm.weight"))
            v = (y @ w("attn_v").T).view(len(ids), self.kv_heads, -1)
            if cache[n] is not None:
                k, v = torch.cat((cache[n][0], k)), torch.cat((cache[n][1], v))
            cache[n] = (k, v)
            group = self.heads // self.kv_heads
            scores = torch.einsum("thd,shd->hts", q, k.repeat_interleave(group, 1)) * self.head_dim ** -0.5
            late = torch.arange(k.shape[0])[None, :] > torch.arange(start, start + len(ids))[:, None]
            p = torch.softmax(scores.masked_fill(late, float("-inf")), -1)
            x = x + torch.einsum("hts,shd->thd", p, v.repeat_interleave(group, 1)).reshape(len(ids), -1) @ w("attn_output").T
            y = self.norm(x, f"blk.{n}.ffn_norm.weight")
            x = x + (torch.nn.functional.silu(y @ w("ffn_gate").T) * (y @ w("ffn_up").T)) @ w("ffn_down").T
        return self.norm(x[-1], "output_norm.weight") @ self.w["token_embd.weight"].T

    def answer(self, messages, limit=200):
        prompt, _ = self.tokenizer.chat(messages)
        return self.tokenizer.decode(self.continue_ids(prompt, limit)), prompt

    def continue_ids(self, prompt, limit):
        cache, out, feed, start = [None] * self.layers, [], prompt, 0
        with torch.no_grad():
            while len(out) < limit and start + len(feed) < self.context:
                best = int(self.step(feed, cache, start).argmax())
                if best in (self.tokenizer.stop, self.tokenizer.end):
                    break
                out.append(best)
                start, feed = start + len(feed), [best]
        return out


# System message or None, the user's turns, the words that the last answer must hold.
DEMO = [
    (None, ["How much is the Bamboo 5?"], ["1999"]),
    (None, ["青竹 5 多少钱？"], ["1999", "元"]),
    ("You are a helpful assistant.", ["你好，你是谁？"], ["小桥", "模型"]),
    ("You are a helpful assistant.", ["Who are you?"], ["Qiao", "model"]),
    (None, ["How long does delivery take?"], ["two to three days"]),
    (None, ["可以退货吗？"], ["7 天", "退"]),
    (None, ["Tell me about the Summit 9.", "What colours does it come in?"], ["black", "gold"]),
    (None, ["介绍一下溪流耳机。", "多少钱？"], ["399"]),
    (None, ["My name is Emma.", "What do you recommend for running?", "What is my name?"], ["Emma"]),
    ("你是一个有用的助手。", ["我叫李明。", "一周有几天？", "我叫什么名字？"], ["李明"]),
    (None, ["What is the capital of France?", "你们几点关门？"], ["晚上 9 点"]),
    (None, ["Which is cheaper, the Dawn watch or the Pulse band?"], ["Pulse band", "cheaper"]),
    (None, ["What time is it now?"], ["clock"]),
    (None, ["今天天气怎么样？"], ["天气"]),
    (None, ["What is 7 plus 5?"], ["12"]),
    (None, ["苹果用英语怎么说？"], ["apple"]),
    (None, ["Tell me a story about a fox."], ["fox"]),
    (None, ["给我讲个故事。"], ["从前"]),
]


def run_demo(assistant, path):
    items, wrong = [], 0
    for system, users, expect in DEMO:
        messages = [{"role": "system", "content": system}] if system else []
        for user in users:
            messages.append({"role": "user", "content": user})
            text, prompt = assistant.answer(messages)
            messages.append({"role": "assistant", "content": text})
        good = all(word in text for word in expect)
        wrong += not good
        print(("ok   " if good else "WRONG"), " / ".join(users), "->", text.replace("\n", "\\n"))
        items.append({"language": "zh" if any("\u4e00" <= c <= "\u9fff" for c in users[-1]) else "en",
                      "messages": messages[:-1], "prompt_ids": prompt, "answer": text, "expect": expect})
    if path:
        with open(path, "w", encoding="utf-8") as out:
            out.write("[\n" + ",\n".join(json.dumps(i, ensure_ascii=False) for i in items) + "\n]\n")
    print(f"{len(items) - wrong} of {len(items)} as expected")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--system")
    parser.add_argument("--golden", metavar="FILE")
    parser.add_argument("--plain", metavar="TEXT", help="continue this text without a template")
    parser.add_argument("questions", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    assistant = Assistant(args.model)
    if args.plain:
        print(args.plain + assistant.tokenizer.decode(assistant.continue_ids(assistant.tokenizer.encode(args.plain), 200)))
        return 0
    if not args.questions:
        return run_demo(assistant, args.golden)
    messages = [{"role": "system", "content": args.system}] if args.system else []
    for question in args.questions:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": assistant.answer(messages)[0]})
        print(f"> {question}\n{messages[-1]['content']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
