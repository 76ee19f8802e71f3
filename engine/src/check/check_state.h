// Which packs an earlier check has found whole, in a file that the user names: zn-fsck --resume.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/file.h"
#include "zn/engine/error.h"

namespace zn::check {

/// Text: a line with the store's UUID and the sample, then one for each pack: its number, size and
/// time of change. A pack that has changed since is looked at again. One thread.
class CheckState {
 public:
  /// Of no file when `path` is empty. What is of another store or sample, or makes no sense, is
  /// begun anew.
  CheckState(std::string path, const std::string& uuid, uint32_t sample_part, uint32_t sample_of);

  bool IsDone(uint32_t pack, const File& file) const;
  /// Durable when it returns.
  Result<> SetDone(uint32_t pack, const File& file);

 private:
  struct Stamp {
    int64_t size = 0, changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  static Stamp StampOf(const File& file);

  const std::string path_, head_;
  std::map<uint32_t, Stamp> done_;
};

}  // namespace zn::check
