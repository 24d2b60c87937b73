"""Writes and reads GGUF v3 files, for the models here.

Layout (little-endian): "GGUF", version u32, tensor count u64, key count u64, keys, tensor infos (name, rank u32,
dimensions u64 with the input width first, type u32, offset u64), padding to 32, tensor data each padded to 32.
"""

import struct

import numpy as np

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # value types of keys
TENSOR_F32, TENSOR_Q8_0 = 0, 8


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<B"}[kind], value)


def key(name, kind, value):
    """A key with its value; an array's value is (type of its items, items)."""
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


def write(path, keys, tensors, exact=()):
    """tensors: (name, array) in file order. Matrices become Q8_0, but for those named in `exact`; the rest is F32. Returns
    the file's size."""
    infos, data = [], []
    offset = 0
    for name, array in tensors:
        kind = TENSOR_Q8_0 if array.ndim == 2 and name not in exact else TENSOR_F32
        if kind == TENSOR_Q8_0 and array.shape[1] % 32:
            raise ValueError(f"{name}: rows of {array.shape[1]} are no multiple of 32")
        infos.append(string(name) + struct.pack(f"<I{array.ndim}QIQ", array.ndim, *reversed(array.shape), kind, offset))
        part = q8_0(array) if kind == TENSOR_Q8_0 else array.astype("<f4").tobytes()
        data.append(part + bytes(-len(part) % ALIGNMENT))
        offset += len(data[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(infos)
    head += bytes(-len(head) % ALIGNMENT)
    with open(path, "wb") as out:
        out.write(head)
        out.writelines(data)
    return len(head) + offset


SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


class Reader:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 0

    def take(self, form):
        value = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value[0]

    def string(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            item, count = self.take("<I"), self.take("<Q")
            return [self.value(item) for _ in range(count)]
        return self.take(SCALARS[kind])


def load(path):
    """Returns the file's keys and its tensors as float32 arrays [rows][width]."""
    r = Reader(path)
    if r.data[:4] != b"GGUF":
        raise ValueError(f"{path}: no GGUF file")
    r.at = 4
    if r.take("<I") != 3:
        raise ValueError(f"{path}: not version 3")
    tensor_count, key_count = r.take("<Q"), r.take("<Q")
    keys = {}
    for _ in range(key_count):
        name = r.string()
        keys[name] = r.value(r.take("<I"))
    infos = []
    for _ in range(tensor_count):
        name = r.string()
        dims = [r.take("<Q") for _ in range(r.take("<I"))]
        infos.append((name, dims, r.take("<I"), r.take("<Q")))
    base = (r.at + 31) // 32 * 32
    tensors = {}
    for name, dims, kind, offset in infos:
        count = int(np.prod(dims))
        if kind == 0:
            flat = np.frombuffer(r.data, "<f4", count, base + offset)
        elif kind == 8:
            blocks = np.frombuffer(r.data, np.dtype([("d", "<f2"), ("q", "i1", 32)]), count // 32, base + offset)
            flat = (blocks["d"].astype(np.float32)[:, None] * blocks["q"]).reshape(-1)
        else:
            raise ValueError(f"{name}: type {kind} is neither F32 nor Q8_0")
        tensors[name] = flat.reshape(dims[::-1])
    return keys, tensors
