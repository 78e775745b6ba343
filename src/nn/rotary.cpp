#include "nn/rotary.h"

#include <cstring>

namespace argosy::nn {

using namespace ops;

Tensor turned(const Tensor& x, const AttentionOptions& options, const Tensor& positions) {
  if (options.rotary_base == 0) return x;
  std::vector angles = {positions ? positions : range(x.graph(), x.size(1))};
  if (const std::vector<float>& divisors = options.rotary_divisors; !divisors.empty()) {
    const Type type = {DType::f32, {std::ssize(divisors)}};
    std::vector<std::byte> bytes(type.bytes());
    std::memcpy(bytes.data(), divisors.data(), bytes.size());
    angles.push_back(x.graph().constant(type, std::move(bytes)));
  }
  // every layer's are the same node, since share-common makes one of them
  const Tensor of_places = x.graph().add_one(rotary_angles, angles,
                                             {{"base", options.rotary_base}, {"width", x.size(3)}});
  return apply(rotary, {x, of_places}, {{"inverse", false}});
}

}  // namespace argosy::nn
