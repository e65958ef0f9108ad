"""Who runs when: queues, bursts, agents and batches; what they are predicted by. Each row returns whether it passes, and the figure."""
import bisect
import csv
import datetime
import itertools
import json
import pathlib
import random
import re
import statistics

from techniques.common import AZURE, BUILD, KV_TOKEN_BYTES, Missing, output, program, SMOLLM2_PRICES


def stalls(bench):
    trace = bench.azure(96, 0.5)
    load = ["--users", 16, "--prefix-caching", "off"]

    def pause(*flags):
        return bench.replay(trace, *load, *flags)["gap_seconds"]["p99"]
    ratio, spread = bench.ratio(lambda: pause("--target-itl", 0, "--max-step-tokens", 8192),
                                lambda: pause("--target-itl", "100ms"))
    return ratio >= 5, f"the longest pauses (p99) are {ratio:.1f} {spread} times shorter"


def turn_seconds(result):
    return sorted(turn["last"] - turn["asked"] for turn in result["results"])


def mean_normalised(result):
    """Seconds from the question to the last token, per token of the answer."""
    return statistics.mean((turn["last"] - turn["asked"]) / turn["output_tokens"] for turn in result["results"])


def quarter_of_need(result):
    """KV memory of which a run without limits had needed four times as much at its peak."""
    changes = []
    for turn in result["results"]:
        tokens = turn["prompt_tokens"] + turn["output_tokens"]
        changes += [(turn["asked"], tokens), (turn["last"], -tokens)]
    held = peak = 0
    for _, tokens in sorted(changes):
        held += tokens
        peak = max(peak, held)
    return int(peak * KV_TOKEN_BYTES / 4)


class Queueing:
    """Azure's conversations at a quarter of their lengths, arriving at random at 0.9 of what the engine gets through."""

    def __init__(self, bench):
        self.bench = bench
        self.trace = bench.azure(600, 0.25)
        free = bench.capacity_of(self.trace, "--kv-memory", "4GiB")
        need = bench.simulate(self.trace, "--speed", 0.9 * free, "--burst", 1, "--kv-memory", "4GiB")
        self.memory = ["--kv-memory", quarter_of_need(need)]
        self.capacity = bench.capacity_of(self.trace, *self.memory)

    def run(self, scheduling, load=0.9):
        return self.bench.simulate(self.trace, "--speed", load * self.capacity, "--burst", 1, *self.memory,
                                   "--scheduling", scheduling)


def feedback_queue(bench):
    queueing = Queueing(bench)
    fcfs, mlfq = queueing.run("fcfs"), queueing.run("mlfq")
    ours, theirs = turn_seconds(mlfq), turn_seconds(fcfs)
    mean = statistics.mean(theirs) / statistics.mean(ours)
    p95 = theirs[int(0.95 * len(theirs))] / ours[int(0.95 * len(ours))]
    speed = mlfq["output_tokens_per_second"] / fcfs["output_tokens_per_second"]
    return min(mean, p95) >= 2 and speed >= 0.95, (
        f"mean {mean:.2f}, P95 {p95:.2f} times shorter at {speed:.3f} times the tokens/s, all {mlfq['done']} finished (simulated)")


def shortest_first(bench):
    queueing = Queueing(bench)
    wanted = mean_normalised(queueing.run("spf"))
    low, high = 0.1, 0.9  # the load at which FCFS is as fast
    for _ in range(7):
        middle = (low + high) / 2
        if mean_normalised(queueing.run("fcfs", middle)) <= wanted:
            low = middle
        else:
            high = middle
    return 0.9 / low >= 1.5, f"{0.9 / low:.2f} times the rate at {wanted:.3f} s per token (simulated)"


def sustained(bench):
    trace = bench.azure(600, 0.125)
    step, token, logits, _ = map(float, SMOLLM2_PRICES.split(","))
    goal_ms = 5 * (step + token + logits) / 1000
    capacity = bench.capacity_of(trace, "--prefix-caching", "off")

    def most(*flags):
        low, high = 0.0, 1.2
        for _ in range(7):
            middle = (low + high) / 2
            result = bench.simulate(trace, "--speed", middle * capacity, "--burst", 1, "--prefix-caching", "off", *flags)
            if result["gap_seconds"]["p99"] * 1000 <= goal_ms:
                low = middle
            else:
                high = middle
        return low
    # A step may end a little after its goal.
    ours, whole = most("--target-itl", f"{0.9 * goal_ms:.1f}ms"), most("--target-itl", 0, "--max-step-tokens", 8192)
    if not whole:
        return ours > 0, f"load {ours:.2f} at P99 {goal_ms:.0f} ms between tokens; whole prompts none (simulated)"
    return ours / whole >= 1.5, f"load {ours:.2f} to {whole:.2f} at P99 {goal_ms:.0f} ms between tokens (simulated)"


