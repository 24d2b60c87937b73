#!/usr/bin/env python3
"""WordPiece in Python, as text/wordpiece.h describes it, and how its vocabulary is made.

    wordpiece.py --pairs pairs.jsonl --size 14336 --out vocabulary.json

The vocabulary is every Chinese character and other single character that comes often enough, and pieces of the
other words: the pieces of a byte-pair training over words (the pair that comes most often is joined, until there are
enough). A piece that begins a word has "▁" before it, as in a GGUF.
"""

import argparse
import collections
import heapq
import json
import unicodedata

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, FIRST, SEPARATOR, MASK = range(5)
WORD_MAX = 100


def is_ideograph(c):
    return 0x4E00 <= c <= 0x9FFF or 0x3400 <= c <= 0x4DBF or 0x20000 <= c <= 0x2CEAF or 0xF900 <= c <= 0xFAFF or 0x2F800 <= c <= 0x2FA1F


def is_punctuation(char):
    c = ord(char)
    return 33 <= c <= 47 or 58 <= c <= 64 or 91 <= c <= 96 or 123 <= c <= 126 or unicodedata.category(char).startswith("P")


def words_of(text):
    out, word = [], []

    def flush():
        if word:
            out.append("".join(word))
            word.clear()

    for char in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(char)
        if category == "Mn" or char == "\ufffd" or (category.startswith("C") and char not in "\t\n\r"):
            continue
        if char.isspace():
            flush()
        elif is_ideograph(ord(char)) or is_punctuation(char):
            flush()
            out.append(char)
        else:
            word.append(char)
    flush()
    return out


class WordPiece:
    def __init__(self, tokens):
        self.tokens = tokens
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.longest = max(len(t) for t in tokens)
        self.known = {}

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as file:
            return WordPiece(json.load(file))

    def pieces(self, word):
        if word in self.known:
            return self.known[word]
        ids, at = [], 0
        while at < len(word):
            head = "▁" if at == 0 else ""
            for end in range(min(len(word), at + self.longest), at, -1):
                found = self.ids.get(head + word[at:end])
                if found is not None:
                    break
            else:
                ids = [UNKNOWN]
                break
            ids.append(found)
            at = end
        if len(word) > WORD_MAX:
            ids = [UNKNOWN]
        if len(self.known) < 1 << 20:
            self.known[word] = ids
        return ids

    def encode(self, text):
        """Without [CLS] and [SEP]."""
        return [i for word in words_of(text) for i in self.pieces(word)]


def joined_pieces(counts, size):
    """Byte-pair training: the pieces of `counts` (word -> how often), `size` of them, single characters included."""
    words = [list(w) for w in counts]
    for w in words:
        w[0] = "▁" + w[0]
    often = list(counts.values())
    singles = collections.Counter()
    pairs, places = collections.Counter(), collections.defaultdict(set)
    for n, w in enumerate(words):
        for piece in w:
            singles[piece] += often[n]
        for pair in zip(w, w[1:]):
            pairs[pair] += often[n]
            places[pair].add(n)
    pieces = {p for p, count in singles.items() if count >= 20}
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap and len(pieces) < size:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair]:
            continue
        if -count < 2:
            break
        new = pair[0] + pair[1]
        pieces.add(new)
        changed = collections.Counter()
        for n in places.pop(pair):
            w, at, out = words[n], 0, []
            for old in zip(w, w[1:]):
                changed[old] -= often[n]
            while at < len(w):
                if at + 1 < len(w) and (w[at], w[at + 1]) == pair:
                    out.append(new)
                    at += 2
                else:
                    out.append(w[at])
                    at += 1
            words[n] = out
            for now in zip(out, out[1:]):
                changed[now] += often[n]
                places[now].add(n)
        for touched, delta in changed.items():
            if delta:
                pairs[touched] += delta
                heapq.heappush(heap, (-pairs[touched], touched))
        del pairs[pair]
    return pieces


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--size", type=int, default=14336)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    characters, words = collections.Counter(), collections.Counter()
    with open(args.pairs, encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            for word in words_of(pair["a"]) + words_of(pair["b"]):
                (characters if len(word) == 1 and (is_ideograph(ord(word)) or is_punctuation(word)) else words)[word] += 1
    single = sorted("▁" + c for c, count in characters.items() if count >= 3)
    common = {w: count for w, count in words.items() if count >= 3 and len(w) <= 30}
    rest = joined_pieces(common, args.size - len(SPECIALS) - len(single))
    tokens = SPECIALS + single + sorted(rest - set(single))
    with open(args.out, "w", encoding="utf-8") as out:
        json.dump(tokens, out, ensure_ascii=False)
    print(f"{len(tokens)} pieces: {len(single)} characters, {len(tokens) - len(single)} others")


if __name__ == "__main__":
    main()
