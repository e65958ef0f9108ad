"""quire inspect, bench and doctor."""
import json

import pytest
from conftest import one_sentence


def test_inspect_tells_what_the_model_is(quire, smollm2):
    text = quire("inspect", smollm2).stdout
    for words in ["30 layers", "hidden 576", "9 heads of 64", "3 KV heads", "8192 tokens", "134515008", "49152 entries",
                  "chat template yes", "22.5 KiB of KV per token", "general.architecture = llama", "Q4_1"]:
        assert words in text, words
    assert max(map(len, text.split("\n"))) < 200


def test_inspect_json(quire, smollm2, gemma3):
    report = json.loads(quire("inspect", smollm2, "--json", "--tensors").stdout)
    assert report["runs"] and report["refusal"] == ""
    assert report["parameters"] == 134515008 and report["layers"] == 30 and report["vocab_size"] == 49152
    assert report["kv_bytes_per_token"] == 23040
    assert sum(t["parameters"] for t in report["types"].values()) == report["parameters"]
    assert sum(t["bytes"] for t in report["tensors"]) == report["weight_bytes"]
    assert {"sequences": 8, "tokens": 4096, "kv_bytes": 8 * 4096 * 23040} in report["memory"]
    gemma = json.loads(quire("inspect", gemma3, "--json").stdout)
    assert gemma["architecture"] == "gemma3" and gemma["sliding_window"] == 512
    assert gemma["chat_template"] == "no"
    # Windows keep only what they see: a long sequence needs less than every layer keeping every token.
    long = next(n for n in gemma["memory"] if n["sequences"] == 1 and n["tokens"] == gemma["context_length"])
    assert long["kv_bytes"] < 0.5 * gemma["kv_bytes_per_token"] * gemma["context_length"]


def test_inspect_for_other_loads(quire, smollm2):
    report = json.loads(quire("inspect", smollm2, "--json", "--sequences", "3", "--tokens", "100", "--kv-type", "f32").stdout)
    assert report["memory"] == [{"sequences": 3, "tokens": 100, "kv_bytes": 3 * 112 * 46080}]


def test_inspect_by_layer(quire, smollm2):
    f16, int4 = 2 * 3 * 64 * 2, 2 * 3 * 36  # of one layer
    types = "int4,0-1=f16,28-29=f16"
    report = json.loads(quire("inspect", smollm2, "--json", "--kv-type", types).stdout)
    assert report["kv_bytes_per_token"] == 4 * f16 + 26 * int4
    for verb in (["inspect", smollm2], ["run", smollm2, "hello"], ["bench", smollm2], ["plan", smollm2], ["tune", smollm2]):
        done = quire(*verb, "--kv-type", "int8,29-30=f16")
        assert done.returncode == 1 and "gives layer 30 a type of KV pages, and the model's layers are 0 to 29" in done.stderr


def write_text(folder, articles=6, sentences=60):
    """A text with headings as WikiText has them."""
    path = folder / "text.txt"
    path.write_text("".join(f" \n = {name} = \n \n" + "".join(
        f" The {name} of {place} is number {i} among the things that are kept in a house by the sea . \n"
        for i, place in zip(range(sentences), ["Bergen", "Turin", "Quito", "Izmir", "Osaka", "Leeds"] * sentences))
        for name in ["Lamp", "Kettle", "Ladder", "Violin", "Anchor", "Basket"][:articles]))
    return path


def test_bench_kv_takes_types_by_layer(quire, smollm2, tmp_path):
    text = write_text(tmp_path)
    types = "int4,0-1=f16,28-29=f16"
    report = json.loads(quire("bench", "kv", smollm2, "--text", text, "--texts", "1", "--tokens", "128", "--samples", "0",
                              "-p", "0", "-n", "0", "-r", "1", "--kv", "int4", "--kv", types, "--json", "-").stdout)
    rows = {row["kv"]: row for row in report["results"]}
    assert list(rows) == ["f16", "int4", types]
    assert rows["int4"]["bytes_per_token"] < rows[types]["bytes_per_token"] < 0.5 * rows["f16"]["bytes_per_token"]
    wrong = quire("bench", "kv", smollm2, "--text", text, "--kv", "int4,0=f8")
    assert wrong.returncode == 1 and "'f8' is no type of KV pages" in wrong.stderr


