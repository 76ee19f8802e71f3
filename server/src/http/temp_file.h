// Bytes that are too many for memory on their way in: a file without a name, gone with its last holder.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn::server {

/// One thread at a time while it is written.
class TempFile {
 public:
  /// In `folder`, which must exist. kIo, kNoSpace.
  static Result<std::shared_ptr<TempFile>> Create(const std::string& folder);
  ~TempFile();
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  Result<> Append(std::string_view bytes);
  int64_t size() const { return size_; }
  /// For a child that inherits it; open as long as this object.
  int descriptor() const { return descriptor_; }
  /// All of `file`, mapped; the buffer holds it.
  static Result<Buffer> Map(std::shared_ptr<TempFile> file);

 private:
  explicit TempFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
  int64_t size_ = 0;
};

}  // namespace zn::server
