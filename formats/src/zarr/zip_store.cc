#include <fcntl.h>
#include <libdeflate.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "zarr/store.h"
#include "zarr/zip_index.h"

namespace zn::formats::zarr {
namespace {

class FileRange final : public ByteRange {
 public:
  FileRange(int descriptor, uint64_t size) : descriptor_(descriptor), size_(size) {}
  ~FileRange() override { ::close(descriptor_); }
  FileRange(const FileRange&) = delete;
  FileRange& operator=(const FileRange&) = delete;

  uint64_t size() const override { return size_; }
  Result<> ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    for (size_t done = 0; done < out.size();) {
      const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error{ErrorCode::kIo, std::strerror(errno)};
      if (got == 0)
        return Error{ErrorCode::kCorrupt,
                     "ends before byte " + std::to_string(offset + out.size())};
      done += static_cast<size_t>(got);
    }
    return {};
  }

 private:
  const int descriptor_;
  const uint64_t size_;
};

class ZipStore final : public Store {
 public:
  ZipStore(std::string path, std::unique_ptr<const FileRange> file,
           std::map<std::string, ZipEntry> index)
      : Store(std::move(path)), file_(std::move(file)), index_(std::move(index)) {}

  Result<std::optional<Buffer>> Get(const std::string& key, size_t limit) const override {
    const auto found = index_.find(key);
    if (found == index_.end()) return std::optional<Buffer>();
    const ZipEntry& entry = found->second;
    if (entry.size > limit)
      return Error{ErrorCode::kTooLarge, key + ": claims " + std::to_string(entry.size) +
                                             " bytes; at most " + std::to_string(limit) +
                                             " can be what it should hold"};
    ZN_RETURN_IF_ERROR(Check(key, entry));
    ZN_ASSIGN_OR_RETURN(const uint64_t data, FindZipData(*file_, key, entry));
    ZN_ASSIGN_OR_RETURN(Buffer bytes, Read(key, data, static_cast<size_t>(entry.packed_size)));
    if (entry.method == 8) {
      ZN_ASSIGN_OR_RETURN(bytes, Inflate(key, entry, bytes));
    }
    if (libdeflate_crc32(0, bytes.data(), bytes.size()) != entry.crc)
      return Error{
          ErrorCode::kCorrupt,
          key +
              ": its checksum in the zip archive is wrong; copy the archive again from its source"};
    return std::optional<Buffer>(std::move(bytes));
  }

  Result<std::optional<uint64_t>> Size(const std::string& key) const override {
    const auto found = index_.find(key);
    if (found == index_.end()) return std::optional<uint64_t>();
    return std::optional<uint64_t>(found->second.size);
  }

  Result<Buffer> GetRange(const std::string& key, uint64_t offset, size_t length) const override {
    const auto found = index_.find(key);
    if (found == index_.end() || offset > found->second.size ||
        length > found->second.size - offset)
      return Error{ErrorCode::kCorrupt, key + ": ends before byte " + std::to_string(offset) +
                                            " + " + std::to_string(length)};
    const ZipEntry& entry = found->second;
    ZN_RETURN_IF_ERROR(Check(key, entry));
    if (entry.method == 0) {
      ZN_ASSIGN_OR_RETURN(const uint64_t data, FindZipData(*file_, key, entry));
      return Read(key, data + offset, length);
    }
    ZN_ASSIGN_OR_RETURN(auto whole, Get(key, kMaxInflated));
    return whole->Slice(static_cast<size_t>(offset), length);
  }

  Result<std::vector<Child>> List(const std::string& folder) const override {
    std::vector<Child> children;
    const std::string prefix = folder.empty() ? "" : folder + "/";
    for (auto at = index_.lower_bound(prefix);
         at != index_.end() && at->first.starts_with(prefix);) {
      const size_t slash = at->first.find('/', prefix.size());
      const bool is_folder = slash != std::string::npos;
      std::string name =
          at->first.substr(prefix.size(), is_folder ? slash - prefix.size() : std::string::npos);
      // '0' is the character behind '/': the first key behind everything in this folder.
      at = is_folder ? index_.lower_bound(prefix + name + '0') : std::next(at);
      children.push_back({std::move(name), is_folder});
    }
    return children;
  }

 private:
  static constexpr size_t kMaxInflated = size_t{1} << 30;
  // DEFLATE makes at most 1032 bytes of one.
  static constexpr uint64_t kMaxInflation = 1100;

  static Result<> Check(const std::string& key, const ZipEntry& entry) {
    if (entry.encrypted) return Error{ErrorCode::kUnsupported, key + ": is encrypted"};
    if (entry.method != 0 && entry.method != 8)
      return Error{ErrorCode::kUnsupported, key + ": is compressed by zip method " +
                                                std::to_string(entry.method) +
                                                "; stored and deflated members are read"};
    const bool sound = entry.method == 0 ? entry.packed_size == entry.size
                                         : entry.size / kMaxInflation <= entry.packed_size;
    if (!sound)
      return Error{ErrorCode::kCorrupt,
                   key + ": its sizes in the zip archive contradict each other"};
    return {};
  }

  static Result<std::shared_ptr<std::byte[]>> Allocate(const std::string& key, size_t size) {
    std::shared_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[size]);
    if (!bytes) return Error{ErrorCode::kTooLarge, key + ": is too large for the memory there is"};
    return bytes;
  }

  Result<Buffer> Read(const std::string& key, uint64_t offset, size_t length) const {
    ZN_ASSIGN_OR_RETURN(auto bytes, Allocate(key, length));
    if (auto read = file_->ReadAt(offset, {bytes.get(), length}); !read)
      return std::move(read).error().Context(key);
    return Buffer(std::shared_ptr<const void>(bytes, bytes.get()), {bytes.get(), length});
  }

  static Result<Buffer> Inflate(const std::string& key, const ZipEntry& entry,
                                const Buffer& packed) {
    ZN_ASSIGN_OR_RETURN(auto bytes, Allocate(key, static_cast<size_t>(entry.size)));
    std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> inflater(
        libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
    if (!inflater) return Error{ErrorCode::kTooLarge, key + ": not enough memory"};
    size_t made = 0;
    const auto result =
        libdeflate_deflate_decompress(inflater.get(), packed.data(), packed.size(), bytes.get(),
                                      static_cast<size_t>(entry.size), &made);
    if (result != LIBDEFLATE_SUCCESS || made != entry.size)
      return Error{ErrorCode::kCorrupt,
                   key + ": its deflated bytes in the zip archive are damaged"};
    return Buffer(std::shared_ptr<const void>(bytes, bytes.get()), {bytes.get(), made});
  }

  const std::unique_ptr<const FileRange> file_;
  const std::map<std::string, ZipEntry> index_;
};

}  // namespace

Result<std::shared_ptr<const Store>> OpenZip(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                 path + ": " + std::strerror(errno)};
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  auto file = std::make_unique<const FileRange>(
      descriptor, regular ? static_cast<uint64_t>(status.st_size) : 0);
  if (!regular)
    return Error{ErrorCode::kUnsupported,
                 path + ": is no regular file; a zip archive needs random access"};
  auto index = ReadZipIndex(*file);
  if (!index) return std::move(index).error().Context(path);
  return std::shared_ptr<const Store>(
      std::make_shared<ZipStore>(path, std::move(file), std::move(*index)));
}

}  // namespace zn::formats::zarr
