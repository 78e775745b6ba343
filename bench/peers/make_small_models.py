"""Writes small language models that nobody trained, of each kind of file that Argosy opens, as
transformers saves them.

    python bench/peers/make_small_models.py FOLDER TEXT

Each becomes a folder FOLDER/KIND, with a tokenizer that is learned from TEXT. Then, for each,

    build/release/argosy model export FOLDER/KIND --to FOLDER/KIND.gguf --format f32
    python bench/peers/model_files_check.py FOLDER/KIND.gguf

holds what Argosy writes against llama.cpp and transformers. The environment is that of
bench/peers/README.md with torch and transformers.
"""

import argparse
import pathlib

import tokenizers
import torch
from tokenizers import decoders, normalizers, pre_tokenizers, trainers
from transformers import (LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config,
                          Qwen2ForCausalLM)

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
VOCABULARY = 1024
SIZES = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=16)
KINDS = {
    "llama3-scaling": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "linear-scaling": lambda: LlamaForCausalLM(LlamaConfig(
        **SIZES, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=4.0))),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(
        **SIZES, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6))),
}


def learned_tokenizer(text):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex(SPLIT), "isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train([text], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>",
        chat_template="{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                      "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("text")
    options = parser.parse_args()
    tokenizer = learned_tokenizer(options.text)
    for kind, make in KINDS.items():
        torch.manual_seed(1)
        model = make().to(torch.float32)
        with torch.no_grad():  # larger than a fresh model's, so that attention and biases tell
            for name, parameter in model.named_parameters():
                if "norm" not in name:
                    parameter.normal_(0, 0.08)
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(options.folder / kind)
        tokenizer.save_pretrained(options.folder / kind)
        print(options.folder / kind)


main()
