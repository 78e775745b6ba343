#include "data/versions.h"

#include <arrow/util/config.h>
#include <fmt/format.h>

extern "C" {
#include <libavutil/avutil.h>
}

namespace argosy::data {

std::vector<std::pair<std::string, std::string>> library_versions() {
  const unsigned util = avutil_version();
  return {
      {"FFmpeg", fmt::format("{} (libavutil {}.{}.{})", av_version_info(), AV_VERSION_MAJOR(util),
                             AV_VERSION_MINOR(util), AV_VERSION_MICRO(util))},
      {"TurboJPEG", ARGOSY_TURBOJPEG_VERSION},
      {"Arrow and Parquet", ARROW_VERSION_STRING},
  };
}

}  // namespace argosy::data
