#!/usr/bin/env python3
"""Writes a GGUF model again with its matrices in another type: what a comparison of weight types starts from.

  requantize.py SmolLM2-135M-Instruct.Q4_1.gguf --type BF16 --out smollm2-BF16.gguf

Every matrix is widened to floats and rounded to the type; vectors stay as they are. What was lost when the file was made
does not come back: compare types by files that were made from one and the same. Rows that do not divide into the type's
groups become BF16. Needs numpy and gguf.
"""
import argparse

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

TYPES = {"BF16": gguf.LlamaFileType.MOSTLY_BF16, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
         "Q5_1": gguf.LlamaFileType.MOSTLY_Q5_1, "Q4_1": gguf.LlamaFileType.MOSTLY_Q4_1,
         "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}
WRITTEN_BY_THE_WRITER = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture",
                         "general.file_type", "general.quantization_version"}


def copy_metadata(reader, writer):
    for name, field in reader.fields.items():
        if name in WRITTEN_BY_THE_WRITER:
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def type_of(tensor, wanted, embeddings):
    """What a tensor becomes; None where it stays as it is."""
    if len(tensor.shape) < 2:
        return None
    kind = embeddings if tensor.name in ("token_embd.weight", "output.weight") else wanted
    group = gguf.GGML_QUANT_SIZES[kind][0]
    return kind if tensor.shape[0] % group == 0 else Type.BF16


def requantize(source, path, wanted, embeddings):
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_file_type(TYPES[wanted.name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    copy_metadata(reader, writer)
    for tensor in reader.tensors:
        kind = type_of(tensor, wanted, embeddings)
        if kind is None or kind == tensor.tensor_type:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.gguf")
    parser.add_argument("--type", choices=TYPES, required=True)
    parser.add_argument("--embeddings", choices=TYPES, help="of the embedding and output matrices; default: --type")
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    requantize(given.model, given.out, Type[given.type], Type[given.embeddings or given.type])


if __name__ == "__main__":
    main()
