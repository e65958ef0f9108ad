"""Writes dequantize_<TYPE>.bin beside this file: random GGUF blocks (512 weights) and the 512 floats that the
`gguf` Python package reads from them. Needs: pip install numpy gguf."""
import pathlib

import gguf
import numpy as np

WEIGHTS = 512
# Byte offsets of the half floats in a block; every other byte may hold anything.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}

rng = np.random.default_rng(20)
for name, offsets in HALVES.items():
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (WEIGHTS // elements, size), dtype=np.uint8)
    for offset in offsets:
        scales = rng.normal(0, 0.02, len(blocks)).astype(np.float16)
        scales[0] = np.float16(3e-6)  # a subnormal half
        blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    weights = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype("<f4")
    path = pathlib.Path(__file__).parent / f"dequantize_{name}.bin"
    path.write_bytes(blocks.tobytes() + weights.tobytes())
