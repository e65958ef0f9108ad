"""What holds for every verb: help, usage errors, and where a flag's value comes from."""
import os
import subprocess

import pytest
from conftest import PROGRAM, VERBS, one_sentence


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_screen(quire, verb):
    done = quire(*verb.split(), "--help")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.rstrip("\n").split("\n")
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"usage: quire {verb}")
    assert "--config FILE" in done.stdout


def test_the_program_lists_its_verbs(quire):
    done = quire("--help")
    assert done.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout
    assert len(done.stdout.split("\n")) <= 40


def test_version(quire):
    done = quire("--version")
    assert done.returncode == 0 and done.stdout.startswith("quire 0.")


@pytest.mark.parametrize("arguments, words", [
    ([], ["a verb is missing", "serve"]),
    (["srve"], ["no verb 'srve'", "serve"]),
    (["serve"], ["MODEL is missing", "quire serve --help"]),
    (["serve", "m", "--prot", "1"], ["'--prot'", "quire serve --help"]),
    (["serve", "m", "--port"], ["--port"]),
    (["serve", "m", "--port", "70000"], ["--port", "'70000'", "0 to 65535"]),
    (["serve", "m", "--port", "8x"], ["--port", "'8x'"]),
    (["serve", "m", "--kv-type", "f8"], ["--kv-type", "'f8'", "f16"]),
    (["serve", "m", "--kv-type", "int8,0-1"], ["--kv-type", "'0-1' is no range of layers", "0-1=f16"]),
    (["run", "m", "p", "--kv-type", "int8,0-1=f8"], ["--kv-type", "'f8'", "f16"]),
    (["bench", "m", "--kv-type", "int8,0-3=f16,2=f32"], ["--kv-type", "layer 2 is in 0-3 and in 2"]),
    (["serve", "m", "--max-body", "big"], ["--max-body", "big"]),
    (["serve", "m", "--idle-timeout", "soon"], ["--idle-timeout", "'soon'"]),
    (["run", "m", "p", "--top-p", "1.5"], ["--top-p", "'1.5'", "0 to 1"]),
    (["run", "m", "p", "--seed", "-1"], ["--seed", "'-1'"]),
    (["bench", "m", "-p", "1,x"], ["--prompt-tokens", "'x'"]),
    (["bench", "m", "-b", "0"], ["--batch", "'0'"]),
])
def test_usage_errors_are_one_sentence(quire, arguments, words):
    message = one_sentence(quire(*arguments), code=2)
    for word in words:
        assert word in message


def test_a_flag_beats_the_environment_and_that_the_file(quire):
    file = quire.folder / "quire.toml"
    file.write_text("[serve]\nport = 99991\nmodel = 'from-file'\n")
    # Every source has its own wrong value: the message tells which one was read.
    base = ["serve", "--config", file]
    assert "port in [serve] of" in one_sentence(quire(*base), code=2)
    env = {"QUIRE_PORT": "99992"}
    assert "QUIRE_PORT: '99992'" in one_sentence(quire(*base, env=env), code=2)
    assert "--port: '99993'" in one_sentence(quire(*base, "--port", "99993", env=env), code=2)
    # A right one of higher rank hides the wrong ones below; then the model's name is what is wrong.
    assert "'from-file'" in one_sentence(quire(*base, "--port", "0", env=env))
    assert "'from-env'" in one_sentence(quire(*base, "--port", "0", env={"QUIRE_MODEL": "from-env"}))
    assert "'from-flag'" in one_sentence(quire(*base, "from-flag", "--port", "0", env={"QUIRE_MODEL": "from-env"}))


def test_the_file_is_found_by_variable_and_by_place(quire):
    one, two = quire.folder / "one.toml", quire.folder / ".config/quire/config.toml"
    two.parent.mkdir(parents=True)
    one.write_text("[inspect]\nmodel = 'one'\n")
    two.write_text("[inspect]\nmodel = 'two'\n")
    assert "'one'" in one_sentence(quire("inspect", env={"QUIRE_CONFIG": str(one)}))
    assert "'two'" in one_sentence(quire("inspect"))
    other = quire.folder / "xdg"
    (other / "quire").mkdir(parents=True)
    (other / "quire/config.toml").write_text("[inspect]\nmodel = 'three'\n")
    assert "'three'" in one_sentence(quire("inspect", env={"XDG_CONFIG_HOME": str(other)}))


@pytest.mark.parametrize("text, words", [
    ("[serve]\nprot = 1\n", ["'prot'", "[serve]"]),
    ("[bench]\nport = 1\n", ["'port'", "[bench]"]),
    ("[sevre]\nport = 1\n", ["[sevre]"]),
    ("port = 1\n", ["'port'", "[serve]"]),
    ("[serve\nport = 1\n", [":1:"]),
    ("[serve]\nport = {a = 1}\n", ["'port'"]),
    ("[serve]\nport = 'x'\n", ["port in [serve]", "'x'"]),
])
def test_a_wrong_file_is_named_with_the_place(quire, text, words):
    file = quire.folder / "wrong.toml"
    file.write_text(text)
    message = one_sentence(quire("serve", "m", "--config", file), code=2)
    for word in [str(file), *words]:
        assert word in message


def test_a_missing_file_is_an_error_only_when_it_was_named(quire):
    assert "nowhere.toml" in one_sentence(quire("list", "--config", "nowhere.toml"), code=2)
    assert quire("list").returncode == 0


def test_keys_may_have_underscores_and_arrays(quire):
    file = quire.folder / "c.toml"
    file.write_text("[serve]\nmax_queue = 'x'\n")
    assert "max-queue in [serve]" in one_sentence(quire("serve", "m", "--config", file), code=2)
    file.write_text("[bench]\nprompt-tokens = [16, 'y']\nmodel = 'm'\n")
    assert "'y'" in one_sentence(quire("bench", "--config", file), code=2)


def test_aliases_of_other_servers(quire):
    for alias in ["--max-num-batched-tokens", "--max-num-seqs", "--max-model-len"]:
        assert "'x'" in one_sentence(quire("serve", "m", alias, "x"), code=2)


def test_a_processor_without_avx2_is_told_so(quire):
    message = one_sentence(quire("list", env={"QUIRE_ASSUME_NO_AVX2": "1"}))
    assert "AVX2" in message
    assert quire("list", env={"QUIRE_ASSUME_NO_AVX2": "1", "QUIRE_FORCE_ISA": "generic"}).returncode == 0


def test_the_program_is_one_portable_file(quire):
    libraries = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].rsplit("/", 1)[-1] for line in libraries.strip().split("\n")}
    assert names <= {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def test_the_program_needs_no_newer_glibc_than_debian_12_has(quire):
    symbols = subprocess.run(["readelf", "-V", PROGRAM], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, word.removeprefix("GLIBC_").split("."))) for word in symbols.split()
                if word.startswith("GLIBC_2.")}
    assert versions and max(versions) <= (2, 36)


def test_list_shows_policies_with_parameters(quire):
    done = quire("list")
    assert done.returncode == 0
    assert "--scheduling" in done.stdout and "fcfs" in done.stdout and "priority" in done.stdout
    assert "--admission" in done.stdout and "longest" in done.stdout and "predicted" in done.stdout


def test_a_closed_pipe_is_no_crash(quire):
    reading, writing = os.pipe()
    os.close(reading)
    process = quire.start("list", stdout=writing)
    os.close(writing)
    assert "standard output" in process.stderr.read()
    assert process.wait(timeout=30) == 1
