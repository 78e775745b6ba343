#include <algorithm>

#include "data/importer.h"

namespace argosy::data {

std::span<const Importer> importers() {
  static const Importer kImporters[] = {kDonkeyTub};
  return kImporters;
}

const Importer* importer_for(const Path& path) {
  const auto all = importers();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Importer& i) { return i.recognises(path); });
  return found == all.end() ? nullptr : &*found;
}

void count_skipped(std::vector<Skipped>& skipped, const std::string& reason,
                   const std::string& where) {
  for (Skipped& entry : skipped)
    if (entry.reason == reason) {
      ++entry.count;
      return;
    }
  skipped.push_back({reason, 1, where});
}

}  // namespace argosy::data
