// Random histories of rooms against a plain model. If one fails, a user's frames, versions or undo are not what they
// made them.
//
// ZN_PROPERTY_RUNS sets how many histories are tried (10,000, or 300 where ZN_SANITIZED is set),
// ZN_PROPERTY_SEED which one first.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/memory_file_system.h"
#include "engine/room/room_model.h"
#include "room/open_store.h"
#include "room/room_impl.h"
#include "support/temp_dir.h"

namespace zn {
namespace {

using model::Content;
using model::Pick;
using model::Random;

class History {
 public:
  History(const std::string& directory, uint64_t seed) : directory_(directory), random_(seed) {
    disk_ = std::make_shared<MemoryFileSystem>();
    Open();
  }

  void Run() {
    ASSERT_TRUE(store_);
    CreateRoom();
    const int64_t steps = 5 + Pick(random_, 30);
    for (int64_t i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      ASSERT_NO_FATAL_FAILURE(Step()) << "step " << i;
      ASSERT_NO_FATAL_FAILURE(CheckOne()) << "after step " << i << " (" << last_ << ")";
    }
    for (const auto& [name, room] : rooms_) ASSERT_NO_FATAL_FAILURE(CheckAll(name)) << "at the end; last: " << last_;
    Reopen();
    for (const auto& [name, room] : rooms_) ASSERT_NO_FATAL_FAILURE(CheckAll(name)) << "after the last opening";
  }

 private:
  void Open() {
    StoreOptions options;
    options.create = true;
    options.threads = 1;
    options.background_maintenance = false;
    options.clock = [this] { return ++now_; };
    // From folds with every commit to none.
    const internal::FoldPolicy folds{static_cast<uint32_t>(1 + Pick(random_, 60)), static_cast<size_t>(1 + Pick(random_, 4)),
                                     static_cast<uint32_t>(20 + Pick(random_, 200))};
    auto store = internal::OpenStoreOn(disk_, directory_, options, folds);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }

  /// Cleanly, or as if the process or the power had gone: everything was acknowledged, so nothing may be missing.
  void Reopen() {
    using Crash = MemoryFileSystem::Crash;
    const int64_t how = Pick(random_, 4);
    std::shared_ptr<MemoryFileSystem> next = disk_;
    if (how == 1) next = disk_->AfterCrash(Crash::kRestart, random_());
    if (how == 2) next = disk_->AfterCrash(Crash::kLost, random_());
    if (how == 3) next = disk_->AfterCrash(Crash::kReordered, random_());
    store_.reset();
    disk_ = next;
    Open();
  }

  std::shared_ptr<Room> Handle(const std::string& name) {
    auto room = store_->OpenRoom(name);
    EXPECT_TRUE(room) << room.error().message;
    return *room;
  }

  const std::string& AnyRoom() {
    auto at = rooms_.begin();
    std::advance(at, Pick(random_, static_cast<int64_t>(rooms_.size())));
    return at->first;
  }

  void CreateRoom() {
    const std::string name = "room" + std::to_string(rooms_.size());
    auto room = store_->CreateRoom(name, {}, {});
    ASSERT_TRUE(room) << room.error().message;
    rooms_[name].Remember((*room)->Head().commit());
  }

  std::vector<Content> RandomFrames() {
    std::vector<Content> frames;
    for (int64_t i = 1 + Pick(random_, 5); i > 0; --i) frames.push_back(model::RandomContent(random_));
    return frames;
  }

  void Place(model::Room& m, size_t at, const std::vector<Content>& frames, const CommitInfo& info) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const FrameId id = m.next_id++;
      if (!info.ids.empty()) {
        ASSERT_EQ(info.ids[i], id);
      }
      model::Frame& frame = m.frames[id];
      frame.stack = {frames[i]};
      frame.Set(1);
      m.order.insert(m.order.begin() + static_cast<ptrdiff_t>(at + i), id);
    }
  }

