"""Conversations that go on after the server ended: by a signal, or without a chance to say goodbye."""
import signal
import subprocess

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
    first.wait_for_metric("quire:tier_pages_total", full_pages, 'move="written"', 'tier="disk"')
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


def end(server):
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()


def lines_about_pages(server):
    return [line for line in server.errors if "KV page" in line]


@pytest.fixture
def with_pages(real_server, tmp_path):
    """A folder with the pages of PROMPT, the flags that use it, and what the answer is."""
    flags = ["--kv-disk", str(tmp_path / "pages"), "--kv-memory", "256MiB"]
    server = real_server(*flags)
    text, usage = ask(server, PROMPT)
    server.wait_for_metric("quire:tier_pages_total", (usage["total_tokens"] - 1) // 16, 'move="written"', 'tier="disk"')
    end(server)
    (folder,) = (tmp_path / "pages").iterdir()
    return folder, flags, text


def failed_pages(server):
    return server.metric("quire:tier_pages_total", 'move="failed"', 'tier="disk"')


@pytest.mark.parametrize("damage", ["page", "cut", "index"])
def test_what_is_damaged_is_computed_again(real_server, with_pages, damage):
    folder, flags, text = with_pages
    slab = (folder / "pages.slab").read_bytes()
    if damage == "page":
        (folder / "pages.slab").write_bytes(slab[:1000] + bytes(64) + slab[1064:])
    elif damage == "cut":
        (folder / "pages.slab").write_bytes(slab[:100_000])
    else:
        (folder / "catalog.mdb").write_bytes(b"?" * 50_000)
    server = real_server(*flags)
    answer, usage = ask(server, PROMPT)
    assert answer == text and usage["prompt_tokens_details"]["cached_tokens"] == 0
    if damage == "index":
        assert ["starts empty" in line for line in server.errors if "KV pages" in line] == [True]
    else:
        assert failed_pages(server) >= 1
        assert len(lines_about_pages(server)) == 1
    end(server)
    third = real_server(*flags)  # what was lost was written anew
    assert ask(third, PROMPT)[1]["prompt_tokens_details"]["cached_tokens"] > 0
    assert not lines_about_pages(third)


def test_a_disk_that_goes_away_is_missed_by_nobody(real_server, with_pages):
    folder, flags, text = with_pages
    server = real_server(*flags)
    (folder / "pages.slab").open("r+").truncate(0)
    answer, usage = ask(server, PROMPT)
    assert answer == text and usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert failed_pages(server) >= 1 and len(lines_about_pages(server)) == 1


@pytest.mark.parametrize("other", [["--kv-type", "bf16"], ["--kv-type", "int8"], ["--exact"]])
def test_pages_of_others_are_dropped(real_server, with_pages, other):
    """Somebody copies the pages to where those of another type, or computed otherwise, are kept."""
    folder, flags, _ = with_pages
    end(real_server(*flags, *other))
    (others,) = (path for path in folder.parent.iterdir() if path != folder)
    for name in ("catalog.mdb", "pages.slab", "format"):
        (others / name).write_bytes((folder / name).read_bytes())
    server = real_server(*flags, *other)
    usage = ask(server, PROMPT)[1]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert failed_pages(server) > 10
    assert ["are dropped" in line for line in lines_about_pages(server)] == [True]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder], capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_costs_pages_and_no_answer(real_server, small_disk):
    server = real_server("--kv-disk", str(small_disk), "--kv-memory", "256MiB")
    plain = real_server("--kv-memory", "256MiB")
    for i in range(4):  # 32 MiB are taken at once, and there is no room for 32 more
        assert ask(server, f"{i} {PROMPT * 4}")[0] == ask(plain, f"{i} {PROMPT * 4}")[0]
    assert failed_pages(server) >= 1
    assert server.metric("quire:tier_pages_lost_total") > 0
    assert len([line for line in lines_about_pages(server) if "takes no KV pages" in line]) == 1


def test_pages_that_left_the_memory_come_back_from_compressed_memory(real_server):
    server = real_server("--kv-memory", "64MiB", "--kv-compressed", "512MiB", "--max-context", "2048")
    long = PROMPT * 3  # some 1,500 tokens: two of them do not fit
    first = ask(server, "one " + long)[0]
    for other in "abc":
        ask(server, other + long)
    text, usage = ask(server, "one " + long)
    assert text == first and usage["prompt_tokens_details"]["cached_tokens"] > 1000
    compressed = server.get("/memory").json()["compressed"]
    assert compressed["pages_read"] > 60 and compressed["bytes"] < compressed["pages"] * server.get("/memory").json()["kv"]["page_bytes"]
    assert server.metric("quire:tier_pages_total", 'move="read"', 'tier="compressed"') == compressed["pages_read"]
