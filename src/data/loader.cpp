#include "data/loader.h"

#include "data/clip_scheduler.h"

namespace argosy::data {

struct Loader::State {
  State(const Dataset& dataset, const LoaderOptions& given)
      : options(given), clips(dataset, given) {}
  LoaderOptions options;
  ClipScheduler clips;
};

Loader::Loader(const Dataset& dataset, LoaderOptions options)
    : state_(std::make_unique<State>(dataset, options)) {}
Loader::~Loader() = default;

int64_t Loader::samples_per_epoch() const { return state_->clips.samples(); }

int64_t Loader::batches_per_epoch() const {
  const int64_t size = state_->options.batch_size;
  return (samples_per_epoch() + (state_->options.keep_last ? size - 1 : 0)) / size;
}

const Batch& Loader::next() { return state_->clips.next(); }
void Loader::seek(int64_t epoch, int64_t position) { state_->clips.seek(epoch, position); }
LoaderCounters Loader::counters() const { return state_->clips.counters(); }

}  // namespace argosy::data
