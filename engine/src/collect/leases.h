// Leases: how readers in other processes keep the writer from taking away what they still read.
// docs/format.md, "Leases".
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/file.h"
#include "zn/engine/error.h"

namespace zn {

/// A reader's: a locked file that says the sequence of the log which the oldest of its snapshots
/// belongs to. It goes with the process, however that ends.
class Lease {
 public:
  /// Holds everything until Hold is called first. Errors when the folder cannot be written: then
  /// nothing is held.
  static Result<std::unique_ptr<Lease>> Take(const std::string& folder);
  ~Lease();

  /// From now on only what a snapshot of this sequence or a later one needs. Any thread.
  void Hold(uint64_t sequence);

 private:
  Lease(File file, std::string path, uint64_t* word)
      : file_(std::move(file)), path_(std::move(path)), word_(word) {}
  File file_;
  std::string path_;
  uint64_t* const word_;  // in a shared map of the file's first page
};

/// The writer's view.
struct Leases {
  uint64_t oldest = UINT64_MAX;  // what begins to be needless at a later sequence has to stay
  int64_t readers = 0;
};
/// Removes the files of readers that are gone.
Result<Leases> LookAtLeases(const std::string& folder);

}  // namespace zn
