"""Sessions and pins: every route, whose they are, what they refuse, and that they change no answer."""
import signal
import time

import pytest
import requests

from test_errors import check

TEXT = "The library has many rooms, and every room has a door to another room. " * 12
ANNA, BEN = {"Authorization": "Bearer anna-key"}, {"Authorization": "Bearer ben-key"}


def create(server, headers=None, **body):
    response = server.post("/v1/sessions", body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def say(server, session, prompt=TEXT, **body):
    return server.complete(prompt=prompt, session_id=session["id"], max_tokens=8, temperature=0, ignore_eos=True, **body)


def test_a_session_from_begin_to_end(server):
    session = create(server, name="research", metadata={"topic": "doors"}, ttl=600)
    assert session["object"] == "session" and session["id"].startswith("sess-") and session["name"] == "research"
    assert session["metadata"] == {"topic": "doors"} and session["tokens"] == 0 and session["pin"] is None
    assert session["expires_at"] == session["last_used_at"] + 600 and session["saved_at"] is None
    usage = say(server, session)["usage"]
    shown = server.get("/v1/sessions/" + session["id"]).json()
    assert shown["tokens"] == usage["total_tokens"] and shown["requests"] == 1

    pinned = server.post(f"/v1/sessions/{session['id']}/pin", {"ttl": 60}).json()
    assert 0 < pinned["pin"]["tokens"] <= shown["tokens"] and pinned["pin"]["tokens"] % 16 == 0
    assert abs(pinned["pin"]["expires_at"] - time.time() - 60) < 10
    deadline = time.time() + 10
    while server.metric("quire:pins") < 1:
        assert time.time() < deadline
    fork = server.post(f"/v1/sessions/{session['id']}/fork", {"name": "branch"}).json()
    assert fork["id"] != session["id"] and fork["name"] == "branch" and fork["metadata"] == {"topic": "doors"}
    assert fork["tokens"] == shown["tokens"] and fork["pin"] is None and fork["requests"] == 0
    listed = server.get("/v1/sessions").json()
    assert {session["id"], fork["id"]} <= {item["id"] for item in listed["data"]}

    unpinned = requests.post(f"{server.url}/v1/sessions/{session['id']}/unpin", timeout=60)  # a body is not needed
    assert unpinned.status_code == 200 and unpinned.json()["pin"] is None
    for one in (session, fork):
        gone = requests.delete(server.url + "/v1/sessions/" + one["id"], timeout=60)
        assert gone.json() == {"id": one["id"], "object": "session.deleted", "deleted": True}
        check(server.get("/v1/sessions/" + one["id"]), 404, "session_id", "session_not_found")


def test_the_next_turn_finds_the_session(real):
    session = create(real)
    first = say(real, session, cache_salt=None)
    prompt = TEXT + first["choices"][0]["text"] + " And then"
    second = say(real, session, prompt)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= first["usage"]["prompt_tokens"]
    shown = real.get("/v1/sessions/" + session["id"]).json()
    assert shown["tokens"] == second["usage"]["total_tokens"] and shown["requests"] == 2
    # The same without a session, and with a pin: equal ids.
    assert say(real, create(real, cache_salt="x"), prompt)["choices"][0]["text"] == second["choices"][0]["text"]
    assert real.post(f"/v1/sessions/{session['id']}/pin", {}).json()["pin"]["tokens"] > 0
    assert say(real, session, prompt)["choices"][0]["text"] == second["choices"][0]["text"]
    # What was said since is pinned as well.
    longer = say(real, session, prompt + second["choices"][0]["text"] + " and at last " * 20)
    deadline = time.time() + 10
    while real.get("/v1/sessions/" + session["id"]).json()["pin"]["tokens"] < longer["usage"]["prompt_tokens"] - 16:
        assert time.time() < deadline
    memory = real.get("/memory").json()
    assert memory["pinned_bytes"] >= memory["kv"]["page_bytes"] * (longer["usage"]["prompt_tokens"] // 16)
    assert sum(owner["pins"] for owner in memory["pins"]) >= 1
    requests.delete(real.url + "/v1/sessions/" + session["id"], timeout=60)


def test_chat_and_streams_join_a_session(server):
    session = create(server)
    body = {"messages": [{"role": "user", "content": "Say hello."}], "session_id": session["id"], "max_tokens": 8,
            "stream": True, "ignore_eos": True, "stream_options": {"include_usage": True}}
    text = server.post("/v1/chat/completions", body).text
    assert text.endswith("data: [DONE]\n\n")
    shown = server.get("/v1/sessions/" + session["id"]).json()
    assert shown["requests"] == 1 and f'"total_tokens":{shown["tokens"]}' in text
    requests.delete(server.url + "/v1/sessions/" + session["id"], timeout=60)


def test_sessions_of_two_keys(fake_server):
    server = fake_server("--api-key=anna-key", "--api-key=ben-key")
    mine = create(server, ANNA, user="ben")  # the key counts, not what the body says
    path = "/v1/sessions/" + mine["id"]
    answers = {name: getattr(requests, method)(server.url + path + suffix, headers=BEN, timeout=60)
               for name, method, suffix in [("show", "get", ""), ("delete", "delete", ""), ("fork", "post", "/fork"),
                                            ("pin", "post", "/pin"), ("unpin", "post", "/unpin"), ("save", "post", "/save"),
                                            ("restore", "post", "/restore")]}
    unknown = server.get("/v1/sessions/sess-0123456789abcdef01234567", headers=BEN)
    for name, answer in answers.items():
        error = check(answer, 404, "session_id", "session_not_found")
        assert error["message"].replace(mine["id"], "") == \
            unknown.json()["error"]["message"].replace("sess-0123456789abcdef01234567", ""), name
    join = {"prompt": "x", "session_id": mine["id"]}
    check(server.post("/v1/completions", join, headers=BEN), 404, "session_id", "session_not_found")
    assert server.get("/v1/sessions", headers=BEN).json()["data"] == []
    assert [item["id"] for item in server.get("/v1/sessions", headers=ANNA).json()["data"]] == [mine["id"]]
    assert server.post("/v1/completions", join, headers=ANNA).status_code == 200
    check(server.get(path), 401)
    assert "anna-key" not in server.get("/v1/sessions", headers=ANNA).text


def test_sessions_of_two_users(fake):
    mine = create(fake, user="anna")
    assert fake.get(f"/v1/sessions/{mine['id']}?user=anna").status_code == 200
    check(fake.get(f"/v1/sessions/{mine['id']}"), 404)
    check(fake.get(f"/v1/sessions/{mine['id']}?user=ben"), 404)
    check(fake.post(f"/v1/sessions/{mine['id']}/pin", {"user": "ben"}), 404)
    check(fake.post("/v1/completions", {"prompt": "x", "session_id": mine["id"], "user": "ben"}), 404)
    assert fake.post("/v1/completions", {"prompt": "x", "session_id": mine["id"], "user": "anna"}).status_code == 200
    assert mine["id"] in fake.get("/v1/sessions?user=an%6Ea&limit=5").text
    requests.delete(f"{fake.url}/v1/sessions/{mine['id']}?user=anna", timeout=60)


@pytest.mark.parametrize("body, param", [
    ({"name": 5}, "name"), ({"name": "x" * 257}, "name"), ({"ttl": 0}, "ttl"), ({"ttl": "long"}, "ttl"),
    ({"ttl": 1 << 40}, "ttl"), ({"metadata": []}, "metadata"), ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"), ({"metadata": {"a": "x" * 5000}}, "metadata"),
    ({"cache_salt": ""}, "cache_salt"), ({"user": 7}, "user")])
def test_bad_session(fake, body, param):
    check(fake.post("/v1/sessions", body), 400, param)


def test_what_sessions_refuse(fake):
    session = create(fake, cache_salt="s")
    path = "/v1/sessions/" + session["id"]
    check(fake.post(path + "/pin", {}), 409, code="empty_session")
    check(fake.post("/v1/completions", {"prompt": ["a", "b"], "session_id": session["id"]}), 400, "session_id")
    check(fake.post("/v1/completions", {"prompt": "a", "session_id": session["id"], "cache_salt": "t"}), 400, "cache_salt")
    assert fake.post("/v1/completions", {"prompt": "a", "session_id": session["id"], "cache_salt": "s"}).status_code == 200
    for ttl in (0, -1, "1h", 1e12, 1.5):
        check(fake.post(path + "/pin", {"ttl": ttl}), 400, "ttl")
    check(fake.post(path + "/fork", {"name": 1}), 400, "name")
    check(fake.post(path + "/save", {}), 409, code="no_disk")
    check(fake.post(path + "/restore", {}), 409, code="not_saved")
    check(fake.post(path + "/explode", {}), 404)
    check(fake.get(path + "/pin"), 405)
    check(requests.put(fake.url + path, json={}, timeout=60), 405)
    check(requests.post(fake.url + path + "/pin", data="{", timeout=60, headers={"Content-Type": "application/json"}), 400)
    check(requests.post(fake.url + path + "/pin", data="[]", timeout=60, headers={"Content-Type": "application/json"}), 400)
    for query in ("limit=0", "limit=many", "limit=1e9", "limit=", "limit=-1", "limit=1.5", "limit=null"):
        check(fake.get("/v1/sessions?" + query), 400, "limit")
    for odd in ("%00", "a%2Fb", "..", "%ff", "x" * 3000):
        assert fake.get("/v1/sessions/" + odd).status_code == 404
    poor = create(fake, user="poor")
    fake.post("/v1/completions", {"prompt": TEXT, "session_id": poor["id"], "user": "poor"})
    check(fake.post(f"/v1/sessions/{poor['id']}/pin", {"user": "poor"}), 429, code="pin_limit")
    requests.delete(fake.url + path, timeout=60)


@pytest.mark.parametrize("field, value", [
    ("session_id", 5), ("session_id", "x" * 300), ("expected_tool", "search"), ("prompt_cache_retention", "48h"),
    ("prompt_cache_retention", 24), ("prompt_cache_key", 5)])
def test_bad_field_of_a_call(fake, field, value):
    check(fake.post("/v1/completions", {"prompt": "x", field: value}), 400, field)
    check(fake.post("/v1/completions", {"prompt": "x", "session_id": "sess-none"}), 404, "session_id")


def marked(text, **control):
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **control}}


