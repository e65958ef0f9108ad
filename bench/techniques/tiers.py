"""Pages below the pool, and what goes wrong there. Each row returns whether it passes, and the figure."""
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from techniques.common import DIALOGUES, KV_TOKEN_BYTES, Missing, output, program, ROOT, SMOLLM2, spread


class Server:
    """`quire serve` with SmolLM2, while the block runs."""

    def __init__(self, bench, *flags):
        command = [program("quire"), "serve", bench.file(bench.models, SMOLLM2), "--port", 0, *flags]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = next((line for line in self.process.stdout if line.startswith("listening on ")), None)
        if line is None:
            raise RuntimeError(f"quire serve ended with {self.process.wait()}")
        self.url = line.split()[2]
        self.port = int(self.url.rsplit(":", 1)[1])
        while self.get("/health")[0] != 200:
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path, body=None):
        request = urllib.request.Request(self.url + path, data=body and json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def complete(self, prompt):
        status, text = self.get("/v1/completions", {"prompt": prompt, "max_tokens": 24, "temperature": 0, "ignore_eos": True})
        if status != 200:
            raise RuntimeError(text)
        answer = json.loads(text)
        return answer["choices"][0]["text"], answer["usage"]

    def metric(self, name, *labels):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name) and all(label in line for label in labels):
                return float(line.rsplit(" ", 1)[1])
        raise RuntimeError(f"there is no metric {name}")

    def wait_until_written(self, pages):
        while self.metric("quire:tier_pages_total", 'move="written"', 'tier="disk"') < pages:
            time.sleep(0.05)


def dialogue_tokens(bench, count, turns):
    """Tokens, about, of the longest conversations at their ends: of `count` dialogues joined until they have `turns`."""
    conversations = []
    with open(bench.file(bench.traces, DIALOGUES), encoding="utf-8") as file:
        for line in itertools.islice(file, count):
            texts = json.loads(line)["history"]
            if not conversations or len(conversations[-1]) >= turns:
                conversations.append([])
            conversations[-1] += texts
    return [sum(len(turn["user"]) + len(turn["bot"]) for turn in texts) / 4.3 for texts in conversations]


def switching(bench):
    """Everybody's place is drawn anew every second, and there is room for a quarter: who loses it goes to disk and comes back."""
    trace = bench.file(bench.traces, DIALOGUES)
    load = ["-n", 48, "--turns", 12, "--users", 12, "--kv-memory", "48MiB", "--max-context", 2000, "--scheduling", "lottery:period_s=1"]
    seen = []

    def replay(*flags):
        with tempfile.TemporaryDirectory() as folder:
            result = bench.replay(trace, *load, "--kv-disk", folder, *flags)
        return [result[key]["p99"] for key in ("first_token_seconds", "gap_seconds")] + [result["memory"]["disk"]["moved_bytes"]]
    for _ in range(bench.rounds):
        ours, theirs = replay(), replay("--page-by-page")
        seen.append([theirs[0] / ours[0], theirs[1] / ours[1], ours[2] / theirs[2]])
    first, gap, moved = (statistics.median(column) for column in zip(*seen))
    return first >= 1.4 and gap >= 1.4 and moved <= 0.6, \
        f"p99 to the first token {first:.2f}, between tokens {gap:.2f} times shorter, {moved:.2f} of the bytes {spread(seen)}"


def sessions(bench):
    """Dialogues that go on, with time to think, and KV memory for a quarter of those that are held."""
    trace, users, turns = bench.file(bench.traces, DIALOGUES), 16, 12
    tokens = dialogue_tokens(bench, 96, turns)
    memory = round(0.25 * users * statistics.mean(tokens) * KV_TOKEN_BYTES)
    load = ["-n", 96, "--turns", turns, "--users", users, "--think", 2, "--kv-memory", max(memory, 2048 * KV_TOKEN_BYTES),
            "--max-context", 2000]
    seen = []
    for _ in range(bench.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours = bench.replay(trace, *load, "--kv-disk", folder)
        theirs = bench.replay(trace, *load, "--prefix-caching", "off")
        seen.append([ours["output_tokens_per_second"] / theirs["output_tokens_per_second"],
                     ours["turn_seconds"]["mean"] / theirs["turn_seconds"]["mean"]])
    speed, latency = (statistics.median(column) for column in zip(*seen))
    return speed >= 1.5 and latency <= 0.4, f"{speed:.2f} times the tokens/s, {latency:.2f} of the latency {spread(seen)}"


def restart(bench):
    """The second turn of a conversation of 4,000 tokens, by a server that was killed and started again."""
    words = "the library has many rooms and every room has a door to another room with other books "
    prompt, ratios = "".join(f"{i} {words}" for i in range(200)), []
    for _ in range(bench.rounds):
        with tempfile.TemporaryDirectory() as folder:
            with Server(bench, "--kv-disk", folder) as server:
                text, usage = server.complete(prompt)
                server.wait_until_written((usage["total_tokens"] - 1) // 16)
                server.process.kill()
            seconds = []
            for flags in (["--kv-disk", folder], []):
                with Server(bench, *flags) as server:
                    begin = time.monotonic()
                    server.complete(prompt + text + " And then")
                    seconds.append(time.monotonic() - begin)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios) >= 5, \
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f}..{max(ratios):.1f}) times sooner at {usage['prompt_tokens']} tokens"


