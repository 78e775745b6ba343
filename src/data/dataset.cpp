#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "data/dataset_files.h"
#include "data/parquet.h"

namespace argosy::data {
namespace {

/// Letters to insert, remove or change to get from `a` to `b` (Levenshtein).
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

struct Dataset::State {
  Path folder;
  DatasetFiles files;
  std::mutex mutex;  // for the columns read so far
  std::map<std::string, std::vector<float>> floats;
  std::map<std::string, std::vector<double>> doubles;

  const Feature& numeric(const Feature& feature) const {
    if (feature.numeric()) return feature;
    throw Error({.what = fmt::format("feature \"{}\" is of type {} and has no numbers",
                                     feature.name, feature.dtype),
                 .where = folder,
                 .fix = "ask for a numeric feature"});
  }

  template <typename T>
  std::span<const T> column(const Feature& feature, std::map<std::string, std::vector<T>>& known) {
    const std::scoped_lock lock(mutex);
    const auto found = known.find(feature.name);
    if (found != known.end()) return found->second;
    std::vector<T> values;
    for (const DataFile& file : files.data)
      ParquetReader(file.path).read(feature.name, feature.shape, values);
    if (static_cast<int64_t>(values.size()) != files.info.frames * feature.width())
      throw Error({.what = fmt::format("column \"{}\" has {} numbers instead of {}", feature.name,
                                       values.size(), files.info.frames * feature.width()),
                   .where = folder,
                   .fix = "the data files have changed; open the data set again",
                   .kind = ErrorKind::file});
    return known.emplace(feature.name, std::move(values)).first->second;
  }
};

Dataset::Dataset(std::unique_ptr<State> state) : state_(std::move(state)) {}
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;
Dataset::~Dataset() = default;

Dataset Dataset::open(const Path& folder) {
  auto state = std::make_unique<State>();
  state->folder = folder;
  state->files = read_dataset_files(folder, [](const ErrorText& text) { throw Error(text); });
  return Dataset(std::move(state));
}

const Path& Dataset::folder() const { return state_->folder; }
int Dataset::fps() const { return state_->files.info.fps; }
int64_t Dataset::frames() const { return state_->files.info.frames; }
const std::string& Dataset::robot_type() const { return state_->files.info.robot_type; }
std::span<const Feature> Dataset::features() const { return state_->files.info.features; }
std::span<const Episode> Dataset::episodes() const { return state_->files.episodes; }
std::span<const std::string> Dataset::tasks() const { return state_->files.tasks; }

std::vector<std::string> Dataset::cameras() const {
  std::vector<std::string> names;
  for (const Feature& feature : features())
    if (feature.video()) names.push_back(feature.name);
  return names;
}

const Feature& Dataset::feature(const std::string& name) const {
  const Feature* nearest = nullptr;
  for (const Feature& feature : features()) {
    if (feature.name == name) return feature;
    if (!nearest || distance(feature.name, name) < distance(nearest->name, name))
      nearest = &feature;
  }
  throw Error({.what = fmt::format("there is no feature \"{}\"", name),
               .where = folder(),
               .fix = fmt::format("did you mean \"{}\"? `argosy data info` lists them all",
                                  nearest->name)});
}

const Episode& Dataset::episode_of(int64_t row) const {
  if (row < 0 || row >= frames())
    throw Error({.what = fmt::format("there is no row {}, the data set has {}", row, frames()),
                 .where = folder(),
                 .fix = fmt::format("ask for a row in [0, {})", frames())});
  const auto all = episodes();
  return *std::upper_bound(all.begin(), all.end(), row,
                           [](int64_t r, const Episode& e) { return r < e.to; });
}

std::span<const float> Dataset::column(const std::string& name) const {
  return state_->column(state_->numeric(feature(name)), state_->floats);
}

std::span<const double> Dataset::column_f64(const std::string& name) const {
  return state_->column(state_->numeric(feature(name)), state_->doubles);
}

std::vector<std::string> Dataset::texts(const std::string& name) const {
  const Feature& wanted = feature(name);
  if (wanted.dtype != "string")
    throw Error(
        {.what = fmt::format("feature \"{}\" is of type {}, not string", name, wanted.dtype),
         .where = folder(),
         .fix = "ask for a string feature"});
  std::vector<std::string> result;
  for (const DataFile& file : state_->files.data) {
    auto texts = ParquetReader(file.path).texts(name);
    result.insert(result.end(), std::make_move_iterator(texts.begin()),
                  std::make_move_iterator(texts.end()));
  }
  return result;
}

}  // namespace argosy::data
