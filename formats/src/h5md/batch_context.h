// What the columns of one batch have in common while they are made. Private to BatchBuilder.
#pragma once

#include <string>
#include <vector>

#include "h5md/batch_builder.h"

namespace zn::formats {

struct BatchBuilder::Context {
  std::vector<int64_t> frames;  // of the file
  std::vector<int32_t> n_atoms;

  /// With ids: source rows of the atoms of each frame by id, and the ids, both from order_starts[f]
  /// on.
  std::vector<int32_t> order;
  std::vector<int64_t> ids;
  std::vector<size_t> order_starts;
  bool ordered = false;  // the order is not the source's, or leaves rows out

  /// Rows that were read to count atoms, by field.
  struct Raw {
    bool read = false;
    Buffer bytes;
    std::vector<uint8_t> present;
  };
  std::vector<Raw> raw;

  /// By field: chunks of the source that were read whole.
  std::vector<std::vector<SourceChunk>> chunks;

  std::vector<Warning> warnings;
  void Warn(const std::string& place, const std::string& message) {
    for (Warning& warning : warnings) {
      if (warning.place == place) {
        ++warning.count;
        return;
      }
    }
    warnings.push_back({place, message});
  }
};

}  // namespace zn::formats
