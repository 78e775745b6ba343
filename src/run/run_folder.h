#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "run/recipe.h"

namespace argosy::run {

/// Where training stands. Written into every checkpoint as position.json.
struct Position {
  int64_t step = 0;     ///< optimizer steps done
  int64_t epoch = 0;    ///< of the next batch
  int64_t sample = 0;   ///< samples of that epoch already delivered
  int64_t skipped = 0;  ///< steps skipped so far because something was not finite
  int64_t skipped_in_row = 0;
  int64_t samples_seen = 0;
  double seconds = 0;                      ///< spent training, over all processes
  std::optional<double> best;              ///< the best evaluation so far
  std::map<std::string, double> counters;  ///< whatever else the job counts

  bool operator==(const Position&) const = default;
};

struct Checkpoint {
  int64_t step = 0;
  Path folder;
};

/// The files of a run. Only names live here; whoever trains goes through RunWriter.
///
///   recipe.toml                as resolved, every key
///   split.json                 the episodes it learns from and those held out (split_record.h)
///   text.json, tokenizer.json  what a language model learns from (learned_text.h), and its tokens
///   chat_template.jinja        how it reads conversations, if it began with a model that does
///   events.out.tfevents.*      curves, one file per process
///   checkpoints/STEP/          position.json, what the engine wrote, files.json with the size and
///                              CRC-32C of each, written last
///   last, best                 links to checkpoints
///   .lock                      held while somebody trains
inline constexpr const char* kRecipeFile = "recipe.toml";
inline constexpr const char* kStateFile = "state.safetensors";  ///< in a checkpoint's folder

/// True if `folder` holds a run.
bool is_run(const Path& folder);

/// The recipe that the run was begun with. Throws Error if `run` is no run.
Recipe read_run_recipe(const Path& run);

/// Whole checkpoints, the newest first. A folder with a file missing or of the wrong size is not
/// whole and is not listed; what is inside the files is looked at by verify_checkpoint().
std::vector<Checkpoint> list_checkpoints(const Path& run);

/// `which` is "last", "best" or a step number. Without "best" yet, the last one is taken.
/// Throws Error: no run, no whole checkpoint, no such step (the known ones are named).
Checkpoint find_checkpoint(const Path& run, const std::string& which);

/// Throws Error, naming the file, if one is missing, cut or changed since it was written.
void verify_checkpoint(const Checkpoint& checkpoint);

/// Throws Error if position.json is damaged.
Position read_position(const Checkpoint& checkpoint);

/// The one who trains: holds the run's lock as long as it lives.
class RunWriter {
 public:
  /// Begins a run, or goes on with one whose recipe agrees in all fixed keys; the other keys are
  /// taken from `recipe`, and recipe.toml is brought up to date.
  /// throws Error: the folder holds something else, another process trains here, fixed keys differ
  ///        (each is named with both values), the disk is full
  RunWriter(const Path& folder, const Recipe& recipe);

  const Path& folder() const { return folder_; }
  /// The checkpoint to go on from: the newest whole one whose contents are as written. Damaged ones
  /// are named in a warning and passed over.
  std::optional<Checkpoint> resume_point() const;

  /// Saves a checkpoint: `write` puts files into the folder it is given; they appear all or none.
  /// Then `last` (and `best`) are pointed at it and old checkpoints are removed, except the
  /// recipe's training.keep_checkpoints newest, `last` and `best`. A sound checkpoint of the same
  /// step stays as it is; a damaged one is replaced.
  void save(const Position& position, const std::function<void(const Path& folder)>& write,
            bool best = false);

 private:
  void prune() const;
  void mend_marks() const;

  Path folder_;
  int64_t keep_;
  std::optional<FileLock> lock_;
};

}  // namespace argosy::run
