// The control records of an open store: what is sequenced, what is durable, and the transaction in between.
//
// The tree in memory has every transaction applied. On disk it is a saved root and the operations since, which each
// transaction's record adds to, and which are folded into a new root when they are many: so a change writes itself, not a
// path of nodes, and a checkpoint needs only the root and those operations.
#pragma once

#include <memory>
#include <mutex>

#include "control/record_format.h"
#include "log/log.h"
#include "tree/key_tree.h"
#include "zn/engine/records.h"

namespace zn::internal {

/// Immutable once made.
struct RecordState {
  uint64_t number = 0;  // of the newest transaction in it
  KeyTree tree;
};
using RecordStatePtr = std::shared_ptr<const RecordState>;

class RecordTable {
 public:
  /// Operations, and bytes of them, that are carried along before they are folded.
  static constexpr uint32_t kMaxOps = 1024;
  static constexpr size_t kMaxOpBytes = 256 << 10;

  RecordTable(const NodeSource& nodes, uint64_t audit_lines);

  const NodeSource& nodes() const { return nodes_; }
  uint64_t audit_lines() const { return audit_lines_; }

  /// What is durable. Any thread.
  RecordStatePtr Published() const;
  /// Makes a state visible whose transaction is durable. Any thread, in any order.
  void Publish(RecordStatePtr state);

  /// The states that anybody may still read; the newest sequenced one is among them.
  std::vector<RecordStatePtr> Alive() const;

  // REQUIRES: the log's lock (inside Log::Append's build or the checkpoint writer), or Replay's thread.
  RecordsAt Checkpoint() const { return carried_; }
  Result<> Restore(const RecordsAt& at);
  Result<> Replay(std::span<const std::byte> payload);

 private:
  friend class RecordDraft;
  Result<> Apply(RecordState& state, const std::vector<RecordOp>& ops) const;
  void Carry(const RecordsAt& transaction);

  const NodeSource& nodes_;
  const uint64_t audit_lines_;

  RecordStatePtr sequenced_;  // under the log's lock, as is
  RecordsAt carried_;         // the newest saved root, and the operations since

  mutable std::mutex mutex_;
  RecordStatePtr published_;                             // guarded by mutex_, as is
  std::vector<std::weak_ptr<const RecordState>> alive_;  // every state there was, but for some that are gone
  size_t forget_at_ = kLeastForget;
  static constexpr size_t kLeastForget = 256;
  RecordStatePtr Remember(RecordStatePtr state);
};

/// A transaction. Lives inside Log::Append's build.
class RecordDraft final : public RecordTransaction {
 public:
  RecordDraft(RecordTable& table, const Log::AppendRecord& append);

  Result<std::optional<std::string>> Get(std::string_view key) const override;
  Result<std::vector<Record>> Scan(std::string_view begin, std::string_view end, size_t limit) const override;
  Result<> Put(std::string_view key, std::string_view value) override;
  Result<> Erase(std::string_view key) override;
  Result<> AppendAudit(std::string_view room, std::string_view line) override;

  /// Appends the transaction's record, if it changed anything. Whatever of the same build can fail comes before Sequence.
  Result<> Finish();
  /// Makes it what the next transaction builds on. Cannot fail. Returns what to publish once the group is durable.
  RecordStatePtr Sequence();

 private:
  Result<> PutEntry(std::string key, std::string_view value);
  Result<> EraseEntry(std::string_view key);

  RecordTable& table_;
  const Log::AppendRecord& append_;
  RecordState state_;
  ByteWriter ops_;
  uint32_t op_count_ = 0;
  RecordsAt written_;   // set by Finish, as is
  bool folds_ = false;
};

}  // namespace zn::internal
