#!/usr/bin/env python3
"""Writes a GGUF model of a real shape with random weights: right for measuring speed, meaningless as a model.

  make_random_model.py --shape 1b --type Q4_K_M --tokenizer-from SmolLM2.gguf --out rand1b-Q4_K_M.gguf

Quantized blocks are written directly, never quantized from floats, so a billion weights take seconds. Their
scales give every weight matrix a standard deviation of 1/sqrt(row length): activations stay near 1, attention
scores and logits near a standard normal. Architecture llama. Needs numpy and gguf.
"""
import argparse
import dataclasses
import math
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType

KIB = 1024


@dataclasses.dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int


SHAPES = {
    "1b": Shape(2048, 16, 32, 8, 64, 8192, 128256),
    "tiny": Shape(256, 2, 4, 2, 64, 512, 512),
}
FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16, "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0, "Q4_1": gguf.LlamaFileType.MOSTLY_Q4_1,
    "Q5_0": gguf.LlamaFileType.MOSTLY_Q5_0, "Q5_1": gguf.LlamaFileType.MOSTLY_Q5_1,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "Q2_K": gguf.LlamaFileType.MOSTLY_Q2_K,
    "Q3_K": gguf.LlamaFileType.MOSTLY_Q3_K_S, "Q4_K": gguf.LlamaFileType.MOSTLY_Q4_K_S,
    "Q5_K": gguf.LlamaFileType.MOSTLY_Q5_K_S, "Q6_K": gguf.LlamaFileType.MOSTLY_Q6_K,
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
}
# What a type of 256-element blocks becomes where rows are not multiples of 256.
NARROW = {Type.Q2_K: Type.Q4_0, Type.Q3_K: Type.Q4_0, Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}


# ---- random blocks: each function returns [blocks, bytes of a block] with values of standard deviation `sigma`

def random_bytes(rng, *shape):
    return np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape).copy()


def half(values):
    """A column of f16 numbers, as bytes."""
    return np.asarray(values, np.float16).reshape(-1, 1).view(np.uint8)


def scales(rng, blocks, size, signed=False):
    """Random scales around `size`; signed ones cancel the half step by which a code range is off centre."""
    values = size * rng.uniform(0.5, 1.5, blocks)
    return values * rng.choice([-1.0, 1.0], blocks) if signed else values


def uniform_std(levels):
    return math.sqrt((levels * levels - 1) / 12)


def symmetric(levels, high_bytes):
    """Q4_0 and Q5_0: scale, high bits, nibbles."""
    def blocks(rng, n, sigma):
        d = scales(rng, n, sigma / uniform_std(levels), signed=True)
        return np.hstack([half(d), random_bytes(rng, n, high_bytes + 16)])
    return blocks


def affine(levels, high_bytes):
    """Q4_1 and Q5_1: scale, minimum, high bits, nibbles."""
    def blocks(rng, n, sigma):
        d = scales(rng, n, sigma / uniform_std(levels)).astype(np.float16).astype(np.float32)
        return np.hstack([half(d), half(d * (1 - levels) / 2), random_bytes(rng, n, high_bytes + 16)])
    return blocks


def q8_0(rng, n, sigma):
    codes = np.maximum(random_bytes(rng, n, 32).view(np.int8), -127)  # real files never hold -128
    return np.hstack([half(scales(rng, n, sigma / uniform_std(255))), codes.view(np.uint8)])


def q2_k(rng, n, sigma):
    steps = rng.integers(8, 16, (n, 16), np.uint8)  # the same for scale and minimum, which centres the values
    d = scales(rng, n, sigma / (11.5 * uniform_std(4)))
    return np.hstack([steps * np.uint8(17), random_bytes(rng, n, 64), half(d), half(1.5 * d)])


def q3_k(rng, n, sigma):
    d = scales(rng, n, sigma / (uniform_std(64) * uniform_std(8)))
    return np.hstack([random_bytes(rng, n, 32 + 64 + 12), half(d)])


