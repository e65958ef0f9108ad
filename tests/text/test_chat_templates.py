"""Published models' chat templates, rendered by Quire and by Python's jinja2."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / ".cache/deps/jinja-11434/templates").glob("*.jinja"))
TEST_PROGRAM = pathlib.Path(os.environ.get("QUIRE_BUILD", ROOT / "build/release")) / "text/text_test"

# It marks some text as safe HTML, after which jinja2 escapes the rest of the sentence.
KNOWN_TO_DIFFER = {"meetkai-functionary-medium-v3.1"}


@pytest.mark.skipif(not TEMPLATES, reason="the templates were not unpacked: run tools/fetch.py jinja")
@pytest.mark.skipif(not TEST_PROGRAM.exists(), reason=f"{TEST_PROGRAM} is not built")
def test_published_templates_render_as_jinja2_does(tmp_path):
    script = ROOT / "quire/text/testdata/chat/make_goldens.py"
    subprocess.run([sys.executable, script, tmp_path, *TEMPLATES], check=True)
    output = subprocess.run(
        [TEST_PROGRAM, "--gtest_filter=ChatTemplateTest.RendersGivenGoldens"], capture_output=True, text=True,
        check=True, env={**os.environ, "QUIRE_CHAT_GOLDENS": str(tmp_path)}).stdout
    same = int(re.search(r"^goldens: same=(\d+)", output, re.M).group(1))
    different = set(re.findall(r"^different: (\S+) case", output, re.M))
    assert different <= KNOWN_TO_DIFFER, output
    assert same >= 750