def peak_tokens(result):
    """The most that conversations under way hold at any time, whether they run or pause."""
    talks = {}
    for turn in result["results"]:
        begin, _, tokens = talks.get(turn["conversation"], (turn["asked"], 0, 0))
        talks[turn["conversation"]] = (begin, turn["last"], max(tokens, turn["prompt_tokens"] + turn["output_tokens"]))
    moments = sorted([(begin, tokens) for begin, _, tokens in talks.values()] +
                     [(end, -tokens) for _, end, tokens in talks.values()])
    return max(itertools.accumulate(change for _, change in moments))


def agents(bench):
    # Simulated, so that it is the same everywhere: agents that come faster than the machine can take (about one in 4 s), and
    # about as fast.
    passes, figures = True, []
    for gap_s in (0.9, 4):
        trace = bench.agents(60, gap_s)

        def job(kv_tokens, scheduling, retention):
            return bench.replay(trace, "--simulate", SMOLLM2_PRICES, "--kv-memory", f"{kv_tokens * KV_TOKEN_BYTES}",
                                "--scheduling", scheduling, "--retention", retention)
        unlimited = job(200_000, "program", "none")
        little = round(0.3 * peak_tokens(unlimited))
        lru, pinned = job(little, "fcfs", "none"), job(little, "program", "learned")
        mean, of_lru, of_all = (result["conversation_seconds"]["mean"] for result in (pinned, lru, unlimited))
        passes &= mean <= 0.8 * of_lru and mean <= 1.2 * of_all
        figures.append(f"one in {gap_s} s: {mean / of_lru:.2f} of FCFS and LRU, {mean / of_all:.2f} of unlimited memory "
                       f"({mean:.1f} s, {of_lru:.1f} s, {of_all:.1f} s)")
    return passes, "; ".join(figures)


def distance(a, b):
    """Kolmogorov and Smirnov's: the largest between two distributions."""
    a, b = sorted(a), sorted(b)
    return max(abs(bisect.bisect_right(a, x) / len(a) - bisect.bisect_right(b, x) / len(b)) for x in a + b)


def bursts(bench):
    """Generated loads: as long as Azure's, as bursty as one likes, with failures; served by every scheduler."""
    def generate(*flags):
        path = pathlib.Path(bench.folder.name) / "generated.jsonl"
        output(BUILD / "quire", "bench", "trace", path, *flags)
        return path
    with open(bench.file(bench.traces, AZURE), encoding="utf-8") as file:
        azure = list(csv.DictReader(file))
    times = [datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in azure]
    drawn = [json.loads(line) for line in generate("-n", 20000).read_text().splitlines()]
    made = [request["timestamp"] / 1000 for request in drawn]
    distances = [distance([b - a for a, b in zip(times, times[1:])], [b - a for a, b in zip(made, made[1:])]),
                 distance([int(row["ContextTokens"]) for row in azure], [request["input_length"] for request in drawn]),
                 distance([int(row["GeneratedTokens"]) for row in azure], [request["output_length"] for request in drawn])]
    figure = "distances to Azure: gaps {:.3f}, prompts {:.3f}, outputs {:.3f}".format(*distances)
    # Steps take what they take SmolLM2 on two cores; at a quarter of the lengths that is 0.9 of what can be served.
    load = ["--length-scale", 0.25, "--kv-memory", "128MiB", "--simulate", "2000,500,700,0.01"]
    policies = re.findall(r"^  ([a-z]+)\b", output(BUILD / "quire", "list").split("--scheduling")[1].split("\n--")[0], re.M)
    held, left = 0, 0
    for policy in policies:
        p99 = []
        for cv in (1, 2, 3, 4):
            trace = generate("-n", 400, "--rate", 3.5, "--burst", cv, "--failures", 0.1)
            result = bench.replay(trace, *load, "--scheduling", policy)
            p99.append(result["first_token_seconds"]["p99"])
            held += result["kv_bytes_used_at_end"]
            left += result["left"]
        figure += f"; {policy} p99 to the first token at CV 1 to 4: {', '.join(f'{s:.1f}' for s in p99)} s"
    served = bench.replay(generate("-n", 32, "--rate", 4, "--burst", 3, "--failures", 0.2), "--length-scale", 0.125,
                          "--kv-memory", "64MiB")
    held += served["kv_bytes_used_at_end"]
    return (max(distances) <= 0.1 and held == 0 and left > 0,
            figure + f"; {left} failures simulated and {served['left']} served, {held} bytes of pages lost")


