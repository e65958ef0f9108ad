"""quire run, chat and serve with a real model."""
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from conftest import one_sentence

QUESTION = "In one sentence: what is a library?"


def test_run_answers(quire, smollm2):
    done = quire("run", smollm2, QUESTION, "-t", "0", "-n", "60")
    assert done.returncode == 0 and done.stderr == ""
    assert "library" in done.stdout and "<|im" not in done.stdout
    assert done.stdout.endswith("\n")


def test_run_reads_standard_input(quire, smollm2):
    argument = quire("run", smollm2, QUESTION, "-t", "0", "-n", "20")
    piped = quire("run", smollm2, "-t", "0", "-n", "20", input=QUESTION + "\n")
    assert piped.stdout == argument.stdout != ""


def test_run_streams(quire, smollm2):
    process = quire.start("run", smollm2, "Tell a long story about a king.", "-n", "200", "--threads", "1")
    first = process.stdout.read(1)
    assert first and process.poll() is None, "the first character comes before the answer is complete"
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def test_run_raw_continues_text(quire, gemma3, smollm2):
    done = quire("run", gemma3, "The capital of France is", "-t", "0", "-n", "8")  # has no template: raw by itself
    assert done.returncode == 0 and done.stdout.strip()
    raw = quire("run", smollm2, "The capital of France is", "--raw", "-t", "0", "-n", "8")
    assert "Paris" in raw.stdout
    assert raw.stdout != quire("run", smollm2, "The capital of France is", "-t", "0", "-n", "8").stdout


def test_run_json(quire, smollm2):
    answer = json.loads(quire("run", smollm2, QUESTION, "--json", "-n", "5", "-t", "0").stdout)
    assert answer["finish_reason"] == "length" and answer["output_tokens"] == 5
    assert answer["prompt_tokens"] > 10 and answer["text"]
    stopped = json.loads(quire("run", smollm2, QUESTION, "--json", "-t", "0", "--stop", "library").stdout)
    assert stopped["finish_reason"] == "stop" and "library" not in stopped["text"]


