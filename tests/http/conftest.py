"""Servers to test against: the fake one, whose model is a few lines of C++, and the real program with a real model.

QUIRE_FAKE_SERVER and QUIRE_BIN name the programs (default: those of build/release), QUIRE_MODELS the folder with models.
"""
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def first_file(*paths):
    return next((str(p) for p in paths if p and pathlib.Path(p).is_file()), None)


FAKE = first_file(os.environ.get("QUIRE_FAKE_SERVER"), ROOT / "build/release/server/fake_server")
PROGRAM = first_file(os.environ.get("QUIRE_BIN"), ROOT / "build/release/quire")
MODELS = pathlib.Path(os.environ.get("QUIRE_MODELS", ROOT / ".cache/models"))


class RunningServer:
    """A server process; it has said where it listens."""

    def __init__(self, command, name, ready=True):
        self.name = name
        self.errors = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in self.process.stdout], daemon=True).start()
        threading.Thread(target=lambda: [self.errors.append(line) for line in self.process.stderr], daemon=True).start()
        deadline = time.time() + 60
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{command} ended with {self.process.returncode}: {''.join(self.errors)}")
            assert time.time() < deadline, f"{command} does not say where it listens"
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                continue
            if line.startswith("listening on "):
                break
        self.url = line.split("listening on ")[1].strip()
        self.port = int(self.url.rsplit(":", 1)[1])
        while ready and requests.get(self.url + "/health", timeout=60).status_code != 200:
            assert time.time() < deadline, "the model is not loaded in time"
            time.sleep(0.05)

    def get(self, path, **options):
        return requests.get(self.url + path, timeout=60, **options)

    def post(self, path, body, **options):
        return requests.post(self.url + path, json=body, timeout=120, **options)

    def put(self, path, body, **options):
        return requests.put(self.url + path, json=body, timeout=60, **options)

    def complete(self, **body):
        response = self.post("/v1/completions", body)
        assert response.status_code == 200, response.text
        return response.json()

    def chat(self, content="Say hello.", **body):
        response = self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], **body})
        assert response.status_code == 200, response.text
        return response.json()

    def metric(self, name, *labels):
        """The value of the first series of that name with labels such as 'state="used"'."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith((name + " ", name + "{")) and all(label in line for label in labels):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def wait_for_metric(self, name, value, *labels, seconds=10):
        deadline = time.time() + seconds
        while self.metric(name, *labels) != value:
            assert time.time() < deadline, f"{name} is {self.metric(name, *labels)}, expected {value}"
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start_fake(*flags, ready=True):
    if not FAKE:
        pytest.skip("the fake server is not built: build the release preset, or set QUIRE_FAKE_SERVER")
    return RunningServer([FAKE, "--port=0", *flags], "fake", ready)


def start_real(*flags, ready=True):
    if not PROGRAM:
        pytest.skip("the program is not built: build the release preset, or set QUIRE_BIN")
    if not (MODELS / MODEL).exists():
        pytest.skip(f"{MODEL} is not in {MODELS}: run ./start --once, or set QUIRE_MODELS")
    return RunningServer([PROGRAM, "serve", str(MODELS / MODEL), "--port", "0", *flags], "real", ready)


@pytest.fixture
def fake_server():
    """Starts fake servers with given flags, and ends them."""
    running = []

    def start(*flags, ready=True):
        running.append(start_fake(*flags, ready=ready))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def real_server():
    running = []

    def start(*flags, ready=True):
        running.append(start_real(*flags, ready=ready))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def fake():
    server = start_fake()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def real():
    server = start_real()
    yield server
    server.stop()


@pytest.fixture(params=["fake", "real"])
def server(request):
    """Both servers, one after the other."""
    return request.getfixturevalue(request.param)


def package_path(name):
    """A folder with the packages of requirements-NAME.txt, installed once beside the other caches."""
    pins = pathlib.Path(__file__).with_name(f"requirements-{name}.txt")
    folder = ROOT / ".cache/python" / name
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != pins.read_text():
        done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--upgrade",
                               "--target", str(folder), "-r", str(pins)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"pip could not install {pins.name}: {done.stderr.strip().splitlines()[-1:]}")
        stamp.write_text(pins.read_text())
    return str(folder)
