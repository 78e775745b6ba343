#pragma once
#include "data/dataset.h"
#include "fleet/mined.h"
#include "run/recipe.h"

namespace argosy::fleet {

/// Shadow mode on recordings: the policy sees every frame of a data set and says what it would do;
/// where that lastingly differs from what the driver did is a trigger. Adds the recorded part to
/// `mined`, and the pictures of the largest ones to `folder`.
void ride_along(const data::Dataset& dataset, const run::Recipe& recipe, const Path& state_file,
                const Path& folder, Mined& mined);

}  // namespace argosy::fleet
