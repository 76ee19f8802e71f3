// What zn-collect does.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "zn/engine/collect.h"
#include "zn/engine/error.h"
#include "zn/engine/store.h"

namespace zn::tools {

struct CollectRun {
  std::string store;
  CollectOptions options;
  std::vector<std::pair<std::string, Retention>> keep;  // rooms whose retention is set first
};

/// Opens the store (for reading when it is a dry run), sets what rooms keep, collects.
Result<CollectSummary> RunCollect(const CollectRun& run,
                                  const std::function<void(const CollectProgress&)>& progress);

std::string CollectText(const CollectSummary& summary, bool dry_run);
std::string CollectJson(const CollectSummary& summary, bool dry_run);

/// One line on standard error that is written over.
class CollectBar {
 public:
  explicit CollectBar(bool shown) : shown_(shown) {}
  void Update(const CollectProgress& progress);
  void Clear();

 private:
  const bool shown_;
  bool written_ = false;
};

}  // namespace zn::tools
