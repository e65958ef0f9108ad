"""Conversations that go on after the server ended: by a signal, or without a chance to say goodbye."""
import signal

import pytest

PROMPT = "The library has many rooms, and every room has a door to another room. " * 30


def ask(server, prompt):
    answer = server.complete(prompt=prompt, max_tokens=24, temperature=0, ignore_eos=True)
    return answer["choices"][0]["text"], answer["usage"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_conversation_goes_on_after_a_restart(real_server, tmp_path, how, encrypted):
    flags = ["--kv-disk", str(tmp_path / "pages"), "--kv-memory", "256MiB"]
    if encrypted:
        (tmp_path / "key").write_text("5a" * 32 + "\n")
        flags += ["--kv-disk-key", str(tmp_path / "key")]
    first = real_server(*flags)
    text, usage = ask(first, PROMPT)
    full_pages = (usage["total_tokens"] - 1) // 16
    first.wait_for_metric("quire:tier_pages_total", full_pages, 'move="written"')
    first.process.send_signal(how)
    first.process.wait()

    second = real_server(*flags)
    answer, usage = ask(second, PROMPT + text + " And then")
    assert usage["prompt_tokens_details"]["cached_tokens"] == 16 * full_pages
    assert second.get("/memory").json()["disk"]["pages"] >= full_pages
    assert answer == ask(real_server("--kv-memory", "256MiB"), PROMPT + text + " And then")[0]


def test_pages_of_another_type_and_salt_are_not_used(real_server, tmp_path):
    flags = ["--kv-disk", str(tmp_path / "pages"), "--kv-memory", "256MiB"]
    first = real_server(*flags)
    ask(first, PROMPT)
    first.process.send_signal(signal.SIGTERM)
    first.process.wait()
    other = real_server(*flags, "--kv-type", "bf16")
    assert ask(other, PROMPT)[1]["prompt_tokens_details"]["cached_tokens"] == 0
    other.process.send_signal(signal.SIGTERM)
    other.process.wait()
    salted = real_server(*flags)
    usage = salted.complete(prompt=PROMPT, max_tokens=1, cache_salt="mine")["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert ask(salted, PROMPT)[1]["prompt_tokens_details"]["cached_tokens"] > 0


def test_two_servers_need_two_folders(real_server, tmp_path):
    real_server("--kv-disk", str(tmp_path))
    with pytest.raises(RuntimeError, match="another process keeps its KV pages here"):
        real_server("--kv-disk", str(tmp_path))
