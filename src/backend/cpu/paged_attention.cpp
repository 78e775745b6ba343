#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"
#include "ops/paging.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/paged_attention.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Attention to keys and values in pages, page by page: scores of a page, then the running maximum,
// sum and result are brought up to them (Milakov and Gimelshein 2018, "Online normalizer
// calculation for softmax"). Queries of one sequence and one head of keys are taken a few at a
// time, so that a page's keys are loaded once for them; each query is computed in one order,
// whatever stands beside it.
#ifndef ARGOSY_PAGED_ATTENTION_TYPES
#define ARGOSY_PAGED_ATTENTION_TYPES
namespace argosy::cpu {
namespace {

constexpr int64_t kTogether = 4;  // queries

/// One head's query of one token; it sees the keys from `first` to `last`.
struct Query {
  const float* q;
  float* y;
  int64_t first, last;
};

/// Queries that share a head of keys in one sequence.
struct QueryTile {
  Query queries[kTogether];
  int64_t count;
  int64_t head;
  const int32_t* pages;  ///< the sequence's
};

struct AttendWork {
  ops::Paging paging;
  ops::AttentionOptions options;
  const std::byte *keys, *values;
  float* memory;   ///< the thread's: scores [kTogether, page_size], results [kTogether, padded]
  int64_t padded;  ///< the width, as whole vectors
};

}  // namespace
}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

constexpr int64_t kWide = HWY_LANES(float);
constexpr int64_t kSumVectors = kWide == 16 ? 16 : 8;  // sums that stay in registers

HWY_INLINE V LoadCached(const float* from) { return hn::LoadU(D(), from); }
HWY_INLINE V LoadCached(const hwy::bfloat16_t* from) {
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}
HWY_INLINE float Cached(float number) { return number; }
HWY_INLINE float Cached(hwy::bfloat16_t number) {
  BFloat16 same;
  same.bits = number.bits;
  return static_cast<float>(same);
}

/// scores[query][place] = scale q . key of the page, bent where that is asked for.
template <typename Element, int64_t kQueries, int64_t kVectors>
HWY_INLINE void ScoresOf(const AttendWork& work, const Query* queries, const Element* keys,
                         int64_t place, float* scores) {
  const D d;
  const int64_t places = work.paging.page_size;
  V sums[kQueries][kVectors];
#pragma GCC unroll 4
  for (int64_t i = 0; i < kQueries; ++i)
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) sums[i][v] = hn::Zero(d);
  const Element* key = keys + place;
  for (int64_t j = 0; j < work.paging.width; ++j, key += places) {
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) {
      const V column = LoadCached(key + v * kWide);
#pragma GCC unroll 4
      for (int64_t i = 0; i < kQueries; ++i)
        sums[i][v] = hn::MulAdd(column, hn::Set(d, queries[i].q[j]), sums[i][v]);
    }
  }
  const V scale = hn::Set(d, static_cast<float>(work.options.scale));
  const auto cap = static_cast<float>(work.options.soft_cap);
  for (int64_t i = 0; i < kQueries; ++i)
    for (int64_t v = 0; v < kVectors; ++v) {
      V score = hn::Mul(sums[i][v], scale);
      if (cap > 0) score = hn::Mul(hn::Set(d, cap), tanh(hn::Mul(score, hn::Set(d, 1 / cap))));
      hn::StoreU(score, d, scores + i * places + place + v * kWide);
    }
}

