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

class Dataset final : public formats::Dataset {
 public:
  /// Checks everything that can be checked without reading values. kUnsupported for external and
  /// virtual storage and for filters nobody here knows, kCorrupt for storage beyond the end of the
  /// file, kTooLarge for shapes that the file does not back with bytes (docs/h5md.md, "What is
  /// refused").
  static Result<std::shared_ptr<Dataset>> Open(std::shared_ptr<const File> file,
                                               const Object& object);

  const File& file() const override { return *file_; }
  Result<Buffer> ReadRows(std::span<const int64_t> rows) const override;
  Result<> ReadRows(std::span<const int64_t> rows, std::byte* out) const override;
  Result<std::vector<std::string>> ReadText(std::span<const int64_t> rows,
                                            int64_t limit) const override;

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
  Handle space_, type_, memory_type_;
  int64_t chunk_bytes_ = 0;
  bool variable_text_ = false;
  size_t swap_ = 0;  // bytes of the units to reverse; 0: none
  bool through_library_ = false;
  size_t text_size_ = 0;
  Way way_ = Way::kLibrary;
  int64_t offset_ = 0;  // kContiguous
  std::vector<Filter> filters_;
  std::vector<std::byte> heap_;  // kHeap: compact datasets, whole

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
