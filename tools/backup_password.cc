#include "backup_password.h"

#include <cstdlib>
#include <fstream>

namespace zn::tools {

Result<std::optional<std::string>> ReadBackupPassword(std::string file) {
  if (file.empty()) {
    if (const char* password = std::getenv("ZN_BACKUP_PASSWORD");
        password != nullptr && *password != '\0')
      return std::optional<std::string>(password);
    if (const char* named = std::getenv("ZN_BACKUP_PASSWORD_FILE"); named != nullptr) file = named;
  }
  if (file.empty()) return std::optional<std::string>();
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line) || line.empty())
    return Error{ErrorCode::kInvalidArgument,
                 "cannot read a password from the first line of " + file};
  return std::optional<std::string>(std::move(line));
}

}  // namespace zn::tools
