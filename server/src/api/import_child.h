// zn-import as a child: it reads a stranger's file in a sandbox and sends the frames through a pipe.
//
// The child has the file, the pipe and nothing else: seccomp and Landlock keep it from files, network and other
// programs, limits from memory and processor time (tools/sandbox.h). What it sends is checked as if the stranger had sent
// it (zn/formats/batch_stream.h).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "zn/engine/batch.h"

namespace zn::server {

struct ImportChildOptions {
  std::string program;                 // zn-import
  std::vector<std::string> arguments;  // "--format=extxyz", ...
  int file = -1;                       // inherited by the child
  int64_t memory_bytes = 0, cpu_seconds = 0;
  int64_t max_bytes = 0;               // of frames; kTooLarge beyond: a small file may claim to be a large one
};

/// One thread at a time, but for Kill and progress.
class ImportChild {
 public:
  static Result<std::unique_ptr<ImportChild>> Start(const ImportChildOptions& options);
  /// Ends the child.
  ~ImportChild();

  /// The next frames; nullopt at the end. kInvalidArgument with the child's words for a file that cannot be read,
  /// kCancelled after Kill, kTooLarge when the child ran out of memory or time.
  Result<std::optional<FrameBatch>> Next();
  double progress() const { return progress_.load(std::memory_order_relaxed); }
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// From any thread.
  void Kill();

 private:
  ImportChild() = default;
  Result<> ReadAll(std::byte* out, size_t size);
  Error Ended();

  int pipe_ = -1;
  std::atomic<double> progress_{0};
  std::vector<std::string> warnings_;
  int64_t bytes_left_ = 0;
  int64_t silent_seconds_ = 0;
  std::atomic<bool> killed_{false};

  std::mutex mutex_;
  pid_t pid_ = -1;      // guarded by mutex_: -1 once it was waited for
};

}  // namespace zn::server
