"""The program as a user runs it. QUIRE_BIN names it (default: build/release/quire), QUIRE_MODELS the folder with models
(default: .cache/models); tests that need what is not there skip and say so."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("QUIRE_BIN", ROOT / "build/release/quire"))
MODELS = pathlib.Path(os.environ.get("QUIRE_MODELS", ROOT / ".cache/models"))

VERBS = ["batch", "bench", "bench kv", "bench replay", "bench saliency", "bench six", "bench trace", "bench turns", "chat", "doctor", "inspect",
         "list", "plan", "pull", "run", "serve", "top", "tune"]


class Quire:
    """Runs the program with folders of its own, and none of the user's settings."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("QUIRE_", "HF_", "XDG_")) and "proxy" not in k.lower()}
        self.env.update(HOME=str(folder), QUIRE_CACHE=str(self.cache))

    def command(self, *arguments):
        return [str(PROGRAM), *map(str, arguments)]

    def __call__(self, *arguments, env=None, timeout=300, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, cwd=self.folder,
                              env={**self.env, **(env or {})}, timeout=timeout, **options)

    def start(self, *arguments, env=None, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, env={**self.env, **(env or {})}, **options)


@pytest.fixture
def quire(tmp_path):
    if not PROGRAM.is_file():
        pytest.skip(f"{PROGRAM} is not there: build it, or set QUIRE_BIN")
    return Quire(tmp_path)


def real_model(name):
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: run tools/fetch.py, or set QUIRE_MODELS")
    return path


@pytest.fixture
def smollm2():
    return real_model("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture
def gemma3():
    return real_model("gemma-3-270m.Q4_K_M.gguf")


def one_sentence(done, code=1):
    """The error of a run: one line on standard error that begins with the program's name."""
    assert done.returncode == code, done
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("quire: "), done.stderr
    assert len(lines[0]) > 20
    return lines[0]
