#pragma once
#include <string>

#include "fleet/improve.h"

namespace argosy::fleet {

/// What the rounds brought as one HTML page that needs nothing else; films and pictures are read
/// from the rounds' folders and are inside it.
std::string report(const ImproveResult& result);

}  // namespace argosy::fleet
