"""Requests with KV pages of several types, side by side in one server."""
import concurrent.futures
import signal

import pytest

TYPES = ["f16", "int8", "int4", "int4,0-1=f16,28-29=f16"]
PROMPT = "The library has many rooms, and every room has a door to another room. " * 12
FLAGS = ["--kv-memory", "256MiB"]


def also(types):
    return [flag for kv_type in types for flag in ("--kv-also", kv_type)]


def ask(server, prompt, **fields):
    answer = server.complete(prompt=prompt, max_tokens=32, temperature=0, ignore_eos=True, **fields)
    return answer["choices"][0]["text"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def kv(server):
    return server.get("/memory").json()["kv"]


def test_types_live_side_by_side(real_server):
    server = real_server(*FLAGS, *also(TYPES[1:]))
    assert server.get("/v1/models").json()["data"][0]["kv_types"] == TYPES
    prompts = [PROMPT + f"Room {i} is" for i in range(3)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = {(t, p): pool.submit(ask, server, p, kv_type=t) for t in TYPES for p in prompts}
        texts = {key: future.result()[0] for key, future in asked.items()}
    assert len({texts[t, prompts[0]] for t in TYPES}) > 1, "all types answer the same: the test shows nothing"
    for kv_type in TYPES:
        alone = real_server(*FLAGS, "--kv-type", kv_type)
        for prompt in prompts:
            assert ask(alone, prompt)[0] == texts[kv_type, prompt], kv_type
        alone.stop()
    # The default is the first, and what one type has cached is no hit for another.
    assert ask(server, prompts[0])[0] == texts["f16", prompts[0]]
    fresh = PROMPT + "Nobody has asked for this"
    hits = [ask(server, fresh, kv_type=t, cache_salt="fresh")[1] for t in TYPES * 2]
    assert hits[:4] == [0] * 4 and min(hits[4:]) > 100

    memory = kv(server)
    rows = {row["kv_type"]: row for row in memory["types"]}
    assert list(rows) == TYPES
    assert sum(row["cached_bytes"] for row in rows.values()) == memory["cached_bytes"]
    assert all(row["cached_bytes"] > 0 and row["used_bytes"] == 0 for row in rows.values())
    assert rows["int4"]["page_tokens"] > 2.9 * rows["f16"]["page_tokens"]
    assert rows["int4"]["cached_bytes"] < 0.5 * rows["f16"]["cached_bytes"]
    cached = server.metric("quire:kv_type_bytes", 'kv_type="int4"', 'state="cached"')
    assert cached == rows["int4"]["cached_bytes"]


def test_chat_and_sessions_have_a_type(real_server):
    server = real_server(*FLAGS, "--kv-also", "int4")
    session = server.post("/v1/sessions", {"kv_type": "int4"}).json()
    assert session["kv_type"] == "int4"
    call = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 8, "session_id": session["id"]}
    assert server.post("/v1/chat/completions", call).status_code == 200
    rows = {row["kv_type"]: row for row in kv(server)["types"]}
    assert rows["int4"]["cached_bytes"] > 0 and rows["f16"]["cached_bytes"] == 0
    pinned = server.post(f"/v1/sessions/{session['id']}/pin", {"ttl": 60}).json()
    assert pinned["pin"]["tokens"] > 0
    other = server.post("/v1/chat/completions", call | {"kv_type": "f16"})
    assert other.status_code == 400 and other.json()["error"]["param"] == "kv_type"
    assert server.post("/v1/chat/completions", call | {"kv_type": "int4"}).status_code == 200


@pytest.mark.parametrize("kv_type", ["f8", "int8,0=f16", "", "bf16"])
def test_a_type_that_is_not_offered_is_refused(server, kv_type):
    for path, body in [("/v1/completions", {"prompt": "Hello"}),
                       ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
                       ("/v1/sessions", {})]:
        answer = server.post(path, body | {"kv_type": kv_type})
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["param"] == "kv_type"
        assert f"'{kv_type}'" in error["message"] and "'f16'" in error["message"]
    assert server.post("/v1/completions", {"prompt": "Hello", "kv_type": 4}).status_code == 400


def test_pages_on_disk_keep_their_type(real_server, tmp_path):
    flags = [*FLAGS, "--kv-disk", str(tmp_path), "--kv-also", "int4"]
    first = real_server(*flags)
    answers = {t: first.complete(prompt=PROMPT, max_tokens=32, temperature=0, ignore_eos=True, kv_type=t)
               for t in ("f16", "int4")}
    pages = sum((answers[row["kv_type"]]["usage"]["total_tokens"] - 1) // row["page_tokens"] for row in kv(first)["types"])
    first.wait_for_metric("quire:tier_pages_total", pages, 'move="written"', 'tier="disk"')
    first.process.send_signal(signal.SIGTERM)
    first.process.wait()
    second = real_server(*flags)
    for kv_type in ("int4", "f16"):
        text, cached = ask(second, PROMPT, kv_type=kv_type)
        assert text == answers[kv_type]["choices"][0]["text"] and cached > 100


def test_contiguous_memory_has_one_type(real_server):
    with pytest.raises(RuntimeError, match="--kv-layout contiguous has pages of one type"):
        real_server("--kv-layout", "contiguous", "--kv-also", "int8")
    with pytest.raises(RuntimeError, match="'int8' are asked for twice"):
        real_server("--kv-type", "int8", "--kv-also", "int8")
