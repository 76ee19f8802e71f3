// What the crash tests do to a store, and what must be in it afterwards: a plan is drawn from a seed alone, step by step,
// together with a plain model of its outcome, so the process that is killed and the one that judges need to share nothing
// but how many steps were acknowledged.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/room/room_model.h"
#include "room/fold_policy.h"

namespace zn::crash {

/// One change that is acknowledged, or something without effect on what readers see (kCompact, kRead, kReopen).
struct Step {
  enum class Kind {
    kCreate, kAppend, kBulk, kInsert, kDelete, kMove, kReplace, kEdit, kUndo, kRedo, kFork, kDrop, kRecords, kModel,
    kCompact, kRead, kReopen,
  };
  Kind kind = Kind::kAppend;
  std::string room;
  std::string other;                     // kFork: the new room; kModel: the description
  std::vector<FrameId> ids;              // kDelete; kReplace, kEdit, kUndo and kRedo: one
  int64_t begin = 0, count = 0, to = 0;  // kInsert: begin; kMove
  std::vector<model::Content> contents;  // of frames
  /// Control records that come with the change, in its transaction: an empty value erases.
  std::map<std::string, std::string> records;
};
std::string_view StepName(Step::Kind kind);

/// What one lane made of its part of the store.
struct LaneState {
  std::map<std::string, model::Room> rooms;
  std::map<std::string, std::string> descriptions;  // of those rooms
  std::map<std::string, std::string> records;
};

/// A kind of work: which steps, how often, and how the store is set up to make a lot happen in few of them.
struct Workload {
  std::string name;
  int lanes = 1;     // threads, each with rooms and records of its own
  int steps = 12;    // of each lane
  int before = 4;    // of them done undisturbed, to have something that can be lost
  std::vector<std::pair<Step::Kind, int>> weights;
  enum class Contents { kSmall, kLarge, kRepeated, kHuge } contents = Contents::kSmall;
  internal::FoldPolicy folds = {};
  int64_t seal_bytes = int64_t{1} << 30;
  int64_t log_file_bytes = int64_t{64} << 20;
};
/// Null when there is none of this name.
const Workload* FindWorkload(std::string_view name);
std::vector<Workload> AllWorkloads();

class Lane {
 public:
  Lane(const Workload& workload, uint64_t seed, int index);
  /// The step that comes next. REQUIRES: Apply of the one before.
  Step Next();
  void Apply(const Step& step);
  const LaneState& state() const { return state_; }
  /// What its rooms and records begin with.
  const std::string& prefix() const { return prefix_; }

 private:
  Step::Kind Draw();
  std::vector<model::Content> Frames(int64_t most);
  model::Content OneContent();

  const Workload& workload_;
  const std::string prefix_;
  model::Random random_;
  LaneState state_;
  int made_ = 0;  // rooms, ever
  int step_ = 0;
};

}  // namespace zn::crash
