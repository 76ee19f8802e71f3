#include "check/reach.h"

#include <algorithm>

#include "chunk/chunk_io.h"
#include "room/state.h"
#include "zn/engine/codec.h"

namespace zn::check {
namespace {

constexpr size_t kDecodesAtOnce = 256;
constexpr int64_t kDecodeBytesAtOnce = 256 << 20;
constexpr int64_t kLargestText = int64_t{1} << 31;  // of one decoded chunk of texts

FindingClass ClassOf(RecordFault::Kind kind) {
  switch (kind) {
    case RecordFault::kMissing:
    case RecordFault::kLost:
      return FindingClass::kObjectMissing;
    case RecordFault::kTruncated:
      return FindingClass::kObjectTruncated;
    case RecordFault::kHash:
      return FindingClass::kObjectHash;
    case RecordFault::kUnreadable:
      return FindingClass::kObjectTruncated;
  }
  return FindingClass::kObjectHash;
}

}  // namespace

void Reach::Damaged(RecordType type, const RecordRef& ref, const RecordFault& fault,
                    const Affected& affected) {
  const bool lost = fault.kind == RecordFault::kLost;
  run_.findings.AddRecord({run_.image.Now(ref), type, false, lost},
                          {ClassOf(fault.kind),
                           lost,  // known, and told to whoever reads it
                           DescribeRecord(type, ref),
                           fault.what,
                           lost ? "zn-fsck --repair --from-backup REPO, should a backup have it"
                                : "zn-fsck --repair looks for another copy",
                           {affected}});
}

void Reach::Senseless(FindingClass kind, RecordType type, const RecordRef& ref,
                      std::string message, const Affected& affected) {
  run_.findings.AddRecord({run_.image.Now(ref), type, true},
                          {kind,
                           false,
                           DescribeRecord(type, ref),
                           std::move(message),
                           "restore from a backup (--from-backup)",
                           {affected}});
}

std::optional<std::vector<std::byte>> Reach::Read(RecordType type, const RecordRef& ref,
                                                  const Affected& affected) {
  std::vector<std::byte> payload;
  if (const auto fault = run_.image.ReadChecked(ref, &payload)) {
    Damaged(type, ref, *fault, affected);
    return std::nullopt;
  }
  return payload;
}

Result<> Reach::Follow(const LogEnd& end) {
  run_.summary.rooms = static_cast<int64_t>(end.rooms.size());
  // Rooms that keep everything first: what others follow only in part is then followed already.
  for (const bool partly : {false, true}) {
    for (const auto& [incarnation, ref] : end.rooms) {
      if ((ref.oldest > 1) != partly) continue;
      Room(ref);
      if (run_.cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
    }
  }
  Records(end.records);
  FlushDecodes();
  return {};
}

void Reach::Records(const RecordsAt& records) {
  bool sound = true;
  const auto read = [&](RecordType type, const RecordRef& ref) {
    if (run_.image.Resolve(ref) && !run_.image.Reach(ref)) return false;  // met before
    ++run_.summary.references;
    const bool whole = Read(type, ref, {}).has_value();
    sound = sound && whole;
    return whole;
  };
  const auto node = [&](const RecordRef& ref, uint8_t) {
    ++run_.summary.nodes;
    return read(RecordType::kNode, ref);
  };
  const auto senseless = [&](const Error& error) {
    if (!sound) return;  // told already: a node is what is damaged
    run_.findings.Add({FindingClass::kTreeCount,
                       false,
                       "control records",
                       error.message,
                       "restore from a backup (--from-backup)",
                       {}});
  };
  KeyTree tree(records.root, records.level);
  if (auto followed = tree.ForEachNode(run_.image, node); !followed) return senseless(followed.error());
  if (!sound) return;
  const auto ops = DecodeRecordOps(records.ops, records.op_count);
  if (!ops) return senseless(ops.error());
  for (const RecordOp& op : *ops) {
    auto changed = op.erase ? tree.Erase(run_.image, op.entry.key) : tree.Put(run_.image, op.entry);
    if (!changed) return senseless(changed.error());
    tree = std::move(*changed);
  }
  const auto visited = tree.ForEach(run_.image, "", "", [&](const KeyTree::Entry& entry) {
    if (entry.ref) read(RecordType::kState, entry.ref);
    return !run_.cancelled();
  });
  if (!visited) return senseless(visited.error());
  if (auto valid = tree.Validate(run_.image); !valid) senseless(valid.error());
}

void Reach::Room(const RefRecord& ref) {
  const Affected all{ref.name, "", -1, -1};
  if (ref.model && run_.image.Reach(ref.model))
    if (auto bytes = Read(RecordType::kRoomModel, ref.model, all))
      if (auto model = DecodeModel(*bytes); !model)
        Senseless(FindingClass::kObjectDecode, RecordType::kRoomModel, ref.model, model.error().message, all);
  if (!ref.commit) {
    run_.findings.Add({FindingClass::kRefDangling,
                       false,
                       "room " + ref.name,
                       "its ref names no commit",
                       "restore from a backup (--from-backup)",
                       {all}});
    return;
  }
  if (const auto fault = run_.image.CheckPlace(ref.commit))
    run_.findings.Add({FindingClass::kRefDangling,
                       fault->kind == RecordFault::kLost,
                       "room " + ref.name,
                       "its newest commit " + ref.commit.name.Hex().substr(0, 16) +
                           " cannot be read: " + fault->what,
                       "zn-fsck --repair goes back to the newest commit that is whole",
                       {all}});
  std::optional<internal::RoomState> floor;
  if (ref.oldest > 1) {
    if (const auto oldest = internal::FindGeneration(run_.image, ref.commit, ref.oldest))
      if (auto state = internal::LoadState(run_.image, pipelines_, oldest->first)) floor = std::move(*state);
    if (!floor)
      run_.findings.Add({FindingClass::kRefDangling,
                         false,
                         "room " + ref.name,
                         "the oldest commit that it keeps, of generation " + std::to_string(ref.oldest) +
                             ", cannot be read",
                         "restore from a backup (--from-backup)",
                         {all}});
  }
  floor_ = floor ? &*floor : nullptr;
  Commits(ref.name, ref.commit, ref.oldest);
  floor_ = nullptr;
}

void Reach::Floor(const std::string& room, const internal::RoomState& floor) {
  for (size_t i = 0; i < floor.rows.size(); ++i) {
    const FieldDescriptor& field = floor.table->all[i]->descriptor;
    Where where{&room, field.name, &field, -1, -1};
    (void)floor.rows[i].ForEach(run_.image, 0, floor.rows[i].span(),
                                [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
                                  where.first = static_cast<FrameId>(start);
                                  where.last = static_cast<FrameId>(start + span - 1);
                                  Row(entry, span, where);
                                  return !run_.cancelled();
                                });
  }
  (void)floor.versions.ForEach(run_.image, 0, floor.versions.span(),
                               [&](uint64_t id, uint64_t, const VersionEntry& entry) {
                                 const auto frame = static_cast<FrameId>(id);
                                 if (entry.version != 0 && run_.image.Reach(entry.record))
                                   (void)Read(RecordType::kVersion, entry.record, {room, "", frame, frame});
                                 return !run_.cancelled();
                               });
}

void Reach::Commits(const std::string& room, RecordRef ref, uint64_t oldest) {
  const Affected all{room, "", -1, -1};
  Descriptors fields;
  uint64_t generation = UINT64_MAX;
  // Newest first, until what another room (a fork's base) was followed along already. Fields are
  // never renumbered and geometries only added, so the newest commit's descriptors serve the older
  // ones too.
  while (ref && run_.image.Reach(ref) && !run_.cancelled()) {
    ++run_.summary.commits;
    const auto bytes = Read(RecordType::kCommit, ref, all);
    if (!bytes) return;
    auto commit = DecodeCommit(*bytes);
    if (!commit)
      return Senseless(FindingClass::kObjectDecode, RecordType::kCommit, ref, commit.error().message, all);
    if (commit->generation >= generation)
      return Senseless(FindingClass::kVersionCycle, RecordType::kCommit, ref,
                       "its generation is not below its child's", all);
    generation = commit->generation;
    if (oldest > 1 && generation <= oldest) {
      if (floor_ != nullptr) Floor(room, *floor_);
      return;
    }
    if (fields.empty()) fields = DescriptorsOf(ref, commit->root);
    for (const Op& op : commit->ops) Operation(room, op, &fields);
    // A root of before the oldest commit may hold rows that are gone since; what is left of it is the floor's.
    if (commit->root && (floor_ == nullptr || !(commit->root == floor_->root_ref)))
      Root(room, commit->root, &fields);
    if (run_.options.level == CheckLevel::kDeep) {
      if (auto state = internal::LoadState(run_.image, pipelines_, ref)) {
        if (state->frames() != commit->frames)
          Senseless(FindingClass::kTreeCount, RecordType::kCommit, ref,
                    "it says " + std::to_string(commit->frames) + " frames, its order tree has " +
                        std::to_string(state->frames()),
                    all);
      } else if (!run_.findings.any_record()) {
        Senseless(FindingClass::kObjectDecode, RecordType::kCommit, ref, state.error().message, all);
      }
    }
    run_.Progress("trees", run_.summary.references, 0);
    ref = commit->parent;
  }
}

Reach::Descriptors Reach::DescriptorsOf(const RecordRef& commit, const RecordRef& root) {
  Descriptors fields;
  const auto state = internal::LoadState(run_.image, pipelines_, commit);
  fields_known_ = state.has_value();
  if (state) {
    for (const auto& field : state->table->all) fields.push_back(field->descriptor);
    return fields;
  }
  // Something of it is damaged, which is told where it is met: the root's are better than none.
  std::vector<std::byte> payload;
  if (root && !run_.image.ReadChecked(root, &payload))
    if (auto decoded = DecodeRoot(payload))
      for (auto& field : decoded->fields) fields.push_back(std::move(field.descriptor));
  return fields;
}

void Reach::CheckDescriptor(const std::string& room, const FieldDescriptor& field) {
  for (size_t g = 0; g < field.geometries.size(); ++g) {
    const Geometry& geometry = field.geometries[g];
    std::string wrong;
    if (geometry.frames_per_chunk < 1 || geometry.atoms_per_chunk < 0 || geometry.RowBytes() < 0)
      wrong = "its chunk grid has no size";
    else if (auto pipeline = pipelines_.Get(geometry.codecs, geometry.dtype); !pipeline)
      wrong = pipeline.error().message;
    if (!wrong.empty())
      run_.findings.Add({FindingClass::kZarrMeta,
                         false,
                         "field " + field.name + " of room " + room,
                         "geometry " + std::to_string(g) + ": " + wrong,
                         "restore from a backup (--from-backup)",
                         {{room, field.name, -1, -1}}});
  }
}

void Reach::Root(const std::string& room, const RecordRef& ref, Descriptors* fields) {
  if (!run_.image.Reach(ref)) return;
  const Affected all{room, "", -1, -1};
  const auto bytes = Read(RecordType::kRoot, ref, all);
  if (!bytes) return;
  auto root = DecodeRoot(*bytes);
  if (!root) return Senseless(FindingClass::kObjectDecode, RecordType::kRoot, ref, root.error().message, all);
  for (size_t i = 0; i < root->fields.size(); ++i) {
    if (i >= fields->size()) fields->push_back(root->fields[i].descriptor);
    CheckDescriptor(room, root->fields[i].descriptor);
  }
  Where where{&room, "", nullptr, -1, -1};
  Tree<OrderEntry>(root->order, where, [](const OrderEntry&, uint64_t, uint64_t, const Where&) {});
  Tree<VersionEntry>(
      root->versions, where, [&](const VersionEntry& entry, uint64_t, uint64_t base, const Where&) {
        if (entry.version != 0)
          Versions(room, entry.record, static_cast<FrameId>(base), entry.version, *fields);
      });
  for (const RootRecord::Field& field : root->fields) {
    Where in_field{&room, field.descriptor.name, &field.descriptor, -1, -1};
    Tree<FieldEntry>(field.rows, in_field,
                     [&](const FieldEntry& entry, uint64_t span, uint64_t, const Where& at) {
                       Row(entry, span, at);
                     });
  }
}

template <class Entry, class Visit>
void Reach::Tree(const TreeRef& tree, const Where& where, Visit&& visit) {
  if (tree.span == 0) return;
  Node<Entry>(tree.root, tree.level, tree.span, 0, where, visit);
}

template <class Entry, class Visit>
void Reach::Node(const RecordRef& ref, int level, uint64_t span, uint64_t base, Where where,
                 Visit& visit) {
  if (run_.cancelled()) return;
  ++run_.summary.references;
  if constexpr (Entry::kKind != TreeKind::kOrder) {
    where.first = static_cast<FrameId>(base);
    where.last = static_cast<FrameId>(base + span - 1);
  }
  if (run_.image.Resolve(ref) && !run_.image.Reach(ref)) return;  // met before
  ++run_.summary.nodes;
  auto payload = Read(RecordType::kNode, ref, where.affected());
  if (!payload) return;
  constexpr size_t kChild = kEncodedRefSize + (Entry::kKind == TreeKind::kOrder ? 16 : 0);
  const auto wrong = [&](const char* what) {
    Senseless(FindingClass::kTreeCount, RecordType::kNode, ref, what, where.affected());
  };
  const auto view =
      NodeView::Open(Buffer::Own(std::move(*payload)), Entry::kKind, Entry::kSize, kChild);
  if (!view) return wrong(view.error().message.c_str());
  if (view->level != level) return wrong("its level is not what its parent says");
  uint64_t before = 0;
  for (size_t i = 0; i < view->count; ++i) {
    if (view->ends[i] <= before) return wrong("its runs do not ascend");
    before = view->ends[i];
  }
  if (before != span) return wrong("it does not cover what its parent says");
  for (size_t i = 0; i < view->count; ++i) {
    const uint64_t start = view->start(i);
    const uint64_t width = view->ends[i] - start;
    if (view->level > 0) {
      RecordRef child;
      std::memcpy(&child, view->entries + i * kChild, kEncodedRefSize);
      Node<Entry>(child, level - 1, width, base + start, where, visit);
      continue;
    }
    if constexpr (Entry::kKind == TreeKind::kField) {
      uint32_t index;
      uint16_t blocks;
      std::memcpy(&blocks, view->entries + i * Entry::kSize + 2, 2);
      std::memcpy(&index, view->entries + i * Entry::kSize + 20, 4);
      if (uint64_t{index} + blocks > view->ref_count)
        return wrong("an entry's references lie beyond its end");
      where.first = static_cast<FrameId>(base + start);
      where.last = static_cast<FrameId>(base + start + width - 1);
    }
    visit(Entry::Decode(view->entries + i * Entry::kSize, *view), width, base + start, where);
  }
}

void Reach::Operation(const std::string& room, const Op& op, Descriptors* fields) {
  if (const auto* define = std::get_if<FieldDefineOp>(&op)) {
    CheckDescriptor(room, define->descriptor);
    if (define->field == fields->size()) {
      fields->push_back(define->descriptor);
    } else if (define->field < fields->size() &&
               (*fields)[define->field].geometries.size() < define->descriptor.geometries.size()) {
      (*fields)[define->field] = define->descriptor;
    }
  } else if (const auto* splice = std::get_if<FieldSpliceOp>(&op)) {
    Where where{&room, "", nullptr, splice->first,
                splice->first + static_cast<FrameId>(splice->span) - 1};
    if (splice->field < fields->size()) {
      where.field = (*fields)[splice->field].name;
      where.descriptor = &(*fields)[splice->field];
    }
    Row(splice->entry, splice->span, where);
  } else if (const auto* set = std::get_if<VersionSetOp>(&op)) {
    Versions(room, set->record, set->id, set->version, *fields);
  }
}

void Reach::Versions(const std::string& room, RecordRef ref, FrameId id, uint32_t version,
                     const Descriptors& fields) {
  // From the newest down to 2, each once: an older one that was met has had those below it
  // followed. The oldest that is kept has replaced what is gone.
  uint32_t kept = 1;
  if (floor_ != nullptr)
    if (const auto oldest = floor_->VersionOf(run_.image, id)) kept = oldest->version;
  while (ref && run_.image.Reach(ref) && !run_.cancelled()) {
    ++run_.summary.references;
    const Affected frame{room, "", id, id};
    const auto bytes = Read(RecordType::kVersion, ref, frame);
    if (!bytes) return;
    const auto record = DecodeVersion(*bytes);
    if (!record)
      return Senseless(FindingClass::kObjectDecode, RecordType::kVersion, ref, record.error().message, frame);
    if (record->id != id || record->version != version)
      return Senseless(FindingClass::kVersionCycle, RecordType::kVersion, ref,
                       "it is version " + std::to_string(record->version) + " of frame " +
                           std::to_string(record->id) + " where version " +
                           std::to_string(version) + " of frame " + std::to_string(id) +
                           " should be",
                       frame);
    if (version < 2 || (version > 2 && !record->previous))
      return Senseless(FindingClass::kVersionCycle, RecordType::kVersion, ref, "no version before it", frame);
    if (version <= kept) return;
    for (const VersionRecord::OldRow& old : record->old_rows) {
      Where where{&room, "", nullptr, id, id};
      if (old.field < fields.size()) {
        where.field = fields[old.field].name;
        where.descriptor = &fields[old.field];
      }
      Row(old.row, 1, where);
    }
    ref = record->previous;
    --version;
  }
}

void Reach::Row(const FieldEntry& entry, uint64_t span, const Where& where) {
  if (!entry.present()) return;
  const Geometry* geometry = nullptr;
  if (where.descriptor != nullptr && entry.geometry < where.descriptor->geometries.size())
    geometry = &where.descriptor->geometries[entry.geometry];
  const auto wrong = [&](const char* what) {
    run_.findings.Add({FindingClass::kTreeCount,
                       false,
                       "field " + where.field + " of room " + *where.room,
                       what,
                       "restore from a backup (--from-backup)",
                       {where.affected()}});
  };
  if (geometry == nullptr && !fields_known_) {
    // The commit that defines it may be what is damaged, and that is told already.
    for (size_t block = 0; block < entry.blocks; ++block) {
      const RecordRef& ref = entry.refs[block];
      if (!ref || (run_.image.Resolve(ref) && !run_.image.Reach(ref))) continue;
      if (const auto fault = run_.image.CheckPlace(ref))
        Damaged(RecordType::kChunk, ref, *fault, where.affected());
    }
    return;
  }
  if (geometry == nullptr) return wrong("a row of a geometry that the field does not have");
  if (uint64_t{entry.row} + span > entry.chunk_rows)
    return wrong("rows beyond the end of their chunk");
  for (size_t block = 0; block < entry.blocks; ++block)
    if (entry.refs[block]) Chunk(entry.refs[block], entry, *geometry, block, where);
}

void Reach::Chunk(const RecordRef& ref, const FieldEntry& entry, const Geometry& geometry,
                  size_t block, const Where& where) {
  ++run_.summary.references;
  if (run_.image.Resolve(ref) && !run_.image.Reach(ref)) {
    return;  // met before; FindAffected tells of every place that needs it
  }
  const auto fault = run_.image.CheckPlace(ref);
  if (fault) Damaged(RecordType::kChunk, ref, *fault, where.affected());
  if (run_.findings.IsDamaged(PlaceOf(ref)))
    run_.findings.SetForm(PlaceOf(ref), geometry, ShapeOfBlock(geometry, entry, block));
  if (fault) return;
  if (run_.options.level < CheckLevel::kDeep) return;
  if (run_.findings.IsDamaged(PlaceOf(ref))) return;
  decodes_.push_back(
      {ref, geometry, ShapeOfBlock(geometry, entry, block).encoded, where.affected()});
  decode_bytes_ += int64_t{entry.chunk_rows} * std::max<int64_t>(1, geometry.RowBytes());
  if (decodes_.size() >= kDecodesAtOnce || decode_bytes_ >= kDecodeBytesAtOnce) FlushDecodes();
}

void Reach::FlushDecodes() {
  run_.pool.ParallelFor(decodes_.size(), [&](size_t i) { Decode(decodes_[i]); });
  run_.summary.chunks_decoded += static_cast<int64_t>(decodes_.size());
  decodes_.clear();
  decode_bytes_ = 0;
  run_.Progress("chunks", run_.summary.chunks_decoded, 0);
}

void Reach::Decode(const DecodeJob& job) {
  if (run_.cancelled()) return;
  std::vector<std::byte> payload;
  if (const auto fault = run_.image.ReadChecked(job.ref, &payload))
    return Damaged(RecordType::kChunk, job.ref, *fault, job.affected);
  const auto wrong = [&](const std::string& what) {
    Senseless(FindingClass::kObjectDecode, RecordType::kChunk, job.ref, what, job.affected);
  };
  const auto pipeline = pipelines_.Get(job.geometry.codecs, job.geometry.dtype);
  if (!pipeline) return;  // told with the field
  if (job.geometry.dtype == DType::kJson) {
    const auto texts = (*pipeline)->DecodeVariable(payload, kLargestText);
    if (!texts) return wrong(texts.error().message);
    const auto views = DecodeText(*texts);
    if (!views) return wrong(views.error().message);
    if (static_cast<int64_t>(views->size()) != job.shape.Elements())
      wrong("it holds " + std::to_string(views->size()) + " texts, not " +
            std::to_string(job.shape.Elements()));
    return;
  }
  const int64_t elements = job.shape.Elements();
  int64_t bytes;
  if (elements < 0 ||
      __builtin_mul_overflow(elements, static_cast<int64_t>(ItemSize(job.geometry.dtype)), &bytes))
    return wrong("a shape of no size, " + job.shape.ToString());
  std::vector<std::byte> decoded(static_cast<size_t>(bytes));
  if (const auto done = (*pipeline)->Decode(payload, job.shape, decoded); !done)
    wrong(done.error().message + " (as " + job.shape.ToString() + ")");
}

void Reach::FindAffected(const LogEnd& end) {
  if (!run_.findings.any_record()) return;
  for (const auto& [incarnation, room] : end.rooms) {
    const auto& ref = room;  // clang 14 lets lambdas see no structured bindings
    if (!ref.commit) continue;
    const auto state = internal::LoadState(run_.image, pipelines_, ref.commit);
    if (!state) continue;  // told already: its commit, root or a node is what is damaged
    for (size_t field = 0; field < state->rows.size(); ++field) {
      const std::string& name = state->table->all[field]->descriptor.name;
      const auto visit = [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
        for (size_t block = 0; block < entry.blocks; ++block)
          if (entry.refs[block])
            run_.findings.AddAffected(PlaceOf(entry.refs[block]),
                                      {ref.name, name, static_cast<FrameId>(start),
                                       static_cast<FrameId>(start + span - 1)});
        return !run_.cancelled();
      };
      (void)state->rows[field].ForEach(run_.image, 0, state->rows[field].span(), visit);
    }
  }
}

}  // namespace zn::check
