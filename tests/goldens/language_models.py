"""Writes what transformers computes with small language models that nobody trained, for
tests/run/language_golden_test.cpp; the tests need no transformers.

    pip install torch==2.13.0 transformers==5.24.0 numpy safetensors
    python tests/goldens/language_models.py

Weights are numbers that their names give (named_numbers.py), so the file has none of them: of each
case "config/CASE" in the metadata (config.json), "CASE/tokens", "CASE/logits" in f32, and
"CASE/greedy", the tokens that follow when the most probable is taken each time.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER / "../../bench/peers"))
from named_numbers import drawn  # noqa: E402

SIZES = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
# the first context is short, so that all ways to treat a pair occur in 48 places
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=32)
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "llama3-scaling": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "linear-scaling": (LlamaForCausalLM, LlamaConfig(
        **SIZES, head_dim=16, rope_parameters=dict(rope_type="linear", rope_theta=500.0,
                                                   factor=4.0))),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(
        **SIZES, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6))),
}
TOKENS, NEXT = 48, 24


def main():
    torch.set_num_threads(1)
    tensors, metadata = {}, {}
    for case, (kind, config) in CASES.items():
        model = kind(config).to(torch.float32).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                numbers = torch.from_numpy(drawn(name, parameter.numel())).reshape(parameter.shape)
                parameter.copy_(1 + 0.2 * numbers if "norm" in name else 0.5 * numbers)
            tokens = torch.arange(TOKENS) * 29 % config.vocab_size
            all_tokens = tokens.clone()
            for _ in range(NEXT):
                logits = model(all_tokens[None]).logits[0]
                all_tokens = torch.cat([all_tokens, logits[-1].argmax()[None]])
            tensors[f"{case}/tokens"] = tokens.to(torch.int32)
            tensors[f"{case}/logits"] = model(tokens[None]).logits[0]
            tensors[f"{case}/greedy"] = all_tokens[TOKENS:].to(torch.int32)
        config.architectures = [kind.__name__]
        metadata[f"config/{case}"] = config.to_json_string()
    save_file(tensors, FOLDER / "language_models.safetensors", metadata)


main()
