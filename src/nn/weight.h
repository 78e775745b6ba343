#pragma once
#include <optional>
#include <span>
#include <vector>

#include "ir/block_format.h"
#include "ir/graph.h"

namespace argosy::nn {

/// A matrix that rows are multiplied with, as a graph keeps it: f32 [rows, columns] to be trained,
/// or in panels of a format (ir/panels.h) to be used. Or a matrix for each of several groups, then
/// f32 [groups, columns, rows] to be trained.
struct Weight {
  Tensor values;
  int64_t rows = 0, columns = 0;
  std::optional<BlockFormat> format;  ///< empty: f32
  /// What is learned beside values that stay as they are: the matrix is values + scale up down.
  /// f32 [rank, columns], [rows, rank]; empty: nothing
  Tensor down, up;
  float scale = 0;
};

/// x W^T: [..., columns] -> [..., rows]
Tensor multiply(const Tensor& x, const Weight& weight);
/// The same for several weights, which read x once where all are in panels.
std::vector<Tensor> multiply_each(const Tensor& x, std::span<const Weight> weights);
/// x [N, columns], rows sorted by group, counts i32 [groups] of them -> [N, rows] of each weight,
/// every row times its group's matrix.
std::vector<Tensor> multiply_groups(const Tensor& x, std::span<const Weight> weights,
                                    const Tensor& counts);
/// Rows by number: whole numbers [...] -> [..., columns]
Tensor rows_of(const Weight& table, const Tensor& indices);

}  // namespace argosy::nn
