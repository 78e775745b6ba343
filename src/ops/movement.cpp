#include <algorithm>
#include <cstring>
#include <numeric>

#include "ops/ops.h"

// Ops that move elements without changing them: any dtype, byte for byte.
namespace argosy::ops {
namespace {

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/// out[i...] = in[sum_d i_d * strides[d]], for every index of out.
void gather_strided(const KernelArgs& k, const std::vector<int64_t>& strides) {
  const Shape& shape = k.out_shape();
  const size_t size = size_of(k.out_types[0].dtype);
  std::vector<int64_t> index(shape.size(), 0);
  int64_t at = 0;
  const int64_t n = count(shape);
  for (int64_t i = 0; i < n; ++i) {
    std::memcpy(k.out_bytes[0] + static_cast<size_t>(i) * size,
                k.in_bytes[0] + static_cast<size_t>(at) * size, size);
    for (size_t d = shape.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
}

/// An operand seen as [outer, size of the axis, inner in bytes].
struct AxisBlocks {
  size_t outer = 1, size = 1, inner_bytes = 1;
};

AxisBlocks axis_blocks(const Type& type, int64_t axis) {
  AxisBlocks b;
  b.inner_bytes = size_of(type.dtype);
  for (size_t i = 0; i < type.shape.size(); ++i) {
    const auto n = static_cast<size_t>(type.shape[i]);
    if (static_cast<int64_t>(i) < axis)
      b.outer *= n;
    else if (static_cast<int64_t>(i) == axis)
      b.size = n;
    else
      b.inner_bytes *= n;
  }
  return b;
}

int64_t axis_of(const InferArgs& args) {
  const int64_t axis = args.attributes.get<int64_t>("axis");
  args.require(axis >= 0 && axis < static_cast<int64_t>(args.in[0].shape.size()),
               "axis out of range");
  return axis;
}

// ---- transpose

std::vector<Type> infer_transpose(const InferArgs& args) {
  const auto& order = args.attributes.get<std::vector<int64_t>>("order");
  std::vector<int64_t> sorted = order, all(args.in[0].shape.size());
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  args.require(sorted == all, fmt::format("{} is no order of the dimensions", order));
  Shape shape;
  for (const int64_t axis : order) shape.push_back(args.in[0].shape[static_cast<size_t>(axis)]);
  return {{args.in[0].dtype, shape}};
}

std::vector<Tensor> transpose_gradient(const GradArgs& g) {
  const auto& order = g.attributes().get<std::vector<int64_t>>("order");
  std::vector<int64_t> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return {permute(g.output_grad(0), inverse)};
}

void transpose_reference(KernelArgs& k) {
  const Shape strides = strides_of(k.shape(0));
  std::vector<int64_t> walked;
  for (const int64_t axis : k.attributes.get<std::vector<int64_t>>("order"))
    walked.push_back(strides[static_cast<size_t>(axis)]);
  gather_strided(k, walked);
}

// ---- broadcast_to

std::vector<Type> infer_broadcast(const InferArgs& args) {
  const Shape shape = args.attributes.get<std::vector<int64_t>>("shape");
  Shape common;
  args.require(broadcast(args.in[0].shape, shape, common) && common == shape,
               fmt::format("does not broadcast to {}", shape));
  return {{args.in[0].dtype, shape}};
}

std::vector<Tensor> broadcast_gradient(const GradArgs& g) {
  return {sum_to(g.output_grad(0), g.input(0).shape())};
}

void broadcast_reference(KernelArgs& k) {
  gather_strided(k, broadcast_strides(k.shape(0), k.out_shape()));
}

// ---- slice

std::vector<Type> infer_slice(const InferArgs& args) {
  const auto axis = static_cast<size_t>(axis_of(args));
  const int64_t begin = args.attributes.get<int64_t>("begin"),
                end = args.attributes.get<int64_t>("end");
  Type type = args.in[0];
  args.require(0 <= begin && begin <= end && end <= type.shape[axis],
               fmt::format("no slice [{}, {})", begin, end));
  type.shape[axis] = end - begin;
  return {type};
}

std::vector<Tensor> slice_gradient(const GradArgs& g) {
  const int64_t axis = g.attributes().get<int64_t>("axis");
  return {pad_axis(g.output_grad(0), axis, g.attributes().get<int64_t>("begin"),
                   g.input(0).size(axis) - g.attributes().get<int64_t>("end"))};
}

void slice_reference(KernelArgs& k) {
  const int64_t axis = k.attributes.get<int64_t>("axis");
  const AxisBlocks in = axis_blocks(k.in_types[0], axis), out = axis_blocks(k.out_types[0], axis);
  const size_t run = out.size * out.inner_bytes;
  const auto begin = static_cast<size_t>(k.attributes.get<int64_t>("begin")) * in.inner_bytes;
  for (size_t o = 0; o < in.outer; ++o)
    std::copy_n(k.in_bytes[0] + o * in.size * in.inner_bytes + begin, run,
                k.out_bytes[0] + o * run);
}

// ---- pad

std::vector<Type> infer_pad(const InferArgs& args) {
  const auto axis = static_cast<size_t>(axis_of(args));
  const int64_t before = args.attributes.get<int64_t>("before"),
                after = args.attributes.get<int64_t>("after");
  args.require(before >= 0 && after >= 0, "padding is negative");
  args.require(std::max(before, after) <= int64_t{1} << 47,
               "padding is more than can be addressed");
  Type type = args.in[0];
  type.shape[axis] += before + after;
  return {type};
}

std::vector<Tensor> pad_gradient(const GradArgs& g) {
  const int64_t axis = g.attributes().get<int64_t>("axis"),
                before = g.attributes().get<int64_t>("before");
  return {slice_axis(g.output_grad(0), axis, before, before + g.input(0).size(axis))};
}

void pad_reference(KernelArgs& k) {
  const int64_t axis = k.attributes.get<int64_t>("axis");
  const AxisBlocks in = axis_blocks(k.in_types[0], axis), out = axis_blocks(k.out_types[0], axis);
  std::fill_n(k.out_bytes[0], k.out_types[0].bytes(), std::byte{});
  const auto before = static_cast<size_t>(k.attributes.get<int64_t>("before")) * in.inner_bytes;
  for (size_t o = 0; o < in.outer; ++o)
    std::copy_n(k.in_bytes[0] + o * in.size * in.inner_bytes, in.size * in.inner_bytes,
                k.out_bytes[0] + o * out.size * out.inner_bytes + before);
}

// ---- concat

std::vector<Type> infer_concat(const InferArgs& args) {
  const auto axis = static_cast<size_t>(axis_of(args));
  Type type = args.in[0];
  type.shape[axis] = 0;
  for (const Type& part : args.in) {
    Shape other = part.shape;
    args.require(other.size() == type.shape.size() && part.dtype == type.dtype,
                 "parts differ in rank or dtype");
    type.shape[axis] += other[axis];
    other[axis] = args.in[0].shape[axis];
    args.require(other == args.in[0].shape,
                 "parts differ in another dimension than the joined one");
  }
  return {type};
}

std::vector<Tensor> concat_gradient(const GradArgs& g) {
  const int64_t axis = g.attributes().get<int64_t>("axis");
  std::vector<Tensor> grads;
  int64_t begin = 0;
  for (size_t i = 0; i < g.inputs(); ++i) {
    const int64_t size = g.input(i).size(axis);
    grads.push_back(slice_axis(g.output_grad(0), axis, begin, begin + size));
    begin += size;
  }
  return grads;
}

void concat_reference(KernelArgs& k) {
  const int64_t axis = k.attributes.get<int64_t>("axis");
  const AxisBlocks out = axis_blocks(k.out_types[0], axis);
  size_t before = 0;
  for (size_t p = 0; p < k.in_types.size(); ++p) {
    const AxisBlocks in = axis_blocks(k.in_types[p], axis);
    const size_t run = in.size * in.inner_bytes;
    for (size_t o = 0; o < in.outer; ++o)
      std::copy_n(k.in_bytes[p] + o * run, run,
                  k.out_bytes[0] + o * out.size * out.inner_bytes + before);
    before += run;
  }
}

// ---- iota

std::vector<Type> infer_iota(const InferArgs& args) {
  args.require(args.attributes.get<int64_t>("size") >= 0, "size is negative");
  return {{args.attributes.get<DType>("dtype"), {args.attributes.get<int64_t>("size")}}};
}

void iota_reference(KernelArgs& k) {
  visit_dtype(k.out_types[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < k.out<T>().size(); ++i)
      if constexpr (std::is_integral_v<T>)
        k.out<T>()[i] = static_cast<T>(i);
      else
        k.out<T>()[i] = static_cast<T>(static_cast<float>(i));
  });
}

Attributes along(int64_t axis, std::string_view first, int64_t x, std::string_view second,
                 int64_t y) {
  return {{"axis", axis}, {std::string(first), x}, {std::string(second), y}};
}

}  // namespace

extern const OpDef transpose = {
    .name = "transpose",
    .formula = "dimension i of y is dimension order[i] of x",
    .infer = infer_transpose,
    .gradient = transpose_gradient,
    .reference = transpose_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {sample({{3, 5}}, {{"order", Shape{1, 0}}}),
                sample({{2, 3, 4, 5}}, {{"order", Shape{0, 2, 1, 3}}}),
                sample({{2, 17, 9}}, {{"order", Shape{2, 0, 1}}}),
                {.inputs = {{DType::u8, {2, 33, 5}}}, .attributes = {{"order", Shape{2, 0, 1}}}},
                {.inputs = {{DType::i64, {7, 4}}}, .attributes = {{"order", Shape{1, 0}}}},
                sample({{0, 3}}, {{"order", Shape{1, 0}}})},
};

extern const OpDef broadcast_to = {
    .name = "broadcast_to",
    .formula = "y repeats x along new dimensions and those of size 1",
    .infer = infer_broadcast,
    .gradient = broadcast_gradient,
    .reference = broadcast_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {sample({{3, 1}}, {{"shape", Shape{2, 3, 4}}}), sample({{}}, {{"shape", Shape{7}}}),
                sample({{1, 5}}, {{"shape", Shape{33, 5}}}),
                sample({{3, 1, 7, 1}}, {{"shape", Shape{3, 5, 7, 2}}}),
                sample({{1, 4, 1}}, {{"shape", Shape{2, 4, 17}}}),
                sample({{0, 1}}, {{"shape", Shape{0, 3}}})},
};

extern const OpDef slice = {
    .name = "slice",
    .formula = "y = x[..., begin:end, ...]",
    .infer = infer_slice,
    .gradient = slice_gradient,
    .reference = slice_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {sample({{4, 6}}, along(1, "begin", 2, "end", 5)),
                sample({{4, 6, 3}}, along(0, "begin", 1, "end", 2)),
                sample({{4, 6}}, along(0, "begin", 3, "end", 3)),
                sample({{37, 3}}, along(1, "begin", 1, "end", 2)),
                sample({{9, 1, 70}}, along(2, "begin", 0, "end", 67)),
                sample({{1}}, along(0, "begin", 0, "end", 1)),
                {.inputs = {{DType::boolean, {5, 7}}},
                 .attributes = along(1, "begin", 2, "end", 5)},
                {.inputs = {{DType::i64, {5, 7}}}, .attributes = along(1, "begin", 2, "end", 7)}},
};

extern const OpDef pad = {
    .name = "pad",
    .formula = "y = x with zeros before and after along an axis",
    .infer = infer_pad,
    .gradient = pad_gradient,
    .reference = pad_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {sample({{4, 3}}, along(1, "before", 2, "after", 1)),
                sample({{2, 3, 4}}, along(0, "before", 0, "after", 2)),
                sample({{2, 0, 4}}, along(1, "before", 1, "after", 2)),
                sample({{37, 3}}, along(1, "before", 0, "after", 1)),
                {.inputs = {{DType::boolean, {5, 3}}},
                 .attributes = along(1, "before", 1, "after", 1)}},
};

extern const OpDef concat = {
    .name = "concat",
    .formula = "y joins the parts along an axis",
    .infer = infer_concat,
    .gradient = concat_gradient,
    .reference = concat_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {sample({{2, 3}, {2, 5}}, {{"axis", int64_t{1}}}),
                sample({{1, 4}, {3, 4}, {0, 4}}, {{"axis", int64_t{0}}}),
                sample({{37, 3}, {37, 3}, {37, 1}}, {{"axis", int64_t{1}}}),
                sample({{3, 2, 5}, {3, 1, 5}}, {{"axis", int64_t{1}}}),
                {.inputs = {{DType::boolean, {33, 3}}, {DType::boolean, {33, 5}}},
                 .attributes = {{"axis", int64_t{1}}}},
                {.inputs = {{DType::i64, {7, 3}}, {DType::i64, {7, 1}}},
                 .attributes = {{"axis", int64_t{1}}}}},
};

extern const OpDef iota = {
    .name = "iota",
    .formula = "y[i] = i",
    .infer = infer_iota,
    .reference = iota_reference,
    .any_dtype = true,
    .exact = true,
    .samples = {{.attributes = {{"size", int64_t{7}}, {"dtype", DType::i32}}},
                {.attributes = {{"size", int64_t{5}}, {"dtype", DType::f32}}}},
};

}  // namespace argosy::ops
