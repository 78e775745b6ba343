#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/scope.h"

namespace argosy::models {

/// What all policies that see images can be asked for; each uses what it has.
struct PolicyOptions {
  std::string name = "pilotnet";
  int64_t outputs = 1;
  std::string normalization = "fixed";  ///< "fixed" or "per_image", see normalised()
  float dropout = 0;
  int64_t attention_width = 128, attention_layers = 2, attention_heads = 4;
};

/// A model by its name in recipes: uint8 images [B, T, H, W, 3] -> [B, outputs].
struct PolicyModel {
  std::string_view name, summary;
  Tensor (*build)(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);
};

/// Every policy model. Adding one: its file pair and a row in policy.cpp.
std::span<const PolicyModel> policy_models();

/// Builds the model that options.name names. Throws Error for an unknown name, naming the nearest,
/// and for images too small for it.
Tensor build_policy(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);

/// Images as f32: "fixed" maps 0..255 to -1..1, "per_image" to mean 0 and deviation 1 of each
/// image, whose height, width and channels stand at `axes`.
Tensor normalised(const Tensor& images, const std::string& normalization,
                  const std::vector<int64_t>& axes = {-3, -2, -1});

}  // namespace argosy::models