def few_shot(bench, sets, questions, shots):
    """Questions of BBH and GSM8K behind worked examples, `questions` behind the same ones; in random order."""
    texts = [json.loads(line) for line in bench.file(bench.traces, "gsm8k_test.jsonl").read_text().splitlines()]
    texts = [f"Question: {text['question']}\nAnswer: {text['answer']}\n\n" for text in texts]
    for task in ["navigate", "date_understanding"]:
        tasks = json.loads(bench.file(bench.traces, f"bbh/{task}.json").read_text())["examples"]
        texts += [f"Question: {example['input']}\nAnswer: {example['target']}\n\n" for example in tasks]
    rng = random.Random(3)
    lines = []
    for i in range(sets):
        chosen = rng.sample(texts, shots + questions)
        examples = "".join(chosen[:shots])
        for j, text in enumerate(chosen[shots:]):
            body = {"prompt": examples + text.partition("Answer:")[0] + "Answer:", "max_tokens": 8, "temperature": 0,
                    "ignore_eos": True}
            lines.append(json.dumps({"custom_id": f"{i}-{j}", "method": "POST", "url": "/v1/completions", "body": body}))
    rng.shuffle(lines)
    path = pathlib.Path(bench.folder.name) / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def offline(bench):
    requests = few_shot(bench, sets=24, questions=8, shots=4)
    _, prompts, ideal, answers = bench.batch(requests, "--kv-memory", "4GiB")
    memory = ["--kv-memory", (prompts - ideal + answers) * KV_TOKEN_BYTES // 4]
    saved = []

    def seconds(*flags):
        taken, _, cached, _ = bench.batch(requests, *memory, *flags)
        if not flags:
            saved.append(cached)
        return taken
    ratio, spread = bench.ratio(lambda: seconds("--scheduling", "fcfs"), seconds)
    share = min(saved) / ideal
    return ratio >= 1.3 and share >= 0.95, f"{ratio:.2f} {spread} times the tokens/s, {100 * share:.1f} % of what there is to save"


def recurrent(bench):
    text = output(program("bench/recurrent_bench"), bench.file(bench.traces, AZURE))
    faster = float(re.search(r"training is ([\d.]+) times", text)[1])
    own, average = map(float, re.search(r"error on \d+ answers: ([\d.]+), .* ([\d.]+)$", text, re.M).groups())
    return faster >= 10 and own <= average, f"{faster:.0f} times faster; error {own} to {average} of log(length)"


def ordered_map(bench):
    text = output(program("bench/bskiplist_bench"), 10_000_000, 500_000, 2)
    rows = [list(map(float, re.findall(r"[\d.]+", line)[-2:])) for line in text.splitlines() if re.match(r"load|[A-E]: ", line)]
    if "B-tree" not in text:
        raise Missing("libabsl-dev, for a B-tree to compare with")
    one_key, tree = (statistics.geometric_mean(row[i] for row in rows) for i in (0, 1))
    worst = [min(row[i] for row in rows) for i in (0, 1)]
    return worst[0] >= 2 and worst[1] >= 0.9, (f"{one_key:.2f} times one key per node, {tree:.2f} times the B-tree; "
                                               f"in the worst mix {worst[0]:.2f} and {worst[1]:.2f}")


ROWS = {  # name: technique, target, test
    "stalls": ("Sarathi-Serve: stall-free prompts", "pauses at least 5 times shorter than with whole prompts", stalls),
    "bursts": ("BurstGPT: generated loads", "at most 0.1 from Azure; failures, and no page lost", bursts),
    "agents": ("Continuum: agents of BFCL's calls, KV 30 % of need, simulated", "mean job at most 0.8 of FCFS with LRU and 1.2 of unlimited memory", agents),
    "sustained": ("Sarathi-Serve: rate at P99 between tokens of 5 lone steps", "at least 1.5 times that of whole prompts", sustained),
    "mlfq": ("FastServe: feedback queue, load 0.9, a quarter of the KV", "mean and P95 completion at least 2 times shorter than FCFS, tokens/s at least 0.95", feedback_queue),
    "spf": ("ALISE: predicted shortest first, the same load", "at least 1.5 times the rate of FCFS at equal mean normalised latency", shortest_first),
    "offline": ("BatchLLM: 192 few-shot prompts of 24 kinds, a quarter of the KV", "at least 1.3 times the tokens/s of FCFS, 95 % of what there is to save", offline),
    "recurrent": ("Fast and Forgetful Memory: lengths of answers", "trains at least 10 times faster than a GRU, error at most a moving average's", recurrent),
    "ordered-map": ("B-skiplist: 10 M keys, 2 threads, YCSB's mixes", "in every mix at least 2 times one key per node, 0.9 times a B-tree", ordered_map),
}
