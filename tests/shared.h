#pragma once
#include <cstdlib>
#include <filesystem>

namespace argosy::test {

/// The folder of real recordings beside the checkout (or ARGOSY_SHARED); empty where there is none.
/// A test that needs it says so with MESSAGE and returns.
inline std::filesystem::path shared_data() {
  const char* given = std::getenv("ARGOSY_SHARED");
  const std::filesystem::path folder =
      given ? std::filesystem::path(given) : std::filesystem::path(ARGOSY_SOURCE_DIR) / "../shared";
  return std::filesystem::exists(folder / "data") ? folder / "data" : std::filesystem::path();
}

/// A fresh folder that is removed at the end of its scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "argosy-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace argosy::test
