#include "base/file_system.h"

#include <fcntl.h>

namespace zn {
namespace {

class LocalFile : public WritableFile {
 public:
  explicit LocalFile(File file) : file_(std::move(file)) {}
  const File& file() const override { return file_; }
  Result<> Write(int64_t offset, std::span<const std::span<const std::byte>> pieces) override {
    return file_.WriteAt(offset, pieces);
  }
  Result<> Sync() override { return file_.SyncData(); }
  void StartWriteback(int64_t offset, int64_t size) override {
    file_.StartWriteback(offset, size);
  }
  void Reserve(int64_t offset, int64_t size) override {
    (void)::fallocate(file_.fd(), FALLOC_FL_KEEP_SIZE, offset, size);
  }

 private:
  File file_;
};

class Local : public FileSystem {
 public:
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    ZN_ASSIGN_OR_RETURN(File file, File::Open(path, File::kCreateNew));
    return std::unique_ptr<WritableFile>(std::make_unique<LocalFile>(std::move(file)));
  }
  Result<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path) override {
    ZN_ASSIGN_OR_RETURN(File file, File::Open(path, File::kReadWrite));
    return std::unique_ptr<WritableFile>(std::make_unique<LocalFile>(std::move(file)));
  }
  Result<File> OpenForReading(const std::string& path) const override {
    return File::Open(path, File::kRead);
  }
  Result<File> OpenUnsynced(const std::string& path, int64_t size) override {
    auto file = File::Open(path, PathExists(path) ? File::kReadWrite : File::kCreateNew);
    if (!file) return file;
    ZN_ASSIGN_OR_RETURN(int64_t have, file->Size());
    // Allocated, not just extended: a store through the mapping must not meet a full disk (SIGBUS).
    if (have < size) ZN_RETURN_IF_ERROR(file->Allocate(0, size));
    return file;
  }
  Result<std::vector<std::string>> List(const std::string& directory) const override {
    return ListDirectory(directory);
  }
  Result<> MakeDirectory(const std::string& path) override { return zn::MakeDirectory(path); }
  Result<> Rename(const std::string& from, const std::string& to) override {
    return RenameFile(from, to);
  }
  Result<> Remove(const std::string& path) override { return RemoveFile(path); }
  Result<> SyncDirectory(const std::string& path) override { return zn::SyncDirectory(path); }
  Result<> PunchHole(const std::string& path, int64_t offset, int64_t size) override {
    ZN_ASSIGN_OR_RETURN(const File file, File::Open(path, File::kReadWrite));
    return file.PunchHole(offset, size);
  }
};

}  // namespace

std::shared_ptr<FileSystem> LocalFileSystem() { return std::make_shared<Local>(); }

}  // namespace zn