@pytest.mark.parametrize("content, param", [
    ([{"type": "text", "text": "x", "cache_control": 5}], "messages[0].content[0].cache_control"),
    ([{"type": "text", "text": "x", "cache_control": {"type": "forever"}}], "messages[0].content[0].cache_control"),
    ([marked("x", ttl="1d")], "messages[0].content[0].cache_control.ttl"), ([marked("x", ttl=5)], None),
    ([marked("x")] * 5, "messages")])
def test_bad_cache_control(server, content, param):
    check(server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}), 400, param)


def test_cache_control_pins_the_prompt_up_to_its_part(real_server):
    real = real_server("--kv-memory", "256MiB")
    question = {"max_tokens": 4, "temperature": 0}
    plain = [{"role": "system", "content": TEXT + "\n" + TEXT}, {"role": "user", "content": "Which rooms? "}]
    control = [{"role": "system", "content": [marked(TEXT, ttl="1h"), {"type": "text", "text": TEXT}]}, plain[1]]
    usage = real.post("/v1/chat/completions", {"messages": control, **question}).json()["usage"]
    pinned = real.get("/memory").json()["pinned_bytes"] // real.get("/memory").json()["kv"]["page_bytes"]
    half = len(real.post("/tokenize", {"prompt": TEXT}).json()["tokens"])
    assert half <= usage["cache_creation_input_tokens"] <= half + 24 and usage["cache_read_input_tokens"] == 0
    assert pinned == usage["cache_creation_input_tokens"] // 16
    again = real.post("/v1/chat/completions", {"messages": control, **question}).json()
    assert again["usage"]["cache_read_input_tokens"] == usage["prompt_tokens"] - 1
    assert again["usage"]["cache_creation_input_tokens"] == 0
    assert real.metric("quire:pins") == 1, "a prefix is pinned once"
    # The marks are not in the prompt, and change no answer.
    answer = real.post("/v1/chat/completions", {"messages": plain, **question}).json()
    assert answer["usage"]["prompt_tokens"] == usage["prompt_tokens"]
    assert answer["choices"][0]["message"] == again["choices"][0]["message"]
    assert "cache_read_input_tokens" not in answer["usage"]
    of_message = [dict(plain[0], cache_control={"type": "ephemeral"}), plain[1]]
    assert real.post("/v1/chat/completions", {"messages": of_message, **question}).status_code == 200
    real.wait_for_metric("quire:pins", 2)
    real.complete(prompt=TEXT, max_tokens=1, prompt_cache_retention="24h", prompt_cache_key="k")
    real.wait_for_metric("quire:pins", 3)
    for body in ({"prompt_cache_retention": "in_memory"}, {"prompt_cache_retention": "24h", "kv_type": "f16"}):
        real.complete(prompt=TEXT, max_tokens=1, **body)
        assert real.metric("quire:pins") == 3, "the first type is the same, named or not"


