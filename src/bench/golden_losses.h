#pragma once
#include <array>
#include <string_view>

// Written by bench/peers/torch_cases.py --goldens (PyTorch 2.13.0, f32); not to be edited.
namespace argosy::bench {

struct GoldenLosses {
  std::string_view name;
  std::array<float, 10> losses;
};

inline constexpr std::array<GoldenLosses, 6> kGoldenLosses = {{
    {"driving",
     {0.3626861f, 0.3496448f, 0.3380348f, 0.3263217f, 0.3141803f, 0.3012257f, 0.2871649f,
      0.2718216f, 0.2561342f, 0.2392415f}},
    {"resnet18",
     {1.549907f, 21.31961f, 3.955293f, 1.034211f, 3.867642f, 3.70874f, 1.728638f, 0.4725321f,
      0.6044797f, 1.210719f}},
    {"temporal",
     {0.4433733f, 3.150336f, 0.5616376f, 0.6239284f, 1.239815f, 0.9618644f, 0.4632963f, 0.2152925f,
      0.257779f, 0.409422f}},
    {"gpt",
     {9.073663f, 8.958021f, 8.860033f, 8.760247f, 8.668428f, 8.580056f, 8.49446f, 8.407064f,
      8.31738f, 8.225985f}},
    {"grok",
     {9.025437f, 8.926147f, 8.844148f, 8.767161f, 8.693096f, 8.621984f, 8.55474f, 8.489891f,
      8.425472f, 8.360119f}},
    {"act",
     {0.7320664f, 0.7574612f, 0.5649949f, 0.5416147f, 0.5256761f, 0.5241182f, 0.5214034f,
      0.5138434f, 0.5080708f, 0.5075037f}},
}};

}  // namespace argosy::bench
