#include "control/record_table.h"

#include <algorithm>

#include "tree/group_sink.h"

namespace zn::internal {
namespace {

constexpr std::string_view kAuditPrefix("audit\0", 6);
constexpr size_t kMaxRoomName = 128;

Result<std::string> ValueOf(const NodeSource& nodes, const KeyTree::Entry& entry) {
  if (!entry.ref) return entry.value;
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, nodes.ReadNode(entry.ref));
  ZN_ASSIGN_OR_RETURN(const StateRecord record, DecodeStateRecord(bytes.bytes()));
  if (record.kind != StateRecord::kValue)
    return Error{ErrorCode::kCorrupt, "a control record does not refer to a value; run zn-fsck"};
  return std::string(reinterpret_cast<const char*>(record.value.data()), record.value.size());
}

Result<std::optional<std::string>> GetFrom(const NodeSource& nodes, const KeyTree& tree, std::string_view key) {
  ZN_ASSIGN_OR_RETURN(const auto entry, tree.Find(nodes, key));
  if (!entry) return std::optional<std::string>();
  ZN_ASSIGN_OR_RETURN(std::string value, ValueOf(nodes, *entry));
  return std::optional<std::string>(std::move(value));
}

Result<std::vector<Record>> ScanIn(const NodeSource& nodes, const KeyTree& tree, std::string_view begin,
                                   std::string_view end, size_t limit) {
  std::vector<Record> records;
  if (limit == 0) return records;
  Result<> read;
  ZN_RETURN_IF_ERROR(tree.ForEach(nodes, begin, end, [&](const KeyTree::Entry& entry) {
    auto value = ValueOf(nodes, entry);
    if (!value) {
      read = std::move(value).error();
      return false;
    }
    records.push_back({entry.key, std::move(*value)});
    return records.size() < limit;
  }));
  if (!read) return std::move(read).error();
  return records;
}

std::string AuditPrefix(std::string_view room) {
  std::string key(kAuditPrefix);
  key += room;
  key += '\0';
  return key;
}
std::string AuditKey(std::string_view room, uint64_t sequence) {
  std::string key = AuditPrefix(room);
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(sequence >> shift & 0xff);
  return key;
}
/// Of a key that begins with AuditPrefix.
std::optional<uint64_t> AuditSequence(std::string_view key, size_t prefix) {
  if (key.size() != prefix + 8) return std::nullopt;
  uint64_t sequence = 0;
  for (const char c : key.substr(prefix)) sequence = sequence << 8 | static_cast<uint8_t>(c);
  return sequence;
}

/// The smallest key above all that begin with `prefix`; "" when there is none.
std::string Beyond(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<uint8_t>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
  return end;
}

}  // namespace

RecordTable::RecordTable(const NodeSource& nodes, uint64_t audit_lines)
    : nodes_(nodes), audit_lines_(audit_lines), sequenced_(std::make_shared<const RecordState>()), published_(sequenced_) {}

RecordStatePtr RecordTable::Published() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

void RecordTable::Publish(RecordStatePtr state) {
  const std::lock_guard lock(mutex_);
  // Transactions become durable in their order, so a later one holds all before it.
  if (state->number > published_->number) published_ = std::move(state);
}

Result<> RecordTable::Apply(RecordState& state, const std::vector<RecordOp>& ops) const {
  for (const RecordOp& op : ops) {
    if (op.erase) {
      ZN_ASSIGN_OR_RETURN(state.tree, state.tree.Erase(nodes_, op.entry.key));
    } else {
      ZN_ASSIGN_OR_RETURN(state.tree, state.tree.Put(nodes_, op.entry));
    }
  }
  return {};
}

RecordStatePtr RecordTable::Remember(RecordStatePtr state) {
  const std::lock_guard lock(mutex_);
  if (alive_.size() >= forget_at_) {
    std::erase_if(alive_, [](const auto& weak) { return weak.expired(); });
    forget_at_ = std::max(kLeastForget, 2 * alive_.size());
  }
  alive_.push_back(state);
  return state;
}

std::vector<RecordStatePtr> RecordTable::Alive() const {
  const std::lock_guard lock(mutex_);
  std::vector<RecordStatePtr> alive;
  for (const auto& weak : alive_)
    if (auto state = weak.lock()) alive.push_back(std::move(state));
  return alive;
}

