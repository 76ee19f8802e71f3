#include "zn/engine/repair.h"

#include <chrono>

#include "check/repairer.h"
#include "room/superblock.h"

namespace zn {

std::string_view RepairActionName(RepairAction::Kind kind) {
  switch (kind) {
    case RepairAction::kHealed:
      return "healed";
    case RepairAction::kRebuilt:
      return "rebuilt";
    case RepairAction::kMoved:
      return "quarantined";
    case RepairAction::kMarked:
      return "lost";
    case RepairAction::kUnmended:
      return "not mended";
  }
  return "unknown";
}

Result<RepairSummary> RepairStore(const std::string& directory, const RepairOptions& options,
                                  const std::function<void(const Finding&)>& report,
                                  const std::function<void(const RepairAction&)>& act,
                                  const std::function<void(const CheckProgress&)>& progress) {
  return check::Repairer(directory, options, report, act, progress).Run();
}

namespace check {
namespace {

// A tree is less deep, and each round heals one level of one at least.
constexpr int kMostRounds = 64;

int64_t SystemClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Repairer::Repairer(const std::string& directory, const RepairOptions& options,
                   const std::function<void(const Finding&)>& report,
                   const std::function<void(const RepairAction&)>& act,
                   const std::function<void(const CheckProgress&)>& progress)
    : directory_(directory),
      options_(options),
      report_(report),
      act_(act),
      progress_(progress),
      quarantine_(directory, options.clock ? options.clock : SystemClock),
      sources_(directory, options.backup, directory + "/repair.tmp") {}

bool Repairer::Cancelled() const {
  return options_.check.cancel != nullptr && *options_.check.cancel;
}

bool Repairer::Tell(RepairAction::Kind kind, std::string object, std::string message) {
  if (!told_.emplace(static_cast<int>(kind), object).second) return false;
  switch (kind) {
    case RepairAction::kHealed:
      ++summary_.healed;
      break;
    case RepairAction::kRebuilt:
      ++summary_.rebuilt;
      break;
    case RepairAction::kMoved:
      ++summary_.moved;
      break;
    case RepairAction::kMarked:
      ++summary_.marked;
      break;
    case RepairAction::kUnmended:
      ++summary_.unmended;
      break;
  }
  if (kind != RepairAction::kUnmended) changed_ = true;
  act_({kind, std::move(object), std::move(message)});
  return true;
}

Result<> Repairer::TakeLock() {
  const std::string path = directory_ + "/lock";
  if (!PathExists(path)) {
    if (options_.dry_run) return {};
    ZN_ASSIGN_OR_RETURN(lock_, File::Open(path, File::kCreateNew));
  } else {
    ZN_ASSIGN_OR_RETURN(lock_, File::Open(path, File::kRead));
  }
  if (auto locked = lock_.TryLock(true); !locked) {
    if (locked.error().code != ErrorCode::kBusy) return std::move(locked).error();
    return Error{ErrorCode::kBusy, "the store " + directory_ +
                                       " is in use by a process that writes to it (a zn-server or "
                                       "zn-import); stop it first"};
  }
  return {};
}

Result<> Repairer::MendSuperblock() {
  const std::string path = directory_ + "/superblock";
  if (PathExists(path)) {
    const auto bytes = ReadWholeFile(path, 1 << 20);
    const auto decoded = bytes ? DecodeSuperblock(*bytes) : Result<Superblock>(bytes.error());
    if (decoded || decoded.error().code == ErrorCode::kUnsupported) return {};
  } else if (!PathExists(directory_ + "/log") && !PathExists(directory_ + "/packs")) {
    return {};  // no store at all
  }
  const auto known = sources_.BackedUpSuperblock();
  if (!known) return {};  // opening says what is wrong
  Tell(RepairAction::kHealed, "superblock", "from the backup");
  if (options_.dry_run) return {};
  return ReplaceFile(directory_, "superblock", *known, "damaged superblock", quarantine_);
}

Result<> Repairer::Look(CheckLevel level) {
  image_.reset();
  ZN_ASSIGN_OR_RETURN(image_, StoreImage::Open(directory_, /*lock=*/false));
  CheckOptions options = options_.check;
  options.level = level;
  ZN_ASSIGN_OR_RETURN(found_, CheckImage(*image_, options, progress_));
  if (level != CheckLevel::kQuick) {
    hashed_ = found_.damaged;
    return {};
  }
  // A quick look does not see what only its hash gives away.
  std::set<Place> seen;
  for (const DamagedRecord& record : found_.damaged)
    seen.emplace(record.ref.file, record.ref.offset);
  for (DamagedRecord record : hashed_) {
    if (seen.count({record.ref.file, record.ref.offset}) != 0) continue;
    std::vector<std::byte> payload;
    const auto fault = image_->ReadChecked(record.ref, &payload);
    if (!fault) continue;
    const FileImage* const file = image_->Find(record.ref.file);
    record.needed |= file != nullptr && file->reached.Has(record.ref.offset);
    record.lost = fault->kind == RecordFault::kLost;
    found_.damaged.push_back(record);
  }
  return {};
}

Result<> Repairer::MendAll(Stage stage) {
  DamagedByFile packs, logs;
  for (const DamagedRecord& record : found_.damaged)
    (record.ref.in_log() ? logs : packs)[record.ref.file].push_back(record);
  if (stage == Stage::kHeal) sources_.LookForDuplicates(*image_, found_.damaged);
  ZN_RETURN_IF_ERROR(MendPacks(packs, stage));
  return MendLogs(logs, stage);
}

Result<> Repairer::MoveLeftovers() {
  for (const Finding& finding : found_.findings) {
    if (finding.kind != FindingClass::kTmpStale) continue;
    const std::string path = directory_ + "/" + finding.object;
    if (!PathExists(path)) continue;
    if (finding.object == "repair.tmp" || finding.object.ends_with(kRewriteSuffix)) {
      // Copies that an earlier repair was making.
      if (!options_.dry_run) ZN_RETURN_IF_ERROR(RemoveTree(path));
      continue;
    }
    Tell(RepairAction::kMoved, finding.object, finding.message);
    if (!options_.dry_run) ZN_RETURN_IF_ERROR(quarantine_.Move(finding.object, finding.message));
  }
  return {};
}

Result<RepairSummary> Repairer::Run() {
  ZN_RETURN_IF_ERROR(TakeLock());
  ZN_RETURN_IF_ERROR(MendSuperblock());
  ZN_RETURN_IF_ERROR(Look(options_.check.level));
  summary_.check = found_.summary;
  for (const Finding& finding : found_.findings) report_(finding);
  ZN_RETURN_IF_ERROR(MoveLeftovers());
  if (options_.dry_run) {
    ZN_RETURN_IF_ERROR(MendAll(Stage::kHeal));
    ZN_RETURN_IF_ERROR(MendAll(Stage::kMark));
    return summary_;
  }
  // What is healed, or a room that goes back, shows what lies below it. Everything was hashed in
  // the first look.
  for (int round = 0; round < kMostRounds; ++round) {
    changed_ = false;
    ZN_RETURN_IF_ERROR(MendAll(Stage::kHeal));
    if (!changed_) {
      ZN_RETURN_IF_ERROR(MendAll(Stage::kMark));
      ZN_RETURN_IF_ERROR(MendRefs());
    }
    if (Cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
    if (!changed_) break;
    ZN_RETURN_IF_ERROR(Look(CheckLevel::kQuick));
  }
  ZN_RETURN_IF_ERROR(MendHead());
  for (const Finding& finding : found_.findings)
    if (!finding.note) Tell(RepairAction::kUnmended, finding.object, finding.message);
  if (!sources_.backup_error().empty())
    Tell(RepairAction::kUnmended, "the backup", sources_.backup_error());
  return summary_;
}

}  // namespace check
}  // namespace zn
