"""A model hub on this machine, with the ways in which real ones and the networks before them fail.

  with Hub({"org/repo": {"model.gguf": b"..."}}) as hub:
      hub.behaviour["model.gguf"] = {"drop": 2}

Files are listed at /api/models/REPO/tree/REVISION, /REPO/resolve/REVISION/FILE redirects to /cdn/..., which has the
bytes, as on Hugging Face. /plain/FILE serves the same bytes of any repository, with an ETag and no checksum. /page/... is a web page.

Behaviours of a file, by its name:
  status: N               every request for it is answered so
  fail_first: [N, ...]    the first requests are answered so
  drop: N                 the first N answers end after half of what remains
  ignore_range: True      always the whole file
  wrong_range: True       ranges begin elsewhere
  corrupt: N              the first N whole bodies have a wrong byte
  claim: N                the body has N bytes more than it should, or fewer
  stall: True             half of the body, then nothing
  pause: S                seconds between pieces
  tag: TEXT               its ETag at /plain
"""
import hashlib
import http.server
import json
import threading
import time
import urllib.parse


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub = self.server.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)  # of a proxy's whole URL, too
        with hub.lock:
            hub.requests.append((path, dict(self.headers)))
        try:
            if path.startswith("/api/models/"):
                self.listing(hub, path)
            elif path.startswith(("/cdn/", "/plain/")):
                self.content(hub, path)
            elif "/resolve/" in path:
                self.resolve(hub, path)
            elif path.startswith("/page/"):
                self.answer(200, b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
            elif path == "/loop":
                self.answer(302, headers={"Location": "/loop"})
            else:
                self.answer(404)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self, hub, name):
        behaviour = hub.behaviour.get(name, {})
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.answer(401, b'{"error": "Repository is gated"}')
            return True
        status = behaviour.get("status")
        if behaviour.get("fail_first"):
            status = behaviour["fail_first"].pop(0)
        if status:
            self.answer(status)
        return bool(status)

    def listing(self, hub, path):
        repo, _, revision = path.removeprefix("/api/models/").partition("/tree/")
        if self.refused(hub, "listing"):
            return
        if repo not in hub.repos or revision not in hub.revisions:
            self.answer(404)
            return
        entries = [{"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}]
        for name, data in hub.repos[repo].items():
            entry = {"type": "file", "path": name, "size": len(data), "oid": git_blob(data)}
            if name.endswith((".gguf", ".safetensors")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        page = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("page", ["0"])[0])
        rest = entries[page + hub.page_size:]
        headers = {"Content-Type": "application/json"}
        if rest:
            headers["Link"] = f'<{hub.url}{path}?recursive=true&page={page + hub.page_size}>; rel="next"'
        self.answer(200, json.dumps(entries[page:page + hub.page_size]).encode(), headers)

    def resolve(self, hub, path):
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        if self.refused(hub, "resolve"):
            return
        if name not in hub.repos.get(repo, {}):
            self.answer(404)
            return
        digest = hashlib.sha256(hub.repos[repo][name]).hexdigest()
        self.answer(302, headers={"Location": f"{hub.cdn_url}/cdn/{urllib.parse.quote(repo)}/{urllib.parse.quote(name)}",
                                  "X-Linked-Etag": f'"{digest}"', "ETag": f'"{digest}"'})

    def content(self, hub, path):
        name, data = next(((n, d) for files in hub.repos.values() for n, d in files.items() if path.endswith("/" + n)),
                          (None, None))
        if name is None:
            self.answer(404)
            return
        plain = path.startswith("/plain/")
        behaviour = hub.behaviour.get(name, {})
        status = behaviour.get("status") or (behaviour.get("fail_first") and behaviour["fail_first"].pop(0))
        if status:
            self.answer(status)
            return
        tag = f'"{behaviour.get("tag", "v1")}"' if plain else None
        begin = self.range_start(behaviour, len(data), tag)
        if begin is None:
            self.answer(416, headers={"Content-Range": f"bytes */{len(data)}"})
            return
        self.send_body(behaviour, data, begin, tag)

    def range_start(self, behaviour, size, tag):
        """Where the answer begins; None when the range is not there."""
        wanted = self.headers.get("Range")
        if not wanted or behaviour.get("ignore_range"):
            return 0
        if self.headers.get("If-Range") and self.headers["If-Range"] != tag:
            return 0
        begin = int(wanted.removeprefix("bytes=").split("-")[0])
        return begin if begin < size else None

    def send_body(self, behaviour, data, begin, tag):
        if behaviour.get("corrupt") and begin == 0:
            behaviour["corrupt"] -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        body = data[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            stated = begin + 1 if behaviour.get("wrong_range") else begin
            self.send_header("Content-Range", f"bytes {stated}-{len(data) - 1}/{len(data)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) + behaviour.get("claim", 0)))
        self.end_headers()
        half = behaviour.get("stall") or behaviour.get("drop", 0) > 0
        sent = body[:max(1, len(body) // 2)] if half else body
        for at in range(0, len(sent), 1 << 16):
            self.wfile.write(sent[at:at + (1 << 16)])
            time.sleep(behaviour.get("pause", 0))
        if behaviour.get("stall"):
            self.wfile.flush()
            self.server.hub.stopping.wait(30)
        if behaviour.get("drop", 0) > 0:
            behaviour["drop"] -= 1
        if half or behaviour.get("claim"):
            self.close_connection = True


class Hub:
    def __init__(self, repos, token="", page_size=1000, context=None):
        self.repos, self.token, self.page_size = repos, token, page_size
        self.revisions = {"main"}
        self.behaviour, self.requests = {}, []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.hub = self
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        # The bytes come from another name, so that what must not go there can be seen.
        self.cdn_url = self.url.replace("localhost", "127.0.0.1")

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def asked(self, part):
        """Headers of the requests whose path has `part` in it."""
        with self.lock:
            return [headers for path, headers in self.requests if part in path]
