"""What ./start and ./test do about Debian packages, with stand-ins for Debian's commands."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTS = ROOT / "tools/packages"


def wanted(name):
    return {line for line in (LISTS / f"{name}.txt").read_text().splitlines() if not line.startswith("#")}


class Machine:
    """Runs the shell function with a PATH of stand-ins; apt-get and sudo write down how they were called."""

    def __init__(self, folder, installed, user=0, sudo=True):
        self.bin, self.log = folder / "bin", folder / "log"
        self.bin.mkdir()
        for tool in "bash cat comm env grep sed sort tr".split():
            self.script(tool, f'exec {self.where(tool)} "$@"')
        lines = "".join(f"ii  {name}\\n" for name in sorted(installed))
        self.script("dpkg-query", f"printf '{lines}'; exit 1")
        self.script("id", f"echo {user}")
        self.script("dpkg", f'echo "dpkg $*" >>{self.log}')
        self.script("apt-get", f'echo "apt-get $*" >>{self.log}')
        if sudo:
            self.script("sudo", f'echo "sudo" >>{self.log}; exec "$@"')

    @staticmethod
    def where(tool):
        return subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()

    def script(self, name, text):
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def packages(self, *lists):
        return subprocess.run([self.where("bash"), "-c", f"set -euo pipefail; . tools/common.sh; packages {' '.join(lists)}"],
                              cwd=ROOT, env={"PATH": str(self.bin)}, capture_output=True, text=True)

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


def test_nothing_happens_when_everything_is_there(tmp_path):
    machine = Machine(tmp_path, wanted("build"))
    assert machine.packages("build").returncode == 0
    assert machine.calls() == []


def test_only_what_is_missing_is_installed(tmp_path):
    machine = Machine(tmp_path, wanted("build") - {"cmake", "g++"})
    done = machine.packages("build", "test")
    assert done.returncode == 0, done.stderr
    configure, update, install = machine.calls()
    assert configure == "dpkg --configure -a"
    assert " update" in update
    names = install.split("--no-install-recommends ")[1].split()
    assert set(names) == wanted("test") | {"cmake", "g++"}


def test_sudo_is_used_by_others_than_root(tmp_path):
    machine = Machine(tmp_path, wanted("build") - {"cmake"}, user=1000)
    assert machine.packages("build").returncode == 0
    assert machine.calls().count("sudo") == 3


def test_without_sudo_the_missing_packages_are_named(tmp_path):
    machine = Machine(tmp_path, wanted("build") - {"cmake", "g++"}, user=1000, sudo=False)
    done = machine.packages("build")
    assert done.returncode == 1
    assert "These Debian packages are missing: cmake g++" in done.stderr
    assert "apt-get update && apt-get install --no-install-recommends cmake g++" in done.stderr
    assert machine.calls() == []


@pytest.mark.parametrize("name", ["build", "test", "ci"])
def test_lists_are_sorted_and_without_repetition(name):
    lines = [line for line in (LISTS / f"{name}.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))
