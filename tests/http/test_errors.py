"""Every refusal: its status, the error's shape, and the field it names."""
import socket
import tarfile

import pytest
import requests

from conftest import ROOT

MESSAGES = [{"role": "user", "content": "Hi"}]


def check(response, status, param=None, code=None):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"]
    if param:
        assert error["param"] == param, error
    if code:
        assert error["code"] == code, error
    return error


@pytest.mark.parametrize("field, value", [
    ("temperature", -1), ("temperature", 2.5), ("temperature", "hot"), ("temperature", True), ("top_p", 1.1),
    ("top_p", -0.1), ("top_k", -2), ("top_k", 1.5), ("min_p", 2), ("typical_p", "x"), ("repetition_penalty", 0),
    ("presence_penalty", 3), ("frequency_penalty", -3), ("n", 0), ("n", 1000), ("n", "2"), ("max_tokens", -1),
    ("max_tokens", 1 << 40), ("max_tokens", "many"), ("min_tokens", -1), ("stop", 5), ("stop", ["a"] * 17),
    ("stop", [1]), ("stop_token_ids", "x"), ("stop_token_ids", [-1]), ("stop_token_ids", [1 << 30]), ("seed", 1.5),
    ("seed", "x"), ("stream", "yes"), ("stream_options", []), ("stream_options", {"include_usage": True}),
    ("logit_bias", {"x": 1}), ("logit_bias", {"1": 101}), ("logit_bias", {"99999999": 1}), ("logit_bias", []),
    ("ignore_eos", 1), ("response_format", {"type": "json_object"}), ("response_format", {"type": "json_schema"}),
    ("response_format", "text"), ("guided_json", {}), ("prompt_logprobs", 21), ("user", 7), ("priority", "high")])
def test_bad_field_is_named(fake, field, value):
    check(fake.post("/v1/completions", {"prompt": "x", field: value}), 400, param=field)
    check(fake.post("/v1/chat/completions", {"messages": MESSAGES, field: value}), 400, param=field)


@pytest.mark.parametrize("field, value", [
    ("prompt", None), ("prompt", []), ("prompt", ""), ("prompt", [""]), ("prompt", 5), ("prompt", {"a": 1}),
    ("prompt", ["a", 1]), ("prompt", [[1], "a"]), ("prompt", [1, 1 << 30]), ("prompt", [[]]), ("prompt", [-1]),
    ("suffix", "end"), ("logprobs", 21), ("logprobs", True), ("best_of", 0), ("echo", "yes")])
def test_bad_completion_field(fake, field, value):
    check(fake.post("/v1/completions", {"prompt": "x", field: value}), 400, param=field)


@pytest.mark.parametrize("fields, param", [
    ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"), ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": MESSAGES + [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[1].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "nobody", "content": "x"}]}, "messages"), ({"tools": "x"}, "tools"),
    ({"tools": [1]}, "tools[0]"), ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"), ({"logprobs": 3}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"), ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"), ({"chat_template_kwargs": 1}, "chat_template_kwargs"),
    ({"modalities": ["audio"]}, "modalities"), ({"functions": []}, "functions")])
def test_bad_chat_field(fake, fields, param):
    check(fake.post("/v1/chat/completions", {"messages": MESSAGES, **fields}), 400, param=param)


def test_null_is_absent(fake):
    names = ["temperature", "top_p", "n", "max_tokens", "stop", "seed", "logprobs", "stream", "stream_options", "user",
             "logit_bias", "presence_penalty", "frequency_penalty", "best_of", "suffix", "echo", "response_format"]
    assert fake.complete(prompt="x", **{name: None for name in names})["usage"]["completion_tokens"] == 16


def test_too_long(server):
    limit = server.get("/v1/models").json()["data"][0]["max_model_len"]
    check(server.post("/v1/completions", {"prompt": [1] * (limit + 1), "max_tokens": 1}), 400, "prompt",
          "context_length_exceeded")
    message = [{"role": "user", "content": "word " * limit}]
    check(server.post("/v1/chat/completions", {"messages": message}), 400, "messages", "context_length_exceeded")
    check(server.post("/v1/completions", {"prompt": "x", "max_tokens": limit}), 400)


def test_engine_errors_name_the_field(fake):
    check(fake.post("/v1/completions", {"prompt": "x", "top_k": 13}), 400, "top_k")