def test_batch_answers_a_file_and_goes_on(quire, smollm2, tmp_path):
    def line(i, **body):
        return json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions",
                           "body": {"prompt": "The pages of a book are numbered. " * 10 + f"Page {i}", "max_tokens": 3,
                                    "temperature": 0, **body}}) + "\n"
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    chat = {"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 4, "logprobs": True}}
    requests.write_text("".join(map(line, range(12))) + json.dumps(chat) + "\n" + line(12, top_p=9) + "what?\n")
    done = quire("batch", smollm2, "-i", requests, "-o", results)
    assert done.returncode == 1 and done.stdout == ""
    assert "15 answered, 2 of them with an error, 0 skipped" in done.stderr
    answers = {answer["custom_id"]: answer for answer in map(json.loads, results.read_text().splitlines())}
    assert len(answers) == 15
    assert answers["r3"]["response"]["body"]["usage"]["completion_tokens"] == 3
    assert len(answers["chat"]["response"]["body"]["choices"][0]["logprobs"]["content"]) == 4
    assert answers["r12"]["response"]["status_code"] == 400 and answers["r12"]["error"] is None
    assert answers[None]["response"] is None and answers[None]["error"]["line"] == 15
    cached = sum(a["response"]["body"]["usage"]["prompt_tokens_details"]["cached_tokens"]
                 for name, a in answers.items() if name and name[1:].isdigit() and name != "r12")
    assert cached >= 11 * 64, "what they have in common is computed once"
    whole = results.read_bytes()
    results.write_bytes(whole[:len(whole) * 2 // 3])
    again = quire("batch", smollm2, "-i", requests, "-o", results)
    found = sorted(json.loads(a)["custom_id"] or "" for a in results.read_text().splitlines())
    assert again.returncode in (0, 1) and found == sorted(name or "" for name in answers)
    assert "is no answer of a batch" in one_sentence(quire("batch", smollm2, "-i", requests, "-o", requests))
    assert "cannot read" in one_sentence(quire("batch", smollm2, "-i", tmp_path / "none", "-o", results))


def test_run_seed_and_system(quire, smollm2):
    def run(*flags):
        return quire("run", smollm2, "Name a colour.", "-n", "24", "-t", "1.2", *flags).stdout
    assert run("--seed", "1") == run("--seed", "1")
    assert len({run("--seed", str(s)) for s in (1, 2, 3)}) > 1
    assert run("--seed", "1", "--system", "You are a pirate.") != run("--seed", "1")


def test_run_verbose_tells_speed_and_memory(quire, smollm2):
    done = quire("run", smollm2, QUESTION, "-n", "4", "--verbose")
    assert "KV memory" in done.stderr and "tok/s" in done.stderr


def test_run_errors(quire, smollm2, tmp_path):
    assert "prompt is empty" in one_sentence(quire("run", smollm2))
    assert "no model 'nosuch'" in one_sentence(quire("run", "nosuch", "hi"))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(smollm2.read_bytes()[:100000])
    assert "broken.gguf" in one_sentence(quire("run", broken, "hi"))
    template = tmp_path / "t.jinja"
    template.write_text("{% if %}")
    one_sentence(quire("run", smollm2, "hi", "--chat-template", template))
    assert "context" in one_sentence(quire("run", smollm2, "hi " * 200, "--max-context", "64"))


def test_a_model_file_that_gets_shorter_while_it_is_used(quire, smollm2, tmp_path):
    copy = tmp_path / "model.gguf"
    shutil.copy(smollm2, copy)
    process = quire.start("chat", copy, "-n", "4", stdin=subprocess.PIPE)
    process.stdin.write("hello\n")
    process.stdin.flush()
    assert process.stdout.readline().strip()
    os.truncate(copy, 4096)
    output, errors = process.communicate("what is new in the world?\n", timeout=60)
    assert process.returncode == 1 and "cut short" in errors


def test_a_pipe_is_no_model(quire, tmp_path):
    os.mkfifo(tmp_path / "model.gguf")
    assert "not a regular file" in one_sentence(quire("run", tmp_path / "model.gguf", "hi"))


def test_chat_from_a_pipe(quire, smollm2):
    talk = "Remember the number 7.\n/system You are terse.\nSay hello.\n/nonsense\n/reset\n/exit\nnever read\n"
    done = quire("chat", smollm2, "-t", "0", "-n", "16", input=talk)
    assert done.returncode == 0
    assert "no command /nonsense" in done.stderr and "/system TEXT" in done.stderr
    assert ">" not in done.stdout.split("\n")[0][:2], "no prompt where nobody types"
    assert done.stdout.count("\n") >= 2


def test_chat_remembers_the_turns_before(quire, smollm2):
    def last_answer(talk):
        return quire("chat", smollm2, "-t", "0", "-n", "24", input=talk).stdout.strip().split("\n")[-1]
    alone = last_answer("Repeat my name.\n")
    assert last_answer("My name is Zebediah.\nRepeat my name.\n") != alone
    assert last_answer("My name is Zebediah.\n/reset\nRepeat my name.\n") == alone


def test_chat_needs_a_template(quire, gemma3):
    assert "template" in one_sentence(quire("chat", gemma3, input="hi\n"))


def test_chat_goes_on_after_a_turn_that_does_not_fit(quire, smollm2):
    done = quire("chat", smollm2, "--max-context", "128", "-n", "8", input="word " * 300 + "\nhello\n")
    assert done.returncode == 0
    assert "/reset" in done.stderr and done.stdout.strip()


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, quire, *arguments):
        try:
            self.master, slave = pty.openpty()
        except OSError as error:
            pytest.skip(f"this machine gives no pseudo-terminal ({error}): mount /dev/pts")
        self.process = quire.start(*arguments, env={"TERM": "xterm", "LC_ALL": "C.UTF-8"}, stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True, text=False,
                                   preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))  # TIOCSCTTY
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern, seconds=60):
        """Reads until the pattern is on the screen; returns what was read, and forgets it."""
        deadline = time.time() + seconds
        while not re.search(pattern, self.seen):
            assert time.time() < deadline, f"{pattern} does not come: {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        seen, self.seen = self.seen, ""
        assert re.search(pattern, seen), f"{pattern} did not come: {seen!r}"
        return seen

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_chat_on_a_terminal(quire, smollm2):
    terminal = Terminal(quire, "chat", smollm2, "-n", "4000", "-t", "0.7")
    try:
        terminal.wait_for("(?s)/help for help.*> ")
        terminal.type("Tell me a very long story about the sea, with many chapters. Ä€\r")
        terminal.wait_for(r"€\s*\n\s*\w")  # the answer has begun
        terminal.type("\x03")  # Ctrl-C: the answer ends, the program does not
        terminal.wait_for("> ")
        terminal.type("half a line\x03")
        terminal.wait_for("> ")
        terminal.type("/help\r")
        terminal.wait_for("/system TEXT")
        terminal.type("\x1b[A\x1b[A")  # twice up: the question
        terminal.wait_for("long story about the sea")
        terminal.type("\x03")
        terminal.wait_for("> ")
        terminal.type("\x04")  # Ctrl-D
        assert terminal.process.wait(timeout=30) == 0
    finally:
        terminal.close()
    history = quire.folder / ".local/state/quire/chat_history"
    assert "long" in history.read_text()
    again = Terminal(quire, "chat", smollm2)
    try:
        again.wait_for("(?s)/help for help.*> ")
        again.type("\x1b[A\x1b[A")
        again.wait_for("long story about the sea")
    finally:
        again.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Served:
    def __init__(self, quire, *arguments, **options):
        self.process = quire.start("serve", *arguments, **options)
        self.line = self.process.stdout.readline()
        assert self.line.startswith("listening on http://"), self.line + self.process.stderr.read()
        self.url = self.line.split()[-1]

    def get(self, path, key=None):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {key}"} if key else {})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read()

    def complete(self, **fields):
        body = json.dumps({"model": "m", "prompt": "Once upon a time", "temperature": 0, **fields}).encode()
        request = urllib.request.Request(self.url + "/v1/completions", body, {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=60)

    def end(self):
        """Standard output and error after the listening line."""
        output = self.process.communicate(timeout=60)
        return output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def test_serve_describes_itself_and_answers(quire, smollm2):
    with Served(quire, smollm2, "--port", "0", "--served-model-name", "m", "--kv-memory", "64MiB", "--threads", "2") as served:
        with served.complete(max_tokens=4) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] == 4
        served.process.send_signal(signal.SIGTERM)
        out, err = served.end()
        assert served.process.returncode == 0
        assert out == "", "one line only on standard output"
        assert "SmolLM2" in err or "Smollm2" in err
        assert "kernels" in err and "2 threads" in err
        assert "KV memory: 64.0 MiB" in err


