// A tree of groups and arrays with attributes: what HDF5 and Zarr have in common, so that H5MD and
// asebytes' layouts are read from either by the same code.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/error.h"

namespace zn::formats {

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

/// A group or dataset of a hierarchy. Cheap to copy.
struct Object {
  std::shared_ptr<const void> native;  // the implementation's own handle
  std::string path;  // without a leading slash: "particles/all/position"; "" for the root
  bool is_group = false;
  unsigned long long address = 0;  // the same for every link to the object
};

/// A chunk that was read whole: its bytes as stored, and what they decode to (zn::EncodedChunk).
struct SourceChunk {
  int64_t first_row = 0;
  uint32_t block = 0;
  Buffer encoded, decoded;
};

class Dataset;

/// Opened for reading. All members may be called from any thread.
class Hierarchy : public std::enable_shared_from_this<Hierarchy> {
 public:
  virtual ~Hierarchy() = default;

  /// Of the file or folder.
  const std::string& path() const { return path_; }
  /// What users look into it with, for remedies: "h5ls".
  virtual std::string_view tool() const = 0;

  virtual Object root() const = 0;
  /// Names of a group's members, sorted.
  virtual Result<std::vector<std::string>> Names(const Object& group) const = 0;
  /// The object of that name in `group`; nullopt when there is none.
  virtual Result<std::optional<Object>> Find(const Object& group,
                                             const std::string& name) const = 0;
  /// Several steps: FindPath(root(), "h5md/creator").
  virtual Result<std::optional<Object>> FindPath(const Object& from,
                                                 std::string_view path) const = 0;

  /// Checks everything that can be checked without reading values.
  virtual Result<std::shared_ptr<Dataset>> OpenDataset(const Object& object) const = 0;

  /// The strings of a string attribute; nullopt when there is none or it holds no strings.
  virtual std::optional<std::vector<std::string>> Strings(const Object& object,
                                                          const char* name) const = 0;
  std::optional<std::string> String(const Object& object, const char* name) const {
    auto strings = Strings(object, name);
    if (!strings || strings->empty()) return std::nullopt;
    return std::move(strings->front());
  }
  /// Numbers as doubles, row-major; nullopt when there is none, or it holds none or more than 4096.
  virtual std::optional<std::vector<double>> Numbers(const Object& object,
                                                     const char* name) const = 0;
  virtual std::optional<int64_t> Integer(const Object& object, const char* name) const = 0;
  /// The address of the object that a reference attribute names; nullopt when there is none.
  virtual std::optional<unsigned long long> Reference(const Object& object,
                                                      const char* name) const = 0;

  /// "FILE: OBJECT: WHAT; REMEDY". `object` and `remedy` may be empty.
  Error Fail(ErrorCode code, const std::string& object, const std::string& what,
             const std::string& remedy = "") const;

 protected:
  std::string path_;  // constant once opened
};

/// An array read by rows of its first axis. Constant once opened; any thread.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual const Hierarchy& file() const = 0;
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
  virtual Result<Buffer> ReadRows(std::span<const int64_t> rows) const = 0;
  virtual Result<> ReadRows(std::span<const int64_t> rows, std::byte* out) const = 0;
  /// The same, and the chunks that came whole with them, where they can be stored as they are.
  virtual Result<Buffer> ReadRowsAndChunks(std::span<const int64_t> rows,
                                           std::vector<SourceChunk>& /*chunks*/) const {
    return ReadRows(rows);
  }
  /// The chunk grid as a field's geometry; nullptr where there is none, or none that a room should
  /// have.
  virtual std::shared_ptr<const Geometry> Grid(FieldKind /*kind*/) const { return nullptr; }
  /// The strings of rows, row_elements() each. `limit`: bytes in all (kTooLarge beyond).
  virtual Result<std::vector<std::string>> ReadText(std::span<const int64_t> rows,
                                                    int64_t limit) const = 0;
  /// Everything, or rows [first, first + count), as another type; kTooLarge above `limit` elements.
  template <class T>
  Result<std::vector<T>> ReadAll(int64_t limit) const;
  template <class T>
  Result<std::vector<T>> ReadRange(int64_t first, int64_t count) const;

 protected:
  Error Fail(ErrorCode code, const std::string& what, const std::string& remedy) const {
    return file().Fail(code, path(), what, remedy);
  }

  // Constant once opened.
  Object object_;
  std::vector<int64_t> shape_, chunk_;
  int64_t row_elements_ = 1, row_bytes_ = 0;
  DType dtype_ = DType::kFloat64;
  bool readable_ = false, text_ = false, lossy_ = false;
  std::optional<std::vector<std::byte>> fill_;
  std::map<int64_t, std::string> enumeration_;
};

/// True when each row is the one behind the row before it.
bool Consecutive(std::span<const int64_t> rows);

}  // namespace zn::formats
