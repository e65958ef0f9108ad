#!/usr/bin/env python3
"""Makes the tiny random models of tests/data/families: one folder per case, with the model as safetensors
(config.json, model.safetensors), as GGUF (model.gguf), and what transformers computes with it in float32
(golden.safetensors: tokens, and the logits after each).

    pip install torch transformers gguf safetensors
    tools/make_tiny_models.py [--only NAME] [tests/data/families]

The GGUF file is written here, under the names and in the order that GGUF readers expect, not by a converter: so
both forms test the loader. Weights are random; runs on one version of torch give the same files.
"""
import argparse
import json
import math
import pathlib
import zlib

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

VOCAB = 200  # not a multiple of 16: the last panel of the output matrix is padded
TOKENS = 60


def rope(**kwargs):
    return {"rope_theta": 10000.0, "rope_type": "default", **kwargs}


def common(**kwargs):
    values = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=4096, rms_norm_eps=1e-5, tie_word_embeddings=False,
                  bos_token_id=1, eos_token_id=2, pad_token_id=0, attention_dropout=0.0)
    values.update(kwargs)
    return values


FACTORS = dict(short_factor=[1.0 + 0.1 * i for i in range(6)], long_factor=[1.5 + 0.8 * i for i in range(6)])

# name: (GGUF architecture, config, type of the safetensors weights)
CASES = {
    "llama": ("llama", transformers.LlamaConfig(**common(
        rope_parameters=rope(rope_theta=500000.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64))), torch.bfloat16),
    "llama_quantized": ("llama", transformers.LlamaConfig(**common(rope_parameters=rope())), torch.float32),
    "mistral": ("llama", transformers.MistralConfig(**common(
        head_dim=16, sliding_window=24, rope_parameters=rope())), torch.float16),
    "qwen2": ("qwen2", transformers.Qwen2Config(**common(
        tie_word_embeddings=True, rope_parameters=rope(rope_theta=1000000.0))), torch.bfloat16),
    "qwen2_yarn": ("qwen2", transformers.Qwen2Config(**common(
        num_hidden_layers=2, head_dim=16, rope_parameters=rope(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=32))), torch.float32),
    "qwen3": ("qwen3", transformers.Qwen3Config(**common(
        head_dim=16, rope_parameters=rope(rope_theta=1000000.0))), torch.bfloat16),
    "gemma2": ("gemma2", transformers.Gemma2Config(**common(
        tie_word_embeddings=True, num_hidden_layers=4, head_dim=16, sliding_window=20, query_pre_attn_scalar=16,
        hidden_activation="gelu_pytorch_tanh", attn_logit_softcapping=5.0, final_logit_softcapping=10.0,
        rope_parameters=rope())), torch.bfloat16),
    "gemma3": ("gemma3", transformers.Gemma3TextConfig(**common(
        tie_word_embeddings=True, num_hidden_layers=7, num_attention_heads=2, num_key_value_heads=1, head_dim=16, intermediate_size=32,
        sliding_window=20, query_pre_attn_scalar=16, hidden_activation="gelu_pytorch_tanh",
        rope_parameters={"full_attention": rope(rope_theta=1000000.0, rope_type="linear", factor=8.0),
                         "sliding_attention": rope()})), torch.bfloat16),
    "phi3": ("phi3", transformers.Phi3Config(**common(
        sliding_window=24, rope_parameters=rope())), torch.bfloat16),
    "phi3_longrope": ("phi3", transformers.Phi3Config(**common(
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128, original_max_position_embeddings=32,
        rope_parameters=rope(rope_type="longrope", partial_rotary_factor=0.75,
                             original_max_position_embeddings=32, **FACTORS))), torch.bfloat16),
}

# Tensor types of the case that comes as GGUF only: every matrix of another kind, so that one layer mixes products
# with int8 and with float activations.
QUANTIZED = {
    "embed_tokens": "Q8_0", "q_proj": "Q4_0", "k_proj": "Q8_0", "v_proj": "F16", "o_proj": "Q4_1",
    "gate_proj": "Q5_0", "up_proj": "Q5_1", "down_proj": "Q8_0", "lm_head": "Q4_0",
}

# Cases whose config.json is written as transformers 4 did: rope_theta and rope_scaling beside the rest.
OLD_LAYOUT = {"llama", "gemma3", "phi3_longrope"}


def randomize(model, seed, dtype):
    """Weights large enough that every part of the model matters, and exact in the type they are stored in."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                centre = 0.0 if "gemma" in model.config.model_type else 1.0
                value = centre + 0.2 * noise
            elif "embed" in name:
                value = noise
            elif name.endswith("bias"):
                value = 0.3 * noise
            else:
                value = noise * 1.2 / math.sqrt(parameter.shape[-1])
            parameter.copy_(value.to(dtype).float())


def quantized_type(name):
    kinds = [kind for part, kind in QUANTIZED.items() if part in name]
    return gguf.GGMLQuantizationType[kinds[0] if kinds else "F32"]


def round_to_quantized(model):
    """Gives the model the weights that its quantized file will hold."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind = quantized_type(name)
            data = gguf.quants.quantize(parameter.detach().numpy(), kind)
            parameter.copy_(torch.from_numpy(gguf.quants.dequantize(data, kind).copy()))


