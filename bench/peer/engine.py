"""One side of a comparison: run a program once, give tokens per second."""
import json
import pathlib
import shutil
import subprocess
import sys

TRIES = 5
HERE = pathlib.Path(__file__).resolve().parent


def run(command, **options):
    """stdout of a program that must succeed."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"bench/peers: {' '.join(command)} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


class Qiao:
    """qiao-probe bench: its first prompt warms it, the next run counts."""
    name = "qiao"

    def __init__(self, flags):
        self.flags = flags
        self.roofline = {}  # of the last measurement: what it read and multiplied

    def measure(self, path, prompt, batch):
        steps = self.flags.generate if batch else 1
        report = json.loads(run([
            self.flags.bin / "qiao-probe", "bench", "--model", path, "--threads", self.flags.threads, "--prompt", prompt,
            "--generate", steps, "--batch", batch or 1, "--runs", 1, "--distinct", "--json"]))
        figures = report["runs"][0]
        chosen = figures["decode"][0] if batch else figures["prefill"]
        self.roofline = {"peak": report["peak"], "bytes_per_token": chosen["bytes_per_token"],
                         "operations_per_token": chosen["gop_per_s"] * 1e9 / chosen["tokens_per_s"]}
        return chosen["tokens_per_s"]


class Llama:
    """llama.cpp's own programs, with flash attention on or off, whichever was faster."""

    def __init__(self, name, folder, flags):
        self.name, self.folder, self.flags = name, folder, flags
        self.flash = "on"

    @property
    def setting(self):
        return f"-t {self.flags.threads} -b 512 -ub 512 -fa {self.flash}"

    def choose(self, path, prompt, batch):
        speeds = {}
        for self.flash in ("on", "off"):
            speeds[self.flash] = self.measure(path, prompt, batch)
        self.flash = max(speeds, key=speeds.get)

    def measure(self, path, prompt, batch):
        threads = self.flags.threads
        if not batch:
            report = run([self.folder / "llama-bench", "-m", path, "-t", threads, "-p", prompt, "-n", 0, "-r", 1, "-b", 512,
                          "-ub", 512, "-fa", int(self.flash == "on"), "-o", "json"])
            return json.loads(report)[0]["avg_ts"]
        steps = self.flags.generate
        cells = batch * (prompt + steps + 32)
        command = [self.folder / "llama-batched-bench", "-m", path, "-t", threads, "-tb", threads, "-c", cells, "-b", 512,
                   "-ub", 512, "-npp", prompt, "-ntg", steps, "-npl", f"{batch},1", "-fa", self.flash, "--output-format", "jsonl"]
        for _ in range(TRIES):  # its logger often loses the last line when the program ends: hence one more batch
            lines = [json.loads(line) for line in run(command).splitlines() if line.startswith("{")]
            if lines:
                return lines[0]["speed_tg"]
        sys.exit("bench/peers: llama-batched-bench says nothing")


class Npm:
    """node-llama-cpp's prebuilt binary, driven by npm.mjs in a folder of its own."""
    name = "node-llama-cpp"
    setting = "prebuilt, its own settings"

    def __init__(self, flags):
        self.flags = flags
        self.folder = flags.cache / "npm"
        if not (self.folder / "node_modules/node-llama-cpp").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "package.json").write_text('{"private": true, "type": "module"}\n')
            run(["npm", "install", "--no-audit", "--no-fund", "node-llama-cpp@3"], cwd=self.folder)

    def choose(self, path, prompt, batch):
        del path, prompt, batch

    def measure(self, path, prompt, batch):
        shutil.copy(HERE / "npm.mjs", self.folder / "npm.mjs")  # modules are found beside the script
        report = run(["node", "npm.mjs", path.resolve(), self.flags.threads, prompt, batch, self.flags.generate], cwd=self.folder)
        return json.loads(report.splitlines()[-1])["tokens_per_s"]
