#pragma once
#include "nn/layers.h"

namespace argosy::nn {

struct ExpertOptions {
  int64_t experts = 8;
  int64_t active = 2;  ///< experts that see a token
  int64_t hidden = 0;  ///< width inside an expert
  Activation activation = gelu;
  bool renormalise = false;  ///< a token's gates are scaled to sum to 1
  int64_t capacity = 0;      ///< tokens that an expert takes, the first ones; 0: all
  float balance_loss = 1;    ///< weight of Mixture::balance_loss
};

struct Mixture {
  Tensor output;  ///< [N, D]
  /// One f32: experts * sum over e of (share of the choices that fell on e) * (mean probability of
  /// e), times its weight. The unweighted least is 1, where all experts are used alike. Add it to
  /// the loss.
  Tensor balance_loss;
  Tensor probabilities;  ///< f32 [N, experts]
  Tensor chosen;         ///< i32 [experts]: how many tokens chose each, dropped ones as well
  Tensor dropped_share;  ///< one f32: the share of the choices that were beyond a capacity
};

/// Each token goes through the `active` experts that a router finds most probable (a softmax over
/// all experts, in f32), and gets the sum of their outputs, each times its probability. An expert
/// is output(activation(x gate) * (x value)). A choice beyond an expert's capacity adds nothing.
/// There may be one expert, more experts than tokens (those without a token have zero gradients),
/// and no tokens at all (the balance loss is then 0).
///
/// x           [N, D]
/// parameters  router/weight [E, D]; gate, value [E, D, F]; output [E, F, D] (in panels each matrix
///             lies the other way, as all that rows are multiplied with)
/// source      Shazeer et al. 2017 (sparse gates); Fedus et al. 2021, "Switch Transformers", eq. 4
///             (balance loss)
Mixture mixture_of_experts(const Scope& scope, const Tensor& x, const ExpertOptions& options);

}  // namespace argosy::nn
