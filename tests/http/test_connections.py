"""Bytes on the wire: HTTP's corners, slow and vanishing clients, many streams, and the end of the server."""
import asyncio
import concurrent.futures
import json
import signal
import socket
import struct
import threading
import time

import pytest
import requests


def connect(server, timeout=15):
    return socket.create_connection(("127.0.0.1", server.port), timeout=timeout)


def request_bytes(body=None, path="/v1/completions", method="POST", version="1.1", headers=()):
    text = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


def read_response(file):
    """Status, headers and body of one response with a length."""
    status = file.readline()
    assert status.startswith(b"HTTP/1.1 "), status
    headers = {}
    while (line := file.readline()) not in (b"\r\n", b""):
        name, value = line.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    return int(status.split()[1]), headers, file.read(int(headers.get("content-length", 0)))


def read_all(raw):
    parts = []
    while part := raw.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_keep_alive_and_pipelining(server):
    with connect(server) as raw, raw.makefile("rb") as file:
        one = request_bytes({"prompt": "x", "max_tokens": 2})
        raw.sendall(one + one + request_bytes(path="/health", method="GET") + one[:20])
        for _ in range(3):
            assert read_response(file)[0] == 200
        raw.sendall(one[20:])
        assert read_response(file)[0] == 200
        for _ in range(3):
            time.sleep(0.05)
            raw.sendall(one)
            assert read_response(file)[0] == 200


def test_http_1_0(server):
    with connect(server) as raw:
        raw.sendall(request_bytes(path="/health", method="GET", version="1.0"))
        answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer
    with connect(server) as raw:
        raw.sendall(request_bytes({"prompt": "x", "max_tokens": 3, "stream": True}, version="1.0"))
        head, body = read_all(raw).split(b"\r\n\r\n", 1)
        assert b"chunked" not in head and body.startswith(b"data: {") and body.endswith(b"[DONE]\n\n")
    with connect(server) as raw, raw.makefile("rb") as file:
        kept = request_bytes(path="/health", method="GET", version="1.0", headers=["Connection: keep-alive"])
        raw.sendall(kept + kept)
        assert read_response(file)[0] == 200 and read_response(file)[0] == 200


