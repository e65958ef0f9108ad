"""tools/requantize.py writes the same model with other weights."""
import pathlib
import subprocess
import sys

import pytest

gguf = pytest.importorskip("gguf")
numpy = pytest.importorskip("numpy")
from gguf import quants  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/data/families/llama_quantized/model.gguf"


def requantize(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools/requantize.py", *map(str, arguments)], capture_output=True, text=True)


def values(tensor):
    return quants.dequantize(tensor.data, tensor.tensor_type)


@pytest.mark.parametrize("kind, most", [("BF16", 0.005), ("Q8_0", 0.01), ("Q4_0", 0.15)])
def test_weights_are_rounded_and_all_else_stays(tmp_path, kind, most):
    out = tmp_path / "out.gguf"
    done = requantize(MODEL, "--type", kind, "--embeddings", "Q8_0", "--out", out)
    assert done.returncode == 0, done.stderr
    before, after = gguf.GGUFReader(MODEL), gguf.GGUFReader(out)
    assert {tensor.name for tensor in before.tensors} == {tensor.name for tensor in after.tensors}
    new = {tensor.name: tensor for tensor in after.tensors}
    for tensor in before.tensors:
        other = new[tensor.name]
        assert list(other.shape) == list(tensor.shape)
        if len(tensor.shape) < 2:
            assert other.tensor_type == tensor.tensor_type and (other.data == tensor.data).all()
            continue
        assert other.tensor_type.name == ("Q8_0" if tensor.name in ("token_embd.weight", "output.weight") else kind), tensor.name
        exact = values(tensor)
        assert numpy.abs(values(other) - exact).max() <= most * numpy.abs(exact).max()
    for name, field in before.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.file_type", "general.quantization_version"):
            assert after.fields[name].contents() == field.contents(), name


def test_an_unknown_type_is_refused(tmp_path):
    done = requantize(MODEL, "--type", "Q3_X", "--out", tmp_path / "out.gguf")
    assert done.returncode == 2 and "Q4_0" in done.stderr
