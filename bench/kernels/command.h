#pragma once
#include <functional>
#include <string>
#include <vector>

#include "bench/measure.h"

/// What the programs of this folder have in common: their command line and their output.
namespace argosy::bench {

/// A named measurement; measures for about so many seconds and prints its lines.
struct Measurement {
  std::string name;
  std::function<void(double seconds)> run;
};

/// A copy in memory: what bounds that move bytes are compared with.
Measurement memory_copy();
/// A sweep that only reads: one core may read slower than it copies.
Measurement memory_read();

/// One JSON object: medians of wall time and of all threads' CPU time; by the first GFLOP/s and
/// GB/s.
void print_line(std::string_view name, std::string_view program, const Block& times, double flops,
                double bytes);

/// [TEXT...] [--threads N] [--seconds S] [--instructions NAME]: runs those whose names contain one
/// of the texts (all without any) and gives the exit code.
int run_measurements(int argc, char** argv, const std::vector<Measurement>& all);

}  // namespace argosy::bench
