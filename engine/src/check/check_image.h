// A check of an opened image: what CheckStore reports and RepairStore mends.
#pragma once

#include <functional>
#include <vector>

#include "check/findings.h"
#include "check/store_image.h"
#include "zn/engine/check.h"

namespace zn::check {

struct Checked {
  CheckSummary summary;
  std::vector<Finding> findings;
  std::vector<DamagedRecord> damaged;
};

Result<Checked> CheckImage(StoreImage& image, const CheckOptions& options,
                           const std::function<void(const CheckProgress&)>& progress);

}  // namespace zn::check
