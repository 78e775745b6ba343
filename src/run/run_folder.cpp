#include "run/run_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/log.h"

namespace argosy::run {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFileList = "files.json";
constexpr const char* kPosition = "position.json";
constexpr size_t kLargestJson = 1 << 20;

Error damaged(const Path& file, std::string what) {
  return Error({.what = std::move(what),
                .where = file,
                .fix = "take an older checkpoint of the run, or train again",
                .kind = ErrorKind::file});
}

/// The step that a checkpoint folder is named after: digits alone, no leading zero.
std::optional<int64_t> step_of(const std::string& name) {
  int64_t step = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc{} || rest != name.data() + name.size() || fmt::to_string(step) != name ||
      step < 0)
    return std::nullopt;
  return step;
}

Json parse_json(const Path& file) {
  const std::string text = read_file(file, kLargestJson);
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw damaged(file, "this is not a JSON object");
  return json;
}

struct ListedFile {
  Path path;
  uint64_t size_bytes = 0;
  uint32_t crc = 0;
};

/// What files.json of a checkpoint lists. Throws Error if it is absent or damaged.
std::vector<ListedFile> listed_files(const Path& folder) {
  const Path list = folder / kFileList;
  std::vector<ListedFile> files;
  const Json json = parse_json(list);
  for (const auto& [name, entry] : json.items()) {
    const Path relative = Path(name).lexically_normal();
    const bool inside = !name.empty() && relative.is_relative() && *relative.begin() != "..";
    if (!inside || !entry.is_object() || !entry.contains("bytes") || !entry.contains("crc32c") ||
        !entry["bytes"].is_number_unsigned() || !entry["crc32c"].is_number_unsigned())
      throw damaged(list, fmt::format("the entry {} cannot be understood", name));
    files.push_back(
        {folder / relative, entry["bytes"].get<uint64_t>(), entry["crc32c"].get<uint32_t>()});
  }
  const auto is_position = [](const ListedFile& file) { return file.path.filename() == kPosition; };
  if (std::none_of(files.begin(), files.end(), is_position))
    throw damaged(list, fmt::format("{} is not listed", kPosition));
  return files;
}

/// What keeps a checkpoint from being whole, by names and sizes alone; "" if nothing.
std::string missing_part(const Path& folder) {
  try {
    for (const ListedFile& file : listed_files(folder)) {
      std::error_code error;
      const uint64_t size = fs::file_size(file.path, error);
      if (error) return fmt::format("{} is missing", file.path.string());
      if (size != file.size_bytes)
        return fmt::format("{} has {} bytes of {}", file.path.string(), size, file.size_bytes);
    }
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void write_file_list(const Path& folder) {
  Json list = Json::object();
  std::vector<Path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const Path& file : files)
    list[file.lexically_relative(folder).generic_string()] = {{"bytes", fs::file_size(file)},
                                                              {"crc32c", crc32c_of_file(file)}};
  write_file(folder / kFileList, list.dump(2) + "\n");
}

/// Removes a checkpoint so that a kill on the way leaves it not whole.
void remove_checkpoint(const Path& folder) {
  std::error_code ignored;
  fs::remove(folder / kFileList, ignored);
  fs::remove_all(folder, ignored);
}

/// Points the link at `target` in one step.
void point(const Path& link, const Path& target) {
  Path fresh = link;
  fresh += fmt::format(".partial-{}", getpid());
  std::error_code ignored;
  fs::remove(fresh, ignored);
  if (symlink(target.c_str(), fresh.c_str()) != 0)
    throw file_error("create the link", fresh, errno);
  if (rename(fresh.c_str(), link.c_str()) != 0) throw file_error("replace the link", link, errno);
  sync_path(link.parent_path());
}

/// The step that `last` or `best` points to.
std::optional<int64_t> marked_step(const Path& run, const char* mark) {
  std::error_code error;
  const Path target = fs::read_symlink(run / mark, error);
  return error ? std::nullopt : step_of(target.filename());
}

Json to_json(const Position& position) {
  Json json = {{"step", position.step},
               {"epoch", position.epoch},
               {"sample", position.sample},
               {"skipped", position.skipped},
               {"skipped_in_row", position.skipped_in_row},
               {"samples_seen", position.samples_seen},
               {"seconds", position.seconds},
               {"best", nullptr},
               {"counters", position.counters}};
  if (position.best) json["best"] = *position.best;
  return json;
}

}  // namespace

