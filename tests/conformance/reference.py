"""What encoders, cross-encoders and decoders compute, written down once more in plain Python: float64, one text at a time, none of
our code. Slow (about 30 million multiplications a second), so for a few short texts.

    model = Model(path)                     a GGUF: F32 or F16 tensors; arithmetic of bert, llama, qwen2 or qwen3
    embed(model, ids)                       the unit vector of a text: a decoder's last token, an encoder's mean
    score(model, ids, segment)              a cross-encoder's number of two texts, the second one from `segment` on
    add_tensors(source, path, {name: (dims, values)})      a copy of a GGUF with more F32 tensors
"""
import math
import operator
import struct

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, LIST = 8, 9
WORDS = {0: "f", 1: "e"}  # F32, F16


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == LIST:
            kind, count = self.take("<I"), self.take("<Q")
            return [self.value(kind) for _ in range(count)]
        return self.take(SCALARS[kind])


class Model:
    """`pairs`: metadata; tensors are read when they are asked for: tensor(name) is a list of rows, or of numbers for a vector."""

    def __init__(self, path):
        self.data = open(path, "rb").read()
        reader = Reader(self.data)
        assert reader.take("<I") == 0x46554747 and reader.take("<I") == 3
        count, pair_count = reader.take("<Q"), reader.take("<Q")
        self.pairs, self.tensors, self.known = {}, {}, {}
        self.pairs_begin = reader.at
        for _ in range(pair_count):
            name = reader.text()
            self.pairs[name] = reader.value(reader.take("<I"))
        self.pairs_end = reader.at
        for _ in range(count):
            name = reader.text()
            dims = [reader.take("<Q") for _ in range(reader.take("<I"))]
            self.tensors[name] = (dims, reader.take("<I"), reader.take("<Q"))
        unit = self.pairs.get("general.alignment", 32)
        self.begin = (reader.at + unit - 1) // unit * unit
        self.architecture = self.pairs["general.architecture"]

    def of(self, name, preset=None):
        return self.pairs.get(f"{self.architecture}.{name}", preset)

    def has(self, name):
        return name in self.tensors

    def tensor(self, name):
        if name not in self.known:
            dims, kind, offset = self.tensors[name]
            values = struct.unpack_from(f"<{math.prod(dims)}{WORDS[kind]}", self.data, self.begin + offset)
            if len(dims) > 1:
                values = [values[i:i + dims[0]] for i in range(0, len(values), dims[0])]
            self.known[name] = values
        return self.known[name]


def dot(a, b):
    return sum(map(operator.mul, a, b))


def add(a, b):
    return [x + y for x, y in zip(a, b)]


def linear(model, name, x):
    """A row's product with `name`.weight, and its bias if there is one."""
    out = [dot(row, x) for row in model.tensor(name + ".weight")]
    return add(out, model.tensor(name + ".bias")) if model.has(name + ".bias") else out


def softmax(scores):
    top = max(scores)
    parts = [math.exp(score - top) for score in scores]
    total = sum(parts)
    return [part / total for part in parts]


def unit(vector):
    length = math.sqrt(dot(vector, vector))
    return [x / length for x in vector]


def attend(q, keys, values):
    weights = softmax([dot(q, k) / math.sqrt(len(q)) for k in keys])
    return [dot(weights, column) for column in zip(*values)]


# ---- encoders ----------------------------------------------------------------------------------

def layer_norm(model, name, x):
    mean = sum(x) / len(x)
    spread = sum((value - mean) ** 2 for value in x) / len(x)
    scale = 1 / math.sqrt(spread + model.of("attention.layer_norm_epsilon"))
    return [(v - mean) * scale * w + b for v, w, b in zip(x, model.tensor(name + ".weight"), model.tensor(name + ".bias"))]


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def encode(model, ids, segment):
    heads, rows = model.of("attention.head_count"), []
    for i, token in enumerate(ids):
        kind = 1 if segment and i >= segment else 0
        row = add(add(model.tensor("token_embd.weight")[token], model.tensor("position_embd.weight")[i]),
                  model.tensor("token_types.weight")[kind])
        rows.append(layer_norm(model, "token_embd_norm", row))
    size = len(rows[0]) // heads
    for layer in range(model.of("block_count")):
        name = f"blk.{layer}."
        q, k, v = ([linear(model, f"{name}attn_{part}", row) for row in rows] for part in "qkv")
        for i, row in enumerate(rows):
            mixed = []
            for at in range(0, len(row), size):
                mixed += attend(q[i][at:at + size], [x[at:at + size] for x in k], [x[at:at + size] for x in v])
            row = layer_norm(model, name + "attn_output_norm", add(row, linear(model, name + "attn_output", mixed)))
            wide = [gelu(x) for x in linear(model, name + "ffn_up", row)]
            rows[i] = layer_norm(model, name + "layer_output_norm", add(row, linear(model, name + "ffn_down", wide)))
    return rows


