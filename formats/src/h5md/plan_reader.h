// The Reader over a Plan: batches made ahead of the caller.
#pragma once

#include <memory>

#include "column_map.h"
#include "h5md/plan.h"
#include "zn/formats/reader.h"

namespace zn::formats {

std::unique_ptr<Reader> MakePlanReader(Plan plan, const ReadOptions& options, ColumnMapper mapper);

}  // namespace zn::formats
