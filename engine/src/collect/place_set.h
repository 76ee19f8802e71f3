// A set of places in files where records may begin, and how many bytes they take together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace zn {

/// Offsets within one file, multiples of 64. Small where few are set and where many are: a store of
/// a terabyte has two million chunks of half a megabyte, and a log file of 64 MiB may have half a
/// million records.
class OffsetSet {
 public:
  /// Was it new?
  bool Add(uint64_t offset);
  bool Has(uint64_t offset) const;
  bool empty() const { return pages_.empty(); }
  /// Ascending.
  std::vector<uint64_t> All() const;

 private:
  static constexpr uint64_t kPlaces = 1 << 15;  // in a page: 2 MiB of the file
  static constexpr size_t kMostListed =
      2048;  // in a list that then becomes a bitmap of as many bytes
  struct Page {
    std::vector<uint16_t> list;  // ascending, unless
    std::vector<uint64_t> bits;  // there are bits
  };
  std::unordered_map<uint64_t, Page> pages_;
};

/// The same over many files, numbered as in references.
class PlaceSet {
 public:
  bool Add(uint32_t file, uint64_t offset) { return files_[file].Add(offset); }
  bool Has(uint32_t file, uint64_t offset) const {
    const auto at = files_.find(file);
    return at != files_.end() && at->second.Has(offset);
  }
  /// Null when nothing of the file is in it.
  const OffsetSet* In(uint32_t file) const {
    const auto at = files_.find(file);
    return at == files_.end() ? nullptr : &at->second;
  }
  void Clear() { files_.clear(); }

 private:
  std::unordered_map<uint32_t, OffsetSet> files_;
};

}  // namespace zn
