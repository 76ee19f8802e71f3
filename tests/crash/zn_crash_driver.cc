// The process that crash tests kill, and the one that judges what it left:
//
//   zn-crash-driver run WORKLOAD STORE SEED FROM TO ACKS [early-ack]
//     does steps FROM to TO - 1 of each lane, and appends "LANE STEP" to ACKS once the engine has acknowledged it
//   zn-crash-driver judge WORKLOAD STORE SEED FROM TO ACKS [LATER]
//     opens the store and compares it with the plan: everything acknowledged is there, the one step of each lane that may
//     have been under way is there wholly or not at all; then goes on writing.
//     LATER has what was acknowledged by the time that the process had ended, where it may have gone on after ACKS was read.
//   zn-crash-driver dump STORE
//     opens the store for writing and prints rooms with the hash of every frame, as JSON
//   zn-crash-driver list
//     prints the workloads: NAME BEFORE STEPS
//
// Exit codes: 0 done; 1 a finding, on standard output; 2 usage; 3 a change was refused by an error.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "crash/perform.h"

namespace zn::crash {
namespace {

struct Task {
  const Workload* workload = nullptr;
  std::string store;
  uint64_t seed = 0;
  int from = 0, to = 0;
  std::string acks;
};

/// Steps that are acknowledged, of each lane: 1 + the last. Lane -1 stands for the store itself.
std::map<int, int> ReadAcks(const Task& task, const std::string& path) {
  std::map<int, int> steps;
  for (int lane = 0; lane < task.workload->lanes; ++lane) steps[lane] = task.from;
  steps[-1] = task.from > 0 ? 1 : 0;
  std::ifstream in(path);
  int lane = 0, step = 0;
  while (in >> lane >> step) steps[lane] = std::max(steps[lane], step + 1);
  return steps;
}

class Runner {
 public:
  Runner(Task task, bool early) : task_(std::move(task)), early_(early) {}

