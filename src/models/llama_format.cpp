#include <algorithm>
#include <array>

#include "models/language_format.h"

namespace argosy::models {
namespace {

using Options = LanguageOptions;

constexpr double kMostWidth = 1 << 20, kMostHeads = 1 << 14;

constexpr OptionName kOptions[] = {
    {&Options::vocabulary, "vocab_size", "vocab_size", 1, 1 << 24},
    {&Options::context, "max_position_embeddings", "context_length", 1, 1 << 24},
    {&Options::width, "hidden_size", "embedding_length", 1, kMostWidth},
    {&Options::layers, "num_hidden_layers", "block_count", 1, 4096},
    {&Options::heads, "num_attention_heads", "attention.head_count", 1, kMostHeads},
    {&Options::key_heads, "num_key_value_heads", "attention.head_count_kv", 1, kMostHeads,
     [](const Options& o) { return static_cast<double>(o.heads); }},
    {&Options::head_width, "head_dim", "attention.key_length", 2, kMostWidth,
     [](const Options& o) { return static_cast<double>(o.width / o.heads); }},
    {&Options::hidden, "intermediate_size", "feed_forward_length", 1, kMostWidth},
    {&Options::epsilon, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 0, 1},
    {&Options::rotary_base, "rope_theta", "rope.freq_base", 1, 1e12,
     [](const Options&) { return 10000.0; }},
};

Shape norm(const Options& o) { return {o.width}; }
Shape table(const Options& o) { return {o.vocabulary, o.width}; }
Shape keys(const Options& o) { return {o.key_heads * o.head_width, o.width}; }
Shape inner(const Options& o) { return {o.hidden, o.width}; }

constexpr WeightName kWeights[] = {
    {"embedding/weight", "model.embed_tokens.weight", "token_embd.weight", table},
    {"block{}/norm1/weight", "model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight",
     norm},
    {"block{}/attention/query/weight", "model.layers.{}.self_attn.q_proj.weight",
     "blk.{}.attn_q.weight",
     [](const Options& o) { return Shape{o.heads * o.head_width, o.width}; }, &Options::heads},
    {"block{}/attention/key/weight", "model.layers.{}.self_attn.k_proj.weight",
     "blk.{}.attn_k.weight", keys, &Options::key_heads},
    {"block{}/attention/value/weight", "model.layers.{}.self_attn.v_proj.weight",
     "blk.{}.attn_v.weight", keys},
    {"block{}/attention/output/weight", "model.layers.{}.self_attn.o_proj.weight",
     "blk.{}.attn_output.weight",
     [](const Options& o) { return Shape{o.width, o.heads * o.head_width}; }},
    {"block{}/norm2/weight", "model.layers.{}.post_attention_layernorm.weight",
     "blk.{}.ffn_norm.weight", norm},
    {"block{}/mlp/gate/weight", "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight",
     inner},
    {"block{}/mlp/up/weight", "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", inner},
    {"block{}/mlp/down/weight", "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight",
     [](const Options& o) { return Shape{o.width, o.hidden}; }},
    {"norm/weight", "model.norm.weight", "output_norm.weight", norm},
    {.name = "output/weight",
     .hugging_face = "lm_head.weight",
     .gguf = "output.weight",
     .shape = table,
     .untied_only = true},
};

constexpr Constant kHuggingFaceConstants[] = {{"hidden_act", "\"silu\""},
                                              {"attention_bias", "false"},
                                              {"mlp_bias", "false"},
                                              {"rope_interleaved", "false"}};

constexpr Constant kGgufConstants[] = {{"expert_count", "0"}};

// Qwen 2 has Llama's options and weights, biases beside some, and in GGUF the rows as they are.

Shape query_bias(const Options& o) { return {o.heads * o.head_width}; }
Shape key_bias(const Options& o) { return {o.key_heads * o.head_width}; }

constexpr WeightName kBiases[] = {
    {"block{}/attention/query/bias", "model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias",
     query_bias},
    {"block{}/attention/key/bias", "model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias",
     key_bias},
    {"block{}/attention/value/bias", "model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias",
     key_bias},
};

constexpr auto kQwen2Weights = [] {
  std::array<WeightName, std::size(kWeights) + std::size(kBiases)> all{};
  auto to = all.begin();
  for (const WeightName& weight : kWeights) {
    // in front of what follows the layers
    if (std::string_view(weight.name) == "norm/weight") to = std::ranges::copy(kBiases, to).out;
    *to = weight;
    to++->paired_heads = nullptr;
  }
  return all;
}();

constexpr Constant kQwen2HuggingFaceConstants[] = {{"hidden_act", "\"silu\""},
                                                   {"use_sliding_window", "false"}};

}  // namespace

extern const LanguageFormat kLlamaFormat = {.architecture = "llama",
                                            .hugging_face = "LlamaForCausalLM",
                                            .model_type = "llama",
                                            .gguf = "llama",
                                            .options = kOptions,
                                            .weights = kWeights,
                                            .hugging_face_constants = kHuggingFaceConstants,
                                            .gguf_constants = kGgufConstants,
                                            .gguf_rotary_divisors = "rope_freqs.weight"};

extern const LanguageFormat kQwen2Format = {.architecture = "qwen2",
                                            .hugging_face = "Qwen2ForCausalLM",
                                            .model_type = "qwen2",
                                            .gguf = "qwen2",
                                            .options = kOptions,
                                            .weights = kQwen2Weights,
                                            .hugging_face_constants = kQwen2HuggingFaceConstants,
                                            .gguf_constants = kGgufConstants};

}  // namespace argosy::models
