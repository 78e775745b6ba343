"""Writes a Llama of 124 million parameters with random weights (width 768, 12 layers, 12 heads, 32,000
tokens, two tables; the sizes of `argosy bench decode --synthetic`) as GGUF in f16, and has llama.cpp
quantise it.

usage: make_random_gguf.py FOLDER [q8_0 q4_0 q4_k_m ...]     needs numpy, gguf, llama-cpp-python
"""
import ctypes
import pathlib
import sys

import gguf
import llama_cpp as llama
import numpy as np

WIDTH, LAYERS, HEADS, HIDDEN, VOCABULARY, CONTEXT = 768, 12, 12, 2048, 32000, 2048

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
source = folder / "random-f16.gguf"
random = np.random.default_rng(0)
file = gguf.GGUFWriter(str(source), "llama")
file.add_name("random")
file.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
file.add_context_length(CONTEXT)
file.add_embedding_length(WIDTH)
file.add_block_count(LAYERS)
file.add_feed_forward_length(HIDDEN)
file.add_head_count(HEADS)
file.add_head_count_kv(HEADS)
file.add_rope_dimension_count(WIDTH // HEADS)
file.add_layer_norm_rms_eps(1e-5)
file.add_vocab_size(VOCABULARY)
special = ["<unk>", "<s>", "</s>"]
single = [f"<0x{byte:02X}>" for byte in range(256)]
words = [f"w{i}" for i in range(VOCABULARY - len(special) - len(single))]
types = gguf.TokenType
file.add_tokenizer_model("llama")
file.add_token_list(special + single + words)
file.add_token_scores([-float(i) for i in range(VOCABULARY)])
file.add_token_types([types.UNKNOWN, types.CONTROL, types.CONTROL] + [types.BYTE] * 256
                     + [types.NORMAL] * len(words))
file.add_bos_token_id(1)
file.add_eos_token_id(2)
file.add_unk_token_id(0)


def add(name, *shape):
    values = random.standard_normal(shape, dtype=np.float32) * 0.02
    file.add_tensor(name, values.astype(np.float16))


add("token_embd.weight", VOCABULARY, WIDTH)
add("output.weight", VOCABULARY, WIDTH)
file.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
for layer in range(LAYERS):
    at = f"blk.{layer}."
    for name in ("attn_norm", "ffn_norm"):
        file.add_tensor(f"{at}{name}.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"{at}{name}.weight", WIDTH, WIDTH)
    for name in ("ffn_gate", "ffn_up"):
        add(f"{at}{name}.weight", HIDDEN, WIDTH)
    add(f"{at}ffn_down.weight", WIDTH, HIDDEN)
file.write_header_to_file()
file.write_kv_data_to_file()
file.write_tensors_to_file()
file.close()

llama.llama_backend_init()
for name in sys.argv[2:] or ["q8_0", "q4_0", "q4_k_m"]:
    options = llama.llama_model_quantize_default_params()
    options.ftype = getattr(llama, "LLAMA_FTYPE_MOSTLY_" + name.upper())
    target = folder / f"random-{name}.gguf"
    if llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) != 0:
        sys.exit(f"llama.cpp could not make {target}")
    print(target, target.stat().st_size / 1e6, "MB")
