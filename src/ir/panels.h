#pragma once
#include <span>

#include "ir/block_format.h"
#include "ir/shape.h"

/// Weights as the products read them. Sixteen rows of a matrix make a panel, in which they lie side
/// by side: a vector holds the same columns of all of them, so that sums over columns never cross
/// the lanes of a vector. The numbers are those of the block format, bit for bit; only their places
/// differ. Written once when a model is opened, and state of the graph from then on.
///
/// Whole numbers (f32, f16, bf16): column by column, the 16 rows of each.
/// Blocks: first the scales of all cells, then the levels of all cells, each part from a multiple
/// of 64 bytes on. A cell is 32 columns of the 16 rows. `scale[row]` is binary16.
///
///   q8_0        a cell: scale[16]
///   q4_0, q5_0  a cell: scale[16]
///   q4_1, q5_1  a cell: scale[16], minimum[16]
///   q4_k, q5_k  8 cells: scale[16], minimum[16]; of each of them u8 factor[16], u8 minimum[16]
///   q6_k        8 cells: scale[16]; of each of them i8 factor[2][16], of the cell's two halves
///
/// Levels: word w of a row has columns 4w to 4w + 3, a byte each; words [w][row]. With 8 bits all
/// eight words; with fewer first four words that hold the lower halves of words w and w + 4, then
/// the bits above them: with 5 bits one word, bit w from word w; with 6 bits two words, of which
/// word i has bits 2v and 2v + 1 from word 2v + i.
namespace argosy {

constexpr int64_t kPanelRows = 16, kCellColumns = 32;

/// How a format's levels and scales are laid out in a panel.
struct PanelLayout {
  int bits = 0;             ///< of a level; 0: whole numbers
  int64_t cells = 1;        ///< that share a scale
  int64_t scale_bytes = 0;  ///< of these cells together
  int64_t level_bytes = 0;  ///< of one cell
};
PanelLayout panel_layout(BlockFormat format);

int64_t panel_count(int64_t rows);
/// Where the levels begin in a panel.
int64_t levels_offset(BlockFormat format, int64_t columns);
int64_t panel_bytes(BlockFormat format, int64_t columns);
/// The type of a weight in a graph: u8 [panels, bytes of a panel] of a matrix [rows, columns]. Of
/// several matrices [..., rows, columns] each has panels of its own: [..., panels, bytes].
Type panels_type(BlockFormat format, Shape matrices);

/// Rows one behind another in `format`, as files have them, become panels. Rows that are missing in
/// the last panel are 0.
/// threads  any number at once; several threads share one weight by whole panels
void pack_panels(BlockFormat format, int64_t columns, std::span<const std::byte> rows,
                 std::span<std::byte> panels);

/// The numbers of one row.
void read_row(BlockFormat format, int64_t columns, std::span<const std::byte> panels, int64_t row,
              std::span<float> values);

}  // namespace argosy
