#include "input/byte_source.h"

#include <bzlib.h>
#include <fcntl.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>

namespace zn::formats {
namespace {

constexpr size_t kInputBytes = 256 << 10;
// `xz -9` needs 65 MiB; a stream may ask for 4 GiB.
constexpr uint64_t kXzMemory = 256 << 20;

Error SystemError(std::string_view action, const std::string& path) {
  int error = errno;
  return Error{error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
               path + ": cannot " + std::string(action) + ": " + std::strerror(error)};
}

class FileSource : public ByteSource {
 public:
  FileSource(std::string path, int fd, int64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  ~FileSource() override { ::close(fd_); }

  Result<size_t> Read(std::span<char> out) override {
    size_t done = 0;
    while (done < out.size()) {
      ssize_t n = ::read(fd_, out.data() + done, std::min(out.size() - done, size_t{1} << 30));
      if (n < 0) {
        if (errno == EINTR) continue;
        return SystemError("read", path_);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
      position_ += n;
    }
    return done;
  }
  Compression compression() const override { return Compression::kNone; }
  int64_t file_size() const override { return size_; }
  int64_t position() const override { return position_; }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const int fd_;
  const int64_t size_;
  std::atomic<int64_t> position_{0};
};

// Feeds a decoder from a file. Step() consumes input_ and fills the rest of `out`.
class Decompressor : public ByteSource {
 public:
  Decompressor(std::unique_ptr<FileSource> file, Compression compression)
      : file_(std::move(file)), compression_(compression), buffer_(kInputBytes) {}

  Result<size_t> Read(std::span<char> out) override {
    if (pending_) return *pending_;
    size_t done = 0;
    while (done < out.size() && !finished_) {
      if (input_.empty() && !file_end_) {
        Result<size_t> n = file_->Read(buffer_);
        if (!n) return Fail(std::move(n).error(), done);
        input_ = std::span<char>(buffer_.data(), *n);
        file_end_ = *n < buffer_.size();
      }
      size_t input_before = input_.size();
      Result<size_t> n = Step(out.subspan(done), file_end_);
      if (!n) return Fail(std::move(n).error(), done);
      done += *n;
      if (!finished_ && *n == 0 && input_.size() == input_before && file_end_) {
        return Fail(Damaged("ends before the end of its compressed stream; it was cut short"),
                    done);
      }
    }
    return done;
  }
  Compression compression() const override { return compression_; }
  int64_t file_size() const override { return file_->file_size(); }
  int64_t position() const override { return file_->position(); }

 protected:
  virtual Result<size_t> Step(std::span<char> out, bool last) = 0;
  Error Damaged(const std::string& what) const {
    return Error{ErrorCode::kCorrupt, file_->path() + ": " + what + "; get the file again"};
  }
  void Skip(size_t bytes) { input_ = input_.subspan(bytes); }

  std::span<char> input_;
  bool finished_ = false;
  const std::unique_ptr<FileSource> file_;

 private:
  // What was decoded before the damage is given first.
  Result<size_t> Fail(Error error, size_t done) {
    pending_ = std::move(error);
    if (done > 0) return done;
    return *pending_;
  }
  const Compression compression_;
  std::vector<char> buffer_;
  bool file_end_ = false;
  std::optional<Error> pending_;
};

class GzipSource : public Decompressor {
 public:
  explicit GzipSource(std::unique_ptr<FileSource> file)
      : Decompressor(std::move(file), Compression::kGzip) {
    ok_ = inflateInit2(&stream_, 15 + 16) == Z_OK;
  }
  ~GzipSource() override { inflateEnd(&stream_); }

 protected:
  Result<size_t> Step(std::span<char> out, bool last) override {
    if (!ok_) return Error{ErrorCode::kTooLarge, "zlib: out of memory"};
    if (between_) {
      // Members may be followed by zeros (tapes, block padding) or by the next member.
      while (!input_.empty() && input_[0] == 0) Skip(1);
      if (input_.empty()) {
        finished_ = last;
        return size_t{0};
      }
      inflateReset(&stream_);
      between_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(input_.size());
    size_t room = std::min(out.size(), size_t{1} << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(room);
    int code = inflate(&stream_, Z_NO_FLUSH);
    Skip(input_.size() - stream_.avail_in);
    size_t made = room - stream_.avail_out;
    if (code == Z_STREAM_END) {
      between_ = true;
      finished_ = last && input_.empty();
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return Damaged(std::string("its gzip stream is damaged (") +
                     (stream_.msg != nullptr ? stream_.msg : "unknown error") + ")");
    }
    return made;
  }

 private:
  z_stream stream_{};
  bool ok_ = false;
  bool between_ = false;
};

class Bzip2Source : public Decompressor {
 public:
  explicit Bzip2Source(std::unique_ptr<FileSource> file)
      : Decompressor(std::move(file), Compression::kBzip2) {
    ok_ = BZ2_bzDecompressInit(&stream_, 0, 0) == BZ_OK;
  }
  ~Bzip2Source() override { BZ2_bzDecompressEnd(&stream_); }

 protected:
  Result<size_t> Step(std::span<char> out, bool last) override {
    if (between_) {
      if (input_.empty()) {
        finished_ = last;
        return size_t{0};
      }
      BZ2_bzDecompressEnd(&stream_);
      stream_ = {};
      ok_ = BZ2_bzDecompressInit(&stream_, 0, 0) == BZ_OK;
      between_ = false;
    }
    if (!ok_) return Error{ErrorCode::kTooLarge, "bzip2: out of memory"};
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<unsigned>(input_.size());
    size_t room = std::min(out.size(), size_t{1} << 30);
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<unsigned>(room);
    int code = BZ2_bzDecompress(&stream_);
    Skip(input_.size() - stream_.avail_in);
    size_t made = room - stream_.avail_out;
    if (code == BZ_STREAM_END) {
      between_ = true;
      finished_ = last && input_.empty();
    } else if (code != BZ_OK) {
      return Damaged("its bzip2 stream is damaged");
    }
    return made;
  }

 private:
  bz_stream stream_{};
  bool ok_ = false;
  bool between_ = false;
};

class XzSource : public Decompressor {
 public:
  explicit XzSource(std::unique_ptr<FileSource> file)
      : Decompressor(std::move(file), Compression::kXz) {
    ok_ = lzma_stream_decoder(&stream_, kXzMemory, LZMA_CONCATENATED) == LZMA_OK;
  }
  ~XzSource() override { lzma_end(&stream_); }

 protected:
  Result<size_t> Step(std::span<char> out, bool last) override {
    if (!ok_) return Error{ErrorCode::kTooLarge, "xz: out of memory"};
    stream_.next_in = reinterpret_cast<const uint8_t*>(input_.data());
    stream_.avail_in = input_.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(out.data());
    stream_.avail_out = out.size();
    lzma_ret code = lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
    Skip(input_.size() - stream_.avail_in);
    size_t made = out.size() - stream_.avail_out;
    if (code == LZMA_STREAM_END) {
      finished_ = true;
    } else if (code == LZMA_MEMLIMIT_ERROR) {
      return Error{ErrorCode::kTooLarge,
                   file_->path() +
                       ": its xz stream needs more than 256 MiB to decompress; compress it "
                       "anew with xz -9 or less"};
    } else if (code != LZMA_OK && code != LZMA_BUF_ERROR) {
      return Damaged("its xz stream is damaged");
    }
    return made;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ok_ = false;
};

}  // namespace

Compression DetectCompression(std::span<const std::byte> head) {
  auto starts = [&](std::string_view magic) {
    return head.size() >= magic.size() && std::memcmp(head.data(), magic.data(), magic.size()) == 0;
  };
  if (starts("\x1f\x8b")) return Compression::kGzip;
  if (starts("BZh") && head.size() > 3 && head[3] >= std::byte{'1'} && head[3] <= std::byte{'9'})
    return Compression::kBzip2;
  if (starts(std::string_view("\xFD"
                              "7zXZ\0",
                              6)))
    return Compression::kXz;
  return Compression::kNone;
}

Result<std::unique_ptr<ByteSource>> ByteSource::Open(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    Error error = SystemError("stat", path);
    ::close(fd);
    return error;
  }
  auto file = std::make_unique<FileSource>(path, fd, status.st_size);
  if (S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path + ": is a directory; name a trajectory file"};
  }
  std::byte head[8];
  ssize_t n = ::pread(fd, head, sizeof head, 0);
  if (n < 0) return SystemError("read (it must be a regular file)", path);
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  std::unique_ptr<ByteSource> source;
  switch (DetectCompression(std::span(head, static_cast<size_t>(n)))) {
    case Compression::kGzip:
      source = std::make_unique<GzipSource>(std::move(file));
      break;
    case Compression::kBzip2:
      source = std::make_unique<Bzip2Source>(std::move(file));
      break;
    case Compression::kXz:
      source = std::make_unique<XzSource>(std::move(file));
      break;
    case Compression::kNone:
      source = std::move(file);
      break;
  }
  return source;
}

Result<std::vector<std::byte>> ReadHead(const std::string& path, size_t limit) {
  ZN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, ByteSource::Open(path));
  std::vector<char> text(limit);
  Result<size_t> n = source->Read(text);
  if (!n) return std::move(n).error();
  const std::byte* bytes = reinterpret_cast<const std::byte*>(text.data());
  return std::vector<std::byte>(bytes, bytes + *n);
}

}  // namespace zn::formats
