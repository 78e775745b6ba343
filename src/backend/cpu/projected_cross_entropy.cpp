#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/losses.h"
#include "backend/cpu/product.h"
#include "backend/cpu/product_bf16.h"
#include "backend/cpu/row_access.h"
#include "base/aligned_bytes.h"
#include "base/threads.h"
#include "ops/ops.h"

// Some rows at a time: their logits by a product, in f32, their losses, and the logits' gradients
// in the logits' place, which two more products take to the rows and to the table. Gradients in
// bf16 fill the first half of each row of logits.
namespace argosy::cpu {
namespace {

using Multiply =
    std::function<void(const std::byte* a, const std::byte* b, std::byte* c, std::byte* workspace)>;

/// The products of so many rows.
struct Products {
  Multiply logits;      ///< x table^T
  Multiply dx;          ///< dlogits table
  Multiply dtable;      ///< dlogits^T x
  Multiply add_dtable;  ///< the same, added to what is there
  size_t workspace_bytes = 0;
};

struct Sizes {
  int64_t width, classes;
};

Products products_f32(int64_t rows, const Sizes& s) {
  using enum Operand::Kind;
  const auto ready = [](const Product& sizes) -> Multiply {
    return [=](const std::byte* a, const std::byte* b, std::byte* c, std::byte*) {
      Product product = sizes;
      product.a.data = reinterpret_cast<const float*>(a);
      product.b.data = reinterpret_cast<const float*>(b);
      product.c = reinterpret_cast<float*>(c);
      multiply(product);
    };
  };
  Product dtable = {.m = s.classes,
                    .n = s.width,
                    .k = rows,
                    .a = {.kind = across, .step = s.classes},
                    .b = {.kind = across, .step = s.width}};
  Products products = {.logits = ready({.m = rows,
                                        .n = s.classes,
                                        .k = s.width,
                                        .a = {.kind = along, .step = s.width},
                                        .b = {.kind = along, .step = s.width}}),
                       .dx = ready({.m = rows,
                                    .n = s.width,
                                    .k = s.classes,
                                    .a = {.kind = along, .step = s.classes},
                                    .b = {.kind = across, .step = s.width}}),
                       .dtable = ready(dtable)};
  dtable.add = true;
  products.add_dtable = ready(dtable);
  return products;
}

std::optional<Products> products_bf16(int64_t rows, const Sizes& s) {
  const int64_t step = 2 * s.classes;  // from one row of gradients to the next
  ProductBf16 dtable = {.m = s.classes,
                        .n = s.width,
                        .k = rows,
                        .transpose_a = true,
                        .a_step = step,
                        .result = DType::f32};
  const auto first = prepare(dtable);
  dtable.add = true;
  const auto logits = prepare({.m = rows,
                               .n = s.classes,
                               .k = s.width,
                               .transpose_b = true,
                               .result = DType::f32}),
             dx = prepare({.m = rows, .n = s.width, .k = s.classes, .a_step = step}),
             more = prepare(dtable);
  if (!logits || !dx || !first || !more) return {};
  return Products{logits->run, dx->run, first->run, more->run,
                  std::max({logits->workspace_bytes, dx->workspace_bytes, first->workspace_bytes,
                            more->workspace_bytes})};
}

}  // namespace

std::optional<Kernel> make_projected_cross_entropy(const KernelRequest& request) {
  // enough rows that adding to the table's gradient is little beside the products
  constexpr int64_t kRows = 512, kGrain = 16384;  // the latter: elements that pay for a thread
  const int64_t rows = request.in[0].shape[0];
  const Sizes s = {.width = request.in[0].shape[1], .classes = request.in[1].shape[0]};
  const DType dtype = request.in[0].dtype;
  const int64_t most = std::min(rows, kRows), last = most == 0 ? 0 : rows % most;
  Products whole, rest;  // of `most` rows and of the last ones
  for (const auto& [products, taken] : {std::pair{&whole, most}, {&rest, last}}) {
    if (taken == 0) continue;
    const auto ready = dtype == DType::bf16 ? products_bf16(taken, s) : products_f32(taken, s);
    if (!ready) return {};
    *products = *ready;
  }
  const size_t logits_bytes = static_cast<size_t>(most * s.classes) * sizeof(float),
               products_at = aligned_bytes(logits_bytes);
  return Kernel{
      .run =
          [=](KernelArgs& k) {
            const auto labels = k.in<int32_t>(2);
            check_labels(labels, s.classes);
            std::byte *logits = k.workspace, *free = logits + products_at;
            const auto step = s.classes * static_cast<int64_t>(sizeof(float) / size_of(dtype));
            const WriteRows gradients(logits, dtype, step);
            for (int64_t begin = 0; begin < rows; begin += most) {
              const int64_t taken = std::min(most, rows - begin);
              const Products& products = taken == most ? whole : rest;
              const size_t at = static_cast<size_t>(begin * s.width) * size_of(dtype);
              products.logits(k.in_bytes[0] + at, k.in_bytes[1], logits, free);
              parallel_for(taken, kGrain / s.classes + 1, [&](int64_t from, int64_t to) {
                for (int64_t row = from; row < to; ++row) {
                  const auto i = static_cast<size_t>(begin + row);
                  const float* logit = reinterpret_cast<const float*>(logits) + row * s.classes;
                  loss_of_row(logit, labels[i], s.classes, k.out(0)[i], k.out(1)[i]);
                  gradient_of_row(logit, labels[i], k.out(1)[i], k.in(3)[i], s.classes,
                                  gradients.place_part(row * step, s.classes));
                  gradients.store_part(row * step, s.classes);
                }
              });
              products.dx(logits, k.in_bytes[1], k.out_bytes[2] + at, free);
              (begin == 0 ? products.dtable : products.add_dtable)(logits, k.in_bytes[0] + at,
                                                                   k.out_bytes[3], free);
            }
            if (rows == 0) std::ranges::fill(k.out(3), 0.0f);
          },
      .workspace_bytes = products_at + std::max(whole.workspace_bytes, rest.workspace_bytes),
      .thread_invariant = dtype == DType::f32};
}

}  // namespace argosy::cpu
