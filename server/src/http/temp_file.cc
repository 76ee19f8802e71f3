#include "http/temp_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace zn::server {
namespace {

Error SystemFailure(const std::string& what) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kNoSpace : ErrorCode::kIo;
  return {code, what + ": " + std::strerror(errno)};
}

struct Mapping {
  Mapping(std::shared_ptr<TempFile> of, void* at, size_t length) : file(std::move(of)), bytes(at), size(length) {}
  std::shared_ptr<TempFile> file;
  void* bytes;
  size_t size;
  ~Mapping() { ::munmap(bytes, size); }
};

}  // namespace

Result<std::shared_ptr<TempFile>> TempFile::Create(const std::string& folder) {
  int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {  // file systems without nameless files
    std::string name = folder + "/zn-upload-XXXXXX";
    descriptor = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor >= 0) ::unlink(name.c_str());
  }
  if (descriptor < 0) return SystemFailure("cannot make a file for an upload in " + folder);
  return std::shared_ptr<TempFile>(new TempFile(descriptor));
}

TempFile::~TempFile() { ::close(descriptor_); }

Result<> TempFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), size_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemFailure("cannot keep an upload");
    bytes.remove_prefix(static_cast<size_t>(n));
    size_ += n;
  }
  return {};
}

Result<Buffer> TempFile::Map(std::shared_ptr<TempFile> file) {
  const auto size = static_cast<size_t>(file->size_);
  if (size == 0) return Buffer();
  void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file->descriptor_, 0);
  if (bytes == MAP_FAILED) return SystemFailure("cannot read an upload");
  ::madvise(bytes, size, MADV_SEQUENTIAL);
  auto mapping = std::make_shared<Mapping>(std::move(file), bytes, size);
  return Buffer(mapping, {static_cast<const std::byte*>(bytes), size});
}

}  // namespace zn::server
