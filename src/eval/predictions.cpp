#include "eval/predictions.h"

namespace argosy::eval {

void predict(const data::Dataset& dataset, const run::DrivingData& driving,
             std::vector<int64_t> episodes, run::Policy& policy, const PredictionReader& read) {
  data::Loader loader(dataset, driving.evaluation_clips(std::move(episodes), policy.batch_size()));
  const auto outputs = static_cast<size_t>(policy.outputs());
  std::vector<float> targets(static_cast<size_t>(policy.batch_size()) * outputs);
  for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
    const data::Batch& batch = loader.next();
    const std::span<const float> predicted = policy.predict(batch.cameras[0].pixels, batch.size);
    driving.targets(batch, targets);
    for (size_t i = 0; i < static_cast<size_t>(batch.size); ++i)
      read(batch.rows[i], predicted.subspan(i * outputs, outputs),
           std::span<const float>(targets).subspan(i * outputs, outputs));
  }
}

}  // namespace argosy::eval
