#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"
#include "ops/pooling.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/images.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Kernels over the channels of an image's places: group norm and max pooling. A place is a row of C
// floats; each function takes `n` of its channels from the first on, at `places` places.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// Calls body(tag, first channel) for blocks of full vectors, then of single channels: the same
/// code for both.
template <typename Body>
HWY_INLINE void ForChannels(size_t channels, Body body) {
  const D d;
  const hn::CappedTag<float, 1> one;
  size_t c = 0;
  for (; c + hn::Lanes(d) <= channels; c += hn::Lanes(d)) body(d, c);
  for (; c < channels; ++c) body(one, c);
}

/// sum[c] = sum of x over the places
void ChannelSums(const float* x, size_t places, size_t channels, float* sum) {
  ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
    auto a = hn::Zero(d), b = a;
    size_t p = 0;
    for (; p + 2 <= places; p += 2) {
      a = hn::Add(a, hn::LoadU(d, x + p * channels + c));
      b = hn::Add(b, hn::LoadU(d, x + (p + 1) * channels + c));
    }
    if (p < places) a = hn::Add(a, hn::LoadU(d, x + p * channels + c));
    hn::StoreU(hn::Add(a, b), d, sum + c);
  });
}

/// sum[c] = sum of (x - mean[c])^2 over the places
void ChannelSquares(const float* x, size_t places, size_t channels, const float* mean, float* sum) {
  ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto middle = hn::LoadU(d, mean + c);
    auto a = hn::Zero(d), b = a;
    size_t p = 0;
    for (; p + 2 <= places; p += 2) {
      const auto u = hn::Sub(hn::LoadU(d, x + p * channels + c), middle),
                 v = hn::Sub(hn::LoadU(d, x + (p + 1) * channels + c), middle);
      a = hn::MulAdd(u, u, a);
      b = hn::MulAdd(v, v, b);
    }
    if (p < places) {
      const auto u = hn::Sub(hn::LoadU(d, x + p * channels + c), middle);
      a = hn::MulAdd(u, u, a);
    }
    hn::StoreU(hn::Add(a, b), d, sum + c);
  });
}

/// y = x * factor[c] + offset[c]
void ChannelAffine(const float* x, size_t places, size_t channels, const float* factor,
                   const float* offset, float* y) {
  for (size_t p = 0; p < places; ++p, x += channels, y += channels)
    ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
      hn::StoreU(
          hn::MulAdd(hn::LoadU(d, x + c), hn::LoadU(d, factor + c), hn::LoadU(d, offset + c)), d,
          y + c);
    });
}

/// sum[c] += sum of dy, product[c] += sum of dy (x - mean[c])
void ChannelProducts(const float* dy, const float* x, size_t places, size_t channels,
                     const float* mean, float* sum, float* product) {
  ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto middle = hn::LoadU(d, mean + c);
    auto a = hn::Zero(d), b = a;
    for (size_t p = 0; p < places; ++p) {
      const auto g = hn::LoadU(d, dy + p * channels + c);
      a = hn::Add(a, g);
      b = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x + p * channels + c), middle), b);
    }
    hn::StoreU(hn::Add(hn::LoadU(d, sum + c), a), d, sum + c);
    hn::StoreU(hn::Add(hn::LoadU(d, product + c), b), d, product + c);
  });
}

/// dx = dy * from_dy[c] + x * from_x[c] + offset[c]; dx may be dy
void ChannelGradient(const float* dy, const float* x, size_t places, size_t channels,
                     const float* from_dy, const float* from_x, const float* offset, float* dx) {
  for (size_t p = 0; p < places; ++p, dy += channels, x += channels, dx += channels)
    ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
      const auto y =
          hn::MulAdd(hn::LoadU(d, x + c), hn::LoadU(d, from_x + c), hn::LoadU(d, offset + c));
      hn::StoreU(hn::MulAdd(hn::LoadU(d, dy + c), hn::LoadU(d, from_dy + c), y), d, dx + c);
    });
}

/// y = the largest of x and y; NaN wins
void KeepLargest(const float* x, size_t channels, float* y) {
  ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto u = hn::LoadU(d, x + c), v = hn::LoadU(d, y + c);
    const auto wins = hn::Or(hn::Gt(u, v), hn::Ne(u, u));
    hn::StoreU(hn::IfThenElse(wins, u, v), d, y + c);
  });
}

