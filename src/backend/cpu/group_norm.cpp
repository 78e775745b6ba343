#include <algorithm>
#include <cmath>
#include <type_traits>

#include "backend/cpu/growing_floats.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/group_norm.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Group norm over the channels of an image's places. A place is a row of C floats.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// Calls body(tag, number of vectors, first channel) for blocks of channels: of four vectors as
/// long as there are so many, so that places are read as they lie in memory and sums do not wait
/// for each other.
template <typename Body>
HWY_INLINE void ForBlocks(size_t channels, Body body) {
  const size_t block = 4 * hn::Lanes(D());
  size_t c = 0;
  for (; c + block <= channels; c += block) body(D(), std::integral_constant<size_t, 4>(), c);
  for_channels(channels - c, [&](auto d, size_t more) HWY_ATTR {
    body(d, std::integral_constant<size_t, 1>(), c + more);
  });
}

/// Moments of the channels over places: mean, and sum of (x - mean)^2. Adds those of `places` more
/// to those of `seen`. The part's own first place stands for its mean, which leaves of the squares'
/// digits at least those that as many numbers as it has places cost; parts are joined by
/// sum (x - a)^2 = sum (x - b)^2 + n (b - a)^2 where b is the mean of n numbers x.
void ChannelMoments(const float* x, size_t places, size_t channels, size_t seen, float* mean,
                    float* squares) {
  const auto before = static_cast<float>(seen), more = static_cast<float>(places);
  ForBlocks(channels, [=](auto d, auto vectors, size_t c) HWY_ATTR {
    using Vector = hn::Vec<decltype(d)>;
    const size_t lanes = hn::Lanes(d);
    Vector first[vectors], sum[vectors], square[vectors];
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      first[v] = hn::LoadU(d, x + c + v * lanes);
      sum[v] = square[v] = hn::Zero(d);
    });
    for (size_t p = 1; p < places; ++p)
      unrolled<vectors>([&](size_t v) HWY_ATTR {
        const Vector u = hn::Sub(hn::LoadU(d, x + p * channels + c + v * lanes), first[v]);
        sum[v] = hn::Add(sum[v], u);
        square[v] = hn::MulAdd(u, u, square[v]);
      });
    const Vector each = hn::Set(d, 1.0f / more), share = hn::Set(d, more / (before + more)),
                 weight = hn::Set(d, before * more / (before + more));
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      float *m = mean + c + v * lanes, *s = squares + c + v * lanes;
      const Vector inside = hn::Mul(sum[v], each), old = hn::LoadU(d, m),
                   apart = hn::Sub(hn::Add(first[v], inside), old);
      const Vector own = hn::Max(hn::Zero(d), hn::NegMulAdd(sum[v], inside, square[v]));
      hn::StoreU(hn::MulAdd(apart, share, old), d, m);
      hn::StoreU(hn::Add(hn::LoadU(d, s), hn::MulAdd(hn::Mul(apart, apart), weight, own)), d, s);
    });
  });
}

/// y = x * factor[c] + offset[c]
void ChannelAffine(const float* x, size_t places, size_t channels, const float* factor,
                   const float* offset, float* y) {
  ForBlocks(channels, [=](auto d, auto vectors, size_t c) HWY_ATTR {
    using Vector = hn::Vec<decltype(d)>;
    const size_t lanes = hn::Lanes(d);
    Vector f[vectors], o[vectors];
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      f[v] = hn::LoadU(d, factor + c + v * lanes);
      o[v] = hn::LoadU(d, offset + c + v * lanes);
    });
    for (size_t p = 0; p < places; ++p)
      unrolled<vectors>([&](size_t v) HWY_ATTR {
        const size_t at = p * channels + c + v * lanes;
        hn::StoreU(hn::MulAdd(hn::LoadU(d, x + at), f[v], o[v]), d, y + at);
      });
  });
}

/// sum[c] += sum of dy, product[c] += sum of dy (x - mean[c])
void ChannelProducts(const float* dy, const float* x, size_t places, size_t channels,
                     const float* mean, float* sum, float* product) {
  ForBlocks(channels, [=](auto d, auto vectors, size_t c) HWY_ATTR {
    using Vector = hn::Vec<decltype(d)>;
    const size_t lanes = hn::Lanes(d);
    Vector middle[vectors], a[vectors], b[vectors];
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      middle[v] = hn::LoadU(d, mean + c + v * lanes);
      a[v] = b[v] = hn::Zero(d);
    });
    for (size_t p = 0; p < places; ++p)
      unrolled<vectors>([&](size_t v) HWY_ATTR {
        const size_t at = p * channels + c + v * lanes;
        const Vector g = hn::LoadU(d, dy + at);
        a[v] = hn::Add(a[v], g);
        b[v] = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x + at), middle[v]), b[v]);
      });
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      float *s = sum + c + v * lanes, *t = product + c + v * lanes;
      hn::StoreU(hn::Add(hn::LoadU(d, s), a[v]), d, s);
      hn::StoreU(hn::Add(hn::LoadU(d, t), b[v]), d, t);
    });
  });
}

