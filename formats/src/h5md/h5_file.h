// An HDF5 file opened for reading: objects found only by links that stay inside it, and attributes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "h5md/h5_handle.h"
#include "hierarchy/hierarchy.h"

namespace zn::formats::h5 {

/// The identifier of an object of this file.
inline hid_t Id(const Object& object) {
  const auto* handle = static_cast<const Handle*>(object.native.get());
  return handle != nullptr ? handle->get() : -1;
}

/// Opened read-only and without file locks. All members may be called from any thread.
class File final : public Hierarchy {
 public:
  /// kCorrupt with libhdf5's reason when it is no HDF5 file or is cut short.
  static Result<std::shared_ptr<const File>> Open(const std::string& path);
  ~File() override;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string_view tool() const override { return "h5ls"; }
  int64_t size() const { return size_; }
  /// Of the same file, for pread and mmap.
  int descriptor() const { return descriptor_; }

  Object root() const override { return root_; }
  /// Names of a group's links, sorted.
  Result<std::vector<std::string>> Names(const Object& group) const override;
  /// The object behind a link of `group`; nullopt when there is none. Soft links are followed
  /// within the file; external and user-defined links are kUnsupported.
  Result<std::optional<Object>> Find(const Object& group, const std::string& name) const override {
    return Find(group, name, 0);
  }
  /// Several steps: Find("h5md/creator") from the root.
  Result<std::optional<Object>> FindPath(const Object& from, std::string_view path) const override {
    return FindPath(from, path, 0);
  }

  Result<std::shared_ptr<formats::Dataset>> OpenDataset(const Object& object) const override;

  bool HasAttribute(const Object& object, const char* name) const;
  /// The strings of a string attribute, fixed or variable length; nullopt when there is none or it
  /// holds no strings.
  std::optional<std::vector<std::string>> Strings(const Object& object, const char* name) const override;
  /// Numbers as doubles, row-major; nullopt when there is none, or it holds none or more than 4096.
  std::optional<std::vector<double>> Numbers(const Object& object, const char* name) const override;
  std::optional<int64_t> Integer(const Object& object, const char* name) const override;
  /// The address of the object that a reference attribute names; nullopt when there is none.
  std::optional<unsigned long long> Reference(const Object& object, const char* name) const override;

  using Hierarchy::Fail;
  /// With libhdf5's reason.
  Error Fail(ErrorCode code, const std::string& object, const std::string& what,
             const std::string& remedy, bool library) const {
    return MakeError(code, path_, object, what, remedy, library);
  }

 private:
  File() = default;
  Result<std::optional<Object>> Find(const Object& group, const std::string& name, int depth) const;
  Result<std::optional<Object>> FindPath(const Object& from, std::string_view path,
                                         int depth) const;
  Result<Object> Describe(Handle id, std::string path) const;

  int64_t size_ = 0;
  int descriptor_ = -1;
  Handle handle_;
  Object root_;
};

/// True for the signature of HDF5 at 0 or behind a user block (512, 1024, ...) within `head`.
bool HasSignature(std::span<const std::byte> head);

}  // namespace zn::formats::h5
