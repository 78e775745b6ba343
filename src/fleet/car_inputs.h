#pragma once
#include <vector>

#include "data/donkey_tub_manifest.h"

namespace argosy::fleet {

/// What every simulated car records, first in its tub.
inline std::vector<data::TubManifest::Input> car_inputs() {
  return {{"cam/image_array", "image_array"},
          {"user/angle", "float"},
          {"user/throttle", "float"},
          {"user/mode", "str"},
          {"world", "str"},
          {"enc/speed", "float"},
          {"driver/disturbed", "boolean"},
          {"driver/recovering", "boolean"}};
}

}  // namespace argosy::fleet