def test_bench_kv_weighs_the_ways_to_keep_kv(quire, smollm2, tmp_path):
    text = write_text(tmp_path)
    report = json.loads(quire("bench", "kv", smollm2, "--text", text, "--texts", "1", "--tokens", "128", "--samples", "5",
                              "--pass-key-tokens", "192", "--fact-tokens", "192", "-p", "32", "-n", "2", "-d", "64", "-r", "1",
                              "--json", "-").stdout)
    assert report["bench"] == "kv" and report["settings"]["samples"] == 5
    rows = {row["kv"]: row for row in report["results"]}
    assert list(rows) == ["f16", "f32", "bf16", "fp8", "int8", "int4", "window", "lowbit", "quest"]
    assert rows["f16"]["class"] == "full" and rows["int8"]["class"] == "codec" and rows["window"]["class"] == "eviction"
    assert rows["f32"]["bytes_per_token"] == 2 * rows["f16"]["bytes_per_token"] > 3.8 * rows["int8"]["bytes_per_token"]
    assert rows["window"]["bytes_per_token"] == rows["f16"]["bytes_per_token"] / 4
    assert rows["quest"]["class"] == rows["lowbit"]["class"] == "selection"
    assert rows["quest"]["bytes_per_token"] > rows["lowbit"]["bytes_per_token"] > rows["f16"]["bytes_per_token"]
    assert rows["f16"]["nll_change"] == 0 and abs(rows["int8"]["nll_change"]) < 0.05
    for row in rows.values():
        assert row["tokens_per_second"] > 0 and row["first_token_seconds"][0] > 0
        assert row["pass_keys"]["asked"] == row["facts"]["asked"] == 5
        assert row["pass_keys"]["kept"] <= row["pass_keys"]["full_solved"] == rows["f16"]["pass_keys"]["kept"]
    assert rows["f16"]["pass_keys"]["full_solved"] >= 4, "SmolLM2 finds pass keys in short texts"
    assert rows["f16"]["improves"] == {"context": False, "accuracy": False, "performance": False}
    assert rows["int8"]["improves"]["context"]


