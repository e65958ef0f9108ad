"""Closed-loop load on an OpenAI server, and a server process to put it on. Standard library only."""
import http.client
import json
import random
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS_PER_USER = 512, 64, 2
FIRST_ID, LAST_ID = 300, 30000  # plain tokens in every vocabulary measured here


@dataclass
class Load:
    seconds: float = 0
    tokens: int = 0
    failures: list = field(default_factory=list)
    first: list = field(default_factory=list)  # seconds to each first token
    gaps: list = field(default_factory=list)  # seconds between tokens

    @property
    def tokens_per_second(self):
        return self.tokens / self.seconds

    @property
    def gap_p99(self):
        return sorted(self.gaps)[int(len(self.gaps) * 0.99)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stream_tokens(url, prompt, tokens):
    """Yields once per token that arrives."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=600)
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True}
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{url} answered {response.status}: {response.read(400)!r}")
        for line in response:
            if line.startswith(b"data: ") and b"[DONE]" not in line and json.loads(line[6:]).get("choices"):
                yield
    finally:
        connection.close()


def random_tokens(count):
    return [random.randrange(FIRST_ID, LAST_ID) for _ in range(count)]


def serve_load(url, users, input_tokens=INPUT_TOKENS, shared_tokens=0, output_tokens=OUTPUT_TOKENS):
    """`users` send one request after the other, whose prompts begin with `shared_tokens` that all have in common and
    go on with `input_tokens` of their own. Requests that fail count no tokens. The tokens are others in every call, so
    that a server that goes on running finds none of them in its caches."""
    load, lock = Load(), threading.Lock()
    shared = random_tokens(shared_tokens)

    def ask(prompt):
        last, first, gaps, tokens = time.monotonic(), None, [], 0
        for _ in stream_tokens(url, prompt, output_tokens):
            now = time.monotonic()
            if first is None:
                first = now - last
            else:
                gaps.append(now - last)
            last = now
            tokens += 1
        if not tokens:
            raise RuntimeError("an answer without a token")
        with lock:
            load.tokens += output_tokens
            load.first.append(first)
            load.gaps += gaps

    def user():
        for _ in range(REQUESTS_PER_USER):
            try:
                ask(shared + random_tokens(input_tokens))
            except Exception as error:
                with lock:
                    load.failures.append(error)

    threads = [threading.Thread(target=user) for _ in range(users)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not load.first:
        raise load.failures[0]
    load.seconds = time.monotonic() - begin
    return load


class Server:
    """A server process of its own; "{port}" in the command becomes a free one."""

    def __init__(self, command):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen([str(part).replace("{port}", str(self.port)) for part in command],
                                        stdout=self.log, stderr=self.log)

    def __enter__(self):
        deadline = time.monotonic() + 300
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"the server does not start: {self.log.read()[-400:]!r}")
            time.sleep(0.005)
        self.ready = time.monotonic() - self.started  # seconds until it answered that it is healthy
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def healthy(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def first_token(self):
        """Seconds from the start of the process to the first token of a short prompt."""
        for _ in stream_tokens(self.url, [FIRST_ID, FIRST_ID + 1], 1):
            pass
        return time.monotonic() - self.started

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
