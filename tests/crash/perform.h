// A plan's steps done to a real store, and a store compared with what the plan says is in it.
#pragma once

#include <memory>
#include <string>

#include "crash/plan.h"
#include "zn/engine/store.h"

namespace zn::crash {

Result<std::unique_ptr<Store>> OpenFor(const Workload& workload, const std::string& directory, bool read_only);

/// Does the step; when it returns without error the engine has acknowledged it. kReopen is its caller's.
/// `early`, the planted bug: returns once the change is sequenced, though nothing of it may be on the disk.
Result<> Perform(Store& store, const Step& step, bool early = false);

/// What is not as `state` says, of the rooms and records that begin with `prefix`: every frame of every room in every
/// version, its place and its bytes. "" when all is. kUnread stands in it where a read gave an error.
inline constexpr std::string_view kUnread = "cannot be read: ";
std::string Difference(Store& store, const std::string& prefix, const LaneState& state);

}  // namespace zn::crash
