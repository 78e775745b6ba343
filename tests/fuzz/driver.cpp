// Stands in for libFuzzer where there is no clang++: the inputs to begin with, then changes of them
// that follow from a seed, without libFuzzer's eye for what reaches new code.
//   fuzz_NAME -runs=N -seed=N FOLDER...     other options are passed over
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::string;

uint64_t option(int argc, char** argv, std::string_view name, uint64_t otherwise) {
  for (int i = 1; i < argc; ++i)
    if (const std::string_view text = argv[i]; text.starts_with(name))
      std::from_chars(text.data() + name.size(), text.data() + text.size(), otherwise);
  return otherwise;
}

/// One to four small changes: bytes altered, left out, doubled or taken from another input.
Input changed(const std::vector<Input>& inputs, std::mt19937_64& random) {
  const auto below = [&](size_t n) {
    return static_cast<size_t>(random() % std::max<size_t>(n, 1));
  };
  Input input = inputs[below(inputs.size())];
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(input.size()), length = std::min(1 + below(16), input.size() - at);
    const Input& other = inputs[below(inputs.size())];
    switch (below(5)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(random());
        break;
      case 1:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
        break;
      case 2:
        input.erase(at, length);
        break;
      case 3:
        input.insert(at, input.substr(at, length));
        break;
      default:
        input.insert(at, other.substr(below(other.size()), length));
    }
  }
  return input;
}

void run(const Input& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Input> inputs = {""};
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') continue;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry);
    std::ranges::sort(files);
    for (const auto& path : files) {
      std::ifstream file(path, std::ios::binary);
      inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  for (const Input& input : inputs) run(input);
  std::mt19937_64 random(option(argc, argv, "-seed=", 1));
  const uint64_t runs = option(argc, argv, "-runs=", 1000);
  for (uint64_t i = 0; i < runs; ++i) run(changed(inputs, random));
  std::printf("%zu inputs and %lu changes of them\n", inputs.size(), runs);
}