def test_chunked_body_and_expect(server):
    head = (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n")
    with connect(server) as raw, raw.makefile("rb") as file:
        raw.sendall(head + b'a\r\n{"prompt":\r\n5;x=y\r\n "x"}\r\n0\r\n\r\n')
        assert read_response(file)[0] == 200
        raw.sendall(request_bytes({"prompt": "x"}, headers=["Expect: 100-continue"]).split(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n" and file.readline() == b"\r\n"
        raw.sendall(b'{"prompt": "x"}')
        assert read_response(file)[0] == 200
    with connect(server) as raw:
        raw.sendall(head + b"zz\r\n")
        assert raw.recv(20).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("text", [
    b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 30,
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"])
def test_malformed_http(fake, text):
    with connect(fake) as raw:
        raw.sendall(text)
        raw.shutdown(socket.SHUT_WR)
        answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert b'{"error"' in answer
    assert fake.get("/health").status_code == 200


def test_slow_heads_and_bodies(fake_server):
    server = fake_server("--header-timeout-ms=300", "--body-timeout-ms=300", "--idle-timeout-ms=300")
    with connect(server) as raw:
        start = time.time()
        for byte in b"GET /health HT":
            raw.sendall(bytes([byte]))
            time.sleep(0.01)
        assert raw.recv(100).startswith(b"HTTP/1.1 408") and time.time() - start < 5
    with connect(server) as raw:
        raw.sendall(request_bytes({"prompt": "x"})[:-4])
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
    with connect(server) as raw:
        assert raw.recv(100) == b""  # said nothing: closed without a word
    # A slow answer is not idleness.
    slow = fake_server("--idle-timeout-ms=200", "--header-timeout-ms=200", "--beat-us=50000")
    assert slow.complete(prompt="x", max_tokens=16, ignore_eos=True)["usage"]["completion_tokens"] == 16


def test_slowloris_leaves_room(fake_server):
    server = fake_server("--header-timeout-ms=2000")
    hanging = [connect(server) for _ in range(300)]
    for raw in hanging:
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\nX: ")
    start = time.time()
    assert server.complete(prompt="x", max_tokens=4)["choices"] and time.time() - start < 1.5
    for raw in hanging:
        assert raw.recv(20).startswith(b"HTTP/1.1 408")
        raw.close()


def test_connection_limit(fake_server):
    server = fake_server("--max-connections=5")
    open_ones = [connect(server) for _ in range(5)]
    time.sleep(0.2)
    with connect(server) as raw:
        assert raw.recv(100).startswith(b"HTTP/1.1 503")
    open_ones[0].close()
    time.sleep(0.2)
    assert server.get("/health").status_code == 200
    for raw in open_ones:
        raw.close()


def test_connections_are_given_back(fake):
    for _ in range(100):
        requests.get(fake.url + "/health", timeout=10)
    time.sleep(0.3)
    assert fake.metric("quire:http_connections") == 1  # the one that asks


def start_endless_stream(server, **body):
    raw = connect(server)
    raw.sendall(request_bytes({"prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True, "stream": True, **body}))
    assert raw.recv(4096).startswith(b"HTTP/1.1 200")
    return raw


@pytest.mark.parametrize("how", ["close", "reset"])
def test_disconnect_frees_the_pages(server, how):
    streams = [start_endless_stream(server) for _ in range(4)]
    waiting = connect(server)  # its answer is not streamed, so nothing is written that could fail
    waiting.sendall(request_bytes({"prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True}))
    server.wait_for_metric("quire:num_requests_running", 5)
    for raw in [*streams, waiting]:
        if how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
    server.wait_for_metric("quire:num_requests_running", 0, seconds=5)
    server.wait_for_metric("quire:kv_bytes", 0, 'state="used"', seconds=5)


def test_many_abrupt_disconnects_free_every_page(server):
    """At any moment: before the answer begins, at its first byte, in the middle of it."""
    def leave(number):
        with connect(server) as raw:
            raw.sendall(request_bytes({"prompt": f"Once upon a time {number % 7}", "max_tokens": 500, "ignore_eos": True,
                                       "stream": number % 3 > 0}))
            if number % 3 == 1:
                raw.recv(1)
            if number % 3 == 2:
                raw.recv(2000)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(leave, range(500)))
    server.wait_for_metric("quire:num_requests_running", 0, seconds=20)
    server.wait_for_metric("quire:num_requests_waiting", 0, seconds=20)
    server.wait_for_metric("quire:kv_bytes", 0, 'state="used"', seconds=5)
    assert server.complete(prompt="Once upon a time", max_tokens=2)["choices"]


def test_disconnect_between_tokens(fake_server):
    """Noticed at once, although the next token is seconds away."""
    server = fake_server("--beat-us=4000000")
    raw = start_endless_stream(server)
    server.wait_for_metric("quire:num_requests_running", 1)
    start = time.time()
    raw.close()
    server.wait_for_metric("quire:num_requests_running", 0, seconds=2)
    assert time.time() - start < 2


def test_slow_reader_is_dropped_and_blocks_nobody(fake_server):
    server = fake_server("--beat-us=100", "--max-unread-bytes=10000000", "--write-timeout-ms=60000")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(request_bytes({"prompt": "x", "max_tokens": 4000, "n": 100, "ignore_eos": True, "stream": True}))
    raw.settimeout(15)
    assert raw.recv(1)  # the answer has begun
    start = time.time()
    assert server.complete(prompt="y", max_tokens=20)["choices"] and time.time() - start < 5
    server.wait_for_metric("quire:num_requests_running", 0, seconds=20)
    assert server.metric("quire:request_success_total", 'finished_reason="abort"') == 1
    raw.close()


def test_unread_answer_times_out(fake_server):
    server = fake_server("--write-timeout-ms=500", "--beat-us=100")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(request_bytes({"prompt": "x", "max_tokens": 4000, "n": 8, "ignore_eos": True, "logprobs": 10}))
    with requests.Session() as session:
        def connections():
            return session.get(server.url + "/metrics").text.split("\nquire:http_connections ")[1].split()[0]

        def wait_for(count, seconds):
            deadline = time.time() + seconds
            while connections() != count:
                assert time.time() < deadline, connections()
                time.sleep(0.01)
        wait_for("2", 0.4)  # that of the question before may still be closing
        wait_for("1", 20)
    raw.close()


def test_queue_full(fake_server):
    server = fake_server("--max-queue=3", "--beat-us=20000")
    streams = [start_endless_stream(server) for _ in range(3)]
    response = server.post("/v1/completions", {"prompt": "x"})
    assert response.status_code == 429 and int(response.headers["Retry-After"]) >= 1
    assert response.json()["error"]["code"] == "queue_full"
    # A list of prompts is taken as a whole or not at all.
    streams.pop().close()
    server.wait_for_metric("quire:num_requests_running", 2)
    assert server.post("/v1/completions", {"prompt": ["x", "y"]}).status_code == 429
    server.wait_for_metric("quire:num_requests_running", 2)
    assert server.complete(prompt="x", max_tokens=1)["choices"]
    for raw in streams:
        raw.close()


async def read_stream(port, number, results):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(request_bytes({"prompt": f"client {number}", "max_tokens": 30, "ignore_eos": True, "stream": True},
                               headers=["Connection: close"]))
    results[number] = await reader.read(-1)
    writer.close()


def test_thousand_streams(fake_server):
    server = fake_server("--beat-us=100000")
    results = {}

    async def run():
        await asyncio.gather(*(read_stream(server.port, i, results) for i in range(1000)))

    peak = []
    watch = threading.Thread(target=lambda: [time.sleep(1.5), peak.append(server.metric("quire:num_requests_running"))])
    watch.start()
    asyncio.run(run())
    watch.join()
    assert len(results) == 1000 and peak[0] > 500
    for answer in results.values():
        assert answer.startswith(b"HTTP/1.1 200")
        # 30 tokens; some are parts of one character.
        assert 20 < answer.count(b'"text":') <= 30 and b"data: [DONE]" in answer
    assert len({answer.split(b'"id":"')[1][:40] for answer in results.values()}) == 1000
    server.wait_for_metric("quire:num_requests_running", 0)


def finish(server, seconds):
    return server.process.wait(timeout=seconds)


def test_sigterm_drains(server_starter):
    server = server_starter()
    with requests.post(server.url + "/v1/completions", stream=True, timeout=60,
                       json={"prompt": "Once", "max_tokens": 150, "ignore_eos": True, "stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        idle = connect(server)
        idle.sendall(request_bytes(path="/health", method="GET"))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(OSError):
            connect(server, timeout=1).close()
        assert idle.recv(10) == b""  # an idle connection is closed at once
        rest = list(lines)
    assert rest[-2] == b"data: [DONE]" or b"data: [DONE]" in rest
    assert finish(server, 10) == 0


def test_second_sigterm_stops(server_starter):
    server = server_starter()
    raw = start_endless_stream(server)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    finish(server, 5)
    raw.close()


def test_drain_has_an_end(fake_server):
    server = fake_server("--beat-us=50000", "--drain-timeout-ms=500")
    raw = start_endless_stream(server)
    server.process.send_signal(signal.SIGTERM)
    assert finish(server, 5) == 0
    raw.close()


@pytest.fixture(params=["fake", "real"])
def server_starter(request):
    start = request.getfixturevalue(request.param + "_server")
    return (lambda: start("--beat-us=5000")) if request.param == "fake" else start
