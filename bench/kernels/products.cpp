#include "products.h"

namespace argosy::bench {
namespace {

/// y [rows, out] = x [rows, in] W^T, W [out, in]
struct Layer {
  std::string_view name;
  int64_t rows, in, out;
};

// the linear layers of `argosy bench train --case gpt`
constexpr Layer kLayers[] = {{"gpt_attention", 4096, 384, 384},
                             {"gpt_up", 4096, 384, 1536},
                             {"gpt_down", 4096, 1536, 384},
                             {"gpt_head", 4096, 384, 8192}};

struct Picture {
  std::string_view name;
  Shape x;
  int64_t channels, kernel, stride, padding;
};

// some of the convolutions of `argosy bench train --case resnet18` and `--case driving`
const Picture kPictures[] = {{"resnet18_stem", {32, 120, 160, 3}, 64, 7, 2, 3},
                             {"resnet18_stage1", {32, 30, 40, 64}, 64, 3, 1, 1},
                             {"resnet18_stage2_first", {32, 30, 40, 64}, 128, 3, 2, 1},
                             {"resnet18_stage3", {32, 8, 10, 256}, 256, 3, 1, 1},
                             {"driving_conv1", {64, 120, 160, 3}, 24, 5, 2, 0},
                             {"driving_conv2", {64, 58, 78, 24}, 32, 5, 2, 0},
                             {"driving_conv4", {64, 12, 17, 64}, 64, 3, 1, 0}};

MatmulCase product(const Layer& l, Direction direction) {
  MatmulCase c = {.direction = direction,
                  .m = l.rows,
                  .n = l.out,
                  .k = l.in,
                  .transpose_a = false,
                  .transpose_b = true};
  if (direction == Direction::gradient_input)
    c = {.direction = direction,
         .m = l.rows,
         .n = l.in,
         .k = l.out,
         .transpose_a = false,
         .transpose_b = false};
  if (direction == Direction::gradient_weight)
    c = {.direction = direction,
         .m = l.out,
         .n = l.in,
         .k = l.rows,
         .transpose_a = true,
         .transpose_b = false};
  c.name = fmt::format("matmul/{}/{}/{}x{}x{}", l.name, name_of(direction), c.m, c.n, c.k);
  return c;
}

}  // namespace

double MatmulCase::flops() const {
  return 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

double MatmulCase::bytes() const {
  return sizeof(float) * static_cast<double>(m * k + k * n + m * n);
}

double ConvolutionCase::bytes() const {
  return sizeof(float) * static_cast<double>(count(x) + count(weight) + count(y));
}

Attributes attributes_of(const ops::ConvolutionOptions& options) {
  return {{"stride", options.stride},
          {"padding", options.padding},
          {"dilation", options.dilation},
          {"groups", options.groups}};
}

std::vector<MatmulCase> matmul_cases() {
  std::vector<MatmulCase> cases;
  for (const Layer& layer : kLayers)
    for (const Direction direction : kDirections) cases.push_back(product(layer, direction));
  return cases;
}

std::vector<ConvolutionCase> convolution_cases() {
  std::vector<ConvolutionCase> cases;
  for (const Picture& p : kPictures) {
    const Shape weight = {p.channels, p.kernel, p.kernel, p.x[3]};
    const ops::ConvolutionOptions options = {
        .stride = {p.stride, p.stride}, .padding = {p.padding, p.padding, p.padding, p.padding}};
    const ops::ConvolutionSizes sizes = ops::convolution_sizes(p.x, weight, attributes_of(options));
    for (const Direction direction : kDirections)
      cases.push_back({fmt::format("convolution/{}/{}/{}/{}x{}x{}", p.name, name_of(direction),
                                   fmt::join(p.x, "x"), p.channels, p.kernel, p.kernel),
                       direction,
                       p.x,
                       weight,
                       {sizes.n, sizes.oh, sizes.ow, sizes.o},
                       options,
                       sizes});
  }
  return cases;
}

}  // namespace argosy::bench
