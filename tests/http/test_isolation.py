"""What one tenant can learn of another's prompts by asking the same and looking at the clock."""
import statistics
import time

SECRET = "The meeting is at noon, in the room behind the stairs, and nobody else may know of it. " * 20


def seconds(server, prompt, salt):
    begin = time.monotonic()
    usage = server.complete(prompt=prompt, max_tokens=1, temperature=0, cache_salt=salt)["usage"]
    return time.monotonic() - begin, usage["prompt_tokens_details"]["cached_tokens"]


def test_the_time_of_an_answer_does_not_tell_what_other_salts_asked(real_server):
    server = real_server("--kv-memory", "512MiB")
    asked_before, never_asked, own = [], [], []
    for number in range(5):
        secret, other = f"{number}. {SECRET}", f"{number}, {SECRET}"
        seconds(server, secret, "alice")
        # What Alice asked and what nobody asked take Bob equally long, whichever he tries first.
        for prompt, times in [(secret, asked_before), (other, never_asked)][:: -1 if number % 2 else 1]:
            taken, cached = seconds(server, prompt, "bob")
            times.append(taken)
            assert cached < 5, "no more than the number may be shared, with himself"
        taken, cached = seconds(server, secret, "alice")
        own.append(taken)
        assert cached > 300
    assert 0.4 < statistics.median(asked_before) / statistics.median(never_asked) < 2.5, (asked_before, never_asked)
    # The measurement would have seen a hit.
    assert statistics.median(own) < 0.4 * statistics.median(asked_before), (own, asked_before)
