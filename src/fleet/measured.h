#pragma once
#include <nlohmann/json_fwd.hpp>

#include "eval/closed_loop_result.h"
#include "fleet/improve.h"

namespace argosy::fleet {

Measured measured_of(const eval::ClosedLoopResult& result);

nlohmann::ordered_json json_of(const Measured& measured);
void write_measured(const Path& file, const Measured& measured);
/// throws Error (file): missing or damaged
Measured read_measured(const Path& file);

}  // namespace argosy::fleet