bool is_run(const Path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / kRecipeFile, ignored);
}

Recipe read_run_recipe(const Path& run) {
  if (!is_run(run))
    throw Error({.what = fmt::format("there is no run here ({} is missing)", kRecipeFile),
                 .where = run,
                 .fix = "give the folder that `argosy train` wrote",
                 .kind = ErrorKind::file});
  return load_recipe(run / kRecipeFile);
}

std::vector<Checkpoint> list_checkpoints(const Path& run) {
  std::vector<Checkpoint> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", ignored))
    if (const auto step = step_of(entry.path().filename());
        step && missing_part(entry.path()).empty())
      found.push_back({*step, entry.path()});
  std::sort(found.begin(), found.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return a.step > b.step; });
  return found;
}

Checkpoint find_checkpoint(const Path& run, const std::string& which) {
  read_run_recipe(run);
  const std::vector<Checkpoint> all = list_checkpoints(run);
  if (all.empty())
    throw Error({.what = "the run has no whole checkpoint yet",
                 .where = run,
                 .fix = "let `argosy train` reach its first checkpoint",
                 .kind = ErrorKind::file});
  const bool mark = which == "last" || which == "best";
  const std::optional<int64_t> step = mark ? marked_step(run, which.c_str()) : step_of(which);
  const auto chosen = std::find_if(all.begin(), all.end(), [&](const Checkpoint& checkpoint) {
    return checkpoint.step == step;
  });
  if (chosen != all.end()) return *chosen;
  if (mark) return all.front();
  std::vector<int64_t> steps;
  for (const Checkpoint& checkpoint : all) steps.push_back(checkpoint.step);
  throw Error({.what = fmt::format("there is no whole checkpoint {}", which),
               .where = run,
               .fix = fmt::format("ask for last, best or one of {}", fmt::join(steps, ", "))});
}

void verify_checkpoint(const Checkpoint& checkpoint) {
  for (const ListedFile& file : listed_files(checkpoint.folder)) {
    std::error_code error;
    const uint64_t size = fs::file_size(file.path, error);
    if (error) throw damaged(file.path, "the file is missing");
    if (size != file.size_bytes)
      throw damaged(file.path, fmt::format("the file has {} bytes but was written with {}", size,
                                           file.size_bytes));
    if (const uint32_t crc = crc32c_of_file(file.path); crc != file.crc)
      throw damaged(file.path,
                    fmt::format("the file has changed since it was written (CRC-32C {:08x}, "
                                "not {:08x})",
                                crc, file.crc));
  }
}

Position read_position(const Checkpoint& checkpoint) {
  const Path file = checkpoint.folder / kPosition;
  const Json json = parse_json(file);
  try {
    Position position{.step = json.at("step"),
                      .epoch = json.at("epoch"),
                      .sample = json.at("sample"),
                      .skipped = json.at("skipped"),
                      .skipped_in_row = json.at("skipped_in_row"),
                      .samples_seen = json.at("samples_seen"),
                      .seconds = json.at("seconds"),
                      .counters = json.at("counters").get<std::map<std::string, double>>()};
    if (!json.at("best").is_null()) position.best = json.at("best").get<double>();
    for (const int64_t count : {position.epoch, position.sample, position.skipped,
                                position.skipped_in_row, position.samples_seen})
      if (count < 0) throw damaged(file, fmt::format("a count is {}, below 0", count));
    if (position.step != checkpoint.step)
      throw damaged(file, fmt::format("step is {} but the folder is that of step {}", position.step,
                                      checkpoint.step));
    return position;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(file, fmt::format("this is no position of a run ({})", error.what()));
  }
}

