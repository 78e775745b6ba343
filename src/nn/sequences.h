#pragma once
#include "nn/layers.h"

namespace argosy::nn {

/// What the tokens of a batch may look back at: written once per graph, read by every attention of
/// a model, so that one model function serves training and generation.
///
/// Whole sequences: tokens are [B, T] and see what stands before them in their row (and segment).
/// Continued sequences: tokens are [N], rows of any sequences, and see what the cache holds of
/// theirs; each attention keeps its keys and values in pages that are state of the graph.
struct Sequences {
  Tensor segments;  ///< whole sequences: i32 [B, T] or empty
  Tensor padding;   ///< whole sequences: see nn::Sight, or empty

  Tensor positions;       ///< continued: i32 [N], the token's place in its sequence; -1: no token
  Tensor rows;            ///< continued: i32 [N], which row of `pages` is the token's sequence
  Tensor pages;           ///< continued: i32 [S, P], a sequence's pages in order; -1: none yet
  int64_t page_size = 0;  ///< tokens in a page
  int64_t page_count = 0;
  DType page_dtype = DType::f32;  ///< of the keys and values in pages: f32 or bf16
  Tensor answers;  ///< continued: i32 [A], the tokens whose logits are wanted; empty: all
  bool continued() const { return page_size > 0; }
};

/// Attention of x to itself and to what its tokens may look back at: x is [B, T, D] of whole
/// sequences, [N, D] of continued ones. Parameters as those of attention(); continued, keys and
/// values go into pages, which are the state "keys" and "values" of the scope.
Tensor self_attention(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                      const Sequences& sequences);

/// The rows [N, D] of x whose logits are wanted.
Tensor answering_rows(const Tensor& x, const Sequences& sequences);

}  // namespace argosy::nn