def tool(name, **fields):
    return {"type": "function", "function": {"name": name, "description": TEXT, "parameters": {"type": "object"}}, **fields}


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("tools, param", [
    ([tool("a", cache_control=5)], "tools[0].cache_control"),
    ([tool("a"), tool("b", cache_control={"type": "ephemeral", "ttl": "1d"})], "tools[1].cache_control.ttl"),
    ([tool("a", **MARK)] * 5, "tools")])
def test_bad_cache_control_of_a_tool(server, tools, param):
    body = {"messages": [{"role": "user", "content": "x"}], "tools": tools}
    check(server.post("/v1/chat/completions", body), 400, param)
    body["tool_choice"] = "none"
    assert server.post("/v1/chat/completions", {**body, "max_tokens": 1}).status_code == 200, "no tool is shown"


def test_marks_of_tools_and_messages_count_together(fake):
    messages = [{"role": "user", "content": [marked("x"), marked("y")]}]
    for count, status in ((2, 200), (3, 400)):
        body = {"messages": messages, "tools": [tool("a", **MARK)] * count, "max_tokens": 1}
        assert fake.post("/v1/chat/completions", body).status_code == status


def test_cache_control_pins_the_prompt_up_to_its_tool(real_server, tmp_path):
    forms = {"list": "{{ tools | tojson }}", "lines": "{% for tool in tools %}<tool>{{ tool | tojson }}</tool>\n{% endfor %}",
             "names": "{% for tool in tools %}# {{ tool.function.name }}: {{ tool.function.description }}\n{% endfor %}"}
    for name, form in forms.items():
        (tmp_path / name).write_text(form + "{% for message in messages %}{{ message.content }}{% endfor %}")
        real = real_server("--kv-memory", "256MiB", "--chat-template", str(tmp_path / name))

        def ask(tools, content="Which rooms?"):
            body = {"messages": [{"role": "user", "content": content}], "tools": tools, "max_tokens": 1, "temperature": 0}
            return real.post("/v1/chat/completions", body).json()["usage"]
        plain = ask([tool("a"), tool("b"), tool("c")])
        two = ask([tool("a"), tool("b", **MARK), tool("c")])
        assert two["prompt_tokens"] == plain["prompt_tokens"], "the mark is not in the prompt"
        one_tool = (plain["prompt_tokens"] - 4) / 3
        pages = real.get("/memory").json()["pinned_bytes"] // real.get("/memory").json()["kv"]["page_bytes"]
        assert abs(16 * pages - 2 * one_tool) < 24
        assert ask([tool("a"), tool("b"), tool("d")], "Other")["prompt_tokens_details"]["cached_tokens"] >= 16 * pages
        real.wait_for_metric("quire:pins", 1)
        whole = ask([tool("a"), tool("b"), tool("c", **MARK)])
        assert whole["cache_creation_input_tokens"] == 0
        real.wait_for_metric("quire:pins", 2)


