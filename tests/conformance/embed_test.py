"""embed_test.py QIAO_PROBE: a decoder's and an encoder's vectors are those of reference.py, which shares no code with them."""
import json
import os
import pathlib
import subprocess
import sys

import reference

PROBE = sys.argv[1]
SHARED = pathlib.Path(os.environ.get("QIAO_SHARED") or "../shared") / "data"
TEXT = "Once upon a time, there was a little girl"
# Keys and values of a decoder are kept in f16: that alone is about 4e-7.
FILES = {"models/stories260K.gguf": 0.999999, "logits/qwen3-F16.gguf": 0.999999, "logits/llama-F16.gguf": 0.999999,
         "models/all-minilm-l6-v2-f16.gguf": 0.99999999}


def probe(verb, file, *more):
    done = subprocess.run([PROBE, verb, "--model", file, *more], input=TEXT.encode(), capture_output=True, check=True, timeout=250)
    return done.stdout


def framed(model, ids):
    pairs = model.pairs
    first = pairs.get("tokenizer.ggml.add_bos_token", model.architecture == "bert")
    last = pairs.get("tokenizer.ggml.seperator_token_id", pairs["tokenizer.ggml.eos_token_id"])
    return [pairs["tokenizer.ggml.bos_token_id"]] * first + ids + [last]


if not SHARED.is_dir():
    print(f"skipped: no shared data ({SHARED})")
    sys.exit(0)
for file, least in FILES.items():
    model = reference.Model(SHARED / file)
    ids = framed(model, [int(word) for word in probe("tokenize", SHARED / file).split()])
    theirs = reference.embed(model, ids)
    for rung in ("scalar", None):
        ours = json.loads(probe("embed", SHARED / file, "--json", *(("--cpu", rung) if rung else ())))[0]
        cosine = reference.dot(reference.unit(ours), theirs)
        assert cosine >= least, (file, rung, cosine)
    # Without its end mark the text has another vector: the comparison can fail.
    assert reference.dot(reference.embed(model, ids[:-1]), theirs) < 0.999, file
    print(f"ok {file}: cosine 1 - {1 - cosine:.1e}")
