"""The line that ./test and CI end with."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*files):
    return subprocess.run([sys.executable, ROOT / "tools/results.py", *files], capture_output=True, text=True)


def junit(path, *cases):
    path.write_text("<testsuites><testsuite>" + "".join(
        f'<testcase classname="C" name="t{i}">{case}</testcase>' for i, case in enumerate(cases)) +
        "</testsuite></testsuites>")
    return path


def test_sums_over_files(tmp_path):
    done = run(junit(tmp_path / "a.xml", "", "", "<skipped/>"), junit(tmp_path / "b.xml", ""))
    assert (done.returncode, done.stdout) == (0, "3 passed, 0 failed, 1 skipped\n")


def test_a_failure_is_named_and_fails(tmp_path):
    done = run(junit(tmp_path / "a.xml", "", "<failure/>", "<error/>"))
    assert done.returncode == 1
    assert done.stdout == "failed: C t1\nfailed: C t2\n1 passed, 2 failed, 0 skipped\n"


def test_nothing_run_fails(tmp_path):
    done = run(junit(tmp_path / "a.xml", "<skipped/>"))
    assert (done.returncode, done.stdout) == (1, "0 passed, 0 failed, 1 skipped\n")


def test_a_missing_file_fails(tmp_path):
    done = run(junit(tmp_path / "a.xml", ""), tmp_path / "b.xml")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
