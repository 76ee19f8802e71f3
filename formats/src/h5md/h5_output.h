// Writing HDF5: groups, attributes, and datasets that grow by rows and are compressed outside of
// libhdf5's lock.
#pragma once

#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "h5md/h5_handle.h"
#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"

namespace zn::formats::h5 {

/// How datasets are stored.
struct Storage {
  int level = 4;  // of deflate; 0: not compressed
  int64_t chunk_bytes = 1 << 20;
  size_t threads = 1;
};

/// A file being written. One thread at a time.
class Output {
 public:
  static Result<std::unique_ptr<Output>> Create(const std::string& path, const Storage& storage);

  const Storage& storage() const { return storage_; }
  /// Makes the group and those above it where there are none. "a/b/c".
  Result<Handle> Group(const std::string& path);
  Result<> SetText(const Handle& object, const char* name, std::string_view text);
  Result<> SetTexts(const Handle& object, const char* name, std::span<const std::string> texts);
  Result<> SetIntegers(const Handle& object, const char* name, std::span<const int64_t> values,
                       bool scalar = false);
  /// Another name for an object of the file.
  Result<> Link(const std::string& target, const std::string& name);
  Result<> Close();

  hid_t id() const { return file_.get(); }
  Error Fail(const std::string& object, const std::string& what) const {
    return MakeError(ErrorCode::kIo, path_, object, what, "", true);
  }

 private:
  std::string path_;
  Storage storage_;
  Handle file_;
};

/// A dataset of numbers that grows along its first axis.
class RowWriter {
 public:
  /// Of shape (rows, row...). Where a row is large, chunks cut it along its first axis. `fill`
  /// other than 0 instead of the type's own fill value.
  static Result<std::unique_ptr<RowWriter>> Create(Output* output, const std::string& path,
                                                   DType dtype, const Shape& row, int64_t fill = 0);
  const Handle& handle() const { return dataset_; }
  const std::string& path() const { return path_; }
  int64_t rows() const { return rows_; }
  /// `count` whole rows, little-endian, C order.
  Result<> Append(std::span<const std::byte> rows, int64_t count);
  /// Writes what is left. Nothing may be appended behind it.
  Result<> Finish();

 private:
  struct Chunk {
    std::vector<std::byte> bytes;
    std::vector<hsize_t> offset;
  };
  RowWriter() = default;
  Result<> Flush(int64_t rows);
  Result<> Write(const Chunk& chunk);
  static Chunk Pack(Chunk chunk, size_t item, int level);

  Output* output_ = nullptr;
  std::string path_;
  Handle dataset_;
  size_t item_ = 0, row_bytes_ = 0;
  int64_t chunk_rows_ = 1, blocks_ = 1, block_ = 0;  // along row[0]
  size_t block_bytes_ = 0;                           // of one row's part of a block
  std::vector<std::byte> fill_;                      // one element
  std::vector<hsize_t> shape_;
  std::vector<std::byte> buffer_;  // chunk_rows_ rows
  size_t used_ = 0;                // of buffer_
  int64_t rows_ = 0, written_ = 0;
  std::deque<std::future<Chunk>> packing_;
};

/// A dataset of strings, one a row.
class TextWriter {
 public:
  static Result<std::unique_ptr<TextWriter>> Create(Output* output, const std::string& path);
  const Handle& handle() const { return dataset_; }
  const std::string& path() const { return path_; }
  Result<> Append(std::span<const std::string> texts);

 private:
  TextWriter() = default;
  Output* output_ = nullptr;
  std::string path_;
  Handle dataset_, type_;
  hsize_t rows_ = 0;
};

}  // namespace zn::formats::h5
