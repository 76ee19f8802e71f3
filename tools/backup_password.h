// The password of a backup repository, as every program that opens one asks for it.
#pragma once

#include <optional>
#include <string>

#include "zn/engine/error.h"

namespace zn::tools {

/// The first line of `file` (--password-file), else ZN_BACKUP_PASSWORD, else the first line of the
/// file that ZN_BACKUP_PASSWORD_FILE names; nullopt when there is none of these. Never from the
/// command line, which everybody can see.
Result<std::optional<std::string>> ReadBackupPassword(std::string file);

}  // namespace zn::tools