def test_bench_kv_refuses_what_cannot_be(quire, smollm2, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The pages of a book are numbered, and so are those of a cache. " * 60)
    assert "fewer than" in one_sentence(quire("bench", "kv", smollm2, "--text", text))
    assert "missing.txt" in one_sentence(quire("bench", "kv", smollm2, "--text", tmp_path / "missing.txt"))
    assert "window" in one_sentence(quire("bench", "kv", smollm2, "--text", text, "--kv", "int3"))


def test_bench_turns_asks_five_times(quire, smollm2, tmp_path):
    examples = tmp_path / "examples.jsonl"
    examples.write_text("".join(json.dumps({"category": kind, "turns": [f"{words} {i}?"]}) + "\n" for i in range(8)
                                for kind, words in [("math", "What is the sum of 5 and"), ("cooking", "How long do I boil eggs for"),
                                                    ("travel", "Which train goes to platform"), ("music", "Who wrote symphony"),
                                                    ("sports", "Who won the final of match")]))
    done = quire("bench", "turns", smollm2, "--text", write_text(tmp_path), "--examples", examples, "--samples", "1", "--tokens",
                 "640", "--kv", "window", "--json", "out.json", "--svg", "out.svg")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    rows = {(row["kv"], row["task"], row["mode"]): row for row in report["results"]}
    assert set(rows) == {(kv, task, mode) for kv in ["f16", "window"] for task in ["facts", "articles", "mixed", "examples"]
                         for mode in ["conversation", "requests"]}
    for (kv, _, _), row in rows.items():
        assert len(row["turns"]) == 5 and all(turn["asked"] == 1 for turn in row["turns"])
        assert kv != "f16" or row["kept_share"] in (0, 1)  # 0 where it solves nothing
    total = {kv: sum(turn["kept"] for row in report["results"] if row["kv"] == kv for turn in row["turns"])
             for kv in ["f16", "window"]}
    assert total["f16"] > total["window"], "a quarter of the text cannot answer for all of it"
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    few = quire("bench", "turns", smollm2, "--text", write_text(tmp_path, articles=2), "--tokens", "640")
    assert "= Title =" in one_sentence(few)


def test_bench_saliency_points_at_the_pass_key(quire, smollm2, tmp_path):
    text = write_text(tmp_path)
    done = quire("bench", "saliency", smollm2, "--text", text, "--samples", "3", "--tokens", "384", "--json", "out.json",
                 "--svg", "out.svg")
    assert done.returncode == 0, done.stderr
    assert "####" in done.stdout and "pages come first in" in done.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert len(rows) == 3
    solved = [row for row in rows if row["solved"]]
    assert solved
    for row in solved:
        assert row["evidence_first"]
        assert max(bar["nll_rise"] for bar in row["bars"]) > 1 and row["twin_rise"] > 1
    text.write_text("The dog of Anna is called Rex. " + "The sun was out and the grass was green. " * 20)
    asked = quire("bench", "saliency", smollm2, "--text", text, "--ask", "\nThe dog of Anna is called", "--answer", " Rex",
                  "--group", "2", "--json", "-")
    bars = json.loads(asked.stdout)["results"][0]["bars"]
    assert max(bars, key=lambda bar: bar["nll_rise"])["page"] <= 2
    assert "belong together" in one_sentence(quire("bench", "saliency", smollm2, "--text", text, "--ask", "Who?"))


def test_bench_six_puts_weights_side_by_side(quire, smollm2, gemma3, tmp_path):
    done = quire("bench", "six", smollm2, "--also", gemma3, "--text", write_text(tmp_path), "--texts", "1", "--tokens", "96",
                 "-p", "32", "-n", "2", "-b", "2", "-r", "1", "--kv", "int8", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [(row["file"].endswith("Q4_1.gguf"), row["kv"]) for row in rows] == [(True, "f16"), (True, "int8"), (False, "f16"),
                                                                               (False, "int8")]
    for row in rows:
        assert row["compression"] == 1 and row["perplexity"] > 1 and row["memory_bytes"] > row["weight_bytes"]
        assert min(row[key] for key in ["utilisation", "bandwidth_share", "first_token_seconds", "token_seconds",
                                        "tokens_per_second"]) > 0
        assert row["joules_per_token"] is None or row["joules_per_token"] > 0
    assert rows[0]["perplexity_change"] == rows[2]["perplexity_change"] == 0
    measurable = rows[0]["joules_per_token"] is not None
    assert measurable == ("not measurable here" not in done.stdout)


def test_bench_trace_writes_a_load_that_replays(quire, smollm2, tmp_path):
    flags = ["-n", "20", "--rate", "20", "--burst", "3", "--failures", "0.4", "--turns", "1.5", "--think", "0.1"]
    made = quire("bench", "trace", "load.jsonl", *flags)
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "load.jsonl").read_text()
    requests = [json.loads(line) for line in text.splitlines()]
    failures = sum(request["output_length"] == 0 for request in requests)
    turns = sum(1 + len(request.get("turns", [])) for request in requests)
    assert len(requests) == 20 and 0 < failures < 20 and turns > 20
    assert quire("bench", "trace", "-", *flags).stdout == text
    for how in ([], ["--simulate", "2000,500,700,0.01"]):
        report = json.loads(quire("bench", "replay", smollm2, "load.jsonl", "-n", "0", "--length-scale", "0.05", *how,
                                  "--json", "-").stdout)
        assert report["left"] + report["done"] == turns and report["failed"] == 0 and report["kv_bytes_used_at_end"] == 0
        assert report["left"] > 0 or not how
    assert "cannot write" in one_sentence(quire("bench", "trace", "/nowhere/x.jsonl"))


def test_bench_trace_writes_a_load_of_equal_requests(quire, smollm2):
    equal = ["-n", "6", "-p", "32", "--output-tokens", "4", "--shared-tokens", "512"]
    assert quire("bench", "trace", "load.jsonl", *equal).returncode == 0
    report = json.loads(quire("bench", "replay", smollm2, "load.jsonl", "-n", "0", "--users", "3", "--length-scale", "0.25",
                              "--prefix-caching", "on", "--json", "-").stdout)
    assert report["done"] == 6 and report["prompt_tokens"] == 6 * (512 + 32) / 4 and report["output_tokens"] == 6
    assert report["cached_tokens"] >= 3 * 128, "those who come later find what the first ones left"
    assert "multiple of 512" in one_sentence(quire("bench", "trace", "-", "--shared-tokens", "100"))


def test_inspect_of_what_is_no_model(quire, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 40)
    assert "x.gguf" in one_sentence(quire("inspect", tmp_path / "x.gguf"))
    assert "pulled are none" in one_sentence(quire("inspect", "org/repo"))


def test_bench_table_and_json(quire, smollm2, tmp_path):
    out = tmp_path / "bench.json"
    done = quire("bench", smollm2, "-p", "32", "-n", "4", "-b", "1,2", "-d", "0,40", "-r", "3", "--json", out)
    assert done.returncode == 0, done.stderr
    for test in ["prefill 32 ", "decode 4 ", "decode 4 x 2 ", "prefill 32 at 40", "decode 4 x 2 at 40"]:
        assert test in done.stdout
    report = json.loads(out.read_text())
    assert len(report["results"]) == 6 and report["threads"] >= 1 and report["kernels"]
    for result in report["results"]:
        assert len(result["repetitions"]) == 3
        assert 0 < result["min"] <= result["tokens_per_second"] <= result["max"]
    batched = {r["batch"] for r in report["results"] if r["output_tokens"]}
    assert batched == {1, 2}


def test_bench_json_on_standard_output(quire, smollm2):
    report = json.loads(quire("bench", smollm2, "-p", "16", "-n", "0", "-r", "1", "--json", "-").stdout)
    assert [r["test"] for r in report["results"]] == ["prefill 16"]


def test_bench_serves_users(quire, smollm2, tmp_path):
    done = quire("bench", smollm2, "-p", "40", "-n", "5", "-b", "1", "-u", "0,3", "-r", "2", "--json", tmp_path / "b.json",
                 "--svg", tmp_path / "b.svg")
    assert done.returncode == 0, done.stderr
    name = "3 users, 40 in, 5 out"
    assert name in (tmp_path / "b.svg").read_text()
    assert f"{name}: " in done.stdout and "to the first token" in done.stdout and "beside the weights" in done.stdout
    report = json.loads((tmp_path / "b.json").read_text())
    assert 0 < report["load_seconds"] < report["first_token_seconds"]
    assert 0 < report["resident_beside_weights_bytes"] < report["resident_bytes"]
    served = report["results"][-1]
    assert served["test"] == name and len(served["repetitions"]) == 2
    assert 0 < served["gap_seconds"]["p50"] <= served["gap_seconds"]["p99"]
    assert 0 < served["first_token_seconds"]["mean"]
    assert 0 < served["min"] <= served["tokens_per_second"] <= served["max"]


def test_bench_with_windows_and_depth(quire, gemma3):
    """Deep enough that pages leave the windows between the pieces, and a batch of copies does the same."""
    done = quire("bench", gemma3, "-p", "64", "-n", "3", "-b", "2", "-d", "1200", "-r", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["results"]) == 2


@pytest.mark.parametrize("flags, words", [
    (["-d", "9000"], ["context of 8192", "9512"]),
    (["-p", "0", "-n", "0"], ["nothing to measure"]),
    (["-p", "0", "-u", "4"], ["users", "-p", "-n"]),
    (["-p", "8000", "-n", "500", "-u", "4"], ["4 users", "8500", "context of 8192"]),
    (["--page-tokens", "20"], ["multiple of 16"]),
    (["-p", "16", "-n", "0", "-r", "1", "--json", "/nowhere/x.json"], ["/nowhere/x.json"]),
])
def test_bench_refuses_what_cannot_be(quire, smollm2, flags, words):
    message = one_sentence(quire("bench", smollm2, *flags))
    for word in words:
        assert word in message


def test_doctor(quire, smollm2):
    text = quire("doctor", smollm2).stdout
    for words in ["processor", "kernels", "GB/s", "Gop/s", "huge pages", "model cache", "tokens/s"]:
        assert words in text, words


def test_doctor_json(quire):
    report = json.loads(quire("doctor", "--json").stdout)
    assert report["features"]["avx2"] is True
    assert report["kernels"] in report["supported_kernels"] and "generic" in report["supported_kernels"]
    assert report["read_bytes_per_second"] > 1e9 and report["int8_ops_per_second"] > 1e9
    assert 0 < report["available_memory_bytes"] <= report["memory_bytes"]
    assert report["cache_folder"] == str(quire.cache)
    for advice in report["advice"]:
        assert advice["problem"] and advice["remedy"]


def test_doctor_predicts_a_model_and_plan_reads_it(quire, smollm2, tmp_path):
    done = quire("doctor", smollm2, "--json", "--kv-disk", tmp_path / "disk")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    tests = {f["test"]: f for f in report["model"]["forecast"]}
    assert {"prefill 512", "decode 16", "decode 16 flushed", "decode 16 x 32", "decode 16 at 4096"} <= set(tests)
    for forecast in tests.values():
        cost = forecast["cost"]
        assert cost["parts"][cost["waits_for"]] == max(cost["parts"].values())
        assert sum(cost["parts"].values()) == pytest.approx(cost["seconds"])
        assert forecast["seconds_without_moving_data"] <= cost["seconds"] * 1.001
    assert tests["decode 16 x 4"]["tokens_per_second"] > tests["decode 16"]["tokens_per_second"]
    assert tests["decode 16 flushed"]["tokens_per_second"] <= tests["decode 16"]["tokens_per_second"] * 1.001
    assert not list((tmp_path / "disk").iterdir())

    machine = tmp_path / "machine.json"
    machine.write_text(done.stdout)
    plan = json.loads(quire("plan", smollm2, "--machine", machine, "--context", "1k,7.5k", "--memory", "4GiB", "--json").stdout)
    short, long = plan["costs"]
    assert (short["context"], long["context"]) == (1024, 7680)
    assert short["kv_bytes_each"] == 1024 * 23040
    left = 4 * 1024**3 - plan["weight_bytes"] - plan["activation_bytes"]
    assert short["users"] == left // short["kv_bytes_each"]
    assert long["prefill"]["seconds"] > 7 * short["prefill"]["seconds"]
    assert long["token_alone"]["seconds"] > short["token_alone"]["seconds"]
    assert long["disk_read_seconds"] == pytest.approx(7.5 * short["disk_read_seconds"])
    # The bare profile is as good, and smaller pages let more users in.
    machine.write_text(json.dumps(report["profile"]))
    smaller = json.loads(quire("plan", smollm2, "--machine", machine, "--context", "1k", "--memory", "4GiB", "--kv-type", "int8",
                               "--json").stdout)
    assert smaller["costs"][0]["users"] > 1.8 * short["users"]
    table = quire("plan", smollm2, "--machine", machine).stdout
    for words in ["prefill s", "users", "from disk s", " 8192 ", "waits for"]:
        assert words in table, words


def test_plan_refuses_what_cannot_be(quire, smollm2, tmp_path):
    machine = tmp_path / "machine.json"
    assert "machine.json" in one_sentence(quire("plan", smollm2, "--machine", machine))
    for content in ["{", "[]", "{\"profile\": {\"cpu\": 1}}", "{\"threads\": -1}"]:
        machine.write_text(content)
        assert "machine.json" in one_sentence(quire("plan", smollm2, "--machine", machine))
    for context in ["0", "9k", "x", "1k,", "-1"]:
        assert "--context" in one_sentence(quire("plan", smollm2, "--machine", machine, "--context", context))


def test_doctor_checks_its_predictions(quire, smollm2):
    report = json.loads(quire("doctor", smollm2, "--check", "--json").stdout)
    for forecast in report["model"]["forecast"]:
        ratio = forecast["tokens_per_second"] / forecast["measured_tokens_per_second"]
        assert forecast["predicted_over_measured"] == pytest.approx(ratio)
    assert "--check" in one_sentence(quire("doctor", "--check"))


def test_tune_advises_what_serve_takes(quire, smollm2):
    found = json.loads(quire("tune", smollm2, "--context", "128", "--max-sequences", "16", "-r", "1", "--json").stdout)
    batches = [time["batch"] for time in found["measured"]]
    assert batches == sorted(set(batches)) and batches[0] == 1 and batches[-1] <= 16
    assert found["choice"]["batch"] <= found["peak"]["batch"]
    assert found["choice"]["kv_bytes"] == found["choice"]["batch"] * 128 * 23040
    assert found["engines"] in (1, 2) and "--max-sequences" in found["serve"]
    text = quire("tune", smollm2, "--context", "128", "--max-sequences", "4", "-r", "1", "--engines", "1").stdout
    for words in ["plateau", "quire serve", "[serve]", "max-sequences = ", "kv-memory = "]:
        assert words in text, words
    alone = json.loads(quire("tune", smollm2, "--context", "128", "--target-itl", "0.001", "-r", "1", "--engines", "1", "--json").stdout)
    assert alone["choice"]["batch"] == 1
    assert "--context" in one_sentence(quire("tune", smollm2, "--context", "9000"))
    assert "--kv-memory" in one_sentence(quire("tune", smollm2, "--kv-memory", "lots"))
    assert "may be taken" in one_sentence(quire("tune", smollm2, "--kv-memory", "1MiB"))


def test_doctor_finds_what_is_slow(quire):
    report = json.loads(quire("doctor", "--json", "--threads", "64").stdout)
    assert any("64 threads" in a["problem"] and "--threads" in a["remedy"] for a in report["advice"])
    forced = json.loads(quire("doctor", "--json", env={"QUIRE_FORCE_ISA": "avx2"}).stdout)
    assert forced["kernels"] == "avx2"
    assert any("avx2" in a["problem"] for a in forced["advice"])


def test_no_progress_bar_where_nobody_looks(quire):
    assert quire("doctor").stderr == ""


def test_top_shows_a_server(quire, smollm2):
    server = quire.start("serve", smollm2, "--port", "0", "--kv-memory", "64MiB", "--api-key", "k")
    try:
        url = server.stdout.readline().split("listening on ")[1].strip()
        refused = quire("top", url)
        one_sentence(refused)
        assert "--api-key" in refused.stderr
        shown = quire("top", url, "--api-key", "k")
        assert shown.returncode == 0, shown.stderr
        assert "0 running, 0 waiting" in shown.stdout and "of 64.0 MiB" in shown.stdout
    finally:
        server.kill()
        server.wait()
    one_sentence(quire("top", url))


def test_bench_replay(quire, smollm2, tmp_path):
    trace = tmp_path / "trace.jsonl"
    lines = [{"timestamp": 50 * i, "input_length": 900, "output_length": 40, "hash_ids": [7, i]} for i in range(5)]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = quire("bench", "replay", smollm2, trace, "--length-scale", "0.1", "--turns", "2", "--json", "out.json",
                 "--scheduling", "fair")
    assert done.returncode == 0, done.stderr
    assert "10 turns done, 0 left by their clients, 0 failed" in done.stdout
    result = json.loads((tmp_path / "out.json").read_text())
    assert len(result["results"]) == 10 and result["output_tokens"] == 10 * 4
    assert result["prompt_tokens"] == 5 * (90 + 184) and result["settings"]["scheduling"] == "fair"
    assert result["kv_bytes_used_at_end"] == 0
    assert result["shared_tokens"] == 4 * 51 + 5 * 93
    assert 4 * 48 + 5 * 93 <= result["cached_tokens"] <= result["shared_tokens"]
    left = quire("bench", "replay", smollm2, trace, "--cancel", "1", "--users", "2", "--json", "-")
    assert json.loads(left.stdout)["left"] == 5
    trace.write_text("{")
    assert "line 1" in one_sentence(quire("bench", "replay", smollm2, trace))