def write_config(config, name, dtype, folder):
    values = config.to_diff_dict()
    for key in ("transformers_version", "dtype", "architectures"):
        values.pop(key, None)
    values["vocab_size"] = VOCAB
    values["torch_dtype"] = str(dtype).removeprefix("torch.")
    if name in OLD_LAYOUT:
        parameters = values.pop("rope_parameters")
        if "full_attention" in parameters:
            values["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
            parameters = parameters["full_attention"]
            values.pop("layer_types", None)
            values["sliding_window_pattern"] = 6
        values["rope_theta"] = parameters.pop("rope_theta")
        if "partial_rotary_factor" in parameters:
            values["partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
        values["rope_scaling"] = parameters
    (folder / "config.json").write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


def write_safetensors(model, dtype, path):
    tensors = {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters()}
    save_file(tensors, path)


def write_golden(model, path, short):
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(3, VOCAB, (TOKENS,), generator=generator)
    out = {}
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float()
        out["tokens"], out["logits"] = tokens.float(), logits.contiguous()
        if short:  # what a model with two rotations computes within its original context
            out["short_logits"] = model(tokens[None, :short]).logits[0].float().contiguous()
    save_file(out, path)
    print(f"  logits: std {logits.std():.2f}, largest {logits.abs().max():.2f}, "
          f"distinct argmax {len(set(logits.argmax(-1).tolist()))}")


def permute(weight, heads):
    """Rows of each head reordered so that the pairs that rotate together are neighbours."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def gguf_name(name, gemma):
    if name == "lm_head.weight":
        return "output.weight"
    name = name.removeprefix("model.")
    if name == "embed_tokens.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, rest = name.split(".", 2)
    part, suffix = rest.rsplit(".", 1)
    parts = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "post_attention_norm" if gemma else "ffn_norm",
        "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    return f"blk.{layer}.{parts[part]}.{suffix}"


def llama3_factors(config, parameters):
    head_dim = config.hidden_size // config.num_attention_heads
    original = parameters["original_max_position_embeddings"]
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * parameters["rope_theta"] ** (i / head_dim)
        turns = original / wavelength
        low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
        keep = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / ((1 - keep) / parameters["factor"] + keep))
    return np.array(factors, dtype=np.float32)


def write_rope(writer, config, parameters):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_freq_base(parameters["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * parameters.get("partial_rotary_factor", 1.0)))
    kind = parameters["rope_type"]
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config, parameters))
    elif kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(parameters["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
    elif kind == "longrope":
        original = config.original_max_position_embeddings
        scale = config.max_position_embeddings / original
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
        writer.add_tensor("rope_factors_short.weight", np.array(parameters["short_factor"], dtype=np.float32))
        writer.add_tensor("rope_factors_long.weight", np.array(parameters["long_factor"], dtype=np.float32))


def write_gguf(model, architecture, path, quantized=False):
    config = model.config
    gemma = architecture.startswith("gemma")
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name(f"tiny {path.parent.name}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if getattr(config, "attn_logit_softcapping", None):
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if getattr(config, "final_logit_softcapping", None):
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    parameters = config.rope_parameters
    write_rope(writer, config, parameters.get("full_attention", parameters))

    for name, parameter in model.named_parameters():
        value = parameter.detach().numpy()
        if gemma and "norm" in name:
            value = value + 1
        if architecture == "llama" and ".q_proj." in name:
            value = permute(value, config.num_attention_heads)
        if architecture == "llama" and ".k_proj." in name:
            value = permute(value, config.num_key_value_heads)
        value = np.ascontiguousarray(value)
        if quantized:  # the rows of a permuted matrix quantize as they did before
            kind = quantized_type(name)
            writer.add_tensor(gguf_name(name, gemma), gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name, gemma), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="make this case only")
    parser.add_argument("folder", nargs="?", default="tests/data/families")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, (architecture, config, dtype) in CASES.items():
        if args.only and name != args.only:
            continue
        folder = pathlib.Path(args.folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        print(name)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
        randomize(model, zlib.crc32(name.encode()), dtype)
        quantized = name.endswith("_quantized")
        if quantized:
            round_to_quantized(model)
        else:
            write_config(config, name, dtype, folder)
            write_safetensors(model, dtype, folder / "model.safetensors")
        write_gguf(model, architecture, folder / "model.gguf", quantized)
        write_golden(model, folder / "golden.safetensors", short=24 if name == "phi3_longrope" else 0)
        print("  " + ", ".join(f"{p.name} {p.stat().st_size // 1024} KiB" for p in sorted(folder.iterdir())))


if __name__ == "__main__":
    main()