def test_unknown_places(server):
    check(server.get("/"), 404)
    check(server.get("/v1/nothing"), 404)
    check(server.post("/v1/models", {}), 405)
    assert check(server.get("/v1/completions"), 405) and "POST" in server.get("/v1/completions").headers["Allow"]
    check(server.post("/v1/completions", {"prompt": "x", "model": "gpt-none"}), 404, "model", "model_not_found")
    check(server.post("/tokenize", {"prompt": "x", "model": "gpt-none"}), 404, "model", "model_not_found")


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b'"x"', b"null", b"nonsense", b'{"prompt": "\xff\xfe"}', b'{"prompt": "\xed\xa0\x80"}',
    b'{"prompt": "\\ud800"}', b'{"prompt": "x", "temperature": 1e999}', b'{"prompt": "x", "seed": 1e400}',
    b'{"prompt": "x", "temperature": NaN}', b"\x00", b'{"a":' * 100_000, b"[" * 100_000,
    b'{"prompt": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b"{" + b",".join(b'"k%d":0' % i for i in range(60_000)) + b"}"])
def test_bad_bodies(fake, body):
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"):
        response = requests.post(fake.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=20)
        check(response, 400)


def json_test_suite():
    archive = ROOT.parent / "shared/conformance/JSONTestSuite_test_parsing.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent")
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                yield member.name, tar.extractfile(member).read()


def test_json_test_suite(fake):
    """Bodies made to break parsers: never a 5xx, never a hang, and the server lives on."""
    count = 0
    session = requests.Session()
    for name, text in json_test_suite():
        count += 1
        inside = b'{"prompt": "x", "max_tokens": 1, "anything": ' + text + b"}"
        for path in ("/v1/completions", "/v1/chat/completions"):
            for body in (text, inside):
                response = session.post(fake.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10)
                assert response.status_code in (200, 400), f"{name}: {response.status_code}"
        good = session.post(fake.url + "/v1/completions", data=inside, headers={"Content-Type": "application/json"})
        kind = name.rsplit("/", 1)[1][0]
        if kind == "y":
            assert good.status_code == 200, name
        if kind == "n" and not text.strip() in (b"", b"123\x00") and b"\x00" not in text:
            assert good.status_code == 400 or is_valid_inside(inside), name
    assert count == 318
    assert fake.get("/health").status_code == 200


def is_valid_inside(body):
    """A text that is no JSON alone may be some inside an object, such as '1 , "x": 2'."""
    import json
    try:
        json.loads(body)
        return True
    except ValueError:
        return False


def test_sizes(fake_server):
    server = fake_server("--max-body-bytes=1000")
    check(server.post("/v1/completions", {"prompt": "x" * 2000}), 413)
    chunked = requests.post(server.url + "/v1/completions", data=(b"x" * 500 for _ in range(5)),
                            headers={"Content-Type": "application/json"}, timeout=20)
    check(chunked, 413)
    check(server.get("/health", headers={"X-Long": "x" * 100_000}), 431)
    check(server.get("/" + "x" * 100_000), 431)
    assert server.complete(prompt="x" * 500)["choices"]


def test_content_type(fake):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        check(requests.post(fake.url + "/v1/completions", data=b'{"prompt": "x"}', headers={"Content-Type": kind}), 415)
    for kind in ("application/json", "Application/JSON; charset=utf-8", None):
        response = requests.post(fake.url + "/v1/completions", data=b'{"prompt": "x"}', headers={"Content-Type": kind})
        assert response.status_code == 200


def test_api_key(fake_server):
    server = fake_server("--api-key=right", "--api-key=other")
    assert server.get("/health").status_code == 200
    for path in ("/v1/models", "/metrics", "/version", "/nothing", "/v1/models/fake", "/health/"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}, {"Authorization": "Bearer "},
                        {"Authorization": "Bearer right2"}, {"Authorization": "Bearer righ"}):
            response = server.get(path, headers=headers)
            check(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert server.get(path, headers={"Authorization": "Bearer right"}).status_code in (200, 404)
        assert server.get(path, headers={"Authorization": "bearer other"}).status_code in (200, 404)
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"):
        check(server.post(path, {"prompt": "x"}), 401)
        check(requests.options(server.url + path), 401)
    # The body of a stranger is not even read.
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        assert b" 401 " in raw.recv(100)


def test_loading(fake_server):
    server = fake_server("--load-ms=1500", ready=False)
    check(server.get("/health"), 503, code="loading")
    response = server.post("/v1/completions", {"prompt": "x"})
    check(response, 503, code="loading")
    assert response.headers["Retry-After"]
    check(server.get("/v1/nothing"), 404)


def test_cors(fake_server):
    plain = fake_server()
    origin = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    assert "Access-Control-Allow-Origin" not in plain.get("/v1/models", headers=origin).headers
    server = fake_server("--cors-origin=http://a.example", "--api-key=k")
    preflight = requests.options(server.url + "/v1/completions", headers=origin)
    assert preflight.status_code == 204 and preflight.headers["Access-Control-Allow-Origin"] == "http://a.example"
    allowed = server.get("/v1/models", headers={**origin, "Authorization": "Bearer k"})
    assert allowed.status_code == 200 and allowed.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert server.get("/v1/models", headers=origin).headers["Access-Control-Allow-Origin"] == "http://a.example"
