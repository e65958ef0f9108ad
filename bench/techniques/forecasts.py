"""What is predicted of a machine and a model, against what is measured. Each row returns whether it passes, and the figure."""
import re
import statistics
import tempfile

from techniques.common import MODELS, output, program, RAND1B, SMOLLM2, spread


def off_by(predicted, measured):
    return abs(predicted / measured - 1)


def forecasts(bench, wanted):
    """How far off `quire doctor --check` is, in the tests that are `wanted`: the worst, and all by model and test."""
    found = {}
    for letter, name in MODELS.items():
        for test in bench.doctor(name)["model"]["forecast"]:
            if wanted(test):
                found[f"{letter} {test['test']}"] = test["predicted_over_measured"]
    return max(off_by(ratio, 1) for ratio in found.values()), ", ".join(f"{test} {ratio:.2f}" for test, ratio in found.items())


def roofline(bench):
    worst, ratios = forecasts(bench, lambda test: not test["flushed"] and not test["depth"])
    return worst <= 0.2, f"predicted/measured: {ratios}"


def cache(bench):
    tests = {test["test"]: test for test in bench.doctor(SMOLLM2)["model"]["forecast"]}
    warm, flushed = tests["decode 16"], tests["decode 16 flushed"]
    bound = warm["output_tokens"] / warm["seconds_without_moving_data"] / warm["measured_tokens_per_second"]
    ratios = [test["predicted_over_measured"] for test in (warm, flushed)]
    return (max(off_by(ratio, 1) for ratio in ratios) <= 0.2,
            f"predicted/measured: warm {ratios[0]:.2f}, flushed {ratios[1]:.2f}; without moving data {bound:.1f} times as fast")


def written(bench, sizes):
    """Seconds to write so many bytes to a disk tier: the medians of three rounds over all sizes."""
    rounds = []
    for _ in range(3):
        rounds.append([])
        for size in sizes:
            with tempfile.TemporaryDirectory(dir=bench.folder.name) as folder:
                moved = output(program("bench/disk_tier_bench"), folder, "write", -(-size // (512 << 10)))
            rounds[-1].append(size / (1e6 * float(re.search(r": (\d+) MB/s", moved)[1])))
    return [statistics.median(column) for column in zip(*rounds)]


def costs(bench):
    """The four costs as planned, against a forward pass, a server's count of pages and the disk tier."""
    worst = {}
    for name, contexts in ((SMOLLM2, (1024, 4096, 7680)), (RAND1B, (16384,))):
        model = bench.file(bench.models, name)
        plan = bench.json("plan", model, "--context", ",".join(map(str, contexts)), "--memory", "8GiB", "--kv-disk", bench.folder.name,
                          "--json")
        swaps = written(bench, [cost["kv_bytes_each"] for cost in plan["costs"]])  # at once: a disk's rate changes
        for cost, swap in zip(plan["costs"], swaps):
            context = cost["context"]
            prefill = bench.json("bench", model, "-p", context, "-n", 0, "-r", 1, "--json", "-")["results"][0]
            token = bench.json("bench", model, "-p", 0, "-n", 4, "-d", context - 4, "-r", 3, "--json", "-")["results"][0]
            memory = plan["memory_bytes"] - plan["weight_bytes"] - plan["activation_bytes"]
            for what, off in (("prefill", off_by(cost["prefill"]["seconds"], context / prefill["tokens_per_second"])),
                              ("token", off_by(cost["token_alone"]["seconds"], 1 / token["tokens_per_second"])),
                              ("users", off_by(cost["users"], bench.kv_tokens(model, memory) // context)),
                              ("swap", off_by(cost["disk_write_seconds"], swap))):
                worst[what] = max(worst.get(what, 0), off)
    return max(worst.values()) <= 0.2, "at most off by: " + ", ".join(f"{what} {100 * off:.0f} %" for what, off in worst.items())


def tune(bench):
    seen, choices, bests = [], [], []
    for _ in range(bench.rounds):
        found = bench.json("tune", bench.file(bench.models, SMOLLM2), "--context", 1024, "--target-itl", 0, "--max-sequences", 128, "--sweep",
                           "--json")
        best = max(found["sweep"], key=lambda time: time["tokens_per_second"])
        choice, peak = found["choice"], found["peak"]
        seen.append([choice["tokens_per_second"] / best["tokens_per_second"], choice["batch"] / best["batch"],
                     off_by(peak["tokens_per_second"], best["tokens_per_second"])])
        choices.append(choice["batch"])
        bests.append(best["batch"])
    speed, memory, plateau = (statistics.median(column) for column in zip(*seen))
    engines = [found.get(f"{n}_tokens_per_second", 0) for n in ("one_engine", "two_engines")]
    return (speed >= 0.95 and memory <= 0.6 and plateau <= 0.1,
            f"batch {'/'.join(map(str, choices))}: {speed:.2f} of the sweep's peak (batch {'/'.join(map(str, bests))}) with {memory:.2f} "
            f"of its KV memory; plateau off by {100 * plateau:.0f} % {spread(seen)}; one engine {engines[0]:.0f} tokens/s, two "
            f"{engines[1]:.0f}: {found['engines']}")


ROWS = {  # name: technique, target, test
    "roofline": ("AI and memory wall: doctor's forecast, batch 1 to 32, S, G, R", "within 20 % of measured", roofline),
    "cache": ("LARC: decoding from warm and from flushed caches", "predicted within 20 % of measured", cache),
    "costs": ("Long-context deployment: quire plan, S at 1k to 7.5k, R at 16k", "four costs within 20 % of measured", costs),
    "tune": ("Batching advisor: quire tune", "at least 0.95 of the sweep's peak, at most 0.6 of its KV memory, plateau within 10 %", tune),
}
