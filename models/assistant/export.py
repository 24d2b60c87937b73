#!/usr/bin/env python3
"""Writes a checkpoint as a GGUF file: matrices Q8_0, norms F32, tokenizer and chat template inside.

    export.py --checkpoint run/checkpoint.pt --tokenizer tokenizer.json --out qiao-mini.gguf
"""

import argparse
import os
import sys

import torch

from tokenizer import SPECIALS, Tokenizer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from gguf_file import ARRAY, BOOL, F32, I32, STRING, U32, key, write

TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def tensors_of(state, layers):
    """(name in the file, array) in file order; the output head is the token embedding (tied)."""
    array = lambda name: state[name].float().numpy()
    yield "token_embd.weight", array("token_embd.weight")
    for n in range(layers):
        for part in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_norm", "attn_k_norm", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"):
            yield f"blk.{n}.{part}.weight", array(f"blk.{n}.{part}.weight")
    yield "output_norm.weight", array("output_norm.weight")


def keys_of(shape, tokenizer):
    special = len(tokenizer.tokens) - len(SPECIALS)
    return [
        key("general.architecture", STRING, "qwen3"),
        key("general.name", STRING, "qiao-mini-assistant"),
        key("general.license", STRING, "apache-2.0"),
        key("general.description", STRING, "A toy bilingual assistant of a demo shop, trained on generated dialogues."),
        key("general.file_type", U32, 7),
        key("qwen3.block_count", U32, shape["layers"]),
        key("qwen3.context_length", U32, shape["context"]),
        key("qwen3.embedding_length", U32, shape["dim"]),
        key("qwen3.feed_forward_length", U32, shape["ffn"]),
        key("qwen3.attention.head_count", U32, shape["heads"]),
        key("qwen3.attention.head_count_kv", U32, shape["kv_heads"]),
        key("qwen3.attention.key_length", U32, shape["head_dim"]),
        key("qwen3.attention.value_length", U32, shape["head_dim"]),
        key("qwen3.attention.layer_norm_rms_epsilon", F32, shape["eps"]),
        key("qwen3.rope.freq_base", F32, shape["theta"]),
        key("tokenizer.ggml.model", STRING, "gpt2"),
        key("tokenizer.ggml.pre", STRING, "qwen2"),
        key("tokenizer.ggml.tokens", ARRAY, (STRING, tokenizer.tokens)),
        key("tokenizer.ggml.token_type", ARRAY, (I32, [1] * special + [3] * len(SPECIALS))),
        key("tokenizer.ggml.merges", ARRAY, (STRING, [f"{a} {b}" for a, b in tokenizer.merges])),
        key("tokenizer.ggml.bos_token_id", U32, tokenizer.end),
        key("tokenizer.ggml.eos_token_id", U32, tokenizer.stop),
        key("tokenizer.ggml.padding_token_id", U32, tokenizer.end),
        key("tokenizer.ggml.add_bos_token", BOOL, False),
        key("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, map_location="cpu")
    tokenizer = Tokenizer.load(args.tokenizer)
    tensors = list(tensors_of(saved["model"], saved["shape"]["layers"]))
    size = write(args.out, keys_of(saved["shape"], tokenizer), tensors)
    print(f"{args.out}: {size} bytes, {len(tensors)} tensors, step {saved['step']}")


if __name__ == "__main__":
    main()