void RecordTable::Carry(const RecordsAt& transaction) {
  carried_.number = transaction.number;
  carried_.op_count += transaction.op_count;
  carried_.ops.insert(carried_.ops.end(), transaction.ops.begin(), transaction.ops.end());
}

Result<> RecordTable::Restore(const RecordsAt& at) {
  RecordState state{at.number, KeyTree(at.root, at.level)};
  ZN_ASSIGN_OR_RETURN(const auto ops, DecodeRecordOps(at.ops, at.op_count));
  ZN_RETURN_IF_ERROR(Apply(state, ops));
  carried_ = at;
  sequenced_ = Remember(std::make_shared<const RecordState>(std::move(state)));
  const std::lock_guard lock(mutex_);
  published_ = sequenced_;
  return {};
}

Result<> RecordTable::Replay(std::span<const std::byte> payload) {
  ZN_ASSIGN_OR_RETURN(StateRecord record, DecodeStateRecord(payload));
  if (record.kind == StateRecord::kValue) return {};
  if (record.at.number <= sequenced_->number) return {};  // a group that is replayed once more, after an error
  if (record.at.number != sequenced_->number + 1)
    return Error{ErrorCode::kCorrupt, "control transaction " + std::to_string(record.at.number) + " follows " +
                                          std::to_string(sequenced_->number) + "; run zn-fsck"};
  if (record.kind == StateRecord::kFolded) return Restore(record.at);
  RecordState state = *sequenced_;
  state.number = record.at.number;
  ZN_ASSIGN_OR_RETURN(const auto ops, DecodeRecordOps(record.at.ops, record.at.op_count));
  ZN_RETURN_IF_ERROR(Apply(state, ops));
  Carry(record.at);
  sequenced_ = Remember(std::make_shared<const RecordState>(std::move(state)));
  Publish(sequenced_);
  return {};
}

RecordDraft::RecordDraft(RecordTable& table, const Log::AppendRecord& append)
    : table_(table), append_(append), state_(*table.sequenced_) {}

Result<std::optional<std::string>> RecordDraft::Get(std::string_view key) const {
  return GetFrom(table_.nodes(), state_.tree, key);
}

Result<std::vector<Record>> RecordDraft::Scan(std::string_view begin, std::string_view end, size_t limit) const {
  return ScanIn(table_.nodes(), state_.tree, begin, end, limit);
}

Result<> RecordDraft::Put(std::string_view key, std::string_view value) {
  if (key.empty() || key.size() > kMaxRecordKey)
    return Error{ErrorCode::kInvalidArgument, "a record's key has 1 to 1024 bytes, not " + std::to_string(key.size())};
  if (value.size() > kMaxRecordValue)
    return Error{ErrorCode::kTooLarge, "a record's value has at most 1 MiB, not " + std::to_string(value.size()) + " bytes"};
  if (key.starts_with(kAuditPrefix))
    return Error{ErrorCode::kInvalidArgument, "keys that begin with 'audit' are the audit log's"};
  return PutEntry(std::string(key), value);
}

Result<> RecordDraft::PutEntry(std::string key, std::string_view value) {
  RecordOp op;
  op.entry.key = std::move(key);
  if (value.size() > KeyTree::kMaxInlineValue) {
    op.entry.ref = append_(RecordType::kState, EncodeValue(value));
  } else {
    op.entry.value = value;
  }
  PutRecordOp(ops_, op);
  ++op_count_;
  ZN_ASSIGN_OR_RETURN(state_.tree, state_.tree.Put(table_.nodes(), std::move(op.entry)));
  return {};
}

Result<> RecordDraft::Erase(std::string_view key) {
  if (key.starts_with(kAuditPrefix))
    return Error{ErrorCode::kInvalidArgument, "keys that begin with 'audit' are the audit log's"};
  return EraseEntry(key);
}

