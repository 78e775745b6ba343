#pragma once
#include <string>

#include "eval/closed_loop_result.h"

namespace argosy::eval {

/// How many classes of error a driven line is coloured by: equal parts of the way from the centre
/// line to the road's edge, and the last for what is beyond it.
inline constexpr int kErrorClasses = 5;

/// A track from above as SVG, north up: the road, `other` as a thin line, `drive` coloured by its
/// distance from the centre line (classes "stroke-error-N" of the page), rings where the safety
/// driver took over. `other` may be null.
std::string track_map(const TrackShape& track, const DriveTrace& drive, const DriveTrace* other);

}  // namespace argosy::eval
