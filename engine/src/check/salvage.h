// What a log still says of rooms and control records when it cannot be replayed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "check/store_image.h"
#include "room/records.h"

namespace zn::check {

struct Salvaged {
  CheckpointRecord checkpoint;
  /// In words: rooms that go back, control records that are lost.
  std::vector<std::string> changed;
  /// Rooms of which nothing can be read.
  std::vector<std::string> dead;
};

/// Every room at the newest of its refs whose commit and root can be read, and control records as
/// far as they can be put together. Reads every log file.
Salvaged Salvage(StoreImage& image);

}  // namespace zn::check
