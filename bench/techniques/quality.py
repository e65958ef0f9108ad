"""What ways to keep KV do to answers. Each row returns whether it passes, and the figure."""
import json
import pathlib
import subprocess
import sys

from techniques.common import GEMMA3, ROOT, SMOLLM2, SPEC_BENCH, WIKITEXT


def scbench(bench):
    """Five questions about a text: does the fifth find what the first one found?"""
    result = bench.asked("turns", "--examples", bench.file(bench.traces, SPEC_BENCH), "--samples", 8, "--tokens", 1024,
                         "--kv", "int8", "--kv", "window", "--kv", "quest", "--kv", "lowbit")
    kept = {}
    for row in result["results"]:
        if row["mode"] == "conversation":
            turns = kept.setdefault((row["class"], row["kv"]), [[0, 0] for _ in row["turns"]])
            for total, turn in zip(turns, row["turns"]):
                total[0] += turn["kept"]
                total[1] += turn["full_solved"]

    def ratio(turns):
        first, last = (kept / max(solved, 1) for kept, solved in (turns[0], turns[-1]))
        return last / first if first else 0
    figure = "; ".join(f"{kv} keeps {', '.join(f'{a}/{b}' for a, b in turns)}: fifth to first {ratio(turns):.2f}"
                       for (_, kv), turns in kept.items())
    eviction, selection = (max(ratio(turns) for (kind, _), turns in kept.items() if kind == wanted)
                           for wanted in ("eviction", "selection"))
    return eviction < selection and selection >= 0.95, figure


def cap(bench):
    """Context, accuracy, performance: what each way to keep KV improves over the full cache."""
    result = bench.asked("kv", "--samples", 20, "--pass-key-tokens", 1024, "--fact-tokens", 1024, "--texts", 4, "-d", 2048,
                         "-p", 256, "-n", 32, "-r", bench.rounds, "--remeasure")
    rows = result["results"]
    complete = all(row["tokens_per_gib"] > 0 and row["tokens_per_second"] > 0 and row["pass_keys"]["asked"] == 20
                   for row in rows)

    def letters(row):
        return "".join(name[0].upper() if row["improves"][name] else "-" for name in ("context", "accuracy", "performance"))
    figure = "; ".join(f"{row['kv']} {letters(row)} ({row['tokens_per_gib']:.0f} tokens/GiB, pass keys kept "
                       f"{row['pass_keys']['kept']}/{row['pass_keys']['full_solved']}, facts {row['facts']['kept']}/"
                       f"{row['facts']['full_solved']}, nll {row['nll_change']:+.4f}, {row['tokens_per_second']:.0f} tokens/s)"
                       for row in rows)
    return complete and result["exit"] == 0, figure


def six(bench):
    """Weights of 16, 8 and 4 bits, made from one file each, with KV of 16, 8 and 4 bits."""
    folder = ROOT / "build/requantized"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for model in (SMOLLM2, GEMMA3):
        source = bench.file(bench.models, model)
        for kind in ("BF16", "Q8_0", "Q4_1", "Q4_0"):
            path = folder / f"{source.name.split('.')[0]}.{kind}.gguf"
            if not path.is_file():
                subprocess.run([sys.executable, ROOT / "tools/requantize.py", source, "--type", kind, "--out", path],
                               check=True, capture_output=True)
            files.append(path)
    also = [part for path in files[1:] for part in ("--also", path)]
    result = bench.report("six", files[0], *also, "--text", bench.file(bench.traces, WIKITEXT), "--kv", "int8", "--kv", "int4",
                          "--texts", 4, "--tokens", 512, "-p", 256, "-n", 16, "-b", 4, "-r", 1)
    print(json.dumps(result["results"], indent=1), file=sys.stderr)
    passes, figures = True, []
    for row in result["results"]:
        if ".Q4_" in row["file"] and row["kv"] == "f16":
            passes &= row["compression"] >= 3 and row["perplexity_change"] <= 0.05
            figures.append(f"{pathlib.Path(row['file']).name} {row['compression']:.2f} times smaller, perplexity "
                           f"{100 * row['perplexity_change']:+.1f} %")
    energy = result["results"][0]["joules_per_token"]
    return passes, "; ".join(figures) + ("" if energy else "; energy is not measurable here")


def saliency(bench):
    result = bench.asked("saliency", "--samples", 40, "--tokens", 512)
    solved = [row for row in result["results"] if row["solved"]]
    first = sum(row["evidence_first"] for row in solved)
    return len(solved) > 0 and first >= 0.95 * len(solved), f"{first} of {len(solved)} pass keys that are solved"


ROWS = {  # name: technique, target, test
    "scbench": ("SCBench: five turns over one text", "eviction forgets by the fifth, selection keeps 0.95", scbench),
    "cap": ("CAP principle: a verdict for every way to keep KV", "nobody improves all three, unless measured again", cap),
    "six": ("EfficientLLM: six metrics side by side", "4 bits at least 3 times smaller, perplexity at most +5 %", six),
    "saliency": ("POPGym's saliency maps: pages left out", "the pass key's pages first in 95 %", saliency),
}
