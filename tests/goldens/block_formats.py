"""Writes what llama.cpp's own Python package makes of numbers and blocks, for
tests/ir/block_format_test.cpp; the tests need neither.

    pip install gguf==0.19.0 numpy safetensors
    python tests/goldens/block_formats.py
"""

import pathlib

import gguf
import numpy as np
from gguf import quants
from safetensors.numpy import save_file

random = np.random.default_rng(0)
Kind = gguf.GGMLQuantizationType

numbers = random.standard_normal((8, 256)).astype(np.float32)
numbers[1] *= 1e-3
numbers[2] *= np.exp(random.standard_normal(256) * 3)  # some far larger than others
numbers[3, :32] = 0
numbers[3, 32:64] = 1.5  # no range
numbers[3, 64:96] = np.abs(numbers[3, 64:96])
numbers[3, 96:128] = -np.abs(numbers[3, 96:128])
numbers[4] = np.round(numbers[4] * 4)  # ties
numbers[5] = np.linspace(-1, 1, 256)
numbers[6] *= 1e-7  # scales below the smallest normal binary16
tensors = {"numbers": numbers}

# where a block has numbers of binary16
HALVES = {Kind.Q4_0: [0], Kind.Q4_1: [0, 2], Kind.Q5_0: [0], Kind.Q5_1: [0, 2], Kind.Q8_0: [0],
          Kind.Q4_K: [0, 2], Kind.Q5_K: [0, 2], Kind.Q6_K: [208]}
for kind, halves in HALVES.items():
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (2048 // values, size), dtype=np.uint8)
    for at in halves:
        half = (random.standard_normal(len(blocks)) * 0.01).astype(np.float16)
        blocks[:, at:at + 2] = half.view(np.uint8).reshape(-1, 2)
    name = kind.name.lower()
    tensors[f"{name}/blocks"] = blocks
    tensors[f"{name}/numbers"] = quants.dequantize(blocks, kind).reshape(-1)
    try:
        tensors[f"{name}/quantized"] = quants.quantize(numbers, kind)
    except NotImplementedError:  # the formats whose scales are searched
        pass

halves = np.array([0, -0.0, 1, -1, 65504, 65519, 65520, 1e9, -1e9, 6e-8, 2.9e-8, 3e-8, 5.9604645e-8,
                   6.1e-5, 6.0975552e-5, 0.1, 1 / 3, 1.00048828125, 1.0014648, np.inf, -np.inf],
                  np.float32)
tensors["halves/numbers"] = halves
with np.errstate(over="ignore"):
    tensors["halves/bits"] = halves.astype(np.float16).view(np.uint16).astype(np.int32)
save_file(tensors, pathlib.Path(__file__).parent / "block_formats.safetensors")
