"""Times OpenVINO GenAI on a GGUF file: `PYTHON openvino_peer.py MODEL.gguf THREADS PROMPT_TOKENS OUTPUT_TOKENS` prints tokens
per second as JSON. For `compare`, run by an interpreter that has openvino_genai."""
import json
import sys

import numpy
import openvino
import openvino_genai

FIRST_ID, LAST_ID = 300, 30000  # plain tokens, as in load.py


def main():
    model, threads, prompt_tokens, output_tokens = sys.argv[1], *map(int, sys.argv[2:])
    pipeline = openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
    random = numpy.random.default_rng(1)
    config = openvino_genai.GenerationConfig(max_new_tokens=output_tokens, ignore_eos=True, do_sample=False)
    for _ in range(2):  # the first one compiles
        ids = random.integers(FIRST_ID, LAST_ID, (1, prompt_tokens), dtype=numpy.int64)
        prompt = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        times = pipeline.generate(prompt, config).perf_metrics
    print(json.dumps({"prefill": 1e3 * prompt_tokens / times.get_ttft().mean, "decode": 1e3 / times.get_tpot().mean}))


if __name__ == "__main__":
    main()
