// What comment lines say, collected over the frames of a batch and made into columns at its end.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "extxyz/comment.h"
#include "zn/engine/batch.h"

namespace zn::formats {

/// Values of per-frame fields. The column of a field is the plainest that holds all of them:
/// numbers of one shape (integers and floats mixed are floats), lists of many lengths (kRagged), or
/// JSON.
class InfoColumns {
 public:
  /// Sets `field` of frame `frame`; a second value in one frame replaces the first. Frames come in
  /// order.
  void Set(std::string_view field, int64_t frame, Value value);
  bool Has(std::string_view field, int64_t frame) const;

  /// Forgets what frame `frame`, the newest, set.
  void Revert(int64_t frame);

  /// The columns of `frames` frames; empties this.
  std::vector<Column> Take(int64_t frames);

 private:
  struct Entry {
    std::vector<int64_t> frames;
    std::vector<Value> values;
  };
  static Column Unify(Entry& entry);

  std::map<std::string, Entry, std::less<>> entries_;
};

/// `present` with a byte a frame, empty when all `frames` are there.
std::vector<uint8_t> PresentFlags(const std::vector<int64_t>& present, int64_t frames);

}  // namespace zn::formats