/// dx = dy * from_dy[c] + x * from_x[c] + offset[c]; dx may be dy
void ChannelGradient(const float* dy, const float* x, size_t places, size_t channels,
                     const float* from_dy, const float* from_x, const float* offset, float* dx) {
  ForBlocks(channels, [=](auto d, auto vectors, size_t c) HWY_ATTR {
    using Vector = hn::Vec<decltype(d)>;
    const size_t lanes = hn::Lanes(d);
    Vector by_dy[vectors], by_x[vectors], o[vectors];
    unrolled<vectors>([&](size_t v) HWY_ATTR {
      by_dy[v] = hn::LoadU(d, from_dy + c + v * lanes);
      by_x[v] = hn::LoadU(d, from_x + c + v * lanes);
      o[v] = hn::LoadU(d, offset + c + v * lanes);
    });
    for (size_t p = 0; p < places; ++p)
      unrolled<vectors>([&](size_t v) HWY_ATTR {
        const size_t at = p * channels + c + v * lanes;
        const Vector rest = hn::MulAdd(hn::LoadU(d, x + at), by_x[v], o[v]);
        hn::StoreU(hn::MulAdd(hn::LoadU(d, dy + at), by_dy[v], rest), d, dx + at);
      });
  });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(ChannelMoments);
HWY_EXPORT(ChannelAffine);
HWY_EXPORT(ChannelProducts);
HWY_EXPORT(ChannelGradient);

namespace {

/// Sizes of a group norm; one image is one piece of work. It goes by parts that stay in the first
/// cache with what is computed of them.
struct GroupNorm {
  size_t images, places, channels, groups, width;

  GroupNorm(const Shape& x, const Attributes& attributes)
      : images(static_cast<size_t>(x[0])),
        channels(static_cast<size_t>(x.back())),
        groups(static_cast<size_t>(attributes.get<int64_t>("groups"))),
        width(channels / groups) {
    places = static_cast<size_t>(count(x)) / images / channels;
  }
  float elements() const { return static_cast<float>(places * width); }
  int64_t size() const { return static_cast<int64_t>(places * channels); }  ///< of an image
  /// Calls body(first element, elements, first place, places) for the parts of an image.
  template <typename Body>
  void for_parts(size_t image, Body body) const {
    constexpr size_t kPart = 4096;  // elements
    const size_t step = std::max<size_t>(8, kPart / channels);
    for (size_t first = 0; first < places; first += step) {
      const size_t taken = std::min(step, places - first);
      body(static_cast<int64_t>((image * places + first) * channels),
           static_cast<int64_t>(taken * channels), first, taken);
    }
  }
  /// Sets every channel's mean and variance to its group's.
  void find_moments(const ReadRows& x, size_t image, float* mean, float* variance) const;
  /// Sets every channel to its group's mean of `sums`.
  void share(float* sums) const {
    for (size_t g = 0; g < groups; ++g) {
      double total = 0;
      for (size_t c = g * width; c < (g + 1) * width; ++c) total += sums[c];
      std::fill_n(sums + g * width, width, static_cast<float>(total / elements()));
    }
  }
  /// Calls body(image, memory of four floats a channel) on the threads.
  template <typename Body>
  void for_images(Body body) const {
    parallel_for(static_cast<int64_t>(images), 1, [&](int64_t begin, int64_t end) {
      static thread_local GrowingFloats memory;
      float* floats = memory.at_least(4 * channels);
      for (auto image = static_cast<size_t>(begin); image < static_cast<size_t>(end); ++image)
        body(image, floats);
    });
  }
};

void GroupNorm::find_moments(const ReadRows& x, size_t image, float* mean, float* variance) const {
  std::fill_n(mean, channels, 0.0f);
  std::fill_n(variance, channels, 0.0f);
  for_parts(image, [&](int64_t at, int64_t n, size_t first, size_t taken) {
    HWY_DYNAMIC_DISPATCH(ChannelMoments)(x.part(at, n), taken, channels, first, mean, variance);
  });
  for (size_t first = 0; first < channels; first += width) {  // of channels to that of groups
    double total = 0, moment = 0;
    for (size_t c = first; c < first + width; ++c) total += mean[c];
    const double middle = total / static_cast<double>(width);
    for (size_t c = first; c < first + width; ++c) {
      const double apart = mean[c] - middle;
      moment += variance[c] + apart * apart * static_cast<double>(places);
    }
    std::fill_n(mean + first, width, static_cast<float>(middle));
    std::fill_n(variance + first, width, static_cast<float>(moment / elements()));
  }
}

}  // namespace

std::optional<Kernel> make_group_norm(const KernelRequest& request) {
  if (request.in[1].dtype != DType::f32 || request.in[0].elements() == 0) return {};
  const GroupNorm s(request.in[0].shape, request.attributes);
  const auto epsilon = static_cast<float>(request.attributes.get<double>("epsilon"));
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows x(k, 0, s.size());
    const WriteRows y(k, 0, s.size(), Stores::past_caches);
    s.for_images([&](size_t image, float* memory) {
      float *mean = memory, *factor = mean + s.channels, *offset = factor + s.channels;
      s.find_moments(x, image, mean, factor);
      for (size_t c = 0; c < s.channels; ++c) {
        const float inverse = 1.0f / std::sqrt(factor[c] + epsilon);
        if (c % s.width == 0) {
          k.out(1)[image * s.groups + c / s.width] = mean[c];
          k.out(2)[image * s.groups + c / s.width] = inverse;
        }
        factor[c] = inverse * k.in(1)[c];
        offset[c] = k.in(2)[c] - mean[c] * factor[c];
      }
      s.for_parts(image, [&](int64_t at, int64_t n, size_t, size_t places) {
        HWY_DYNAMIC_DISPATCH(ChannelAffine)(x.part(at, n), places, s.channels, factor, offset,
                                            y.place_part(at, n));
        y.store_part(at, n);
      });
    });
  }};
}

