#include "models/grok.h"
#include "models/language_format.h"

namespace argosy::models {
namespace {

using Options = LanguageOptions;

constexpr double kMostWidth = 1 << 20, kMostHeads = 1 << 14, kMostExperts = 1 << 12;

// Files that are silent about a constant hold the release.
constexpr OptionName kOptions[] = {
    {.option = &Options::vocabulary, .gguf = "vocab_size", .least = 1, .most = 1 << 24},
    {.option = &Options::context, .gguf = "context_length", .least = 1, .most = 1 << 24},
    {.option = &Options::width, .gguf = "embedding_length", .least = 1, .most = kMostWidth},
    {.option = &Options::layers, .gguf = "block_count", .least = 1, .most = 4096},
    {.option = &Options::heads, .gguf = "attention.head_count", .least = 1, .most = kMostHeads},
    {.option = &Options::key_heads,
     .gguf = "attention.head_count_kv",
     .least = 1,
     .most = kMostHeads,
     .otherwise = [](const Options& o) { return static_cast<double>(o.heads); }},
    {.option = &Options::head_width,
     .gguf = "attention.key_length",
     .least = 2,
     .most = kMostWidth,
     .otherwise = [](const Options& o) { return static_cast<double>(o.width / o.heads); }},
    {.option = &Options::hidden, .gguf = "feed_forward_length", .least = 1, .most = kMostWidth},
    {.option = &Options::experts, .gguf = "expert_count", .least = 1, .most = kMostExperts},
    {.option = &Options::active, .gguf = "expert_used_count", .least = 1, .most = kMostExperts},
    {.option = &Options::epsilon,
     .gguf = "attention.layer_norm_rms_epsilon",
     .least = 0,
     .most = 1},
    {.option = &Options::rotary_base,
     .gguf = "rope.freq_base",
     .least = 1,
     .most = 1e12,
     .otherwise = [](const Options&) { return grok_1().rotary_base; }},
    {.option = &Options::embedding_multiplier,
     .gguf = "embedding_scale",
     .least = 1e-6,
     .most = 1e6,
     .otherwise = [](const Options&) { return grok_1().embedding_multiplier; }},
    {.option = &Options::output_multiplier,
     .gguf = "logit_scale",
     .least = 1e-6,
     .most = 1e6,
     .otherwise = [](const Options&) { return grok_1().output_multiplier; }},
    {.option = &Options::attention_multiplier,
     .gguf = "attention.output_scale",
     .least = 1e-6,
     .most = 1e6,
     .otherwise = [](const Options&) { return grok_1().attention_multiplier; }},
    {.option = &Options::soft_cap,
     .gguf = "attn_logit_softcapping",
     .least = 1e-3,
     .most = 1e6,
     .otherwise = [](const Options&) { return grok_1().soft_cap; }},
};

Shape norm(const Options& o) { return {o.width}; }
Shape table(const Options& o) { return {o.vocabulary, o.width}; }
Shape keys(const Options& o) { return {o.key_heads * o.head_width, o.width}; }
Shape inner(const Options& o) { return {o.experts, o.hidden, o.width}; }

constexpr WeightName kWeights[] = {
    {.name = "embedding/weight", .gguf = "token_embd.weight", .shape = table},
    {.name = "block{}/norm1/weight", .gguf = "blk.{}.attn_norm.weight", .shape = norm},
    {.name = "block{}/attention/query/weight",
     .gguf = "blk.{}.attn_q.weight",
     .shape = [](const Options& o) { return Shape{o.heads * o.head_width, o.width}; }},
    {.name = "block{}/attention/key/weight", .gguf = "blk.{}.attn_k.weight", .shape = keys},
    {.name = "block{}/attention/value/weight", .gguf = "blk.{}.attn_v.weight", .shape = keys},
    {.name = "block{}/attention/output/weight",
     .gguf = "blk.{}.attn_output.weight",
     .shape = [](const Options& o) { return Shape{o.width, o.heads * o.head_width}; }},
    {.name = "block{}/norm2/weight", .gguf = "blk.{}.attn_output_norm.weight", .shape = norm},
    {.name = "block{}/norm3/weight", .gguf = "blk.{}.ffn_norm.weight", .shape = norm},
    {.name = "block{}/experts/router/weight",
     .gguf = "blk.{}.ffn_gate_inp.weight",
     .shape = [](const Options& o) { return Shape{o.experts, o.width}; },
     .always_f32 = true},  // a rounded router sends tokens to other experts
    {.name = "block{}/experts/gate", .gguf = "blk.{}.ffn_gate_exps.weight", .shape = inner},
    {.name = "block{}/experts/value", .gguf = "blk.{}.ffn_up_exps.weight", .shape = inner},
    {.name = "block{}/experts/output",
     .gguf = "blk.{}.ffn_down_exps.weight",
     .shape = [](const Options& o) { return Shape{o.experts, o.width, o.hidden}; }},
    {.name = "block{}/norm4/weight", .gguf = "blk.{}.layer_output_norm.weight", .shape = norm},
    {.name = "norm/weight", .gguf = "output_norm.weight", .shape = norm},
    {.name = "output/weight", .gguf = "output.weight", .shape = table, .untied_only = true},
};

// What Grok-2 has beyond Grok-1.
constexpr Constant kGgufConstants[] = {{"final_logit_softcapping", "0"},
                                       {"attention.temperature_length", "0"}};

}  // namespace

// GGUF alone: transformers has no Grok.
extern const LanguageFormat kGrokFormat = {.architecture = "grok",
                                           .gguf = "grok",
                                           .options = kOptions,
                                           .weights = kWeights,
                                           .gguf_constants = kGgufConstants};

}  // namespace argosy::models