  int Run() {
    acks_ = open(task_.acks.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (acks_ < 0) return 3;
    if (!Reopen() || !Acknowledge(-1, 0)) return 3;
    std::vector<std::thread> threads;
    for (int lane = 1; lane < task_.workload->lanes; ++lane) threads.emplace_back([this, lane] { RunLane(lane); });
    RunLane(0);
    for (std::thread& thread : threads) thread.join();
    store_.reset();
    if (!finding_.empty()) std::cout << finding_ << std::endl;
    return !finding_.empty() ? 1 : failed_ ? 3 : 0;
  }

 private:
  bool Reopen() {
    store_.reset();
    auto store = OpenFor(*task_.workload, task_.store, false);
    if (!store) {
      std::cerr << "open: " << store.error().message << std::endl;
      return false;
    }
    store_ = std::move(*store);
    return true;
  }

  /// Only what this has written counts as acknowledged.
  bool Acknowledge(int lane, int step) {
    const std::string line = std::to_string(lane) + " " + std::to_string(step) + "\n";
    return write(acks_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }

  void RunLane(int index) {
    Lane lane(*task_.workload, task_.seed, index);
    for (int i = 0; i < task_.to; ++i) {
      const Step step = lane.Next();
      if (i >= task_.from && (!Do(lane, step) || !Acknowledge(index, i))) {
        failed_ = true;
        return;
      }
      lane.Apply(step);
    }
  }

  bool Do(Lane& lane, const Step& step) {
    if (step.kind == Step::Kind::kReopen) return Reopen() || Reopen();
    const auto done = Perform(*store_, step, early_);
    if (done) return true;
    std::cerr << StepName(step.kind) << ": " << done.error().message << std::endl;
    // Whoever was told of an error finds nothing changed, unless reading fails, too, ...
    if (auto different = Difference(*store_, lane.prefix(), lane.state()); !different.empty()) {
      if (different.find(kUnread) != std::string::npos) return false;
      const std::lock_guard lock(mutex_);
      finding_ = std::string("after an error of ") + std::string(StepName(step.kind)) + ": " + different;
      return false;
    }
    if (done.error().code != ErrorCode::kUnavailable) {
      // ... and may ask again.
      if (Perform(*store_, step, early_)) return true;
    }
    if (task_.workload->lanes > 1) return false;
    // The remedy when the log has stopped: open the store again. What had failed may be in it by then.
    if (!Reopen()) return false;
    if (Difference(*store_, lane.prefix(), lane.state()).empty()) return Perform(*store_, step, early_).has_value();
    Lane after = lane;
    after.Apply(step);
    if (auto different = Difference(*store_, after.prefix(), after.state()); !different.empty()) {
      if (different.find(kUnread) != std::string::npos) return false;
      finding_ = "opened again after an error of " + std::string(StepName(step.kind)) + ": " + different;
      return false;
    }
    return true;
  }

  const Task task_;
  const bool early_;
  int acks_ = -1;
  std::unique_ptr<Store> store_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::string finding_;
};

class Judge {
 public:
  Judge(Task task, const std::string& later)
      : task_(std::move(task)), acks_(ReadAcks(task_, task_.acks)), latest_(ReadAcks(task_, later)) {}

  int Run() {
    const bool there = PathExists(task_.store + "/superblock");
    if (acks_[-1] > 0 && !there) return Found("the store is gone");
    if (there && !Look("a reader", true)) return 1;
    if (!Look("a writer", false)) return 1;
    // What was found is what stays, beside what came since.
    exactly_ = true;
    if (!Look("the next reader", true)) return 1;
    return 0;
  }

 private:
  int Found(const std::string& what) {
    std::cout << what << std::endl;
    return 1;
  }

  bool Look(const std::string& who, bool read_only) {
    auto store = OpenFor(*task_.workload, task_.store, read_only);
    if (!store) return !Found(who + " cannot open it: " + store.error().message);
    for (int index = 0; index < task_.workload->lanes; ++index) {
      if (auto different = LaneDifference(**store, index); !different.empty())
        return !Found(who + ": lane " + std::to_string(index) + ": " + different);
    }
    if (!read_only) {
      if (auto failed = GoOn(**store); !failed) return !Found(who + " cannot go on: " + failed.error().message);
    }
    return true;
  }

  /// And notes at which step the lane stands.
  std::string LaneDifference(Store& store, int index) {
    Lane lane(*task_.workload, task_.seed, index);
    int& step = acks_[index];
    for (int i = 0; i < step; ++i) lane.Apply(lane.Next());
    const std::string first = Difference(store, lane.prefix(), lane.state());
    const int last = exactly_ ? step : std::min(task_.to, latest_[index] + 1);
    std::string different = first;
    for (int i = step; !different.empty() && i < last; ++i) {
      const Step next = lane.Next();
      lane.Apply(next);
      different = Difference(store, lane.prefix(), lane.state());
      // A reader may see less than the writer that comes next, which takes in what nobody had been told of; not more.
      if (different.empty()) step = i + 1;
    }
    if (different.empty()) return "";
    return "as it was neither after " + std::to_string(step) + " steps (" + first + ") nor after " + std::to_string(last) + " (" +
           different + ") nor in between";
  }

  static Result<> GoOn(Store& store) {
    ZN_ASSIGN_OR_RETURN(const auto room, store.CreateRoom("judge", {}, {}));
    model::Random random(1);
    const std::vector<model::Content> contents = {model::RandomContent(random), model::RandomContent(random)};
    ZN_RETURN_IF_ERROR(room->Append(model::ToBatch(contents), {}));
    const Snapshot head = room->Head();
    ZN_ASSIGN_OR_RETURN(const auto ids, head.IdsAt(0, head.frames()));
    std::vector<FieldIndex> fields(head.fields().size());
    for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch, head.Read(ids, fields));
    for (size_t i = 0; i < contents.size(); ++i)
      if (!(model::FromBatch(batch, i) == contents[i])) return Error{ErrorCode::kCorrupt, "new frames read back wrong"};
    return store.DeleteRoom("judge", {});
  }

  const Task task_;
  std::map<int, int> acks_, latest_;
  bool exactly_ = false;
};

int Dump(const std::string& directory) {
  StoreOptions options;
  options.threads = 1;
  options.background_maintenance = false;
  const auto store = Store::Open(directory, options);
  if (!store) {
    std::cout << store.error().message << std::endl;
    return 1;
  }
  nlohmann::json rooms = nlohmann::json::object();
  for (const RoomInfo& info : (*store)->ListRooms()) {
    const auto room = (*store)->OpenRoom(info.name);
    const auto head = (*room)->HeadOrError();
    if (!head) {
      std::cout << info.name << ": " << head.error().message << std::endl;
      return 1;
    }
    nlohmann::json& frames = rooms[info.name] = nlohmann::json::array();
    for (int64_t i = 0; i < head->frames(); ++i) {
      const auto id = head->IdAt(i);
      const auto hash = id ? head->HashFrame(*id) : Result<Sha256>(id.error());
      const auto version = id ? head->VersionOf(*id) : Result<uint32_t>(id.error());
      if (!hash || !version) {
        std::cout << info.name << ", frame " << i << ": " << (hash ? version.error() : hash.error()).message << std::endl;
        return 1;
      }
      frames.push_back(hash->Hex() + "v" + std::to_string(*version));
    }
  }
  std::cout << rooms.dump() << std::endl;
  return 0;
}

int Main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "list") {
    for (const Workload& workload : AllWorkloads())
      std::cout << workload.name << ' ' << workload.before << ' ' << workload.steps << '\n';
    return 0;
  }
  if (command == "dump" && argc == 3) return Dump(argv[2]);
  if ((command != "run" && command != "judge") || argc < 8) return 2;
  Task task;
  task.workload = FindWorkload(argv[2]);
  if (task.workload == nullptr) return 2;
  task.store = argv[3];
  task.seed = std::strtoull(argv[4], nullptr, 10);
  task.from = std::atoi(argv[5]);
  task.to = std::atoi(argv[6]);
  task.acks = argv[7];
  if (command == "run") return Runner(task, argc > 8 && std::string(argv[8]) == "early-ack").Run();
  return Judge(task, argc > 8 ? argv[8] : task.acks).Run();
}

}  // namespace
}  // namespace zn::crash

int main(int argc, char** argv) { return zn::crash::Main(argc, argv); }
