#include <cmath>

#include "ops/ops.h"

// Group normalisation (Wu and He 2018) of x [N, ..., C]: the channels of each image fall into
// groups of neighbours, and each group is normalised by itself over all places.
namespace argosy::ops {
namespace {

int64_t groups_of(const Attributes& attributes) { return attributes.get<int64_t>("groups"); }

/// The types of y, mean and inverse deviation for x and the one or two parameters.
std::vector<Type> outputs_of(const InferArgs& args, const Type& x, Types parameters) {
  args.require(x.shape.size() >= 2 && is_floating(x.dtype), "needs a real tensor [N, ..., C]");
  const int64_t groups = groups_of(args.attributes), channels = x.shape.back();
  args.require(groups >= 1 && channels > 0 && channels % groups == 0,
               fmt::format("{} channels do not fall into {} groups", channels, groups));
  for (const Type& parameter : parameters)
    args.require(parameter == parameters[0] && parameter.shape == Shape{channels} &&
                     is_floating(parameter.dtype),
                 "scale and shift need one real dtype and a number for each channel");
  const Type rows = {DType::f32, {x.shape[0], groups}};
  return {x, rows, rows};
}

std::vector<Type> infer(const InferArgs& args) {  // x, scale, shift -> y, mean, inverse deviation
  std::vector<Type> outputs = outputs_of(args, args.in[0], args.in.subspan(1));
  outputs[0].dtype = result_dtype(args, outputs[0].dtype);
  return outputs;
}

std::vector<Tensor> gradient(const GradArgs& g) {
  return g.input(0).graph().add(
      group_norm_gradient,
      std::vector{g.output_grad(0), g.input(0), g.input(1), g.output(1), g.output(2)},
      g.attributes());
}

struct Sizes {
  size_t images, places, channels, groups, width;  ///< width: channels in a group

  Sizes(const Shape& x, const Attributes& attributes)
      : images(static_cast<size_t>(x[0])),
        channels(static_cast<size_t>(x.back())),
        groups(static_cast<size_t>(groups_of(attributes))),
        width(channels / groups) {
    places = images == 0 ? 0 : static_cast<size_t>(count(x)) / images / channels;
  }
  /// Calls visit(index in x, channel) for every element of a group.
  template <typename Visit>
  void for_group(size_t image, size_t group, Visit visit) const {
    for (size_t place = 0; place < places; ++place)
      for (size_t c = group * width; c < (group + 1) * width; ++c)
        visit((image * places + place) * channels + c, c);
  }
};

void reference(KernelArgs& k) {
  const Sizes s(k.shape(0), k.attributes);
  const auto x = k.in(0), scale = k.in(1), shift = k.in(2);
  const auto y = k.out(0);
  const auto n = static_cast<double>(s.places * s.width);
  for (size_t image = 0; image < s.images; ++image)
    for (size_t group = 0; group < s.groups; ++group) {
      double mean = 0, variance = 0;
      s.for_group(image, group, [&](size_t i, size_t) { mean += x[i] / n; });
      s.for_group(image, group,
                  [&](size_t i, size_t) { variance += (x[i] - mean) * (x[i] - mean) / n; });
      const double inverse = 1 / std::sqrt(variance + k.attributes.get<double>("epsilon"));
      k.out(1)[image * s.groups + group] = static_cast<float>(mean);
      k.out(2)[image * s.groups + group] = static_cast<float>(inverse);
      s.for_group(image, group, [&](size_t i, size_t c) {
        y[i] = static_cast<float>((x[i] - mean) * inverse * scale[c] + shift[c]);
      });
    }
}

std::vector<Type> infer_gradient(
    const InferArgs& args) {  // dy, x, scale, mean, inverse -> dx, dscale, dshift
  const std::vector<Type> outputs = outputs_of(args, args.in[1], args.in.subspan(2, 1));
  args.require(args.in[0].shape == args.in[1].shape && is_floating(args.in[0].dtype) &&
                   args.in[3] == outputs[1] && args.in[4] == outputs[2],
               "needs dy, x, scale, mean and inverse deviation");
  return {{result_dtype(args, args.in[1].dtype), args.in[1].shape}, args.in[2], args.in[2]};
}

// As layer_norm_gradient, with the means over a group: h = (x - mean) inverse, e = dy scale,
// dx = inverse (e - mean(e) - h mean(e h)), dscale = sum dy h, dshift = sum dy.
void gradient_reference(KernelArgs& k) {
  const Sizes s(k.shape(1), k.attributes);
  const auto dy = k.in(0), x = k.in(1), scale = k.in(2), means = k.in(3), inverses = k.in(4);
  std::vector<double> dscale(s.channels), dshift(s.channels);
  const auto n = static_cast<double>(s.places * s.width);
  for (size_t image = 0; image < s.images; ++image)
    for (size_t group = 0; group < s.groups; ++group) {
      const double mean = means[image * s.groups + group],
                   inverse = inverses[image * s.groups + group];
      double mean_e = 0, mean_eh = 0;
      s.for_group(image, group, [&](size_t i, size_t c) {
        const double d = dy[i], h = (x[i] - mean) * inverse;
        mean_e += d * scale[c] / n;
        mean_eh += d * scale[c] * h / n;
        dscale[c] += d * h;
        dshift[c] += d;
      });
      s.for_group(image, group, [&](size_t i, size_t c) {
        const double h = (x[i] - mean) * inverse;
        k.out(0)[i] = static_cast<float>(
            inverse * (static_cast<double>(dy[i]) * scale[c] - mean_e - h * mean_eh));
      });
    }
  for (size_t c = 0; c < s.channels; ++c) {
    k.out(1)[c] = static_cast<float>(dscale[c]);
    k.out(2)[c] = static_cast<float>(dshift[c]);
  }
}

double flops(Types in, Types, const Attributes&) {
  return 8.0 * static_cast<double>(in[0].elements());
}

Attributes options(int64_t groups) { return {{"groups", groups}, {"epsilon", 1e-5}}; }

Sample forward_sample(const Shape& x, int64_t groups) {
  return sample({x, {x.back()}, {x.back()}}, options(groups));
}

Sample gradient_sample(const Shape& x, int64_t groups) {
  return sample({x, x, {x.back()}, {x[0], groups}, {x[0], groups}}, options(groups));
}

}  // namespace

extern const OpDef group_norm = {
    .name = "group_norm",
    .formula =
        "y = (x - mean) / sqrt(variance + epsilon) * scale + shift, for each image over all places "
        "and a group's channels; also mean and 1 / sqrt(variance + epsilon) [N, groups]",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .kept_for_gradient = 2,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples = {forward_sample({2, 3, 4, 8}, 2), forward_sample({3, 5, 34}, 17),
                forward_sample({1, 2, 2, 70}, 1), forward_sample({2, 6}, 3),
                forward_sample({0, 3, 4}, 2)},
};

extern const OpDef group_norm_gradient = {
    .name = "group_norm_gradient",
    .formula = "gradients of group_norm for x, scale and shift",
    .infer = infer_gradient,
    .flops = flops,
    .reference = gradient_reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples = {gradient_sample({2, 3, 4, 8}, 2), gradient_sample({3, 5, 34}, 17),
                gradient_sample({1, 2, 2, 70}, 1)},
};

}  // namespace argosy::ops