def score(model, ids, segment):
    dense = [math.tanh(x) for x in linear(model, "cls", encode(model, ids, segment)[0])]
    return linear(model, "cls.output", dense)[0]


# ---- decoders ----------------------------------------------------------------------------------

def rms_norm(x, weights, epsilon):
    scale = 1 / math.sqrt(dot(x, x) / len(x) + epsilon)
    return [v * scale * w for v, w in zip(x, weights)]


def rotate(model, x, position):
    """A head's numbers; llama's pairs are neighbours, qwen's are half a head apart."""
    half, out = len(x) // 2, list(x)
    for i in range(half):
        angle = position * model.of("rope.freq_base", 10000.0) ** (-i / half)
        a, b = (2 * i, 2 * i + 1) if model.architecture == "llama" else (i, i + half)
        out[a] = x[a] * math.cos(angle) - x[b] * math.sin(angle)
        out[b] = x[a] * math.sin(angle) + x[b] * math.cos(angle)
    return out


def heads_of(model, name, row, count, position, epsilon):
    """Query or key heads of a row, normed where the model does that, and rotated."""
    flat, out = linear(model, name, row), []
    size = len(flat) // count
    for at in range(0, len(flat), size):
        head = flat[at:at + size]
        if model.has(name + "_norm.weight"):
            head = rms_norm(head, model.tensor(name + "_norm.weight"), epsilon)
        out.append(rotate(model, head, position))
    return out


def decode(model, ids):
    """The last token's state behind the last norm."""
    heads, kv_heads = model.of("attention.head_count"), model.of("attention.head_count_kv")
    epsilon = model.of("attention.layer_norm_rms_epsilon")
    rows = [list(model.tensor("token_embd.weight")[token]) for token in ids]
    for layer in range(model.of("block_count")):
        name = f"blk.{layer}."
        keys, values = [], []
        for i, row in enumerate(rows):
            x = rms_norm(row, model.tensor(name + "attn_norm.weight"), epsilon)
            q = heads_of(model, name + "attn_q", x, heads, i, epsilon)
            keys.append(heads_of(model, name + "attn_k", x, kv_heads, i, epsilon))
            flat = linear(model, name + "attn_v", x)
            size = len(flat) // kv_heads
            values.append([flat[at:at + size] for at in range(0, len(flat), size)])
            mixed = []
            for head in range(heads):
                shared = head * kv_heads // heads
                mixed += attend(q[head], [k[shared] for k in keys], [v[shared] for v in values])
            row = add(row, linear(model, name + "attn_output", mixed))
            x = rms_norm(row, model.tensor(name + "ffn_norm.weight"), epsilon)
            wide = [g / (1 + math.exp(-g)) * u
                    for g, u in zip(linear(model, name + "ffn_gate", x), linear(model, name + "ffn_up", x))]
            rows[i] = add(row, linear(model, name + "ffn_down", wide))
    return rms_norm(rows[-1], model.tensor("output_norm.weight"), epsilon)


def embed(model, ids):
    if model.architecture != "bert":
        return unit(decode(model, ids))
    rows = encode(model, ids, 0)
    return unit([sum(column) / len(rows) for column in zip(*rows)])


# ---- files -------------------------------------------------------------------------------------

def add_tensors(source, path, more):
    def text(name):
        return struct.pack("<Q", len(name)) + name.encode()

    size = sum(math.prod(dims) * struct.calcsize(WORDS[kind]) for dims, kind, _ in source.tensors.values())
    size = max(len(source.data) - source.begin, size) + 31 & ~31
    head = struct.pack("<IIQQ", 0x46554747, 3, len(source.tensors) + len(more), len(source.pairs))
    head += source.data[source.pairs_begin:source.pairs_end]
    places = dict(source.tensors)
    tail = source.data[source.begin:].ljust(size, b"\0")
    for name, (dims, values) in more.items():
        places[name] = (dims, 0, len(tail))
        tail += struct.pack(f"<{len(values)}f", *values).ljust(len(values) * 4 + 31 & ~31, b"\0")
    for name, (dims, kind, offset) in places.items():
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    begin = source.pairs.get("general.alignment", 32)
    head = head.ljust((len(head) + begin - 1) // begin * begin, b"\0")
    with open(path, "wb") as out:
        out.write(head + tail)
