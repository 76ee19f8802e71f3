// A store and, beside it, what its rooms, their commits and held snapshots must show.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_file_system.h"
#include "engine/room/room_model.h"
#include "room/open_store.h"
#include "zn/engine/store.h"

namespace zn::collect_test {

/// A room at a commit, as a reader sees it.
struct Picture {
  std::vector<FrameId> order;
  std::vector<model::Content> contents;
  std::vector<uint32_t> versions;
  friend bool operator==(const Picture&, const Picture&) = default;
};

inline Result<Picture> Look(const Snapshot& snapshot) {
  Picture picture;
  ZN_ASSIGN_OR_RETURN(picture.order, snapshot.IdsAt(0, snapshot.frames()));
  std::vector<FieldIndex> fields(snapshot.fields().size());
  for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
  ZN_ASSIGN_OR_RETURN(const FrameBatch batch, snapshot.Read(picture.order, fields));
  for (size_t i = 0; i < picture.order.size(); ++i) {
    picture.contents.push_back(model::FromBatch(batch, i));
    ZN_ASSIGN_OR_RETURN(const uint32_t version, snapshot.VersionOf(picture.order[i]));
    picture.versions.push_back(version);
  }
  return picture;
}

/// Changes rooms at random and remembers what each commit showed.
class World {
 public:
  struct Commit {
    CommitId id;
    Picture picture;
  };
  struct Held {
    Snapshot snapshot;
    Picture picture;
  };
  struct RoomModel {
    std::vector<Commit> commits;  // oldest first; of a fork: its base's too
    Retention retention;
    size_t first_kept = 0;  // of `commits`, at most: what retention must keep
  };

  World(Store& store, uint64_t seed) : store_(&store), random_(seed) {}

  /// After a crash: the snapshots are gone with the process.
  void Reopened(Store& store) { store_ = &store; }
  void DropSnapshots() { held_.clear(); }
  size_t rooms() const { return rooms_.size(); }

  /// One change, or one reader that comes or goes.
  void Step() {
    const int64_t what = model::Pick(random_, 20);
    if (rooms_.empty() || what == 0) return NewRoom();
    if (what == 1) return Import();
    if (what == 2) return Fork();
    if (what == 3 && rooms_.size() > 3) return DeleteOne();
    if (what <= 5) return Hold();
    if (what == 6 && !held_.empty()) {
      held_.erase(held_.begin() + model::Pick(random_, static_cast<int64_t>(held_.size())));
      return;
    }
    if (what == 7) return SetRetention();
    Change();
  }

  /// The newest that retention lets go of may be gone from now on.
  void Collected() {
    for (auto& [name, room] : rooms_)
      if (room.retention.commits > 0 &&
          room.commits.size() > static_cast<size_t>(room.retention.commits))
        room.first_kept = std::max(
            room.first_kept, room.commits.size() - static_cast<size_t>(room.retention.commits));
  }

  /// Everything that has to be there is there, and shows what it showed.
  void Check(const std::string& what) {
    std::vector<std::string> names;
    for (const RoomInfo& info : store_->ListRooms()) names.push_back(info.name);
    std::vector<std::string> expected;
    for (const auto& [name, room] : rooms_) expected.push_back(name);
    ASSERT_EQ(names, expected) << what;
    for (const auto& [name, room] : rooms_) {
      const auto opened = store_->OpenRoom(name);
      ASSERT_TRUE(opened) << what;
      const auto head = (*opened)->HeadOrError();
      ASSERT_TRUE(head) << what << ", room " << name << ": " << head.error().message;
      ASSERT_EQ(head->commit(), room.commits.back().id) << what;
      const auto shown = Look(*head);
      ASSERT_TRUE(shown) << what << ", room " << name << ": " << shown.error().message;
      ASSERT_TRUE(*shown == room.commits.back().picture) << what << ", room " << name;
      for (size_t i = 0; i < room.commits.size(); ++i) {
        const auto at = (*opened)->At(room.commits[i].id);
        if (i < room.first_kept && !at) {
          ASSERT_EQ(at.error().code, ErrorCode::kPruned) << what << ": " << at.error().message;
          continue;
        }
        ASSERT_TRUE(at) << what << ", room " << name << ", commit " << i << " of "
                        << room.commits.size() << ": " << at.error().message;
        const auto then = Look(*at);
        ASSERT_TRUE(then) << what << ", room " << name << ", commit " << i << ": "
                          << then.error().message;
        ASSERT_TRUE(*then == room.commits[i].picture)
            << what << ", room " << name << ", commit " << i;
      }
      CheckVersions(name, room, *head, what);
    }
    for (const Held& held : held_) {
      const auto shown = Look(held.snapshot);
      ASSERT_TRUE(shown) << what << ", a held snapshot: " << shown.error().message;
      ASSERT_TRUE(*shown == held.picture) << what << ", a held snapshot";
    }
  }

