#!/usr/bin/env python3
"""Writes a checkpoint as a GGUF v3 file: matrices Q8_0, norms F32, tokenizer and chat template inside.

    export.py --checkpoint run/checkpoint.pt --tokenizer tokenizer.json --out qiao-mini.gguf

Layout (little-endian): "GGUF", version u32, tensor count u64, key count u64, keys, tensor infos (name, rank u32,
dimensions u64 with the input width first, type u32, offset u64), padding to 32, tensor data each padded to 32.
"""

import argparse
import struct

import numpy as np
import torch

from tokenizer import SPECIALS, Tokenizer

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5  # value types of keys
TENSOR_F32, TENSOR_Q8_0 = 0, 8
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<B"}[kind], value)


def key(name, kind, value):
    if kind == ARRAY:
        item, values = value
        return string(name) + struct.pack("<IIQ", ARRAY, item, len(values)) + b"".join(scalar(item, v) for v in values)
    return string(name) + struct.pack("<I", kind) + scalar(kind, value)


def q8_0(matrix):
    """[rows][width] float32 -> blocks of 32: a float16 scale d = amax/127, then 32 int8."""
    blocks = matrix.astype(np.float32).reshape(-1, 32)
    d = np.abs(blocks).max(1) / np.float32(127)
    q = np.round(blocks * np.where(d > 0, 1 / np.where(d > 0, d, 1), 0)[:, None]).clip(-127, 127).astype(np.int8)
    out = np.zeros(len(blocks), dtype=[("d", "<f2"), ("q", "i1", 32)])
    out["d"], out["q"] = d, q
    return out.tobytes()


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


def write(path, keys, tensors):
    infos, data = b"", b""
    for name, array in tensors:
        kind = TENSOR_Q8_0 if array.ndim == 2 else TENSOR_F32
        if kind == TENSOR_Q8_0 and array.shape[1] % 32:
            raise ValueError(f"{name}: rows of {array.shape[1]} are no multiple of 32")
        infos += string(name) + struct.pack(f"<I{array.ndim}QIQ", array.ndim, *reversed(array.shape), kind, len(data))
        data += q8_0(array) if kind == TENSOR_Q8_0 else array.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    head += b"\0" * (-len(head) % ALIGNMENT)
    with open(path, "wb") as out:
        out.write(head + data)
    return len(head) + len(data)


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