/// results[query] += sum of weights[query][t] values[t], places from `begin` to `end`
template <typename Element, int64_t kQueries>
HWY_INLINE void AddValues(const AttendWork& work, const Element* values, const float* weights,
                          int64_t begin, int64_t end, float* results) {
  const D d;
  const int64_t places = work.paging.page_size, width = work.paging.width;
  int64_t j = 0;
  const auto columns = [&](auto count) {
    constexpr int64_t kVectors = decltype(count)::value;
    for (; j + kVectors * kWide <= width; j += kVectors * kWide) {
      V sums[kQueries][kVectors];
#pragma GCC unroll 4
      for (int64_t i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
        for (int64_t v = 0; v < kVectors; ++v)
          sums[i][v] = hn::LoadU(d, results + i * work.padded + j + v * kWide);
      for (int64_t t = begin; t < end; ++t) {
#pragma GCC unroll 4
        for (int64_t v = 0; v < kVectors; ++v) {
          const V value = LoadCached(values + t * width + j + v * kWide);
#pragma GCC unroll 4
          for (int64_t i = 0; i < kQueries; ++i)
            sums[i][v] = hn::MulAdd(hn::Set(d, weights[i * places + t]), value, sums[i][v]);
        }
      }
#pragma GCC unroll 4
      for (int64_t i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
        for (int64_t v = 0; v < kVectors; ++v)
          hn::StoreU(sums[i][v], d, results + i * work.padded + j + v * kWide);
    }
  };
  columns(std::integral_constant<int64_t, kSumVectors / kTogether>());
  columns(std::integral_constant<int64_t, 1>());
  for (; j < width; ++j)
    for (int64_t i = 0; i < kQueries; ++i)
      for (int64_t t = begin; t < end; ++t)
        results[i * work.padded + j] += weights[i * places + t] * Cached(values[t * width + j]);
}

struct Running {
  float top = -std::numeric_limits<float>::infinity(), total = 0;
};

/// Makes weights of one query's scores of a page, of which it sees those from `begin` to `end`, and
/// brings its result so far to the same maximum.
HWY_INLINE void WeighPage(const AttendWork& work, float* scores, int64_t begin, int64_t end,
                          Running& running, float* result) {
  const D d;
  const int64_t places = work.paging.page_size;
  const float infinity = std::numeric_limits<float>::infinity();
  std::fill(scores, scores + begin, -infinity);
  std::fill(scores + end, scores + places, -infinity);
  V highest = hn::Set(d, -infinity);
  for (int64_t t = 0; t < places; t += kWide) highest = hn::Max(hn::LoadU(d, scores + t), highest);
  const float top = std::max(running.top, hn::GetLane(hn::MaxOfLanes(d, highest)));
  if (top != running.top && running.total != 0) {
    const float shrink = std::exp(running.top - top);
    running.total *= shrink;
    for (int64_t j = 0; j < work.padded; j += kWide)
      hn::StoreU(hn::Mul(hn::LoadU(d, result + j), hn::Set(d, shrink)), d, result + j);
  }
  running.top = top;
  V total = hn::Zero(d);
  for (int64_t t = 0; t < places; t += kWide) {
    const V score = hn::LoadU(d, scores + t);
    const V weight = hn::IfThenElseZero(hn::Ne(score, hn::Set(d, -infinity)),
                                        exp_quick(hn::Sub(score, hn::Set(d, top))));
    total = hn::Add(total, weight);
    hn::StoreU(weight, d, scores + t);
  }
  running.total += hn::GetLane(hn::SumOfLanes(d, total));
}

template <typename Element, int64_t kQueries>
void AttendTile(const AttendWork& work, const QueryTile& tile) {
  const ops::Paging& paging = work.paging;
  const int64_t places = paging.page_size;
  const Query* queries = tile.queries;
  float* scores = work.memory;
  float* results = work.memory + kTogether * places;
  std::fill_n(results, kQueries * work.padded, 0.0f);
  Running running[kQueries];
  int64_t first = queries[0].first, last = queries[0].last;
  for (int64_t i = 1; i < kQueries; ++i) {
    first = std::min(first, queries[i].first);
    last = std::max(last, queries[i].last);
  }
  for (int64_t number = first / places; number <= last / places; ++number) {
    const int64_t page = tile.pages[number], base = number * places;
    const auto* keys =
        reinterpret_cast<const Element*>(work.keys) + paging.key_at(page, tile.head, 0);
    const auto* values =
        reinterpret_cast<const Element*>(work.values) + paging.value_at(page, tile.head, 0);
    int64_t place = 0;
    for (; place + 2 * kWide <= places; place += 2 * kWide)
      ScoresOf<Element, kQueries, 2>(work, queries, keys, place, scores);
    if (place < places) ScoresOf<Element, kQueries, 1>(work, queries, keys, place, scores);
    int64_t begin[kQueries], end[kQueries];
    bool alike = true;
    for (int64_t i = 0; i < kQueries; ++i) {
      begin[i] = std::max<int64_t>(0, queries[i].first - base);
      end[i] = std::min(places, queries[i].last + 1 - base);
      alike &= begin[i] == begin[0] && end[i] == end[0];
      if (begin[i] < end[i])
        WeighPage(work, scores + i * places, begin[i], end[i], running[i],
                  results + i * work.padded);
    }
    if (alike) {
      AddValues<Element, kQueries>(work, values, scores, begin[0], end[0], results);
      continue;
    }
    for (int64_t i = 0; i < kQueries; ++i)
      AddValues<Element, 1>(work, values, scores + i * places, begin[i], end[i],
                            results + i * work.padded);
  }
  for (int64_t i = 0; i < kQueries; ++i)
    for (int64_t j = 0; j < paging.width; ++j)
      queries[i].y[j] = results[i * work.padded + j] / running[i].total;
}

template <typename Element>
void Attend(const AttendWork& work, const QueryTile& tile) {
  static_assert(kTogether == 4);
  constexpr void (*by_count[])(const AttendWork&, const QueryTile&) = {
      AttendTile<Element, 1>, AttendTile<Element, 2>, AttendTile<Element, 3>,
      AttendTile<Element, 4>};
  by_count[tile.count - 1](work, tile);
}

void AttendF32(const AttendWork& work, const QueryTile& tile) { Attend<float>(work, tile); }
void AttendBf16(const AttendWork& work, const QueryTile& tile) {
  Attend<hwy::bfloat16_t>(work, tile);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBf16);

namespace {

constexpr int64_t kWidest = 16;               // lanes of the widest vector
constexpr int64_t kGrain = int64_t{1} << 14;  // products that pay for a thread

float* thread_memory(size_t floats) {
  static thread_local std::vector<float> memory;
  if (memory.size() < floats + kWidest) memory.resize(floats + kWidest);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

/// A few tokens [begin, end) of one sequence.
struct Run {
  int64_t begin, end;
};

}  // namespace

std::optional<Kernel> make_paged_attention(const KernelRequest& request) {
  const ops::Paging paging = ops::paging_of(request.in[1], request.in[2], request.in[5]);
  if (paging.page_size % kWidest != 0) return {};
  const ops::AttentionOptions options = ops::attention_options(request.attributes);
  const int64_t tokens = request.in[0].shape[0], heads = request.in[0].shape[1],
                width = paging.width, shared = heads / paging.heads;
  const auto attend = request.in[1].dtype == DType::bf16 ? HWY_DYNAMIC_DISPATCH(AttendBf16)
                                                         : HWY_DYNAMIC_DISPATCH(AttendF32);
  const int64_t padded = (width + kWidest - 1) / kWidest * kWidest;
  return Kernel{.run = [=, runs = std::vector<Run>(static_cast<size_t>(tokens))](
                           KernelArgs& k) mutable {
    const auto positions = k.in<int32_t>(3), rows = k.in<int32_t>(4), table = k.in<int32_t>(5);
    const auto at = [](int64_t i) { return static_cast<size_t>(i); };
    // before any thread runs, since none of them may throw
    int64_t seen = 0, count = 0;
    for (int64_t n = 0; n < tokens; ++n) {
      const int32_t position = positions[at(n)];
      if (position < 0) {
        std::fill_n(k.out().begin() + n * heads * width, heads * width, 0.0f);
        continue;
      }
      for (int64_t t = 0; t <= position; t += paging.page_size)
        ops::page_at(paging, table, rows[at(n)], t);
      seen += position + 1;
      Run* last = count == 0 ? nullptr : &runs[at(count - 1)];
      if (last && last->end == n && n - last->begin < kTogether && rows[at(n - 1)] == rows[at(n)])
        ++last->end;
      else
        runs[at(count++)] = {n, n + 1};
    }
    const int64_t units = count * paging.heads;
    const int64_t products = 2 * seen * heads * width / std::max<int64_t>(1, units);
    parallel_for(
        units, kGrain / std::max<int64_t>(1, products) + 1, [&](int64_t begin, int64_t end) {
          const AttendWork work = {
              .paging = paging,
              .options = options,
              .keys = k.in_bytes[1],
              .values = k.in_bytes[2],
              .memory = thread_memory(at(kTogether * (paging.page_size + padded))),
              .padded = padded};
          for (int64_t unit = begin; unit < end; ++unit) {
            const Run& run = runs[at(unit / paging.heads)];
            QueryTile tile = {.count = 0,
                              .head = unit % paging.heads,
                              .pages = &table[at(rows[at(run.begin)] * paging.longest)]};
            for (int64_t n = run.begin; n < run.end; ++n)
              for (int64_t h = 0; h < shared; ++h) {
                const int64_t from = (n * heads + tile.head * shared + h) * width;
                const int64_t last = positions[at(n)];
                tile.queries[tile.count++] = {
                    k.in(0).data() + from, k.out().data() + from,
                    options.window > 0 ? std::max<int64_t>(0, last - options.window + 1) : 0, last};
                if (tile.count < kTogether && (h + 1 < shared || n + 1 < run.end)) continue;
                attend(work, tile);
                tile.count = 0;
              }
          }
        });
  }};
}

}  // namespace argosy::cpu
#endif
