"""What the rows of `bench/rows` have in common: where things are, and runs of the program."""
import csv
import functools
import json
import pathlib
import random
import re
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build/release"
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
WIKITEXT = "wikitext2_test.txt"
SPEC_BENCH = "spec_bench_question.jsonl"
AZURE = "AzureLLMInferenceTrace_conv_2023.csv"
MOONCAKE = "mooncake_synthetic_trace.jsonl"
RAND1B = "rand1b-Q4_0.gguf"  # tools/make_random_model.py --shape 1b --tokenizer-from SmolLM2... --out this
GEMMA3 = "gemma-3-270m.Q4_K_M.gguf"
# What steps of the smallest model take on the machine of docs/benchmarks.md, in microseconds: a step, a token, a token with
# logits, a position attended to.
SMOLLM2_PRICES = "2500,600,300,0.8"
KV_TOKEN_BYTES = 23040  # of the same
MODELS = {"S": SMOLLM2, "G": GEMMA3, "R": RAND1B}
DIALOGUES = "mtbench101.jsonl"


class Missing(Exception):
    """What a row needs and this machine has not."""


class Bench:
    """Runs `quire bench replay` and remembers where things are."""

    def __init__(self, models, traces, rounds):
        self.models, self.traces, self.rounds = models, traces, rounds
        self.folder = tempfile.TemporaryDirectory()

    def file(self, folder, name):
        path = folder / name
        if not path.is_file():
            raise Missing(f"{path} is not there")
        return path

    def trace(self, name, requests):
        """Writes requests as a trace: (arrival in seconds, tokens in, tokens out, hash ids)."""
        path = pathlib.Path(self.folder.name) / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"timestamp": 1000 * at, "input_length": tokens_in, "output_length": out,
                                            "hash_ids": ids}) + "\n" for at, tokens_in, out, ids in requests))
        return path

    def azure(self, count, scale):
        """The first requests of Azure's conversations, all lengths times `scale`, a second apart."""
        with open(self.file(self.traces, AZURE), encoding="utf-8") as file:
            rows = [row for _, row in zip(range(count), csv.DictReader(file))]

        def tokens(text):
            return max(1, round(int(text) * scale))
        return self.trace(f"azure{count}", [(i, tokens(row["ContextTokens"]), tokens(row["GeneratedTokens"]), [])
                                            for i, row in enumerate(rows)])

    def report(self, verb, *arguments):
        """What `quire bench VERB` measures."""
        return self.json("bench", verb, *arguments, "--json", "-")

    def asked(self, verb, *flags):
        """The same of SmolLM2 and questions about WikiText."""
        return self.report(verb, self.file(self.models, SMOLLM2), "--text", self.file(self.traces, WIKITEXT), *flags)

    def agents(self, count, gap_s):
        """Agents made of BFCL's questions: each reads its tools, calls them one after the other, waits for the tool, whose
        delay is log-normal, and reads what it gave."""
        numbers = random.Random(1)
        questions = []
        for name in ("multiple", "parallel", "live_simple"):
            files = [self.file(self.traces / "tools_bfcl", f"BFCL_v4_{name}{kind}.json") for kind in ("", "_answer")]
            asked, answered = ({row["id"]: row for row in map(json.loads, path.read_text().splitlines())} for path in files)
            questions += [(asked[key], answered[key]["ground_truth"]) for key in asked if key in answered]
        numbers.shuffle(questions)
        medians = {}  # of each tool's delay
        lines = []
        for agent in range(count):
            calls, tools = [], []
            while len(calls) < 6:
                question, truth = questions.pop()
                tools.append(question["function"])
                said = json.dumps(question["question"])
                for call in truth:
                    tool, arguments = next(iter(call.items()))
                    calls.append((tool, tokens_of(said), tokens_of(json.dumps({tool: {k: (v or [""])[0] for k, v in arguments.items()}}))))
                    said = ""
            turns, first = [], tokens_of(json.dumps(tools)) + calls[0][1]
            for (tool, _, _), (_, asked_tokens, out) in zip(calls, calls[1:] + [("", 0, 120)]):
                median = medians.setdefault(tool, numbers.lognormvariate(0.5, 0.7))
                turns.append({"pause": 1000 * median * numbers.lognormvariate(0, 0.5), "tool": tool, "output_length": out,
                              "input_length": numbers.randint(40, 240) + asked_tokens})
            lines.append({"timestamp": 1000 * gap_s * agent, "input_length": first, "output_length": calls[0][2], "turns": turns})
        path = pathlib.Path(self.folder.name) / f"agents{count}-{gap_s}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def replay(self, trace, *flags):
        result = self.report("replay", self.file(self.models, SMOLLM2), trace, "-n", 0, *flags)
        if result["failed"]:
            raise RuntimeError(f"{result['failed']} turns failed: {result['results'][-1]['failure']}")
        return result

    def json(self, *arguments):
        """What the program prints; its exit code as `exit`."""
        done = subprocess.run([str(part) for part in (BUILD / "quire", *arguments)], capture_output=True, text=True)
        if not done.stdout.startswith("{"):
            raise RuntimeError(f"quire {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return {**json.loads(done.stdout), "exit": done.returncode}

    @functools.cache
    def doctor(self, name):
        """This machine's forecast of a model, with what was measured."""
        return self.json("doctor", self.file(self.models, name), "--check", "--json")

    def kv_tokens(self, model, memory):
        """For how many tokens a server finds room in so many bytes of KV memory."""
        with subprocess.Popen([str(BUILD / "quire"), "serve", str(model), "--port", "0", "--kv-memory", str(memory)],
                              stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            server.stdout.readline()
            server.terminate()
            return int(re.search(r"for (\d+) tokens", server.stderr.read())[1])

    @functools.cached_property
    def capacity(self):
        """Turns per second of Azure's conversations, at a quarter of their lengths, when 32 users ask one after the other."""
        result = self.replay(self.azure(160, 0.25), "--users", 32)
        return result["done"] / result["seconds"]

    def simulate(self, trace, *flags):
        return self.replay(trace, "--simulate", SMOLLM2_PRICES, *flags)

    def capacity_of(self, trace, *flags):
        """Simulated turns per second when 32 users ask one after the other."""
        result = self.simulate(trace, "--users", 32, *flags)
        return result["done"] / result["seconds"]

    def batch(self, requests, *flags):
        """Runs `quire batch`: seconds, and the tokens of prompts, of those from the cache, and of answers."""
        output = pathlib.Path(self.folder.name) / "answers.jsonl"
        output.unlink(missing_ok=True)
        command = [BUILD / "quire", "batch", self.file(self.models, SMOLLM2), "-i", requests, "-o", output, *flags]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"quire batch ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        seconds = float(re.search(r" in ([\d.]+) s", done.stderr)[1])
        return seconds, *map(int, re.search(r"prompts (\d+) tokens, (\d+) .* output (\d+) tokens", done.stderr).groups())

    def ratio(self, one, other):
        """Median and spread of one() / other() over alternating rounds."""
        ratios = [one() / other() for _ in range(self.rounds)]
        return statistics.median(ratios), f"({min(ratios):.2f}..{max(ratios):.2f})"


def spread(rounds):
    """Of every column of the rounds."""
    return "(" + ", ".join(f"{min(column):.2f}..{max(column):.2f}" for column in zip(*rounds)) + ")"


def tokens_of(text):
    return max(1, len(text.encode()) // 4)


def program(name):
    path = BUILD / name
    if not path.is_file():
        raise Missing(f"{path} is not there: build the release preset with QUIRE_TESTS=ON")
    return path


def output(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