  void Step() {
    const std::string name = AnyRoom();
    model::Room& m = rooms_[name];
    const auto room = Handle(name);
    const auto count = static_cast<int64_t>(m.order.size());
    Result<CommitInfo> info = CommitInfo();
    const int64_t what = Pick(random_, 20);
    if (what < 3 || count == 0) {
      last_ = "append";
      const auto frames = RandomFrames();
      info = room->Append(model::ToBatch(frames), {});
      ASSERT_TRUE(info) << info.error().message;
      Place(m, m.order.size(), frames, *info);
    } else if (what < 5) {
      last_ = "bulk append";
      BulkAppender::Options options;
      options.layout.frames_per_chunk = 1 + Pick(random_, 6);
      options.layout.atoms_per_chunk = Pick(random_, 6);
      options.histogram_frames = Pick(random_, 10);
      auto appender = room->StartBulkAppend(options);
      ASSERT_TRUE(appender);
      std::vector<Content> all;
      for (int64_t i = Pick(random_, 4); i >= 0; --i) {
        const auto frames = RandomFrames();
        ASSERT_TRUE((*appender)->Append(model::ToBatch(frames)));
        all.insert(all.end(), frames.begin(), frames.end());
      }
      info = (*appender)->Finish({});
      ASSERT_TRUE(info) << info.error().message;
      Place(m, m.order.size(), all, *info);
    } else if (what < 7) {
      last_ = "insert";
      const auto frames = RandomFrames();
      const int64_t at = Pick(random_, count + 1);
      info = room->Insert(at, model::ToBatch(frames), {}, {});
      ASSERT_TRUE(info) << info.error().message;
      Place(m, static_cast<size_t>(at), frames, *info);
    } else if (what < 8) {
      last_ = "delete";
      std::vector<FrameId> ids = m.order;
      std::shuffle(ids.begin(), ids.end(), random_);
      ids.resize(static_cast<size_t>(1 + Pick(random_, std::min<int64_t>(count, 4))));
      info = room->Delete(ids, {}, {});
      ASSERT_TRUE(info) << info.error().message;
      for (const FrameId id : ids) m.order.erase(std::find(m.order.begin(), m.order.end(), id));
    } else if (what < 9) {
      last_ = "reorder";
      if (Pick(random_, 2) == 0) {
        std::vector<FrameId> order = m.order;
        std::shuffle(order.begin(), order.end(), random_);
        info = room->Reorder(order, {});
        m.order = order;
      } else {
        const int64_t begin = Pick(random_, count), n = 1 + Pick(random_, count - begin);
        const int64_t to = Pick(random_, count - n + 1);
        info = room->Move(begin, n, to, {});
        const auto first = m.order.begin() + static_cast<ptrdiff_t>(begin);
        const std::vector<FrameId> moved(first, first + static_cast<ptrdiff_t>(n));
        m.order.erase(first, first + static_cast<ptrdiff_t>(n));
        m.order.insert(m.order.begin() + static_cast<ptrdiff_t>(to), moved.begin(), moved.end());
      }
      ASSERT_TRUE(info) << info.error().message;
    } else if (what < 10) {
      last_ = "replace";
      const FrameId id = m.order[static_cast<size_t>(Pick(random_, count))];
      const Content content = model::RandomContent(random_);
      info = room->Replace(id, model::ToBatch({content}), {}, {m.frames[id].version});
      ASSERT_TRUE(info) << info.error().message;
      Edited(m, id, content, *info, 0);
    } else if (what < 14) {
      Edit(m, *room, info);
    } else if (what < 16) {
      Travel(m, *room, info);
    } else if (what < 17) {
      Restore(m, *room, info);
    } else if (what < 18) {
      last_ = "fork";
      if (rooms_.size() >= 4) return;
      const std::string fork = "room" + std::to_string(rooms_.size());
      auto made = store_->ForkRoom(name, {}, fork, {});
      ASSERT_TRUE(made) << made.error().message;
      rooms_[fork] = m;
      rooms_[fork].Remember((*made)->Head().commit());
      return;
    } else if (what < 19) {
      last_ = "compact";
      auto merged = room->Compact(100);
      ASSERT_TRUE(merged) << merged.error().message;
      return;
    } else {
      last_ = "reopen";
      Reopen();
      return;
    }
    if (info->changed) m.Remember(info->commit);
  }

  /// Takes over what an edit of ids[k] made.
  void Edited(model::Room& m, FrameId id, const Content& content, const CommitInfo& info, size_t k) {
    model::Frame& frame = m.frames[id];
    if (content == frame.now()) {
      EXPECT_EQ(info.versions[k], frame.version) << "an equal frame makes no version";
      return;
    }
    ASSERT_EQ(info.versions[k], frame.version + 1);
    frame.Push(content, info.versions[k]);
  }