namespace {
/// False, with a warning, for a checkpoint that is not as it was written.
bool sound(const Checkpoint& checkpoint) {
  try {
    verify_checkpoint(checkpoint);
    read_position(checkpoint);
    return true;
  } catch (const Error& error) {
    log::warning("{}; passed over", error.what());
    return false;
  }
}
}  // namespace

RunWriter::RunWriter(const Path& folder, const Recipe& recipe)
    : folder_(fs::absolute(folder).lexically_normal()), keep_(recipe.training.keep_checkpoints) {
  if (!folder_.has_filename()) folder_ = folder_.parent_path();
  std::error_code ignored;
  if (fs::exists(folder_, ignored) && !is_run(folder_) && !fs::is_empty(folder_, ignored) &&
      !fs::exists(folder_ / ".lock", ignored))
    throw Error({.what = "the folder is not empty and holds no run",
                 .where = folder_,
                 .fix = "choose another folder (--to)",
                 .kind = ErrorKind::file});
  make_folders(folder_ / "checkpoints");
  lock_.emplace(folder_ / ".lock", "is being trained");
  if (is_run(folder_)) {
    std::vector<std::string> texts;
    for (const RecipeDifference& difference : differences(read_run_recipe(folder_), recipe))
      if (difference.fixed)
        texts.push_back(fmt::format("{} was {} and is now {}", difference.key, difference.first,
                                    difference.second));
    if (!texts.empty())
      throw Error(
          {.what = fmt::format("the run was begun with another recipe: {}", fmt::join(texts, "; ")),
           .where = folder_,
           .fix = "choose another folder (--to) for the new recipe, or go on with the old one"});
  }
  write_file_atomically(folder_ / kRecipeFile, to_toml(recipe));
  mend_marks();
}

/// A process that was killed right after its checkpoint appeared had no time to point at it.
void RunWriter::mend_marks() const {
  const auto newest = resume_point();
  if (!newest) return;
  const Path target = Path("checkpoints") / fmt::to_string(newest->step);
  point(folder_ / "last", target);
  if (parse_json(newest->folder / kPosition).value("is_best", false))
    point(folder_ / "best", target);
}

std::optional<Checkpoint> RunWriter::resume_point() const {
  for (const Checkpoint& checkpoint : list_checkpoints(folder_))
    if (sound(checkpoint)) return checkpoint;
  return std::nullopt;
}

void RunWriter::save(const Position& position, const std::function<void(const Path&)>& write,
                     bool best) {
  const Path target = Path("checkpoints") / fmt::to_string(position.step);
  if (!fs::exists(folder_ / target) || !sound({position.step, folder_ / target})) {
    PartialFolder partial(folder_ / target);
    write(partial.path());
    Json json = to_json(position);
    json["is_best"] = best;
    write_file(partial.path() / kPosition, json.dump(2) + "\n");
    write_file_list(partial.path());
    remove_checkpoint(folder_ / target);  // a damaged one of this step
    partial.commit();
  }
  point(folder_ / "last", target);
  if (best) point(folder_ / "best", target);
  prune();
}

void RunWriter::prune() const {
  std::set<int64_t> kept;
  for (const char* mark : {"last", "best"})
    if (const auto step = marked_step(folder_, mark)) kept.insert(*step);
  const std::vector<Checkpoint> all = list_checkpoints(folder_);
  for (size_t i = static_cast<size_t>(keep_); i < all.size(); ++i)
    if (!kept.contains(all[i].step)) remove_checkpoint(all[i].folder);
  // what a killed removal left
  std::error_code ignored;
  std::vector<Path> remains;
  for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints", ignored))
    if (step_of(entry.path().filename()) && !fs::exists(entry.path() / kFileList, ignored))
      remains.push_back(entry.path());
  for (const Path& folder : remains) fs::remove_all(folder, ignored);
}

}  // namespace argosy::run
