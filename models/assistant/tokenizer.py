#!/usr/bin/env python3
"""A byte-level BPE tokenizer (GPT-2's byte alphabet, the pre-tokenizer of `qwen2`): training and encoding.

    tokenizer.py --corpus corpus.jsonl --size 4096 --out tokenizer.json

Ids: 256 byte symbols, then one id for each merge, then the three special tokens; `size` counts all of them.
"""

import argparse
import collections
import heapq
import json

import regex

PATTERN = regex.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_alphabet():
    """GPT-2's map from a byte to the printable character that stands for it in the vocabulary."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


BYTE_TO_CHAR = byte_alphabet()
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}


def texts_of(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            if "text" in item:
                yield item["text"]
            for message in item.get("messages", ()):
                yield message["content"]


def train(words, merge_count):
    """words: {text: count}. Returns the merges, each a pair of symbols, best first; ties go to the smaller pair."""
    pieces = [[BYTE_TO_CHAR[b] for b in word.encode()] for word in words]
    counts = list(words.values())
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, piece in enumerate(pieces):
        for pair in zip(piece, piece[1:]):
            pairs[pair] += counts[i]
            where[pair].add(i)
    heap = [(-n, pair) for pair, n in pairs.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < merge_count:
        negative, pair = heapq.heappop(heap)
        if pairs[pair] != -negative:  # an entry from before the count changed
            continue
        if -negative < 2:
            break
        merges.append(pair)
        changed = set()
        for i in where.pop(pair):
            piece = pieces[i]
            for old in zip(piece, piece[1:]):
                pairs[old] -= counts[i]
                changed.add(old)
            merged, k = [], 0
            while k < len(piece):
                if k + 1 < len(piece) and (piece[k], piece[k + 1]) == pair:
                    merged.append(piece[k] + piece[k + 1])
                    k += 2
                else:
                    merged.append(piece[k])
                    k += 1
            pieces[i] = merged
            for new in zip(merged, merged[1:]):
                pairs[new] += counts[i]
                where[new].add(i)
                changed.add(new)
        for other in changed:
            if pairs[other] > 0:
                heapq.heappush(heap, (-pairs[other], other))
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = [BYTE_TO_CHAR[b] for b in range(256)] + [a + b for a, b in self.merges] + SPECIALS
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            raise ValueError("two merges make the same token")
        self.end, self.start, self.stop = (self.ids[s] for s in SPECIALS)
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            return cls(json.load(f)["merges"])

    def word(self, text):
        known = self.cache.get(text)
        if known is not None:
            return known
        piece = [BYTE_TO_CHAR[b] for b in text.encode()]
        while len(piece) > 1:
            best = min(range(len(piece) - 1), key=lambda k: self.rank.get((piece[k], piece[k + 1]), 1 << 30))
            if (piece[best], piece[best + 1]) not in self.rank:
                break
            piece[best:best + 2] = [piece[best] + piece[best + 1]]
        ids = [self.ids[s] for s in piece]
        self.cache[text] = ids
        return ids

    def encode(self, text):
        """Plain text; special tokens in it are not recognised (as text of a user must be)."""
        return [i for word in PATTERN.findall(text) for i in self.word(word)]

    def decode(self, ids):
        data = b"".join(b"" if i >= len(self.tokens) - 3 else bytes(CHAR_TO_BYTE[c] for c in self.tokens[i]) for i in ids)
        return data.decode("utf-8", "replace")

    def chat(self, messages, prompt=True):
        """ChatML ids, and for each whether it belongs to an answer (its closing <|im_end|> included)."""
        ids, answer = [], []
        for message in messages:
            head = [self.start] + self.encode(message["role"] + "\n")
            whole = [self.start] + self.encode(message["role"] + "\n" + message["content"])  # as a renderer would
            mine = message["role"] == "assistant"
            ids += whole + [self.stop] + self.encode("\n")
            answer += [False] * len(head) + [mine] * (len(whole) - len(head) + 1) + [False]
        if prompt:
            head = [self.start] + self.encode("assistant\n")
            ids += head
            answer += [False] * len(head)
        return ids, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    words = collections.Counter()
    for text in texts_of(args.corpus):
        words.update(PATTERN.findall(text))
    for role in ("user", "assistant", "system"):
        words[role] += 1000
    merges = train(words, args.size - 256 - len(SPECIALS))
    # Two merges may give the same string ("a"+"bc", "ab"+"c"): the vocabulary has one id for it, so keep the first.
    seen, kept = set(BYTE_TO_CHAR.values()), []
    for a, b in merges:
        if a + b not in seen:
            seen.add(a + b)
            kept.append((a, b))
    with open(args.out, "w", encoding="utf-8") as out:
        json.dump({"merges": kept}, out, ensure_ascii=False)
    tokenizer = Tokenizer(kept)
    total = sum(len(tokenizer.word(w)) * n for w, n in words.items())
    print(f"{len(words)} distinct words, {len(tokenizer.tokens)} ids, {total} tokens, "
          f"{sum(len(w.encode()) * n for w, n in words.items()) / total:.2f} bytes a token")


if __name__ == "__main__":
    main()
