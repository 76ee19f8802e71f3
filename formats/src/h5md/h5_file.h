// An HDF5 file opened for reading: objects found only by links that stay inside it, and attributes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "h5md/h5_handle.h"

namespace zn::formats::h5 {

class File;

/// A group or dataset of an open file. Cheap to copy.
struct Object {
  Handle id;
  std::string path;  // without a leading slash: "particles/all/position"; "" for the root
  bool is_group = false;
  unsigned long long address = 0;  // the same for every hard link to the object
};

/// Opened read-only and without file locks. All members may be called from any thread.
class File {
 public:
  /// kCorrupt with libhdf5's reason when it is no HDF5 file or is cut short.
  static Result<std::shared_ptr<const File>> Open(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  /// Of the same file, for pread and mmap.
  int descriptor() const { return descriptor_; }

  Object root() const { return root_; }
  /// Names of a group's links, sorted.
  Result<std::vector<std::string>> Names(const Object& group) const;
  /// The object behind a link of `group`; nullopt when there is none. Soft links are followed
  /// within the file; external and user-defined links are kUnsupported.
  Result<std::optional<Object>> Find(const Object& group, const std::string& name) const {
    return Find(group, name, 0);
  }
  /// Several steps: Find("h5md/creator") from the root.
  Result<std::optional<Object>> FindPath(const Object& from, std::string_view path) const {
    return FindPath(from, path, 0);
  }

  bool HasAttribute(const Object& object, const char* name) const;
  /// The strings of a string attribute, fixed or variable length; nullopt when there is none or it
  /// holds no strings.
  std::optional<std::vector<std::string>> Strings(const Object& object, const char* name) const;
  std::optional<std::string> String(const Object& object, const char* name) const;
  /// Numbers as doubles, row-major; nullopt when there is none, or it holds none or more than 4096.
  std::optional<std::vector<double>> Numbers(const Object& object, const char* name) const;
  std::optional<int64_t> Integer(const Object& object, const char* name) const;
  /// The address of the object that a reference attribute names; nullopt when there is none.
  std::optional<unsigned long long> Reference(const Object& object, const char* name) const;

  Error Fail(ErrorCode code, const std::string& object, const std::string& what,
             const std::string& remedy = "", bool library = false) const {
    return MakeError(code, path_, object, what, remedy, library);
  }

 private:
  File() = default;
  Result<std::optional<Object>> Find(const Object& group, const std::string& name, int depth) const;
  Result<std::optional<Object>> FindPath(const Object& from, std::string_view path,
                                         int depth) const;
  Result<Object> Describe(Handle id, std::string path) const;

  std::string path_;
  int64_t size_ = 0;
  int descriptor_ = -1;
  Handle handle_;
  Object root_;
};

/// True for the signature of HDF5 at 0 or behind a user block (512, 1024, ...) within `head`.
bool HasSignature(std::span<const std::byte> head);

}  // namespace zn::formats::h5
