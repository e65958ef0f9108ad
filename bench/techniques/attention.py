"""Attention over shared pages, in one pass. Each row returns whether it passes, and the figure."""
import functools
import json
import re

from techniques.common import BUILD, Missing, output, program


def relay(bench):
    model = next(iter(sorted(bench.models.glob("rand1b*Q4_0.gguf"))), None)
    if model is None:
        raise Missing(f"{bench.models} has no rand1b-Q4_0.gguf: tools/make_random_model.py writes it")
    # Exact: a shared page and a copy of it give the same bits, so logits do not differ at all.
    output(program("model/model_test"), "--gtest_filter=*SharedPages*:AttentionPlan.ASharedPromptIsReadOnce")

    def step_seconds(shared):
        result = json.loads(output(BUILD / "quire", "bench", model, "-p", 0, "-n", 8, "-b", 16, "-d", 2048, "-r", 1,
                                   "--shared-tokens", shared, "--json", "-"))["results"][0]
        return result["batch"] / result["tokens_per_second"]
    ratio, spread = bench.ratio(lambda: step_seconds(2048), lambda: step_seconds(0))
    return ratio <= 0.6, f"{ratio:.2f} {spread} of the time, prefix read once, same bits"


def shared_chunks(bench):
    text = output(program("bench/attention_bench"), "shared")
    found = [[float(x) for x in row] for row in re.findall(r"tokens: ([\d.]+) .*reads ([\d.]+) .*holds ([\d.]+)", text)]
    output(program("model/model_test"), "--gtest_filter=*SharedPages*")
    least, most = min(row[0] for row in found), max(row[0] for row in found)
    return least >= 3.2, f"{least:.2f} to {most:.2f} times as fast; reads {max(row[1] for row in found):.3f} of what copies read"


@functools.cache
def one_pass():
    text = output(program("bench/attention_bench"), "onepass")
    found = re.search(r"tokens: ([\d.]+) \(.*\) of .* says ([\d.]+) .*; scratch 1/(\d+)", text)
    return float(found[1]), float(found[2]), int(found[3])


def onepass(bench):
    output(program("model/model_test"), "--gtest_filter=AttentionOverAPrompt.*")
    measured, model, _ = one_pass()
    off = abs(model / measured - 1)
    return off <= 0.15, f"model {model:.3f}, measured {measured:.3f}: {100 * off:.0f} % apart; reads and scratch as tested"


def softmax_memory(bench):
    output(program("model/model_test"), "--gtest_filter=AttentionOverAPrompt.*")
    measured, _, scratch = one_pass()
    return scratch >= 59 and measured <= 1.05, f"1/{scratch} of the scratch, {measured:.2f} of the time, error below 1e-5"


ROWS = {  # name: technique, target, test
    "relay": ("RelayAttention: 16 sequences decode behind 2,048 shared tokens, 1B",
              "a step takes at most 0.6 of that with pages of their own", relay),
    "chunk": ("ChunkAttention: 32 sequences, 1,024 to 4,096 shared tokens, f16 pages",
              "attention at least 3.2 times as fast as over pages of their own", shared_chunks),
    "onepass": ("FuseMax: one pass over keys and values", "a model's time against three passes within 15 %", onepass),
    "softmax-memory": ("Running softmax, one layer of 16,384 tokens",
                       "at most 1/59 of the scratch of materialised scores, 1.05 of the time, error 1e-5", softmax_memory),
}
