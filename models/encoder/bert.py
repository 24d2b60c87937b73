"""The encoder as node/model/bert.h computes it, in torch, and how it is written as a GGUF."""

import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gguf_file as gguf
import wordpiece

NAMES = {"cls_output.weight": "cls.output.weight", "cls_output.bias": "cls.output.bias"}  # torch's, the file's
NAMES_HERE = {v: k for k, v in NAMES.items()}
SHAPE = dict(dim=256, layers=6, heads=4, ffn=1024, positions=256, types=2, eps=1e-12)


def attend(q, k, v, mask):
    """softmax(q k / sqrt(width) where mask) v; older torch has no function of its own for it."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return torch.softmax((q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).masked_fill(~mask, -1e4), -1) @ v


class Layer(torch.nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads = s["heads"]
        linear = torch.nn.Linear
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (linear(s["dim"], s["dim"]) for _ in range(4))
        self.ffn_up, self.ffn_down = linear(s["dim"], s["ffn"]), linear(s["ffn"], s["dim"])
        self.attn_output_norm = torch.nn.LayerNorm(s["dim"], eps=s["eps"])
        self.layer_output_norm = torch.nn.LayerNorm(s["dim"], eps=s["eps"])

    def forward(self, x, mask, dropout):
        b, t, d = x.shape
        split = lambda z: z.view(b, t, self.heads, d // self.heads).transpose(1, 2)
        y = attend(split(self.attn_q(x)), split(self.attn_k(x)), split(self.attn_v(x)), mask)
        y = self.attn_output(y.transpose(1, 2).reshape(b, t, d))
        x = self.attn_output_norm(x + F.dropout(y, dropout, self.training))
        y = self.ffn_down(F.gelu(self.ffn_up(x)))
        return self.layer_output_norm(x + F.dropout(y, dropout, self.training))


class Bert(torch.nn.Module):
    """`scores`: it has a cross-encoder's head, a dense layer of the first hidden state and one output."""

    def __init__(self, shape, vocabulary, scores=False):
        super().__init__()
        self.shape = shape
        self.token_embd = torch.nn.Embedding(vocabulary, shape["dim"])
        self.position_embd = torch.nn.Embedding(shape["positions"], shape["dim"])
        self.token_types = torch.nn.Embedding(shape["types"], shape["dim"])
        self.token_embd_norm = torch.nn.LayerNorm(shape["dim"], eps=shape["eps"])
        self.blk = torch.nn.ModuleList(Layer(shape) for _ in range(shape["layers"]))
        if scores:
            self.cls, self.cls_output = torch.nn.Linear(shape["dim"], shape["dim"]), torch.nn.Linear(shape["dim"], 1)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=0.02 if "embd" in name or "types" in name else 0.04)
            elif name.endswith("bias"):
                torch.nn.init.zeros_(weight)

    def forward(self, ids, types=None, dropout=0.0):
        """ids: [texts][length], PAD behind each text. Returns the last hidden states."""
        there = ids != wordpiece.PAD
        x = self.token_embd(ids) + self.position_embd.weight[:ids.shape[1]] + self.token_types(torch.zeros_like(ids) if types is None else types)
        x = F.dropout(self.token_embd_norm(x), dropout, self.training)
        mask = there[:, None, None, :]
        for layer in self.blk:
            x = layer(x, mask, dropout)
        return x

    def embed(self, ids, dropout=0.0):
        there = (ids != wordpiece.PAD)[:, :, None]
        x = self(ids, dropout=dropout).float()
        return F.normalize((x * there).sum(1) / there.sum(1), dim=1)

    def score(self, ids, types, dropout=0.0):
        first = self(ids, types, dropout)[:, 0]
        return self.cls_output(torch.tanh(self.cls(first)))[:, 0].float()


