// Small stores with what a store can have, what they hold as a model, and seeded damage.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "support/temp_dir.h"
#include "zn/engine/backup.h"
#include "zn/engine/check.h"
#include "zn/engine/repair.h"
#include "zn/engine/store.h"

namespace zn::check_test {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::vector<std::byte>>;  // by path within the store
using Model = std::map<std::string, std::string>;  // what is read -> its bytes, or the error

/// Atoms enough that chunks go to a pack, when `large`.
inline FrameBatch RandomBatch(int frames, int atoms, std::mt19937_64& random) {
  FrameBatch batch;
  std::vector<double> positions, energies;
  std::vector<std::string> texts;
  for (int i = 0; i < frames; ++i) {
    batch.n_atoms.push_back(atoms);
    for (int k = 0; k < 3 * atoms; ++k) positions.push_back(static_cast<double>(random()) * 1e-18);
    energies.push_back(static_cast<double>(random() % 1000));
    texts.push_back("\"frame " + std::to_string(random() % 100) + "\"");
  }
  Column p;
  p.name = "arrays.positions";
  p.kind = FieldKind::kAtom;
  p.inner = Shape{3};
  p.data = Buffer::Own(positions);
  Column e;
  e.name = "calc.energy";
  e.data = Buffer::Own(energies);
  Column t;
  t.name = "info.label";
  t.dtype = DType::kJson;
  t.text = texts;
  batch.columns = {p, e, t};
  return batch;
}

inline std::unique_ptr<Store> OpenStore(const std::string& path, bool create = false) {
  StoreOptions options;
  options.create = create;
  options.background_maintenance = false;
  options.threads = 1;
  auto store = Store::Open(path, options);
  EXPECT_TRUE(store) << store.error().message;
  return store ? std::move(*store) : nullptr;
}

/// A random history: rooms, imports into packs, edits, undo, deletions, forks, control records,
/// several openings (so several epochs, and packs sealed at different times).
inline void MakeRandomStore(const std::string& path, uint64_t seed) {
  std::mt19937_64 random(seed);
  const int sessions = 1 + static_cast<int>(random() % 3);
  for (int session = 0; session < sessions; ++session) {
    auto store = OpenStore(path, session == 0);
    ASSERT_TRUE(store);
    const int steps = 3 + static_cast<int>(random() % 6);
    for (int step = 0; step < steps; ++step) {
      const std::vector<RoomInfo> rooms = store->ListRooms();
      if (rooms.empty() || (random() % 6 == 0 && rooms.size() < 4)) {
        auto room = store->CreateRoom("room" + std::to_string(session * 100 + step), {}, {});
        ASSERT_TRUE(room) << room.error().message;
        auto appender = (*room)->StartBulkAppend({});
        ASSERT_TRUE(appender);
        // 60 frames of 250 atoms: 360 kB of random numbers, which no codec makes smaller.
        const bool large = random() % 2 == 0;
        ASSERT_TRUE((*appender)->Append(RandomBatch(large ? 60 : 8, large ? 250 : 5, random)));
        ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
        continue;
      }
      const std::string& name = rooms[random() % rooms.size()].name;
      auto room = store->OpenRoom(name);
      ASSERT_TRUE(room);
      const Snapshot head = (*room)->Head();
      const int64_t frames = head.frames();
      const auto any =
          static_cast<FrameId>(random() % static_cast<uint64_t>(std::max<int64_t>(frames, 1)));
      const auto id = head.IdAt(any);
      switch (random() % 7) {
        case 0:
          ASSERT_TRUE((*room)->Append(RandomBatch(2, 5, random), {"bob", "append"}));
          break;
        case 1:
        case 2:
          if (id) {
            const auto atoms = head.AtomCount(*id);
            ASSERT_TRUE(atoms);
            const auto edited =
                (*room)->Edit(*id, RandomBatch(1, *atoms, random), {}, {"bob", "edit"});
            ASSERT_TRUE(edited) << edited.error().message;
          }
          break;
        case 3:
          if (id) (void)(*room)->Undo(*id, {"bob", "undo"});  // there may be nothing to undo
          break;
        case 4:
          if (id && frames > 2)
            ASSERT_TRUE((*room)->Delete(std::vector<FrameId>{*id}, {"bob", "delete"}));
          break;
        case 5:
          if (rooms.size() < 4) {
            ASSERT_TRUE(store->ForkRoom(name, {}, name + "f" + std::to_string(session * 100 + step), {}));
          }
          break;
        default:
          ASSERT_TRUE(store->Update([&](RecordTransaction& records) -> Result<> {
            return records.Put("key" + std::to_string(random() % 5),
                               std::string(random() % 900, 'v'));
          }));
      }
    }
  }
}

inline Files ReadFiles(const std::string& path) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    const std::string name = fs::relative(entry.path(), path).string();
    if (!entry.is_regular_file() || name.starts_with("cache/") || name.starts_with("quarantine/"))
      continue;
    files[name] = *ReadWholeFile(entry.path().string(), int64_t{1} << 30);
  }
  return files;
}

inline void WriteFiles(const std::string& path, const Files& files) {
  fs::remove_all(path);
  for (const char* part : {"log", "packs", "incoming", "cache", "quarantine"})
    fs::create_directories(path + "/" + part);
  for (const auto& [name, bytes] : files) {
    const auto file = File::Open(path + "/" + name, File::kCreateNew);
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE(file->WriteAt(0, bytes));
  }
}

/// Every value of every room, by name; reads that fail give their error.
inline Model ReadModel(const std::string& path) {
  Model model;
  StoreOptions options;
  options.read_only = true;
  options.background_maintenance = false;
  options.threads = 1;
  auto store = Store::Open(path, options);
  if (!store) {
    model["store"] = "error: " + store.error().message;
    return model;
  }
  for (const RoomInfo& info : (*store)->ListRooms()) {
    auto room = (*store)->OpenRoom(info.name);
    if (!room) continue;
    const Snapshot head = (*room)->Head();
    if (!head) {
      model[info.name] = "error: no head";
      continue;
    }
    model[info.name] = std::to_string(head.frames());
    for (int64_t i = 0; i < head.frames(); ++i) {
      const std::string at = info.name + "/" + std::to_string(i);
      const auto id = head.IdAt(i);
      if (!id) {
        model[at] = "error: " + id.error().message;
        continue;
      }
      for (FieldIndex f = 0; f < static_cast<FieldIndex>(head.fields().size()); ++f) {
        std::string& value = model[at + "/" + head.fields()[static_cast<size_t>(f)].name];
        const auto row = head.ReadRow(f, *id);
        if (!row) {
          value = "error: " + row.error().message;
        } else if (*row) {
          const auto bytes = (*row)->bytes.bytes();
          value.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          value += (*row)->text;
        }
      }
    }
  }
  return model;
}

}  // namespace zn::check_test
