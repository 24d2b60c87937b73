"""probe_test.py QIAO_PROBE: the command line of qiao-probe against the shared data, standard library only."""

import array
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROBE = sys.argv[1]
SHARED = pathlib.Path(os.environ.get("QIAO_SHARED") or "../shared") / "data"


def probe(*arguments, stdin=b"", fails=None):
    """stdout; with `fails`, the run must fail and say that on stderr."""
    done = subprocess.run([PROBE, *map(str, arguments)], input=stdin, capture_output=True, timeout=250)
    said = done.stderr.decode()
    if fails is None:
        assert done.returncode == 0, said
    else:
        assert done.returncode == 1 and fails in said, f"'{fails}' is not in '{said}'"
    return done.stdout


def tokenize_gives_the_ids_of_every_one_line_case():
    for name in ("qwen2", "llama-bpe", "llama-spm"):
        model = SHARED / "tokenizers" / f"ggml-vocab-{name}.gguf"
        cases = open(f"{model}.inp", "rb").read().split(b"\n__ggml_vocab_test__\n")
        lines = open(f"{model}.out").read().split("\n")
        pairs = [(case, ids.split()) for case, ids in zip(cases, lines) if b"\n" not in case]
        assert len(pairs) > 20
        out = probe("tokenize", "--model", model, stdin=b"".join(case + b"\n" for case, _ in pairs))
        got = [line.split() for line in out.decode().split("\n")[:-1]]
        assert got == [ids for _, ids in pairs], name


def logits_are_one_row_a_sequence():
    tokens = SHARED / "logits" / "tokens.json"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.f32"
        probe("logits", "--model", SHARED / "logits/qwen3-F16.gguf", "--tokens", tokens, "--out", out)
        ours = array.array("f", out.read_bytes())
    reference = array.array("f", (SHARED / "logits/qwen3-F16.logits.f32").read_bytes())
    count = len(json.load(open(tokens)))
    assert len(ours) == len(reference) and len(ours) % count == 0
    assert max(abs(a - b) for a, b in zip(ours, reference)) < 0.01


def recommend_gives_the_published_figures_and_the_same_bytes_at_any_batch_size():
    folder = SHARED / "recommend"
    same = ("recommend", "--model", folder / "iclrec-beauty.gguf", "--sequences", folder / "beauty.txt", "--top", 20)
    lists = [probe(*same, "--batch", batch) for batch in (64, 8, 1)]
    assert lists[0] == lists[1] == lists[2]
    lines = lists[0].decode().split("\n")[:-1]
    figures = dict(line.split() for line in lines[-7:])
    assert figures == {"HIT@5": "0.0500", "NDCG@5": "0.0326", "HIT@10": "0.0744", "NDCG@10": "0.0403", "HIT@20": "0.1058",
                       "NDCG@20": "0.0483", "users": "22363"}, figures
    assert len(lines) == 22363 + 7 and all(len(set(line.split()[1:])) == 20 for line in lines[:-7])


def recommend_says_what_is_wrong_with_a_file():
    model = SHARED / "recommend" / "iclrec-beauty.gguf"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "histories"
        file.write_text("1 5 6\n2 5 12103\n")
        probe("recommend", "--model", model, "--sequences", file, fails="2: '12103' is no item: a whole number below 12103")
    probe("recommend", "--model", model, fails="--sequences FILE is missing")
    probe("recommend", "--model", SHARED / "models/stories260K.gguf", "--sequences", model, fails="not sasrec")


def generate_tells_the_greedy_story():
    model = SHARED / "models" / "stories260K.gguf"
    story = (SHARED / "models" / "stories260K.greedy.txt").read_bytes()
    prompt = "Once upon a time"
    same = ("generate", "--model", model, "--prompt", prompt, "--max-tokens", 196)
    assert probe(*same, "--echo") == story
    assert probe(*same, "--cpu", "scalar", "--threads", 1) == story[len(prompt):]
    drawn = [probe(*same, "--temperature", 1, "--seed", seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def bench_reports_json():
    report = json.loads(probe("bench", "--model", SHARED / "logits/llama-Q8_0.gguf", "--prompt", 40, "--generate", 3,
                              "--batch", "1,3", "--threads", "1,2", "--roofline", "--distinct", "--json"))
    assert [run["threads"] for run in report["runs"]] == [1, 2]
    assert [row["batch"] for row in report["runs"][0]["decode"]] == [1, 3]
    rows = [row for run in report["runs"] for row in [run["prefill"], *run["decode"]]]
    assert all(0 < row["least"] <= row["tokens_per_s"] <= row["most"] and row["of_read"] > 0 for row in rows)
    alone, three = report["runs"][0]["decode"]
    assert abs(alone["bytes_per_token"] / report["weight_bytes"] - 1) < 1e-4
    assert abs(alone["bytes_per_token"] / three["bytes_per_token"] - 3) < 1e-4


def machine_reports_json():
    report = json.loads(probe("machine", "--threads", "1", "--json"))
    assert {way["kind"] for way in report[0]["ways"]} >= {"read", "float32"}
    assert report[0]["best_per_s"]["read"] > 1e8


def mistakes_are_said():
    model = SHARED / "logits" / "llama-Q8_0.gguf"
    vocabulary = SHARED / "tokenizers" / "ggml-vocab-qwen2.gguf"
    probe("tokenise", fails="tokenize, logits, generate, embed, bench")
    probe("generate", fails="--model")
    probe("generate", "--model", "/nowhere.gguf", fails="/nowhere.gguf")
    probe("generate", "--model", SHARED / "README.md", fails="gguf")
    probe("generate", "--model", vocabulary, "--prompt", "x", fails="token_embd.weight")
    probe("generate", "--model", model, "--prompt", "x", "--cpu", "vax", fails="vax")
    probe("generate", "--model", model, "--prompt", "one " * 2000, fails="1024")
    probe("bench", "--model", model, "--prompt", "many", fails="--prompt many")
    probe("logits", "--model", model, "--tokens", model, "--out", "/dev/null", fails="llama-Q8_0.gguf")
    with tempfile.NamedTemporaryFile("w") as tokens:
        tokens.write("[[1, 2], [1, 99999]]")
        tokens.flush()
        probe("logits", "--model", model, "--tokens", tokens.name, "--out", "/dev/null", fails="99999")


if not SHARED.is_dir():
    print(f"skipped: no shared data ({SHARED})")
    sys.exit(0)
for test in (tokenize_gives_the_ids_of_every_one_line_case, logits_are_one_row_a_sequence,
             recommend_gives_the_published_figures_and_the_same_bytes_at_any_batch_size,
             recommend_says_what_is_wrong_with_a_file, generate_tells_the_greedy_story, bench_reports_json, machine_reports_json,
             mistakes_are_said):
    test()
    print("ok", test.__name__)