def k_affine(levels, high_bytes):
    """Q4_K and Q5_K: scale, scale of minima, eight 6-bit scales and minima, high bits, nibbles."""
    def blocks(rng, n, sigma):
        steps = rng.integers(32, 64, (n, 8), np.uint8)  # the same for scale and minimum
        low, high = steps[:, :4], steps[:, 4:]
        first = low | (high >> 4) << 6
        packed = np.hstack([first, first, (high & 15) * np.uint8(17)])
        d = scales(rng, n, sigma / (47.5 * uniform_std(levels)))
        centre = (levels - 1) / 2
        return np.hstack([half(d), half(centre * d), packed, random_bytes(rng, n, high_bytes + 128)])
    return blocks


def q6_k(rng, n, sigma):
    steps = rng.integers(64, 128, (n, 16), np.int8) * rng.choice(np.array([-1, 1], np.int8), (n, 16))
    d = scales(rng, n, sigma / (96 * uniform_std(64)))
    return np.hstack([random_bytes(rng, n, 128 + 64), steps.view(np.uint8), half(d)])


QUANTIZED = {
    Type.Q4_0: symmetric(16, 0), Type.Q5_0: symmetric(32, 4), Type.Q4_1: affine(16, 0), Type.Q5_1: affine(32, 4),
    Type.Q8_0: q8_0, Type.Q2_K: q2_k, Type.Q3_K: q3_k, Type.Q4_K: k_affine(16, 0), Type.Q5_K: k_affine(32, 32),
    Type.Q6_K: q6_k,
}