  void DeleteAllButOne() {
    held_.clear();
    while (rooms_.size() > 1) DeleteOne();
  }
  void KeepOneCommitEverywhere() {
    for (auto& [name, room] : rooms_) SetRetention(name, room, {1, 0});
  }

 private:
  using Rooms = std::map<std::string, RoomModel>;

  std::string NewName() { return "r" + std::to_string(++made_); }
  Rooms::iterator AnyRoom() {
    return std::next(rooms_.begin(), model::Pick(random_, static_cast<int64_t>(rooms_.size())));
  }
  FrameBatch Frames(int64_t n) {
    std::vector<model::Content> contents;
    for (int64_t i = 0; i < n; ++i) contents.push_back(model::RandomContent(random_));
    return model::ToBatch(contents);
  }
  /// Remembers the newest commit of a room.
  void Remember(const std::string& name, RoomModel& room) {
    const auto opened = store_->OpenRoom(name);
    ASSERT_TRUE(opened);
    const Snapshot head = (*opened)->Head();
    ASSERT_TRUE(head);
    if (!room.commits.empty() && room.commits.back().id == head.commit()) return;
    auto picture = Look(head);
    ASSERT_TRUE(picture) << picture.error().message;
    room.commits.push_back({head.commit(), std::move(*picture)});
  }