def disk(bench):
    """The disk tier's reads against fio's of the same file, no byte from the system's cache."""
    program_path, shares = program("bench/disk_tier_bench"), []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        slab = pathlib.Path(folder) / "pages.slab"
        output(program_path, folder, "write", 2000)

        def forget():
            os.sync()
            output("dd", f"if={slab}", "iflag=nocache", "count=0", "status=none")

        def tier():
            forget()
            return float(re.search(r": (\d+) MB/s", output(program_path, folder, "read", 2000))[1])

        def fio():
            try:
                text = output("fio", "--name=read", f"--filename={slab}", "--rw=read", "--bs=512k", "--ioengine=libaio", "--direct=1",
                              "--iodepth=16", "--output-format=json")
            except FileNotFoundError as error:
                raise Missing("fio is not installed") from error
            return json.loads(text)["jobs"][0]["read"]["bw_bytes"] / 1e6
        for _ in range(bench.rounds):
            shares.append((tier(), fio()))
    ratio = statistics.median(ours / theirs for ours, theirs in shares)
    return ratio >= 0.7, f"{ratio:.2f} of fio's rate: " + ", ".join(f"{ours:.0f} of {theirs:.0f} MB/s" for ours, theirs in shares)


def disconnects(bench, count=10_000):
    """Clients that read one to four tokens of an answer and are gone, by a reset in the middle of it."""
    with Server(bench, "--kv-memory", "256MiB", "--max-queue", 1000) as server:
        body = json.dumps({"prompt": "Once upon a time", "max_tokens": 500, "ignore_eos": True, "stream": True}).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "

        def one(number):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
                raw.sendall(head + str(len(body)).encode() + b"\r\n\r\n" + body)
                seen = b""
                while seen.count(b"data: {") <= number % 4:  # the head alone comes before the request has a page
                    piece = raw.recv(4096)
                    if not piece:
                        raise RuntimeError("the server closed the connection")
                    seen += piece
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(one, range(count)))
        seconds = time.monotonic() - begin
        deadline = time.monotonic() + 30
        while used := server.metric('quire:kv_bytes', 'state="used"'):
            if time.monotonic() > deadline:
                return False, f"{used:.0f} bytes are still used 30 s after the last"
            time.sleep(0.1)
        cut = round(server.metric("quire:request_success_total", 'finished_reason="abort"'))
        begun = round(server.metric("quire:time_to_first_token_seconds_count"))
        text, _ = server.complete("Once upon a time")
        return (bool(text) and cut == begun == count,
                f"no byte is used after {count:,}, of which {begun:,} had begun and {cut:,} were cut; {count / seconds:.0f} a second")


ROWS = {  # name: technique, target, test
    "switch": ("FastSwitch: random priorities, swapping to disk", "p99 to the first and between tokens at least 1.4 times shorter "
               "than page by page, at most 0.6 of the bytes", switching),
    "sessions": ("Pensieve: dialogues, KV memory for a quarter, and a disk", "at least 1.5 times the tokens/s of no caching, mean latency "
                 "at most 0.4 of it", sessions),
    "restart": ("Disk tier: a conversation goes on after kill -9", "at least 5 times sooner than computing 4,000 tokens", restart),
    "disk": ("Disk tier: reads", "at least 70 % of fio's rate with direct I/O", disk),
    "disconnects": ("10,000 abrupt disconnects in the middle of answers", "all had begun, and every page is free", disconnects),
}
