// The keys and values of a Zarr store: a directory, or a zip archive. Immutable while it is read;
// any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn::formats::zarr {

class Store {
 public:
  struct Child {
    std::string name;
    bool is_folder = false;
  };
  virtual ~Store() = default;

  /// As the user gave it, for messages.
  const std::string& path() const { return path_; }

  /// The value at `key`, nullopt when there is none; kTooLarge above `limit` bytes. Keys are
  /// relative, without empty parts, "." or ".."; others are never found.
  virtual Result<std::optional<Buffer>> Get(const std::string& key, size_t limit) const = 0;
  /// Its size, nullopt when there is none.
  virtual Result<std::optional<uint64_t>> Size(const std::string& key) const = 0;
  /// Bytes [offset, offset + length) of it; kCorrupt when it ends before. REQUIRES: Size(key) gave
  /// one.
  virtual Result<Buffer> GetRange(const std::string& key, uint64_t offset, size_t length) const = 0;
  /// What lies directly in `folder` ("" is the root), sorted; nothing when there is no such folder.
  virtual Result<std::vector<Child>> List(const std::string& folder) const = 0;

 protected:
  explicit Store(std::string path) : path_(std::move(path)) {}

 private:
  const std::string path_;
};

/// Relative, of parts that are none of "", "." and "..", at most 4096 bytes, without NUL.
bool IsValidKey(std::string_view key);

/// A directory. Links and what is no regular file within it are kUnsupported, never followed.
Result<std::shared_ptr<const Store>> OpenDirectory(const std::string& path);
/// A zip archive (zip64 too) of stored or deflated members; kCorrupt naming what is wrong with it.
Result<std::shared_ptr<const Store>> OpenZip(const std::string& path);

}  // namespace zn::formats::zarr