Result<> RecordDraft::EraseEntry(std::string_view key) {
  ZN_ASSIGN_OR_RETURN(const auto found, state_.tree.Find(table_.nodes(), key));
  if (!found) return {};
  RecordOp op;
  op.erase = true;
  op.entry.key = key;
  PutRecordOp(ops_, op);
  ++op_count_;
  ZN_ASSIGN_OR_RETURN(state_.tree, state_.tree.Erase(table_.nodes(), key));
  return {};
}

Result<> RecordDraft::AppendAudit(std::string_view room, std::string_view line) {
  if (room.size() > kMaxRoomName || room.find('\0') != room.npos)
    return Error{ErrorCode::kInvalidArgument, "not the name of a room"};
  if (line.size() > kMaxAuditLine)
    return Error{ErrorCode::kTooLarge, "a line of the audit log has at most 64 KiB"};
  const std::string prefix = AuditPrefix(room);
  ZN_ASSIGN_OR_RETURN(const auto last, state_.tree.LastBefore(table_.nodes(), Beyond(prefix)));
  uint64_t sequence = 1;
  if (last && last->key.starts_with(prefix)) sequence = AuditSequence(last->key, prefix.size()).value_or(0) + 1;
  ZN_RETURN_IF_ERROR(PutEntry(AuditKey(room, sequence), line));
  // One goes for each that comes; after the bound was lowered, a few more.
  if (sequence <= table_.audit_lines()) return {};
  constexpr size_t kAtOnce = 4;
  ZN_ASSIGN_OR_RETURN(const auto old, Scan(prefix, AuditKey(room, sequence - table_.audit_lines() + 1), kAtOnce));
  for (const Record& record : old) ZN_RETURN_IF_ERROR(EraseEntry(record.key));
  return {};
}

Result<> RecordDraft::Finish() {
  if (op_count_ == 0) return {};
  written_.number = ++state_.number;
  const RecordsAt& carried = table_.carried_;
  folds_ = carried.op_count + op_count_ > RecordTable::kMaxOps ||
           carried.ops.size() + ops_.size() > RecordTable::kMaxOpBytes;
  if (folds_) {
    GroupSink sink(append_);
    ZN_ASSIGN_OR_RETURN(state_.tree, state_.tree.Save(sink));
    written_.root = state_.tree.root_ref();
    written_.level = state_.tree.level();
  } else {
    written_.op_count = op_count_;
    written_.ops = ops_.Take();
  }
  append_(RecordType::kState, EncodeTransaction(written_, folds_));
  return {};
}

RecordStatePtr RecordDraft::Sequence() {
  if (op_count_ == 0) return table_.sequenced_;
  if (folds_) {
    table_.carried_ = std::move(written_);
  } else {
    table_.Carry(written_);
  }
  table_.sequenced_ = table_.Remember(std::make_shared<const RecordState>(std::move(state_)));
  return table_.sequenced_;
}

}  // namespace zn::internal

namespace zn {

RecordView::RecordView(std::shared_ptr<const internal::RecordTable> table)
    : table_(std::move(table)), state_(table_->Published()) {}

Result<std::optional<std::string>> RecordView::Get(std::string_view key) const {
  return internal::GetFrom(table_->nodes(), state_->tree, key);
}

Result<std::vector<Record>> RecordView::Scan(std::string_view begin, std::string_view end, size_t limit) const {
  return internal::ScanIn(table_->nodes(), state_->tree, begin, end, limit);
}

uint64_t RecordView::generation() const { return state_->number; }

Result<std::vector<Record>> RecordReader::ScanPrefix(std::string_view prefix, size_t limit, std::string_view after) const {
  std::string begin(prefix);
  if (!after.empty() && after >= prefix) begin = std::string(after) + '\0';
  return Scan(begin, internal::Beyond(prefix), limit);
}

Result<std::vector<AuditLine>> RecordReader::Audit(std::string_view room, uint64_t after, size_t limit) const {
  const std::string prefix = internal::AuditPrefix(room);
  std::vector<AuditLine> lines;
  if (after == UINT64_MAX) return lines;
  ZN_ASSIGN_OR_RETURN(auto records, Scan(internal::AuditKey(room, after + 1), internal::Beyond(prefix), limit));
  for (Record& record : records)
    lines.push_back({internal::AuditSequence(record.key, prefix.size()).value_or(0), std::move(record.value)});
  return lines;
}

}  // namespace zn