  void Edit(model::Room& m, Room& room, Result<CommitInfo>& info) {
    last_ = "edit";
    std::vector<FrameId> ids = m.order;
    std::shuffle(ids.begin(), ids.end(), random_);
    ids.resize(static_cast<size_t>(1 + Pick(random_, std::min<int64_t>(static_cast<int64_t>(ids.size()), 3))));
    std::vector<Content> deltas, results;
    std::vector<BaseVersion> bases;
    for (const FrameId id : ids) {
      Content delta{m.frames[id].now().n_atoms, {}};
      for (const auto& field : model::kFields)
        if (Pick(random_, 3) == 0) delta.fields[field.name] = model::RandomValue(random_, field, delta.n_atoms);
      Content result = m.frames[id].now();
      for (const auto& [field, value] : delta.fields) result.fields[field] = value;
      deltas.push_back(std::move(delta));
      results.push_back(std::move(result));
      bases.push_back(Pick(random_, 2) == 0 ? BaseVersion{} : BaseVersion{m.frames[id].version});
    }
    if (ids.size() == 1) {
      std::vector<std::string> remove;
      for (const auto& [field, value] : m.frames[ids[0]].now().fields)
        if (deltas[0].fields.count(field) == 0 && Pick(random_, 5) == 0) {
          remove.push_back(field);
          results[0].fields.erase(field);
        }
      info = room.Edit(ids[0], model::ToBatch(deltas), remove, {}, bases[0]);
    } else {
      info = room.EditMany(ids, model::ToBatch(deltas), bases, {});
    }
    ASSERT_TRUE(info) << info.error().message;
    for (size_t k = 0; k < ids.size(); ++k) ASSERT_NO_FATAL_FAILURE(Edited(m, ids[k], results[k], *info, k));
    // A base that is not the newest is refused and changes nothing.
    if (m.frames[ids[0]].version > 1) {
      const auto refused = room.Edit(ids[0], model::ToBatch({model::Content{results[0].n_atoms, {{"calc.energy", std::string(8, 'q')}}}}),
                                     {}, {}, {m.frames[ids[0]].version - 1});
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
    }
  }

  void Travel(model::Room& m, Room& room, Result<CommitInfo>& info) {
    const bool forward = Pick(random_, 2) == 0;
    last_ = forward ? "redo" : "undo";
    const FrameId id = m.order[static_cast<size_t>(Pick(random_, static_cast<int64_t>(m.order.size())))];
    model::Frame& frame = m.frames[id];
    info = forward ? room.Redo(id, {}, {}) : room.Undo(id, {}, {});
    const bool possible = forward ? frame.cursor + 1 < frame.stack.size() : frame.cursor > 0;
    ASSERT_EQ(info.has_value(), possible) << (info ? "" : info.error().message);
    if (!possible) {
      info = CommitInfo();
      info->changed = false;
      return;
    }
    frame.cursor += forward ? 1 : -1;
    ASSERT_EQ(info->versions[0], frame.version + 1);
    frame.Set(info->versions[0]);
  }

  void Restore(model::Room& m, Room& room, Result<CommitInfo>& info) {
    last_ = "restore";
    const auto& commit = m.commits[static_cast<size_t>(Pick(random_, static_cast<int64_t>(m.commits.size())))];
    info = room.Restore(commit.id, {});
    ASSERT_TRUE(info) << info.error().message;
    m.order = commit.order;
    std::map<FrameId, uint32_t> made;
    for (size_t k = 0; k < info->ids.size(); ++k) made[info->ids[k]] = info->versions[k];
    for (const auto& [id, content] : commit.contents) {
      model::Frame& frame = m.frames[id];
      const auto version = made.find(id);
      // Rows that are equal but lie elsewhere may make a version; rows that differ must.
      if (version == made.end()) {
        ASSERT_EQ(frame.now(), content);
        continue;
      }
      ASSERT_EQ(version->second, frame.version + 1);
      frame.Push(content, version->second);
    }
  }

  void CheckOne() {
    const std::string name = AnyRoom();
    const model::Room& m = rooms_[name];
    const Snapshot head = Handle(name)->Head();
    ASSERT_EQ(head.frames(), static_cast<int64_t>(m.order.size()));
    if (m.order.empty()) return;
    CheckFrame(m, head, static_cast<size_t>(Pick(random_, head.frames())));
  }