/// Where x is the window's largest y (or NaN) and nobody before had dy, still in `left`: dx takes
/// it.
void GiveToLargest(const float* x, const float* y, size_t channels, float* left, float* dx) {
  ForChannels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto u = hn::LoadU(d, x + c), rest = hn::LoadU(d, left + c);
    const auto takes = hn::Or(hn::Eq(u, hn::LoadU(d, y + c)), hn::Ne(u, u));
    hn::StoreU(hn::Add(hn::LoadU(d, dx + c), hn::IfThenElseZero(takes, rest)), d, dx + c);
    hn::StoreU(hn::IfThenElse(takes, hn::Zero(d), rest), d, left + c);
  });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(ChannelSums);
HWY_EXPORT(ChannelSquares);
HWY_EXPORT(ChannelAffine);
HWY_EXPORT(ChannelProducts);
HWY_EXPORT(ChannelGradient);
HWY_EXPORT(KeepLargest);
HWY_EXPORT(GiveToLargest);

namespace {

/// Sizes of a group norm; one image is one piece of work. Its sums go by parts of so few places
/// that a part stays in the first cache while it is read twice, or channel by channel.
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
  /// Calls body(first place, places) for the parts of an image.
  template <typename Body>
  void for_parts(Body body) const {
    constexpr size_t kPart = 4096;  // elements
    const size_t step = std::max<size_t>(8, kPart / channels);
    for (size_t first = 0; first < places; first += step)
      body(first, std::min(step, places - first));
  }
  int64_t size() const { return static_cast<int64_t>(places * channels); }  ///< of an image
  /// Sets every channel's mean and variance to its group's.
  void find_moments(const float* x, float* mean, float* variance, float* sums,
                    float* squares) const;
  /// Sets every channel to its group's mean of `sums`.
  void share(float* sums) const {
    for (size_t g = 0; g < groups; ++g) {
      double total = 0;
      for (size_t c = g * width; c < (g + 1) * width; ++c) total += sums[c];
      std::fill_n(sums + g * width, width, static_cast<float>(total / elements()));
    }
  }
  template <typename Body>
  void for_images(Body body) const {
    parallel_for(static_cast<int64_t>(images), 1, [&](int64_t begin, int64_t end) {
      static thread_local std::vector<float> memory;  // grows to the largest and stays
      if (memory.size() < 6 * channels) memory.resize(6 * channels);
      for (auto image = static_cast<size_t>(begin); image < static_cast<size_t>(end); ++image)
        body(image, memory.data());
    });
  }
};

/// Each part about its own mean, then together: sum (x - a)^2 = sum (x - b)^2 + n (b - a)^2 where b
/// is the mean of n numbers x.
void GroupNorm::find_moments(const float* x, float* mean, float* variance, float* sums,
                             float* squares) const {
  std::fill_n(mean, channels, 0.0f);
  std::fill_n(variance, channels, 0.0f);
  size_t seen = 0;
  for_parts([&](size_t first, size_t taken) {
    const float* part = x + first * channels;
    HWY_DYNAMIC_DISPATCH(ChannelSums)(part, taken, channels, sums);
    const float inverse = 1.0f / static_cast<float>(taken);
    for (size_t c = 0; c < channels; ++c) sums[c] *= inverse;
    HWY_DYNAMIC_DISPATCH(ChannelSquares)(part, taken, channels, sums, squares);
    const auto before = static_cast<float>(seen), more = static_cast<float>(taken);
    const float share = more / (before + more);
    for (size_t c = 0; c < channels; ++c) {
      const float apart = sums[c] - mean[c];
      mean[c] += apart * share;
      variance[c] += squares[c] + apart * apart * before * share;
    }
    seen += taken;
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
  if (request.in[1].dtype != DType::f32) return {};
  const GroupNorm s(request.in[0].shape, request.attributes);
  const auto epsilon = static_cast<float>(request.attributes.get<double>("epsilon"));
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows images(k, 0, s.size());
    const WriteRows y(k, 0, s.size());
    s.for_images([&](size_t image, float* memory) {
      const float* x = images[static_cast<int64_t>(image)];
      float *mean = memory, *factor = mean + s.channels, *offset = factor + s.channels;
      s.find_moments(x, mean, factor, offset, offset + s.channels);
      for (size_t c = 0; c < s.channels; ++c) {
        const float inverse = 1.0f / std::sqrt(factor[c] + epsilon);
        if (c % s.width == 0) {
          k.out(1)[image * s.groups + c / s.width] = mean[c];
          k.out(2)[image * s.groups + c / s.width] = inverse;
        }
        factor[c] = inverse * k.in(1)[c];
        offset[c] = k.in(2)[c] - mean[c] * factor[c];
      }
      HWY_DYNAMIC_DISPATCH(ChannelAffine)(x, s.places, s.channels, factor, offset,
                                          y.place(static_cast<int64_t>(image)));
      y.store(static_cast<int64_t>(image));
    });
  }};
}

