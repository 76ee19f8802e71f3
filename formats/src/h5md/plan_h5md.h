// An H5MD file's tree as a Plan: names, units, which rows, what stands for "not there".
#pragma once

#include "column_map.h"
#include "h5md/elements.h"
#include "h5md/plan.h"

namespace zn::formats {

Result<Plan> PlanH5md(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                      ColumnMapper& mapper);

/// A file that zn-export wrote; nullopt for others (h5md/own_layout.h).
Result<std::optional<Plan>> PlanOwn(const std::shared_ptr<const Hierarchy>& file,
                                    const ReadOptions& options, ColumnMapper& mapper);

/// The groups of an asebytes ragged file that hold frames.
Result<std::vector<std::string>> AsebytesGroups(const Hierarchy& file);
Result<Plan> PlanAsebytes(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                          ColumnMapper& mapper);

/// What a column of floats has of NaN: how asebytes and ZnH5MD write "not there" and "shorter".
struct NanScan {
  bool any_value = false;    // a value that is no NaN
  bool padded_tail = false;  // a row with values that ends in NaN along its first axis
};
/// Reads the dataset in blocks until the answer is known. `stop_at_value`: padded_tail is of no
/// interest.
Result<NanScan> ScanNan(const Dataset& data, bool stop_at_value);

/// Presence, padding and text rules of a column that ASE's writers made. Sets role kFrame, kRagged
/// or kText and the flags.
Result<> SetAseFrameRole(Field& field);

/// Loads what is the same in every frame. Call when role and data are set.
Result<> LoadFixed(Field& field);

/// The canonical unit of `name` for values in it, as attributes; or those for values whose unit is
/// unknown.
std::string UnknownUnit(const std::string& source_unit);

/// False (with a warning) for names that a field cannot have.
bool UsableName(const std::string& name, const std::string& path, std::vector<Warning>& warnings);

}  // namespace zn::formats
