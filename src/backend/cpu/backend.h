#pragma once
#include <functional>
#include <string>

#include "ir/op.h"

/// The CPU backend: oneDNN for matmul and convolution, Highway kernels (chosen for the CPU at run
/// time) for the rest, and each op's own reference for what neither has.
namespace argosy::cpu {

/// What is to be computed, all sizes known.
struct KernelRequest {
  const OpDef& op;
  const Attributes& attributes;
  Types in, out;
};

/// Ready to run on any buffers of those types. Preparing may be slow, running allocates nothing.
struct Kernel {
  std::function<void(KernelArgs&)> run;
  size_t workspace_bytes = 0;
  bool reference = false;  ///< the op's plain reference runs: correct, slow
};

Kernel make_kernel(const KernelRequest& request);

/// The instruction set that the Highway kernels use here ("AVX2", "AVX3").
std::string instruction_set();
/// oneDNN's version ("3.2.0").
std::string onednn_version();

}  // namespace argosy::cpu