std::optional<Kernel> make_group_norm_gradient(const KernelRequest& request) {
  if (request.in[2].dtype != DType::f32) return {};
  const GroupNorm s(request.in[1].shape, request.attributes);
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      auto* parts = reinterpret_cast<float*>(k.workspace);  // [images, 2, C]
                      const ReadRows all_dy(k, 0, s.size()), all_x(k, 1, s.size());
                      const WriteRows dx(k, 0, s.size());
                      s.for_images([&](size_t image, float* memory) {
                        const auto row = static_cast<int64_t>(image);
                        const float *dy = all_dy[row], *x = all_x[row], *scale = k.in(2).data();
                        float *middle = memory, *from_dy = middle + s.channels,
                              *from_x = from_dy + s.channels, *offset = from_x + s.channels;
                        float *sums = parts + image * 2 * s.channels, *products = sums + s.channels;
                        const float *means = &k.in(3)[image * s.groups],
                                    *inverses = &k.in(4)[image * s.groups];
                        for (size_t c = 0; c < s.channels; ++c) middle[c] = means[c / s.width];
                        std::fill_n(sums, 2 * s.channels, 0.0f);
                        s.for_parts([&](size_t first, size_t places) {
                          HWY_DYNAMIC_DISPATCH(ChannelProducts)(dy + first * s.channels,
                                                                x + first * s.channels, places,
                                                                s.channels, middle, sums, products);
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
                        HWY_DYNAMIC_DISPATCH(ChannelGradient)(dy, x, s.places, s.channels, from_dy,
                                                              from_x, offset, dx.place(row));
                        dx.store(row);
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

namespace {

/// Calls visit(x's row, y's row, first of the window) of C channels for every place of every window
/// of one image, counted from its first.
template <typename Visit>
void for_windows(const ops::PoolSizes& s, Visit visit) {
  for (int64_t i = 0; i < s.oh; ++i)
    for (int64_t j = 0; j < s.ow; ++j) {
      bool first = true;
      s.for_window(0, i, j, [&](int64_t x, int64_t y) {
        visit(x * s.c, y * s.c, first);
        first = false;
      });
    }
}

}  // namespace

std::optional<Kernel> make_max_pool(const KernelRequest& request) {
  const ops::PoolSizes s = ops::pool_sizes(request.in[0].shape, request.attributes);
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows all_x(k, 0, s.h * s.w * s.c);
    const WriteRows all_y(k, 0, s.oh * s.ow * s.c);
    parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) {
        const float* x = all_x[image];
        float* y = all_y.place(image);
        for_windows(s, [&](int64_t from, int64_t to, bool first) {
          if (first)
            std::copy_n(x + from, s.c, y + to);
          else
            HWY_DYNAMIC_DISPATCH(KeepLargest)(x + from, static_cast<size_t>(s.c), y + to);
        });
        all_y.store(image);
      }
    });
  }};
}

std::optional<Kernel> make_max_pool_gradient(const KernelRequest& request) {
  const ops::PoolSizes s = ops::pool_sizes(request.in[1].shape, request.attributes);
  return Kernel{.run = [=](KernelArgs& k) {
    const int64_t size = s.h * s.w * s.c, windows = s.oh * s.ow * s.c;
    const ReadRows all_dy(k, 0, windows), all_x(k, 1, size), all_y(k, 2, windows);
    const WriteRows all_dx(k, 0, size);
    parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
      static thread_local std::vector<float> left;
      if (left.size() < static_cast<size_t>(s.c)) left.resize(static_cast<size_t>(s.c));
      for (int64_t image = begin; image < end; ++image) {
        const float *dy = all_dy[image], *x = all_x[image], *y = all_y[image];
        float* dx = all_dx.place(image);
        std::fill_n(dx, size, 0.0f);
        for_windows(s, [&](int64_t from, int64_t to, bool first) {
          if (first) std::copy_n(dy + to, s.c, left.data());
          HWY_DYNAMIC_DISPATCH(GiveToLargest)(x + from, y + to, static_cast<size_t>(s.c),
                                              left.data(), dx + from);
        });
        all_dx.store(image);
      }
    });
  }};
}

}  // namespace argosy::cpu
#endif