  void CheckFrame(const model::Room& m, const Snapshot& head, size_t position) {
    const FrameId id = m.order[position];
    ASSERT_EQ(*head.IdAt(static_cast<int64_t>(position)), id);
    ASSERT_EQ(*head.PositionOf(id), static_cast<int64_t>(position));
    const model::Frame& frame = m.frames.at(id);
    ASSERT_EQ(*head.VersionOf(id), frame.version);
    std::vector<FieldIndex> fields(head.fields().size());
    for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
    auto batch = head.Read(std::span(&id, 1), fields);
    ASSERT_TRUE(batch) << batch.error().message;
    ASSERT_EQ(model::FromBatch(*batch, 0), frame.now()) << "frame id " << id;
    // Equal contents have equal hashes, others others.
    auto hash = head.HashFrame(id);
    ASSERT_TRUE(hash) << hash.error().message;
    const auto [known, is_new] = hashes_.emplace(frame.now(), *hash);
    ASSERT_EQ(known->second, *hash);
    // Any old version is what it was: no version ever names two contents.
    auto old = frame.versions.begin();
    std::advance(old, Pick(random_, static_cast<int64_t>(frame.versions.size())));
    auto read = head.ReadVersion(id, old->first, fields);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(model::FromBatch(*read, 0), old->second) << "frame id " << id << " version " << old->first;
  }

  void CheckAll(const std::string& name) {
    const model::Room& m = rooms_[name];
    const auto room = Handle(name);
    const Snapshot head = room->Head();
    ASSERT_EQ(head.frames(), static_cast<int64_t>(m.order.size()));
    ASSERT_EQ(*head.IdsAt(0, head.frames()), m.order);
    for (size_t i = 0; i < m.order.size(); ++i) ASSERT_NO_FATAL_FAILURE(CheckFrame(m, head, i));
    // All frames at once read the same.
    std::vector<FieldIndex> fields(head.fields().size());
    for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
    auto batch = head.Read(m.order, fields);
    ASSERT_TRUE(batch) << batch.error().message;
    for (size_t i = 0; i < m.order.size(); ++i) ASSERT_EQ(model::FromBatch(*batch, i), m.frames.at(m.order[i]).now());
    for (size_t f = 0; f < fields.size(); ++f) {
      const auto has = [&](FrameId id) { return m.frames.at(id).now().fields.count(head.fields()[f].name) != 0; };
      ASSERT_EQ(*head.CountPresent(fields[f]), std::count_if(m.order.begin(), m.order.end(), has));
    }
    // A commit of the past reads as it was.
    const auto& commit = m.commits[static_cast<size_t>(Pick(random_, static_cast<int64_t>(m.commits.size())))];
    auto then = room->At(commit.id);
    ASSERT_TRUE(then) << then.error().message;
    ASSERT_EQ(*then->IdsAt(0, then->frames()), commit.order);
    std::vector<FieldIndex> then_fields(then->fields().size());
    for (size_t i = 0; i < then_fields.size(); ++i) then_fields[i] = static_cast<FieldIndex>(i);
    auto old = then->Read(commit.order, then_fields);
    ASSERT_TRUE(old) << old.error().message;
    for (size_t i = 0; i < commit.order.size(); ++i)
      ASSERT_EQ(model::FromBatch(*old, i), commit.contents.at(commit.order[i]));
    // The trees are sound.
    const internal::RoomState& state = head.state();
    const NodeSource& source = *head.store();
    auto order = state.order.Validate(source);
    ASSERT_TRUE(order) << order.error().message;
    auto versions = state.versions.Validate(source);
    ASSERT_TRUE(versions) << versions.error().message;
    for (const FieldTree& rows : state.rows) {
      auto sound = rows.Validate(source);
      ASSERT_TRUE(sound) << sound.error().message;
    }
  }

  const std::string directory_;
  Random random_;
  int64_t now_ = 0;
  std::shared_ptr<MemoryFileSystem> disk_;
  std::unique_ptr<Store> store_;
  std::map<std::string, model::Room> rooms_;
  std::map<Content, Sha256> hashes_;
  std::string last_;
};

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

TEST(RoomProperty, RandomHistoriesAgreeWithAPlainModel) {
  const int64_t runs = FromEnvironment("ZN_PROPERTY_RUNS", std::getenv("ZN_SANITIZED") ? 300 : 10000);
  const int64_t first = FromEnvironment("ZN_PROPERTY_SEED", 1);
  TempDir dir;
  for (int64_t i = 0; i < runs; ++i) {
    const auto seed = static_cast<uint64_t>(first + i);
    History history(dir.path() + "/s", seed);
    ASSERT_NO_FATAL_FAILURE(history.Run()) << "ZN_PROPERTY_SEED=" << seed << " ZN_PROPERTY_RUNS=1 repeats this";
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace zn
