// Who is using a repository: a file in REPO/locks for each process, that it holds a lock on for as
// long as it runs.
//
// Several may read and add objects at once; prune is alone. A process that was killed leaves a file
// that nobody holds: whoever comes next says so and removes it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/file.h"
#include "zn/engine/error.h"

namespace zn::backup {

class RepositoryLock {
 public:
  enum class Kind { kShared, kExclusive };

  /// kBusy, naming process, host, command and time, when another's lock is in the way for longer
  /// than `wait`. `notice` is told of stale locks that were removed.
  static Result<std::unique_ptr<RepositoryLock>> Take(
      const std::string& repository, Kind kind, std::string_view command,
      std::chrono::milliseconds wait, const std::function<void(const std::string&)>& notice);
  ~RepositoryLock();

 private:
  RepositoryLock() = default;
  std::string path_;
  File file_;
};

}  // namespace zn::backup
