// Stores to back up, and what they hold.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "zn/engine/backup.h"
#include "zn/engine/check.h"
#include "zn/engine/store.h"

namespace zn::backup_test {

inline FrameBatch MakeBatch(int frames, int atoms, uint64_t seed) {
  std::mt19937_64 random(seed);
  FrameBatch batch;
  std::vector<double> positions, energies;
  for (int i = 0; i < frames; ++i) {
    batch.n_atoms.push_back(atoms);
    for (int k = 0; k < 3 * atoms; ++k) positions.push_back(static_cast<double>(random()) * 1e-18);
    energies.push_back(static_cast<double>(random() % 1000));
  }
  Column p;
  p.name = "arrays.positions";
  p.kind = FieldKind::kAtom;
  p.inner = Shape{3};
  p.data = Buffer::Own(positions);
  Column e;
  e.name = "calc.energy";
  e.data = Buffer::Own(energies);
  batch.columns = {p, e};
  return batch;
}

inline std::unique_ptr<Store> OpenStore(const std::string& path, bool read_only = false) {
  StoreOptions options;
  options.create = !read_only;
  options.read_only = read_only;
  options.background_maintenance = false;
  auto store = Store::Open(path, options);
  EXPECT_TRUE(store) << store.error().message;
  return store ? std::move(*store) : nullptr;
}

/// Everything that can be seen of a store: for each room its commit and the hash of each frame, and
/// the control records.
using Contents = std::map<std::string, std::string>;
inline Contents ContentsOf(Store& store) {
  Contents contents;
  for (const RoomInfo& info : store.ListRooms()) {
    auto room = store.OpenRoom(info.name);
    const Snapshot head = (*room)->Head();
    std::string text = head.commit().ToString();
    for (int64_t i = 0; i < head.frames(); ++i) {
      const FrameId id = *head.IdAt(i);
      auto hash = head.HashFrame(id);
      text += " " + std::to_string(id) + "v" + std::to_string(*head.VersionOf(id)) + ":" +
              (hash ? hash->Hex().substr(0, 16) : hash.error().message);
    }
    contents["room " + info.name] = text;
  }
  auto records = store.records().Scan("", "", 1 << 20);
  EXPECT_TRUE(records);
  if (records)
    for (const Record& record : *records) contents["record " + record.key] = record.value;
  return contents;
}

inline Contents ContentsAt(const std::string& path) {
  auto store = OpenStore(path, true);
  return store ? ContentsOf(*store) : Contents{};
}

/// What a deep check has to say.
inline std::vector<std::string> Damage(const std::string& path) {
  std::vector<std::string> found;
  CheckOptions options;
  options.level = CheckLevel::kDeep;
  auto summary = CheckStore(path, options, [&](const Finding& finding) {
    if (!finding.note) found.push_back(finding.object + ": " + finding.message);
  });
  if (!summary) found.push_back(summary.error().message);
  return found;
}

inline std::unique_ptr<BackupRepository> MakeRepository(const std::string& path,
                                                        std::optional<std::string> password = {}) {
  BackupRepository::Access access;
  access.password = std::move(password);
  access.scrypt_log_n = 10;
  auto repository = BackupRepository::Create(path, access);
  EXPECT_TRUE(repository) << repository.error().message;
  return repository ? std::move(*repository) : nullptr;
}

inline Result<std::unique_ptr<BackupRepository>> OpenRepository(
    const std::string& path, std::optional<std::string> password = {}) {
  BackupRepository::Access access;
  access.password = std::move(password);
  return BackupRepository::Open(path, access);
}

}  // namespace zn::backup_test