def plain(rng, rows, cols, sigma, kind):
    values = (rng.random((rows, cols), np.float32) - np.float32(0.5)) * np.float32(sigma * math.sqrt(12))
    if kind == Type.F32:
        return values
    if kind == Type.F16:
        return values.astype(np.float16)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def matrix(rng, rows, cols, kind):
    """The bytes of one weight matrix, a slice of rows at a time to keep memory small."""
    sigma = 1 / math.sqrt(cols)
    if kind not in QUANTIZED:
        return plain(rng, rows, cols, sigma, kind)
    elements, _ = gguf.GGML_QUANT_SIZES[kind]
    per_row = cols // elements
    step = max(1, 65536 // per_row)
    parts = [QUANTIZED[kind](rng, min(step, rows - at) * per_row, sigma) for at in range(0, rows, step)]
    return np.concatenate(parts).reshape(rows, -1)


# ---- which tensor has which type, roughly as llama.cpp's quantizer chooses

def more_bits(layer, layers):
    """The first and last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def tensor_type(name, layer, layers, cols, file_type):
    quantized = file_type not in ("F32", "F16", "BF16")
    if name in ("token_embd", "output"):
        kind = Type.Q6_K if quantized and file_type != "Q8_0" else Type[file_type]
    elif file_type == "Q4_K_M":
        precise = name in ("attn_v", "ffn_down") and more_bits(layer, layers)
        kind = Type.Q6_K if precise else Type.Q4_K
    else:
        kind = Type[file_type]
    if kind in NARROW and cols % 256 != 0:
        kind = NARROW[kind]
    if kind in QUANTIZED and cols % 32 != 0:
        raise SystemExit(f"{name}: rows of {cols} do not divide into blocks of 32, choose F32, F16 or BF16")
    return kind


def matrices(shape, tied):
    """(full name, short name, layer, rows, cols) in file order; the norms are not among them."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "token_embd.weight", "token_embd", 0, shape.vocab, shape.hidden
    for layer in range(shape.layers):
        for short, rows, cols in (("attn_q", q, shape.hidden), ("attn_k", kv, shape.hidden),
                                  ("attn_v", kv, shape.hidden), ("attn_output", shape.hidden, q),
                                  ("ffn_gate", shape.ffn, shape.hidden), ("ffn_up", shape.ffn, shape.hidden),
                                  ("ffn_down", shape.hidden, shape.ffn)):
            yield f"blk.{layer}.{short}.weight", short, layer, rows, cols
    if not tied:
        yield "output.weight", "output", 0, shape.vocab, shape.hidden


def norms(shape):
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


# ---- metadata

def byte_characters():
    """GPT-2's visible character for each of the 256 bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    table = {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    return [table[b] for b in range(256)]


def add_byte_tokenizer(writer, vocab):
    """A byte-level BPE vocabulary: the end token, the 256 bytes, one merge, then unused entries."""
    if vocab < 258:
        raise SystemExit("--shape: a vocabulary needs at least 258 entries")
    tokens = ["<|end|>", *byte_characters(), "Ġt"]
    unused = [f"<|unused_{i}|>" for i in range(vocab - len(tokens))]
    types = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1) + [gguf.TokenType.UNUSED] * len(unused)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens + unused)
    writer.add_token_types(types)
    writer.add_token_merges(["Ġ t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def copy_tokenizer(writer, reader):
    for name, field in reader.fields.items():
        if not name.startswith("tokenizer."):
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            if len(field.data) > 0:
                writer.add_key_value(name, field.contents(), GGUFValueType.ARRAY, field.types[-1])
        else:
            writer.add_key_value(name, field.contents(), field.types[0])


def add_shape(writer, shape, args):
    writer.add_name(f"random-{args.shape}-{args.type}")
    writer.add_file_type(FILE_TYPES[args.type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(shape.layers)
    writer.add_context_length(args.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)


def write_model(shape, reader, args):
    writer = gguf.GGUFWriter(args.out, "llama")
    add_shape(writer, shape, args)
    if reader:
        copy_tokenizer(writer, reader)
    else:
        add_byte_tokenizer(writer, shape.vocab)

    plan = []
    for name, short, layer, rows, cols in matrices(shape, not args.separate_output):
        kind = tensor_type(short, layer, shape.layers, cols, args.type)
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        plan.append((rows, cols, kind))
        writer.add_tensor_info(name, (rows, cols), np.dtype(np.float32), rows * cols // elements * size, kind)
    for name in norms(shape):
        writer.add_tensor_info(name, (shape.hidden,), np.dtype(np.float32), shape.hidden * 4)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.Generator(np.random.SFC64(args.seed))
    for rows, cols, kind in plan:
        writer.write_tensor_data(matrix(rng, rows, cols, kind))
    for _ in norms(shape):
        writer.write_tensor_data(rng.uniform(0.9, 1.1, shape.hidden).astype(np.float32))
    writer.close()
    return sum(rows * cols for rows, cols, _ in plan)


def parse_shape(text):
    if text in SHAPES:
        return SHAPES[text]
    try:
        shape = Shape(*map(int, text.split(",")))
    except (TypeError, ValueError):
        shape = None
    if shape is None or min(dataclasses.astuple(shape)) < 1:
        raise SystemExit(f"--shape {text}: expected {', '.join(SHAPES)}, or seven positive numbers "
                         "hidden,layers,heads,kv_heads,head_dim,ffn,vocab")
    return shape


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="tiny", help="1b, tiny, or hidden,layers,heads,kv_heads,head_dim,ffn,vocab")
    parser.add_argument("--type", default="Q4_0", choices=FILE_TYPES)
    parser.add_argument("--tokenizer-from", metavar="FILE.gguf", help="copy its tokenizer; the vocabulary is then its own")
    parser.add_argument("--separate-output", action="store_true", help="an output matrix of its own; default: tied")
    parser.add_argument("--context", type=int, default=32 * KIB, help="context length to claim (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    shape = parse_shape(args.shape)
    reader = None
    if args.tokenizer_from:
        reader = gguf.GGUFReader(args.tokenizer_from)
        tokens = reader.get_field("tokenizer.ggml.tokens")
        if tokens is None:
            raise SystemExit(f"{args.tokenizer_from}: no tokenizer.ggml.tokens in it, expected a model with a tokenizer")
        shape = dataclasses.replace(shape, vocab=len(tokens.data))
    weights = write_model(shape, reader, args)
    print(f"{args.out}: {weights / 1e6:.1f} million weights, {args.type}, vocabulary {shape.vocab}", file=sys.stderr)


if __name__ == "__main__":
    main()
