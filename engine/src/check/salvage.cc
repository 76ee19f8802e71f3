#include "check/salvage.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/bytes.h"
#include "check/record_search.h"
#include "codec/pipeline_cache.h"
#include "room/state.h"

namespace zn::check {
namespace {

struct Words {
  std::map<uint64_t, std::vector<RefRecord>> refs;  // by room, oldest first
  std::set<uint64_t> living;
  uint64_t epoch = 0, next_room = 1;
  RecordsAt base;                              // the newest that restates everything
  std::map<uint64_t, RecordsAt> transactions;  // by number
};

void Take(Words& words, const RefRecord& ref) {
  words.next_room = std::max(words.next_room, ref.room + 1);
  if (ref.deleted) {
    words.living.erase(ref.room);
  } else {
    words.living.insert(ref.room);
    words.refs[ref.room].push_back(ref);
  }
}

void Restate(Words& words, const RecordsAt& at) {
  if (at.number >= words.base.number) words.base = at;
}

void Take(Words& words, RecordType type, std::span<const std::byte> payload) {
  switch (type) {
    case RecordType::kCheckpoint:
      if (const auto checkpoint = DecodeCheckpoint(payload)) {
        words.epoch = std::max(words.epoch, checkpoint->epoch);
        words.next_room = std::max(words.next_room, checkpoint->next_room);
        words.living.clear();
        for (const RefRecord& ref : checkpoint->rooms) Take(words, ref);
        Restate(words, checkpoint->records);
      }
      return;
    case RecordType::kRef:
      if (const auto ref = DecodeRef(payload)) Take(words, *ref);
      return;
    case RecordType::kEpoch: {
      ByteReader in(payload);
      words.epoch = std::max(words.epoch, in.Get<uint64_t>());
      return;
    }
    case RecordType::kState:
      if (const auto record = DecodeStateRecord(payload)) {
        if (record->kind == StateRecord::kFolded) Restate(words, record->at);
        if (record->kind == StateRecord::kTransaction)
          words.transactions[record->at.number] = record->at;
      }
      return;
    default:
      return;
  }
}

Words Read(StoreImage& image) {
  Words words;
  for (const auto& [number, file] : image.files()) {
    if (!(number & RecordRef::kLogBit)) continue;
    const uint32_t in = number;
    ForEachRecord(image, file, Payloads::kSkip, [&](uint64_t begin, const RecordHeader& header) {
      std::vector<std::byte> payload;
      const RecordRef ref{header.name, begin + kRecordHeaderSize, in,
                          static_cast<uint32_t>(header.length)};
      if (header.type >= RecordType::kCheckpoint || header.type == RecordType::kRef)
        if (!image.ReadChecked(ref, &payload)) Take(words, header.type, payload);
      return true;
    });
  }
  return words;
}

/// The newest of a room's refs that leads to something.
const RefRecord* NewestWhole(const StoreImage& image, PipelineCache& pipelines,
                             const std::vector<RefRecord>& refs) {
  std::vector<std::pair<uint64_t, const RefRecord*>> by_generation;
  for (const RefRecord& ref : refs) {
    if (!ref.commit) continue;
    if (const auto commit = internal::ReadCommitHeader(image, ref.commit))
      by_generation.emplace_back(commit->generation, &ref);
  }
  std::stable_sort(by_generation.begin(), by_generation.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto at = by_generation.rbegin(); at != by_generation.rend(); ++at)
    if (internal::LoadState(image, pipelines, at->second->commit)) return at->second;
  return nullptr;
}

}  // namespace

Salvaged Salvage(StoreImage& image) {
  Words words = Read(image);
  Salvaged salvaged;
  PipelineCache pipelines;
  for (const uint64_t room : words.living) {
    const std::vector<RefRecord>& refs = words.refs[room];
    const RefRecord& last = refs.back();
    const RefRecord* const whole = NewestWhole(image, pipelines, refs);
    salvaged.checkpoint.rooms.push_back(whole != nullptr ? *whole : last);
    if (whole == nullptr)
      salvaged.dead.push_back("room " + last.name + ": no commit of it can be read");
    else if (!(whole->commit == last.commit))
      salvaged.changed.push_back("room " + last.name + " goes back to an earlier commit, " +
                                 whole->commit.name.Hex().substr(0, 16));
  }
  salvaged.checkpoint.epoch = words.epoch;
  salvaged.checkpoint.next_room = words.next_room;
  RecordsAt& records = salvaged.checkpoint.records;
  records = std::move(words.base);
  for (const auto& [number, transaction] : words.transactions) {
    if (number <= records.number) continue;
    if (number != records.number + 1)
      salvaged.changed.push_back("control transactions " + std::to_string(records.number + 1) +
                                 " to " + std::to_string(number - 1) + " are lost");
    records.number = number;
    records.op_count += transaction.op_count;
    records.ops.insert(records.ops.end(), transaction.ops.begin(), transaction.ops.end());
  }
  return salvaged;
}

}  // namespace zn::check