std::optional<Kernel> make_group_norm_gradient(const KernelRequest& request) {
  if (request.in[2].dtype != DType::f32 || request.in[0].elements() == 0) return {};
  const GroupNorm s(request.in[1].shape, request.attributes);
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      auto* parts = reinterpret_cast<float*>(k.workspace);  // [images, 2, C]
                      const ReadRows dy(k, 0, s.size()), x(k, 1, s.size());
                      const WriteRows dx(k, 0, s.size(), Stores::past_caches);
                      s.for_images([&](size_t image, float* memory) {
                        const float* scale = k.in(2).data();
                        float *middle = memory, *from_dy = middle + s.channels,
                              *from_x = from_dy + s.channels, *offset = from_x + s.channels;
                        float *sums = parts + image * 2 * s.channels, *products = sums + s.channels;
                        const float *means = &k.in(3)[image * s.groups],
                                    *inverses = &k.in(4)[image * s.groups];
                        for (size_t c = 0; c < s.channels; ++c) middle[c] = means[c / s.width];
                        std::fill_n(sums, 2 * s.channels, 0.0f);
                        s.for_parts(image, [&](int64_t at, int64_t n, size_t, size_t places) {
                          HWY_DYNAMIC_DISPATCH(ChannelProducts)(dy.part(at, n), x.part(at, n),
                                                                places, s.channels, middle, sums,
                                                                products);
                        });
                        for (size_t c = 0; c < s.channels; ++c) {
                          products[c] *= inverses[c / s.width];  // sum of dy h
                          offset[c] = sums[c] * scale[c];
                          from_x[c] = products[c] * scale[c];
                        }
                        s.share(offset);
                        s.share(from_x);
                        // dx = inverse (dy scale - mean(e) - (x - mean) inverse mean(e h)), by
                        // powers of x
                        for (size_t c = 0; c < s.channels; ++c) {
                          const float inverse = inverses[c / s.width], through = from_x[c];
                          from_dy[c] = inverse * scale[c];
                          from_x[c] = -inverse * inverse * through;
                          offset[c] = -inverse * offset[c] - from_x[c] * middle[c];
                        }
                        s.for_parts(image, [&](int64_t at, int64_t n, size_t, size_t places) {
                          HWY_DYNAMIC_DISPATCH(ChannelGradient)(dy.part(at, n), x.part(at, n),
                                                                places, s.channels, from_dy, from_x,
                                                                offset, dx.place_part(at, n));
                          dx.store_part(at, n);
                        });
                      });
                      for (size_t c = 0; c < s.channels; ++c) {
                        double dscale = 0, dshift = 0;
                        for (size_t image = 0; image < s.images; ++image) {
                          dshift += parts[image * 2 * s.channels + c];
                          dscale += parts[(image * 2 + 1) * s.channels + c];
                        }
                        k.out(1)[c] = static_cast<float>(dscale);
                        k.out(2)[c] = static_cast<float>(dshift);
                      }
                    },
                .workspace_bytes = s.images * 2 * s.channels * sizeof(float)};
}

}  // namespace argosy::cpu
#endif
