#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/op.h"

/// The CPU backend: oneDNN for products in bf16 and most convolutions, Highway kernels (chosen for
/// the CPU at run time) for the rest, and each op's own reference for what neither has.
namespace argosy::cpu {

/// What is to be computed, all sizes known.
struct KernelRequest {
  const OpDef& op;
  const Attributes& attributes;
  Types in, out;
};

/// Ready to run on any buffers of those types. Preparing may be slow. Running takes no memory
/// beside the workspace but tiles and rows that each thread keeps from the first run on.
struct Kernel {
  std::function<void(KernelArgs&)> run;
  size_t workspace_bytes = 0;
  bool reference = false;  ///< the op's plain reference runs: correct, slow
  /// The same bits at every thread count. oneDNN may cut a sum by the threads there are.
  bool thread_invariant = true;
};

Kernel make_kernel(const KernelRequest& request);
/// The f32 kernel with bf16 operands widened before it and bf16 results rounded after it: what
/// make_kernel gives where there is no arithmetic in bf16.
Kernel make_widened_kernel(const KernelRequest& request);
/// The op's reference; bf16 operands are widened to f32 around those that know f32 only.
Kernel make_reference_kernel(const KernelRequest& request);

/// The instruction set that the Highway kernels use here ("AVX2", "AVX3").
std::string instruction_set();
/// All that were compiled and that this CPU has, the best first.
std::vector<std::string> instruction_sets();
/// For tests: kernels made from now on use that one; "" returns to the best.
void use_instruction_set(const std::string& name);
/// For tests: whether kernels made from now on may use the instruction that adds products of bytes
/// (VNNI), where the CPU has it.
void allow_byte_products(bool allowed);
/// For tests: results of more than so many bytes are stored past the caches; without a number those
/// that are larger than these.
void use_streaming_above(std::optional<size_t> bytes);
/// oneDNN's version ("3.2.0").
std::string onednn_version();

}  // namespace argosy::cpu
