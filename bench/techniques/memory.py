"""KV memory: what is wasted, shared and promised; the memory of activations. Each row returns whether it passes, and the figure."""
import json
import pathlib
import re

from techniques.common import AZURE, Missing, MODELS, MOONCAKE, output, program, SMOLLM2


def waste(bench):
    bench.file(bench.traces, AZURE)
    text = output(program("kv/kv_test"), "--gtest_filter=Waste.IsAtMostFourPercentOnTheWholeTrace")
    found = re.search(r"unused KV bytes on (\d+) conversations: ([\d.]+) %", text)
    if not found:
        raise Missing("the trace is not where the test looks: ../shared/workloads beside the checkout")
    return float(found[2]) <= 5, f"{found[2]} % on {int(found[1]):,} conversations"


def paging(bench):
    # A reservation of the longest sequence for everybody lets five run in a gigabyte.
    trace = bench.azure(64, 0.25)
    load = ["--users", 64, "--kv-memory", "1GiB", "--prefix-caching", "off"]

    def speed(*flags):
        return bench.replay(trace, *load, *flags)["output_tokens_per_second"]
    ratio, spread = bench.ratio(speed, lambda: speed("--max-sequences", 1024**3 // (8192 * 23040)))
    return ratio >= 2, f"{ratio:.2f} {spread} times the tokens/s"


def sharing(bench):
    trace = bench.trace("shared", [(0, 1088, 64, [0, 1, 100 + i]) for i in range(16)])

    def speed(caching):
        return bench.replay(trace, "--users", 16, "--prefix-caching", caching)["output_tokens_per_second"]
    ratio, spread = bench.ratio(lambda: speed("on"), lambda: speed("off"))
    return ratio >= 2, f"{ratio:.2f} {spread} times the tokens/s"


def hit_rate(bench):
    result = bench.replay(bench.file(bench.traces, MOONCAKE), "-n", 2000, "--length-scale", 0.008, "--users", 4,
                          "--kv-memory", "4GiB")
    found, ideal = (100 * result[key] / result["prompt_tokens"] for key in ("cached_tokens", "shared_tokens"))
    return ideal - found <= 2, f"{found:.1f} % of {ideal:.1f} %"


def samples(bench):
    """Answers of MT-Bench's first questions, as long as vLLM's of Alpaca."""
    with open(bench.file(bench.traces, "mt_bench_question.jsonl"), encoding="utf-8") as file:
        prompts = [" ".join(json.loads(line)["turns"][0].split()) for _, line in zip(range(12), file)]
    path = pathlib.Path(bench.folder.name) / "prompts"
    path.write_text("\n".join(prompts), encoding="utf-8")
    text = output(program("bench/sharing_bench"), bench.file(bench.models, SMOLLM2), path, 58)
    saved = [float(share) for share in re.findall(r": ([\d.]+) %", text)]
    figures = ", ".join(f"{share:.1f}" for share in saved)
    passes = all(share >= least for share, least in zip(saved, [6.1, 8.5, 9.8, 37.6, 53.1, 55.2], strict=True))
    return passes, f"{figures} % of the pages for 2, 4, 6 samples and 2, 4, 6 beams"


def index_work(bench):
    text = output(program("bench/prefix_bench"))
    step_us = float(re.search(r"a step of \d+ sequences that decode: (\d+) us", text)[1])
    # 1,000 decodes of the smallest model here take about a second.
    return step_us / 1e6 <= 0.01, f"{step_us:.0f} us a step"


def contiguous(bench):
    """Main memory and stalls on Azure's conversations, and the forward pass at 8k."""
    trace = bench.azure(96, 0.25)
    load = ["--users", 32, "--kv-memory", "2GiB", "--prefix-caching", "off"]
    runs = {layout: bench.replay(trace, *load, "--kv-layout", layout) for layout in ("contiguous", "paged")}
    resident = runs["contiguous"]["kv_resident_bytes"] / runs["paged"]["kv_resident_bytes"]
    shares = runs["contiguous"]["commit_shares"]
    stalled = sum(share["steps"] for share in shares if share["share"] > 0.01) / sum(share["steps"] for share in shares)

    def speed(layout, *what):
        result = bench.json("bench", bench.file(bench.models, SMOLLM2), *what, "-d", 7600, "-r", 3, "--kv-layout", layout, "--json", "-")
        return result["results"][0]["tokens_per_second"]
    decode, decode_spread = bench.ratio(lambda: speed("contiguous", "-p", 0, "-n", 16), lambda: speed("paged", "-p", 0, "-n", 16))
    prefill, prefill_spread = bench.ratio(lambda: speed("contiguous", "-p", 512, "-n", 0), lambda: speed("paged", "-p", 512, "-n", 0))
    return (resident <= 1.1 and decode >= 1 and prefill >= 1 and stalled == 0,
            f"{resident:.2f} of the bytes; decode {decode:.2f} {decode_spread}, prefill {prefill:.2f} {prefill_spread} at 7,600; "
            f"{100 * stalled:.2f} % of the steps spend more than 1 % on memory")


def predicted_room(bench):
    # Room for the longest sequence for everybody lets five run in a gigabyte.
    trace = bench.azure(64, 0.25)
    load = ["--users", 64, "--kv-memory", "1GiB", "--prefix-caching", "off"]

    def speed(layout, admission):
        return bench.replay(trace, *load, "--kv-layout", layout, "--admission", admission)["output_tokens_per_second"]
    longest, spread = bench.ratio(lambda: speed("contiguous", "predicted"), lambda: speed("contiguous", "longest"))
    paged, paged_spread = bench.ratio(lambda: speed("contiguous", "predicted"), lambda: speed("paged", "now"))
    return longest >= 3 and paged >= 0.9, (f"{longest:.2f} {spread} times the tokens/s of the longest, {paged:.2f} {paged_spread} of paged")


def arena(bench):
    figures = []
    for letter in "SG":
        text = output(program("bench/arena_bench"), bench.file(bench.models, MODELS[letter]))
        figures.append([float(re.search(pattern, text)[1]) for pattern in (r"([\d.]+) % less", r"([\d.]+) % of both")])
    memory, time = map(min, zip(*figures))
    return (memory >= 40 and time >= 10,
            "; ".join(f"{letter} {less:.0f} % less memory, {part:.1f} % less time" for letter, (less, part) in zip("SG", figures)))


ROWS = {  # name: technique, target, test
    "waste": ("PagedAttention: unused KV bytes", "at most 5 %, Azure's conversation lengths", waste),
    "paging": ("PagedAttention: against reserving the longest sequence", "at least 2 times the tokens/s in 1 GiB", paging),
    "sharing": ("Prefix sharing, 16 users, 1,024 shared and 64 own tokens", "at least 2 times the tokens/s of off", sharing),
    "hit-rate": ("Prefix index on Mooncake's trace", "within 2 points of what is there to share", hit_rate),
    "samples": ("PagedAttention: memory saved by sharing", "what vLLM saves on Alpaca: 6.1, 8.5, 9.8 % of 2, 4, 6 samples, 37.6, 53.1, 55.2 % of beams", samples),
    "index": ("Index and pool, 1,000 sequences, a million pages", "at most 1 % of a step of a second", index_work),
    "contiguous": ("vAttention: contiguous addresses, main memory on demand",
                   "at most 1.1 times the bytes of pages, at least their speed at 8k, at most 1 % of a step for memory", contiguous),
    "s3": ("S^3: room for the predicted length, contiguous, 1 GiB",
           "at least 3 times the tokens/s of room for 8k, and 0.9 of paged", predicted_room),
    "arena": ("FluidML: planned activations", "at least 40 % less memory than apart, 10 % less prefill time than malloc", arena),
}
