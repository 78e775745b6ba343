#include "text/token_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/permutation.h"
#include "base/random.h"

namespace argosy::text {
namespace {

// What each draw is for, so that no two share their numbers.
enum Purpose : uint64_t { kSource = 1, kShuffle, kShift, kCrop };

/// Windows of whole documents, as many in each as fit. One that is longer than a window is divided,
/// so that each of its tokens is a target once.
std::vector<TokenSamples::Window> pack_documents(const TokenSource& source, int64_t length) {
  std::vector<TokenSamples::Window> windows;
  int64_t begin = source.begin, end = source.begin;  // of what is being packed
  const auto close = [&] {
    if (end > begin) windows.push_back({begin, end});
    begin = end;
  };
  for (const uint64_t boundary : source.store->document_begins()) {
    const int64_t next = std::min(static_cast<int64_t>(boundary), source.end);
    if (next <= end) continue;
    if (next - begin > length + 1) close();
    for (; next - begin > length + 1; begin += length)
      windows.push_back({begin, begin + length + 1});
    end = next;
  }
  close();
  return windows;
}

[[noreturn]] void fail(const std::string& where, std::string what, std::string fix) {
  throw Error({.what = std::move(what), .where = where, .fix = std::move(fix)});
}

}  // namespace

TokenSource whole_source(std::shared_ptr<const TokenStore> store, double weight) {
  const int64_t end = store->tokens();
  return {std::move(store), weight, 0, end};
}

TokenSamples::TokenSamples(std::vector<TokenSource> sources, int64_t length, TokenOrder order,
                           uint64_t seed)
    : length_(length), order_(order), seed_(seed) {
  check(length > 0, "samples of {} tokens", length);
  if (sources.empty()) fail("token samples", "there are no sources", "give one token store");
  double total = 0;
  for (TokenSource& given : sources) {
    Source source{std::move(given)};
    const TokenStore& store = *source.store;
    const int64_t count = source.end - source.begin;
    const auto& where = store.folder();
    if (!sources_.empty() && store.vocabulary() != sources_[0].store->vocabulary())
      fail(where,
           fmt::format("its vocabulary has {} tokens, that of {} has {}", store.vocabulary(),
                       sources_[0].store->folder().string(), sources_[0].store->vocabulary()),
           "make all stores with the same tokenizer");
    const bool filled =
        order == TokenOrder::sequential || order == TokenOrder::whole_documents;  // when too short
    if (count < (filled ? 2 : length + 1))
      fail(where,
           fmt::format("it has {} tokens, a sample needs {}", count, filled ? 2 : length + 1),
           "give more text, or shorter samples");
    if (!(source.weight > 0))
      fail(where, fmt::format("its weight is {}", source.weight), "give one above 0");
    source.samples =
        order == TokenOrder::sequential ? (count - 2) / length + 1 : (count - 1) / length;
    if (order == TokenOrder::whole_documents) {
      source.windows = pack_documents(source, length);
      source.samples = std::ssize(source.windows);
    }
    total += source.weight;
    shares_.push_back(total);
    sources_.push_back(std::move(source));
  }
  for (double& share : shares_) share /= total;
}

int64_t TokenSamples::epoch_samples() const {
  return std::accumulate(sources_.begin(), sources_.end(), int64_t{0},
                         [](int64_t sum, const Source& source) { return sum + source.samples; });
}

size_t TokenSamples::choose(int64_t position) const {
  if (sources_.size() == 1) return 0;
  const auto bits = philox(mix(seed_, kSource), 0, static_cast<uint64_t>(position));
  const double drawn = static_cast<double>(uint64_t{bits[0]} << 21 ^ bits[1] >> 11) * 0x1p-53;
  const auto at = std::upper_bound(shares_.begin(), shares_.end(), drawn) - shares_.begin();
  return std::min(static_cast<size_t>(at), sources_.size() - 1);
}

void TokenSamples::seek(int64_t position) {
  for (Source& source : sources_) source.given = 0;
  if (sources_.size() == 1)
    sources_[0].given = position;
  else
    for (int64_t i = 0; i < position; ++i) ++sources_[choose(i)].given;
  position_ = position;
}

TokenSamples::Window TokenSamples::window_of(size_t index, int64_t sample) const {
  const Source& source = sources_[index];
  const int64_t epoch = sample / source.samples, place = sample % source.samples;
  const auto key = [&](Purpose purpose) { return mix(mix(seed_, purpose), index); };
  const auto epoch_key = [&](Purpose purpose) {
    return mix(key(purpose), static_cast<uint64_t>(epoch));
  };
  const int64_t count = source.end - source.begin;
  const auto cut = [&](int64_t begin, int64_t end) {
    return Window{begin, std::min(end, begin + length_ + 1)};
  };
  switch (order_) {
    case TokenOrder::sequential:
      return cut(source.begin + place * length_, source.end);
    case TokenOrder::random_crops: {
      Random random(key(kCrop), static_cast<uint64_t>(sample));
      const uint64_t begin = random.below(static_cast<uint64_t>(count - length_));
      return cut(source.begin + static_cast<int64_t>(begin), source.end);
    }
    case TokenOrder::shuffled: {
      const int64_t left = count - 1 - source.samples * length_;
      const auto shift = static_cast<int64_t>(epoch_key(kShift) % static_cast<uint64_t>(left + 1));
      const int64_t window = Permutation(source.samples, epoch_key(kShuffle))(place);
      return cut(source.begin + shift + window * length_, source.end);
    }
    case TokenOrder::whole_documents: {
      const int64_t window = Permutation(source.samples, epoch_key(kShuffle))(place);
      return source.windows[static_cast<size_t>(window)];
    }
  }
  check(false, "order {}", static_cast<int>(order_));
  return {};
}

void TokenSamples::next(std::span<int32_t> tokens, std::span<int32_t> targets,
                        std::span<int32_t> segments) {
  const auto length = static_cast<size_t>(length_);
  check(tokens.size() == length && targets.size() == length && segments.size() == length,
        "{}, {} and {} elements for samples of {}", tokens.size(), targets.size(), segments.size(),
        length);
  const size_t chosen = choose(position_);
  Source& source = sources_[chosen];
  const Window window = window_of(chosen, source.given);
  const TokenStore& store = *source.store;
  buffer_.resize(static_cast<size_t>(window.end - window.begin));
  store.read(window.begin, buffer_);
  const auto begins = store.document_begins();
  int64_t document = store.document_of(window.begin);
  int32_t segment = 0;
  for (size_t i = 0; i < length; ++i) {
    // what fills a short sample up is a document of its own
    const bool there = i < buffer_.size();
    const int64_t place = window.begin + static_cast<int64_t>(i);
    if (there && place == static_cast<int64_t>(begins[document + 1])) {
      ++document;
      ++segment;
    }
    tokens[i] = there ? buffer_[i] : 0;
    segments[i] = there ? segment : segment + 1;
    const bool target = i + 1 < buffer_.size() &&
                        place + 1 != static_cast<int64_t>(begins[document + 1]) &&
                        store.learned(place + 1);
    targets[i] = target ? buffer_[i + 1] : -1;
  }
  ++source.given;
  ++position_;
}

}  // namespace argosy::text