def test_a_tool_that_is_not_shown_cannot_be_marked(real_server):
    body = {"messages": [{"role": "user", "content": "x"}], "tools": [tool("a", **MARK)]}
    check(real_server().post("/v1/chat/completions", body), 400, "tools[0].cache_control")


def test_a_pause_in_a_tool_call_is_pinned(real_server):
    real = real_server("--kv-memory", "256MiB", "--retention", "fixed:ttl_s=1")
    session = create(real)
    say(real, session, expected_tool="search")
    real.wait_for_metric("quire:pins", 1)
    time.sleep(1.1)
    real.get("/memory")  # has the engine look at the time
    real.wait_for_metric("quire:pins", 0)
    assert real.metric("quire:pins_ended_total", 'reason="expired"') == 1
    say(real, session)
    time.sleep(0.1)
    assert real.metric("quire:pins") == 0, "it answered, and waits for nothing"


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_saved_session_outlives_the_server(real_server, tmp_path, encrypted):
    flags = ["--kv-disk", str(tmp_path / "pages"), "--kv-memory", "256MiB"]
    if encrypted:
        (tmp_path / "key").write_text("5a" * 32 + "\n")
        flags += ["--kv-disk-key", str(tmp_path / "key")]
    first = real_server(*flags)
    session, lost = create(first, name="kept", cache_salt="secret salt"), create(first)
    answer = say(first, session)
    check(first.post(f"/v1/sessions/{session['id']}/restore", {}), 409, code="not_saved")
    saved = first.post(f"/v1/sessions/{session['id']}/save", {}).json()
    assert saved["saved_at"] and saved["expires_at"] is None
    say(first, session, "Something else altogether.")
    full_pages = (answer["usage"]["total_tokens"] - 1) // 16
    deadline = time.time() + 20
    while first.metric("quire:tier_pages_total", 'move="written"', 'tier="disk"') < full_pages:
        assert time.time() < deadline
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    records = list((tmp_path / "pages").rglob("*.record"))
    assert len(records) == 1 and (b"secret salt" in records[0].read_bytes()) != encrypted

    second = real_server(*flags)
    assert [item["name"] for item in second.get("/v1/sessions").json()["data"]] == ["kept"]
    check(second.get("/v1/sessions/" + lost["id"]), 404)
    restored = second.post(f"/v1/sessions/{session['id']}/restore", {}).json()
    assert restored["tokens"] == answer["usage"]["total_tokens"] and restored["cached_tokens"] == 16 * full_pages
    usage = say(second, session, TEXT + answer["choices"][0]["text"] + " And then")["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 16 * full_pages
    assert requests.delete(second.url + "/v1/sessions/" + session["id"], timeout=60).status_code == 200
    assert not list((tmp_path / "pages").rglob("*.record"))
