// A Zarr hierarchy whose arrays share their first axis, as a Plan: rooms that ZnStore shows or
// exports, asebytes' padded columns, and whatever else has a frame a row (docs/zarr-import.md,
// "Hierarchies").
#pragma once

#include "column_map.h"
#include "h5md/plan.h"
#include "zarr/zarr_hierarchy.h"

namespace zn::formats::zarr {

Result<Plan> PlanArrays(const std::shared_ptr<const ZarrHierarchy>& hierarchy,
                        const ReadOptions& options, ColumnMapper& mapper);

}  // namespace zn::formats::zarr
