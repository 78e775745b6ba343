#include "text/versions.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

namespace argosy::text {

std::vector<std::pair<std::string, std::string>> library_versions() {
  char pcre2[64] = {};
  pcre2_config(PCRE2_CONFIG_VERSION, pcre2);  // 24 characters at most, says its manual
  return {{"PCRE2", pcre2},
          {"SentencePiece", ARGOSY_SENTENCEPIECE_VERSION},
          {"utf8proc", utf8proc_version()}};
}

}  // namespace argosy::text
