#!/usr/bin/env python3
"""The same search among vectors by numpy: what a Python server without a vector library computes for a query.

    scan.py [--rows 1000000] [--dims 384] [--threads 2] [--top 20] [--runs 15]

Rows of float32 times the query (the system's BLAS), then the top of it by argpartition. Prints milliseconds. Debian's python3-numpy.
"""

import argparse
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=1000000)
parser.add_argument("--dims", type=int, default=384)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--top", type=int, default=20)
parser.add_argument("--runs", type=int, default=15)
args = parser.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(args.threads)
import numpy as np  # after it knows its threads

random = np.random.default_rng(1)
rows = random.standard_normal((args.rows, args.dims), dtype=np.float32)
times = []
for run in range(args.runs):
    query = random.standard_normal(args.dims, dtype=np.float32)
    started = time.perf_counter()
    scores = rows @ query
    top = np.argpartition(scores, -args.top)[-args.top:]
    top = top[np.argsort(-scores[top], kind="stable")]
    times.append((time.perf_counter() - started) * 1000)
times.sort()
print(f"numpy, {args.rows} rows of {args.dims}, {args.threads} threads: {times[len(times) // 2]:.2f} ms "
      f"({times[-1]:.2f}–{times[0]:.2f})")
