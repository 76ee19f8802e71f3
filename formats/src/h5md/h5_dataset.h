// A dataset read by rows of its first axis: from where they lie in the file when they can be
// mapped, from chunks that are inflated outside libhdf5's lock when the filters are known, through
// H5Dread otherwise.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "h5md/filters.h"
#include "h5md/h5_file.h"
#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"

namespace zn::formats::h5 {

/// Heap bytes that were not written to yet, and the Buffer they become.
struct Block {
  static Result<Block> Allocate(int64_t rows, int64_t row_bytes);
  std::byte* data() const { return bytes.get(); }
  Buffer Take(size_t used) && {
    return Buffer(std::shared_ptr<const void>(bytes), {bytes.get(), used});
  }
  std::shared_ptr<std::byte[]> bytes;
  size_t size = 0;
};

class Dataset {
 public:
  /// Checks everything that can be checked without reading values. kUnsupported for external and
  /// virtual storage and for filters nobody here knows, kCorrupt for storage beyond the end of the
  /// file, kTooLarge for shapes that the file does not back with bytes (docs/h5md.md, "What is
  /// refused").
  static Result<std::shared_ptr<Dataset>> Open(std::shared_ptr<const File> file,
                                               const Object& object);

  const File& file() const { return *file_; }
  const Object& object() const { return object_; }
  const std::string& path() const { return object_.path; }

  /// Empty for a scalar.
  const std::vector<int64_t>& shape() const { return shape_; }
  /// Rows of the first axis; 1 for a scalar.
  int64_t rows() const { return shape_.empty() ? 1 : shape_[0]; }
  /// Axes behind the first.
  std::vector<int64_t> inner() const {
    return shape_.empty() ? shape_ : std::vector<int64_t>(shape_.begin() + 1, shape_.end());
  }
  int64_t row_elements() const { return row_elements_; }
  int64_t row_bytes() const { return row_bytes_; }  // 0 for strings

  /// False for what has no array type: compounds, references, nested arrays. Nothing of it can be
  /// read.
  bool readable() const { return readable_; }
  bool is_text() const { return text_; }
  DType dtype() const { return dtype_; }  // of what ReadRows gives
  /// True when values lose something in dtype() (long doubles and the like).
  bool lossy() const { return lossy_; }
  /// Names of an enumeration by value; empty for other types. Booleans (FALSE, TRUE) are kBool
  /// instead.
  const std::map<int64_t, std::string>& enumeration() const { return enumeration_; }
  /// A fill value that was set by whoever made the file, as bytes of dtype().
  const std::optional<std::vector<std::byte>>& fill_value() const { return fill_; }
  /// Rows of one chunk; 1 when the dataset is not chunked.
  int64_t chunk_rows() const { return chunk_.empty() ? 1 : chunk_[0]; }

  /// Rows in the order given, little-endian, C order. Any thread. REQUIRES: readable, no text, 0 <=
  /// row < rows().
  Result<Buffer> ReadRows(std::span<const int64_t> rows) const;
  Result<> ReadRows(std::span<const int64_t> rows, std::byte* out) const;
  /// The strings of rows, row_elements() each. `limit`: bytes in all (kTooLarge beyond).
  Result<std::vector<std::string>> ReadText(std::span<const int64_t> rows, int64_t limit) const;
  /// Everything, or rows [first, first + count), as another type; kTooLarge above `limit` elements.
  template <class T>
  Result<std::vector<T>> ReadAll(int64_t limit) const;
  template <class T>
  Result<std::vector<T>> ReadRange(int64_t first, int64_t count) const;

 private:
  enum class Way { kFill, kHeap, kContiguous, kChunks, kLibrary };

  Dataset() = default;
  Result<> InspectType();
  Result<> InspectStorage();
  Result<> ReadThroughLibrary(std::span<const int64_t> rows, std::byte* out) const;
  Result<> ReadChunks(std::span<const int64_t> rows, std::byte* out) const;
  Result<> ReadMapped(std::span<const int64_t> rows, std::byte* out) const;
  /// One chunk's raw bytes, or its part of the fill value. `origin` are its first elements'
  /// coordinates.
  Result<> ReadChunk(std::span<const unsigned long long> origin, std::span<std::byte> out) const;
  Result<std::shared_ptr<const std::vector<std::byte>>> CachedChunk(
      std::span<const unsigned long long> origin) const;
  void Finish(std::byte* bytes,
              size_t size) const;  // swaps bytes where the file's order is the other
  Error Fail(ErrorCode code, const std::string& what, const std::string& remedy,
             bool library = false) const {
    return file_->Fail(code, path(), what, remedy, library);
  }

  // Constant after Open.
  std::shared_ptr<const File> file_;
  Object object_;
  Handle space_, type_, memory_type_;
  std::vector<int64_t> shape_, chunk_;
  int64_t row_elements_ = 1, row_bytes_ = 0, chunk_bytes_ = 0;
  DType dtype_ = DType::kFloat64;
  bool readable_ = false, text_ = false, variable_text_ = false, lossy_ = false;
  size_t swap_ = 0;  // bytes of the units to reverse; 0: none
  bool through_library_ = false;
  size_t text_size_ = 0;
  Way way_ = Way::kLibrary;
  int64_t offset_ = 0;  // kContiguous
  std::vector<Filter> filters_;
  std::optional<std::vector<std::byte>> fill_;
  std::vector<std::byte> heap_;  // kHeap: compact datasets, whole
  std::map<int64_t, std::string> enumeration_;

  // Chunks that reach beyond the rows of one call, for the call that reads on. Least recently used
  // first.
  struct CachedEntry {
    std::vector<unsigned long long> origin;
    std::shared_ptr<const std::vector<std::byte>> bytes;
  };
  mutable std::mutex cache_mutex_;
  mutable std::list<CachedEntry> cache_;  // guarded by cache_mutex_
  mutable std::map<std::vector<unsigned long long>, std::list<CachedEntry>::iterator>
      cached_;                      // guarded by cache_mutex_
  mutable size_t cache_bytes_ = 0;  // guarded by cache_mutex_
  size_t cache_limit_ = 0;
};

}  // namespace zn::formats::h5