def test_serve_drains_and_a_second_signal_stops(quire, smollm2):
    for signals, complete in [([signal.SIGTERM], True), ([signal.SIGINT, signal.SIGINT], False)]:
        with Served(quire, smollm2, "--port", "0", "--served-model-name", "m") as served:
            stream = served.complete(max_tokens=120, stream=True, ignore_eos=True)
            stream.readline()
            for s in signals:
                served.process.send_signal(s)
                time.sleep(0.1)
            try:
                text = stream.read().decode()
            except (OSError, urllib.error.URLError, Exception):
                text = ""
            assert ("[DONE]" in text) == complete
            served.end()
            assert served.process.returncode == 0


def test_serve_on_a_port_in_use(quire, smollm2):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in one_sentence(quire("serve", smollm2, "--port", port))


def test_serve_keys(quire, smollm2):
    file = quire.folder / "keys"
    file.write_text("one\n\n  \ntwo\n")
    with Served(quire, smollm2, "--port", "0", "--api-key-file", file, "--api-key", "three") as served:
        for key in ["one", "two", "three"]:
            assert served.get("/v1/models", key)
        for key in [None, "four"]:
            with pytest.raises(urllib.error.HTTPError, match="401"):
                served.get("/v1/models", key)
        assert served.get("/health")
    file.write_text("\n")
    assert "has no key" in one_sentence(quire("serve", smollm2, "--api-key-file", file))
    assert "nowhere" in one_sentence(quire("serve", smollm2, "--api-key-file", "nowhere"))


def test_serve_from_a_file_and_the_environment(quire, smollm2):
    port = free_port()
    file = quire.folder / "q.toml"
    file.write_text(f'[serve]\nmodel = "{smollm2}"\nport = 1\nserved-model-name = ["a", "b"]\nmax-context = 256\n')
    with Served(quire, "--config", file, env={"QUIRE_PORT": str(port)}) as served:
        assert served.url == f"http://127.0.0.1:{port}"
        models = json.loads(served.get("/v1/models"))["data"]
        assert [m["id"] for m in models] == ["a", "b"]
        assert models[0]["max_model_len"] == 256


def test_serve_refuses_what_cannot_be(quire, smollm2):
    assert "--kv-memory" in one_sentence(quire("serve", smollm2, "--port", "0", "--kv-memory", "lots"))
    assert "fcfs" in one_sentence(quire("serve", smollm2, "--port", "0", "--scheduling", "guesswork"))
    one_sentence(quire("serve", smollm2, "--port", "0", "--host", "not an address"))
    assert "prefix-caching" in one_sentence(quire("serve", smollm2, "--port", "0", "--kv-layout", "contiguous", "--prefix-caching", "on"))
    assert "kv-disk" in one_sentence(quire("serve", smollm2, "--port", "0", "--kv-layout", "contiguous", "--kv-disk", "d"))
    assert "kv-compressed" in one_sentence(quire("serve", smollm2, "--port", "0", "--kv-layout", "contiguous", "--kv-compressed", "8MiB"))
    for verb in (["serve", smollm2, "--port", "0"], ["bench", smollm2]):
        assert "fast-prefill" in one_sentence(quire(*verb, "--exact", "--fast-prefill"))
        assert "without 'fast-prefill'" in one_sentence(quire(*verb, "--fast-prefill-copy"))
    assert "longest, now, predicted" in one_sentence(quire("serve", smollm2, "--port", "0", "--admission", "soon"))
    assert "multiple of 16" in one_sentence(quire("serve", smollm2, "--port", "0", "--page-tokens", "17"))