  void NewRoom() {
    const std::string name = NewName();
    ASSERT_TRUE(store_->CreateRoom(name, {}, {}));
    Remember(name, rooms_[name]);
  }
  void Import() {
    const std::string name = NewName();
    auto appender = store_->CreateRoomByImport(name, {}, "", {});
    ASSERT_TRUE(appender);
    for (int64_t i = 1 + model::Pick(random_, 4); i > 0; --i)
      ASSERT_TRUE((*appender)->Append(Frames(20)));
    const auto done = (*appender)->Finish({});
    ASSERT_TRUE(done) << done.error().message;
    Remember(name, rooms_[name]);
  }
  void Fork() {
    const auto base = AnyRoom();
    const std::string name = NewName();
    const RoomModel& from = base->second;
    std::optional<CommitId> at;
    size_t index = from.commits.size() - 1;
    if (model::Pick(random_, 2) == 0) {
      index = from.first_kept +
              static_cast<size_t>(model::Pick(
                  random_, static_cast<int64_t>(from.commits.size() - from.first_kept)));
      at = from.commits[index].id;
    }
    const auto forked = store_->ForkRoom(base->first, at, name, {});
    ASSERT_TRUE(forked) << forked.error().message;
    RoomModel room;
    room.commits.assign(from.commits.begin(),
                        from.commits.begin() + static_cast<ptrdiff_t>(index) + 1);
    room.first_kept = from.first_kept;
    Remember(name, rooms_[name] = room);
  }
  void DeleteOne() {
    const auto room = AnyRoom();
    const auto deleted = store_->DeleteRoom(room->first, {});
    ASSERT_TRUE(deleted) << deleted.error().message;
    rooms_.erase(room);
  }
  void Hold() {
    if (held_.size() > 6) return;
    const auto room = AnyRoom();
    const auto& commits = room->second.commits;
    const size_t kept = room->second.first_kept;
    const size_t index = kept + static_cast<size_t>(model::Pick(
                                    random_, static_cast<int64_t>(commits.size() - kept)));
    auto opened = store_->OpenRoom(room->first);
    ASSERT_TRUE(opened);
    auto snapshot = (*opened)->At(commits[index].id);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    held_.push_back({std::move(*snapshot), commits[index].picture});
  }
  void SetRetention() {
    const auto room = AnyRoom();
    SetRetention(room->first, room->second, {model::Pick(random_, 3) * 3, 0});
  }
  void SetRetention(const std::string& name, RoomModel& room, const Retention& retention) {
    auto opened = store_->OpenRoom(name);
    ASSERT_TRUE(opened);
    const auto set = (*opened)->UpdateModel(
        [&](const zn::RoomModel& before) {
          zn::RoomModel model = before;
          model.retention = retention;
          return Result<zn::RoomModel>(std::move(model));
        },
        {});
    ASSERT_TRUE(set) << set.error().message;
    room.retention = retention;
  }
  void Change() {
    const auto at = AnyRoom();
    auto opened = store_->OpenRoom(at->first);
    ASSERT_TRUE(opened);
    Room& room = **opened;
    const Snapshot head = room.Head();
    Result<CommitInfo> info = CommitInfo();
    if (head.frames() == 0) {
      info = room.Append(Frames(3), {});
    } else {
      FrameId id = *head.IdAt(model::Pick(random_, head.frames()));
      switch (model::Pick(random_, 7)) {
        case 0:
          info = room.Append(Frames(1 + model::Pick(random_, 4)), {});
          break;
        case 1:
          info = room.Insert(model::Pick(random_, head.frames()), Frames(2), {}, {});
          break;
        case 2:
          info = room.Delete(std::span(&id, 1), {});
          break;
        case 3:
          info = room.Undo(id, {});
          break;
        case 4:
          info = room.Redo(id, {});
          break;
        default:
          info = room.Replace(id, Frames(1), {});
          break;
      }
    }
    // Nothing to undo, or only what is gone.
    if (!info &&
        (info.error().code == ErrorCode::kOutOfRange || info.error().code == ErrorCode::kPruned))
      return;
    ASSERT_TRUE(info) << info.error().message;
    Remember(at->first, at->second);
  }
  /// Every version that a kept commit shows can be read by its number.
  void CheckVersions(const std::string& name, const RoomModel& room, const Snapshot& head,
                     const std::string& what) {
    std::vector<FieldIndex> fields(head.fields().size());
    for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
    for (size_t i = room.first_kept; i < room.commits.size(); ++i) {
      const Picture& then = room.commits[i].picture;
      if (then.order.empty()) continue;
      const size_t frame = (i * 7) % then.order.size();
      const auto read = head.ReadVersion(then.order[frame], then.versions[frame], fields);
      ASSERT_TRUE(read) << what << ", room " << name << ", frame id " << then.order[frame]
                        << " version " << then.versions[frame] << ": " << read.error().message;
      ASSERT_TRUE(model::FromBatch(*read, 0) == then.contents[frame]) << what << ", room " << name;
    }
  }

  Store* store_;
  model::Random random_;
  Rooms rooms_;
  std::vector<Held> held_;
  int made_ = 0;
};

inline Result<std::unique_ptr<Store>> Open(const std::shared_ptr<MemoryFileSystem>& disk,
                                           const std::string& directory) {
  StoreOptions options;
  options.create = true;
  options.threads = 1;
  options.background_maintenance = false;
  options.clock = [] { return int64_t{7}; };
  return internal::OpenStoreOn(
      disk, directory, options, {.after = 8, .nodes_per_op = 1, .most_ops = 40},
      {.pack_bytes = 16 << 10, .log_file_bytes = 64 << 10, .collect_step = 1});
}

}  // namespace zn::collect_test
