// One run of a repair; see zn/engine/repair.h. Packs, the log, and what stands around them each
// have their file: repair_packs.cc, repair_log.cc, repair.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "check/check_image.h"
#include "check/file_rewrite.h"
#include "check/healing_sources.h"
#include "check/log_structure.h"
#include "check/store_image.h"
#include "log/head.h"
#include "zn/engine/repair.h"

namespace zn::check {

class Repairer {
 public:
  Repairer(const std::string& directory, const RepairOptions& options,
           const std::function<void(const Finding&)>& report,
           const std::function<void(const RepairAction&)>& act,
           const std::function<void(const CheckProgress&)>& progress);

  Result<RepairSummary> Run();

 private:
  /// Heal: put back what is known. Mark: of the rest, say that it is lost.
  enum class Stage { kHeal, kMark };
  using DamagedByFile = std::map<uint32_t, std::vector<DamagedRecord>>;

  Result<> TakeLock();
  Result<> MendSuperblock();
  /// Opens the store's files again and checks them; `level` is lowered once everything has been
  /// hashed.
  Result<> Look(CheckLevel level);
  Result<> MendAll(Stage stage);
  bool Cancelled() const;
  bool Tell(RepairAction::Kind kind, std::string object, std::string message);

  // repair_packs.cc
  Result<> MendPacks(const DamagedByFile& damaged, Stage stage);
  Result<> MendPack(uint32_t number, const std::vector<DamagedRecord>& damaged, Stage stage);
  Result<> FillGaps(uint32_t number, FileRewrite& rewrite);
  Result<> MendIndex(uint32_t number);
  Result<> MendMoves(const std::string& file);

  // repair_log.cc
  struct LogState;
  Result<> MendLogs(const DamagedByFile& damaged, Stage stage);
  Result<> MendLog(LogState& log, const std::vector<DamagedRecord>& damaged, Stage stage);
  void HealRecords(LogState& log, const std::vector<DamagedRecord>& damaged);
  void HealFromBackup(LogState& log, const std::vector<DamagedRecord>& damaged);
  /// Marks those of `lost` that stand in no group that was made anew.
  void MarkRest(LogState& log, std::span<const LostAt> lost);
  Surroundings Around(const LogState& log, const Extent& extent) const;
  Result<> WriteLog(LogState& log);
  std::vector<LogState> LogFiles(const DamagedByFile& damaged);
  /// A new file of the log with what can be said of rooms and control records, when the log as it
  /// is cannot be replayed or rooms stand on commits that are lost.
  Result<> MendRefs();
  Result<> MendHead();
  std::optional<Head> LoadHead() const;

  // repair.cc
  Result<> MoveLeftovers();

  const std::string directory_;
  const RepairOptions& options_;
  const std::function<void(const Finding&)>& report_;
  const std::function<void(const RepairAction&)>& act_;
  const std::function<void(const CheckProgress&)>& progress_;
  Quarantine quarantine_;
  HealingSources sources_;
  File lock_;
  std::unique_ptr<StoreImage> image_;
  Checked found_;
  std::vector<DamagedRecord> hashed_;  // what the first look found, which hashed everything
  RepairSummary summary_;
  std::set<std::pair<int, std::string>> told_;
  bool changed_ = false;     // in this round
  bool log_filled_ = false;  // in this run: what was acknowledged is lost from the log
};

}  // namespace zn::check