def framed(first, second=None, length=256):
    """[CLS] first [SEP], or with a second text [CLS] first [SEP] second [SEP]; the longest is cut. Returns ids, types."""
    if second is None:
        ids = [wordpiece.FIRST] + first[:length - 2] + [wordpiece.SEPARATOR]
        return ids, [0] * len(ids)
    first = first[:length // 2]
    second = second[:length - 3 - len(first)]
    ids = [wordpiece.FIRST] + first + [wordpiece.SEPARATOR] + second + [wordpiece.SEPARATOR]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def padded(rows, device="cpu", multiple=8):
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([row + [wordpiece.PAD] * (width - len(row)) for row in rows]).to(device)


def write(path, name, description, model, tokens):
    """As GGUF: matrices Q8_0, norms, biases, positions and types F32."""
    s, state = model.shape, {k: v.detach().float().cpu().numpy() for k, v in model.state_dict().items()}
    keys = [
        gguf.key("general.architecture", gguf.STRING, "bert"), gguf.key("general.name", gguf.STRING, name),
        gguf.key("general.license", gguf.STRING, "apache-2.0"), gguf.key("general.description", gguf.STRING, description),
        gguf.key("general.file_type", gguf.U32, 7), gguf.key("bert.context_length", gguf.U32, s["positions"]),
        gguf.key("bert.embedding_length", gguf.U32, s["dim"]), gguf.key("bert.block_count", gguf.U32, s["layers"]),
        gguf.key("bert.feed_forward_length", gguf.U32, s["ffn"]), gguf.key("bert.attention.head_count", gguf.U32, s["heads"]),
        gguf.key("bert.attention.layer_norm_epsilon", gguf.F32, s["eps"]), gguf.key("bert.attention.causal", gguf.BOOL, False),
        gguf.key("bert.pooling_type", gguf.U32, 4 if hasattr(model, "cls") else 1),
        gguf.key("tokenizer.ggml.token_type_count", gguf.U32, s["types"]), gguf.key("tokenizer.ggml.model", gguf.STRING, "bert"),
        gguf.key("tokenizer.ggml.pre", gguf.STRING, "default"), gguf.key("tokenizer.ggml.tokens", gguf.ARRAY, (gguf.STRING, tokens)),
        gguf.key("tokenizer.ggml.token_type", gguf.ARRAY, (gguf.I32, [3 if t in wordpiece.SPECIALS else 1 for t in tokens])),
        gguf.key("tokenizer.ggml.padding_token_id", gguf.U32, wordpiece.PAD), gguf.key("tokenizer.ggml.unknown_token_id", gguf.U32, wordpiece.UNKNOWN),
        gguf.key("tokenizer.ggml.bos_token_id", gguf.U32, wordpiece.FIRST), gguf.key("tokenizer.ggml.eos_token_id", gguf.U32, wordpiece.SEPARATOR),
        gguf.key("tokenizer.ggml.seperator_token_id", gguf.U32, wordpiece.SEPARATOR), gguf.key("tokenizer.ggml.mask_token_id", gguf.U32, wordpiece.MASK),
    ]
    tensors = [(NAMES.get(k, k), v) for k, v in state.items()]
    return gguf.write(path, keys, tensors, exact=("position_embd.weight", "token_types.weight"))


def load(path):
    """The model of a GGUF that write() made, with its weights as the file has them, and its tokenizer."""
    keys, tensors = gguf.load(path)
    get = lambda name: keys["bert." + name]
    shape = dict(dim=get("embedding_length"), layers=get("block_count"), heads=get("attention.head_count"), ffn=get("feed_forward_length"),
                 positions=get("context_length"), types=keys["tokenizer.ggml.token_type_count"], eps=get("attention.layer_norm_epsilon"))
    tokens = keys["tokenizer.ggml.tokens"]
    model = Bert(shape, len(tokens), scores="cls.output.weight" in tensors)
    model.load_state_dict({NAMES_HERE.get(k, k): torch.tensor(v) for k, v in tensors.items()})
    return model.eval(), wordpiece.WordPiece(tokens)
