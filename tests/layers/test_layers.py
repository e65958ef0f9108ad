"""Lower folders never include higher ones."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(folder):
    return subprocess.run([sys.executable, ROOT / "tools/layers.py", folder], capture_output=True, text=True)


def test_this_checkout_keeps_the_order():
    done = run(ROOT)
    assert done.returncode == 0, done.stdout


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_an_upward_include_is_found_also_in_a_test(tmp_path):
    write(tmp_path, "quire/kv/pool_test.cc", '#include "quire/base/check.h"\n  # include "quire/engine/engine.h"\n')
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ("quire/kv/pool_test.cc: kv must not include quire/engine/engine.h\n"
                           "layers: 2 includes checked, 1 wrong\n")


def test_an_included_source_file_and_a_strange_folder_are_found(tmp_path):
    write(tmp_path, "quire/base/a.cc", '#include "quire/base/b.cc"\n')
    write(tmp_path, "quire/utils/u.h", "\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "quire/base/a.cc: includes a source file, quire/base/b.cc" in done.stdout
    assert "quire/utils is not one of the folders" in done.stdout


def test_the_server_does_not_know_the_simulator(tmp_path):
    write(tmp_path, "quire/server/s.h", '#include "quire/sim/trace.h"\n')
    assert run(tmp_path).returncode == 1


def test_an_empty_folder_does_not_pass(tmp_path):
    assert run(tmp_path).returncode == 1
