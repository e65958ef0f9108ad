"""The KV memory of a running server grows and shrinks, and nobody's answer changes."""
import threading
import time

PROMPT = "The library has many rooms, and every room has a door to another room. " * 12


def ask(server, n, answers):
    answer = server.complete(prompt=f"{n}. {PROMPT}", max_tokens=48, temperature=0, ignore_eos=True)
    answers[n] = answer["choices"][0]["text"]


def ask_all(server, count, meanwhile=lambda: None):
    answers = {}
    threads = [threading.Thread(target=ask, args=(server, n, answers)) for n in range(count)]
    for thread in threads:
        thread.start()
    meanwhile()
    for thread in threads:
        thread.join()
    return answers


def test_shrinking_preempts_and_loses_nothing(real_server):
    server = real_server("--kv-memory", "256MiB")
    expected = ask_all(server, 4)
    assert server.get("/memory").json()["kv"]["cached_bytes"] > 0

    def shrink_and_grow():
        time.sleep(0.2)
        small = server.put("/memory", {"kv_bytes": "8MiB"}).json()["kv"]
        assert small["limit_bytes"] <= 8 << 20 and small["committed_bytes"] <= max(8 << 20, small["used_bytes"])
        time.sleep(0.5)
        assert server.put("/memory", {"kv_bytes": "128MiB"}).json()["kv"]["limit_bytes"] > 127 << 20

    assert ask_all(server, 4, shrink_and_grow) == expected
    assert server.get("/memory").json()["kv"]["used_bytes"] == 0


def test_memory_goes_back_to_the_system(real_server):
    server = real_server("--kv-memory", "256MiB")
    ask_all(server, 4)
    before = server.get("/memory").json()
    after = server.put("/memory", {"kv_bytes": "1MiB"}).json()
    given = before["kv"]["committed_bytes"] - after["kv"]["committed_bytes"]
    assert given > 16 << 20 and after["kv"]["cached_bytes"] <= 1 << 20
    assert before["resident_bytes"] - after["resident_bytes"] > 0.9 * given


def test_both_layouts_give_the_same_answers(real_server):
    paged = ask_all(real_server("--kv-memory", "256MiB"), 4)
    contiguous = real_server("--kv-memory", "24MiB", "--kv-layout", "contiguous")
    assert ask_all(contiguous, 4, lambda: contiguous.put("/memory", {"kv_bytes": "16MiB"})) == paged
    kv = contiguous.get("/memory").json()["kv"]
    assert kv["used_bytes"] == kv["cached_bytes"] == 0 and 0 < kv["committed_bytes"] <= 16 << 20
    samples = {"prompt": PROMPT, "max_tokens": 8, "n": 3, "seed": 5, "ignore_eos": True}
    assert contiguous.complete(**samples)["choices"] == real_server("--kv-memory", "64MiB").complete(**samples)["choices"]


def test_nonsense_changes_nothing(fake_server):
    server = fake_server()
    limit = server.get("/memory").json()["kv"]["limit_bytes"]
    for body in ({}, {"kv_bytes": None}, {"kv_bytes": "lots"}, {"kv_bytes": "50%"}, {"kv_bytes": -1}, {"kv_bytes": 0},
                 {"kv_bytes": 1.5}, {"kv_bytes": [1]}, {"kv_bytes": "1"}, {"kv_bytes": "1e300"}):
        answer = server.put("/memory", body)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "kv_bytes", (body, answer.text)
    assert server.get("/memory").json()["kv"]["limit_bytes"] == limit


def test_more_than_the_machine_has_is_refused(real_server):
    server = real_server("--kv-memory", "64MiB")
    answer = server.put("/memory", {"kv_bytes": "900TiB"})
    assert answer.status_code == 400 and "more than" in answer.json()["error"]["message"]


def test_changing_it_needs_the_key(real_server):
    server = real_server("--kv-memory", "64MiB", "--api-key", "k", ready=True)
    assert server.put("/memory", {"kv_bytes": "32MiB"}).status_code == 401
    headers = {"Authorization": "Bearer k"}
    assert server.put("/memory", {"kv_bytes": "32MiB"}, headers=headers).json()["kv"]["limit_bytes"] <= 32 << 20
