#include "base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace argosy {

Error::Error(const ErrorText& text)
    : std::runtime_error(fmt::format("{}: {}; {}", text.where, text.what, text.fix)),
      kind_(text.kind) {
  check(!text.what.empty() && !text.where.empty() && !text.fix.empty(),
        "an Error needs what, where and fix");
}

Error file_error(const std::string& action, const std::string& path, int error_number) {
  const char* fix = "check the path";
  switch (error_number) {
    case ENOENT:
      fix = "check that the path exists";
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      fix = "check the permissions or choose another place";
      break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      fix = "free some space or choose another place, then run the same command again";
      break;
    case EEXIST:
      fix = "choose another name or remove what is there";
      break;
    case EMFILE:
    case ENFILE:
      fix = "raise the limit of open files (ulimit -n)";
      break;
    case EIO:
      fix = "check the disk";
      break;
    default:
      break;
  }
  return Error({.what = fmt::format("cannot {}: {}", action, std::strerror(error_number)),
                .where = path,
                .fix = fix,
                .kind = ErrorKind::file});
}

}  // namespace argosy
