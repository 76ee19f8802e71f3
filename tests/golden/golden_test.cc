// Stores that earlier builds wrote, committed as they were: every later build opens them, reads
// every value of every version, checks them, and goes on with them. README.md says what they are.
//
// ZN_GOLDEN_WRITE=DIR writes a new one to DIR/store instead, or takes the one there, and lists its
// values (generate.sh).

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "base/hash.h"
#include "source_dir.h"
#include "support/temp_dir.h"
#include "zn/engine/check.h"
#include "zn/engine/repair.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

namespace fs = std::filesystem;
using Values = std::map<std::string, std::string>;

std::unique_ptr<Store> Open(const std::string& path, bool read_only, bool create = false) {
  StoreOptions options;
  options.create = create;
  options.read_only = read_only;
  options.background_maintenance = false;
  auto store = Store::Open(path, options);
  EXPECT_TRUE(store) << path << ": " << store.error().message;
  return store ? std::move(*store) : nullptr;
}

/// Frames of `atoms` atoms with a field of each kind. Noise is stored as it is; steps are
/// compressed.
FrameBatch Batch(int frames, int atoms, uint64_t seed) {
  std::mt19937_64 random(seed);
  FrameBatch batch;
  std::vector<double> noise;
  std::vector<float> energies;
  std::vector<int64_t> steps;
  std::vector<std::string> texts;
  for (int i = 0; i < frames; ++i) {
    batch.n_atoms.push_back(atoms);
    for (int k = 0; k < 3 * atoms; ++k) noise.push_back(static_cast<double>(random()) * 1e-18);
    energies.push_back(static_cast<float>(random() % 1000) / 4);
    steps.push_back(100 * i);
    texts.push_back("{\"label\": \"frame " + std::to_string(random() % 10) + "\"}");
  }
  const auto column = [&](const char* name) -> Column& {
    batch.columns.emplace_back();
    batch.columns.back().name = name;
    return batch.columns.back();
  };
  Column& positions = column("arrays.positions");
  positions.kind = FieldKind::kAtom;
  positions.inner = Shape{3};
  positions.data = Buffer::Own(noise);
  Column& energy = column("calc.energy");
  energy.dtype = DType::kFloat32;
  energy.data = Buffer::Own(energies);
  Column& step = column("info.step");
  step.dtype = DType::kInt64;
  step.data = Buffer::Own(steps);
  Column& text = column("info.text");
  text.dtype = DType::kJson;
  text.text = texts;
  return batch;
}

void Write(const std::string& path) {
  for (int session = 0; session < 2; ++session) {
    auto store = Open(path, false, session == 0);
    ASSERT_TRUE(store);
    if (session == 0) {
      auto room = store->CreateRoom("md", {}, {});
      ASSERT_TRUE(room);
      auto appender = (*room)->StartBulkAppend({});
      ASSERT_TRUE((*appender)->Append(Batch(60, 190, 1)));  // 270 KiB of positions: a pack
      ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
      auto small = store->CreateRoom("small", {}, {});
      for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(
            (*small)->Append(Batch(2, 3 + i, 20 + static_cast<uint64_t>(i)), {"ann", "append"}));
      ASSERT_TRUE(store->Update([](RecordTransaction& records) -> Result<> {
        ZN_RETURN_IF_ERROR(records.Put("golden", "short"));
        return records.Put("golden-long", std::string(2000, 'v'));
      }));
      continue;
    }
    auto room = store->OpenRoom("md");
    for (FrameId id : {5, 6, 5})
      ASSERT_TRUE(
          (*room)->Edit(id, Batch(1, 190, 40 + static_cast<uint64_t>(id)), {}, {"bob", "edit"}));
    ASSERT_TRUE((*room)->Undo(6, {"bob", "undo"}));
    ASSERT_TRUE((*room)->Delete(std::vector<FrameId>{10, 11}, {"bob", "delete"}));
    ASSERT_TRUE(store->ForkRoom("small", {}, "fork", {}));
    auto fork = store->OpenRoom("fork");
    ASSERT_TRUE((*fork)->Append(Batch(1, 2, 60), {"cy", "append"}));
  }
}

std::string Digest(const void* data, size_t size) {
  return HashSha256({static_cast<const std::byte*>(data), size}).Hex();
}

/// Every value of every version of every frame, by the SHA-256 of its bytes.
Values Read(const Store& store) {
  Values values;
  for (const RoomInfo& info : store.ListRooms()) {
    auto room = store.OpenRoom(info.name);
    if (!room) continue;
    const Snapshot head = (*room)->Head();
    values[info.name + " frames"] = std::to_string(head.frames());
    values[info.name + " commit"] = head.commit().ToString();
    for (int64_t i = 0; i < head.frames(); ++i) {
      const FrameId id = *head.IdAt(i);
      const std::string at = info.name + " " + std::to_string(i);
      values[at + " id"] = std::to_string(id);
      const uint32_t versions = *head.VersionOf(id);
      for (FieldIndex f = 0; f < static_cast<FieldIndex>(head.fields().size()); ++f) {
        const std::string& field = head.fields()[static_cast<size_t>(f)].name;
        const auto row = head.ReadRow(f, id);
        std::string& value = values[at + " " + field];
        if (!row) {
          value =
              row.error().message.find("lost") != std::string::npos ? "lost" : row.error().message;
          continue;
        }
        if (!*row) continue;
        const auto bytes = (*row)->bytes.bytes();
        value = (*row)->text.empty() ? Digest(bytes.data(), bytes.size())
                                     : Digest((*row)->text.data(), (*row)->text.size());
      }
      for (uint32_t version = 1; version <= versions; ++version)
        if (const auto hash = head.HashVersion(id, version))
          values[at + " version " + std::to_string(version)] = hash->Hex();
    }
  }
  for (const char* key : {"golden", "golden-long"})
    if (const auto value = store.records().Get(key); value && *value)
      values[std::string("record ") + key] = Digest((*value)->data(), (*value)->size());
  return values;
}

Values ReadList(const std::string& path) {
  Values values;
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line))
    values[line.substr(0, line.find('\t'))] = line.substr(line.find('\t') + 1);
  return values;
}

void WriteList(const std::string& path, const Values& values) {
  std::ofstream out(path);
  for (const auto& [what, value] : values) out << what << '\t' << value << '\n';
}

TEST(Golden, EveryStoreOpensReadsChecksAndGoesOn) {
  if (const char* target = std::getenv("ZN_GOLDEN_WRITE")) {
    const std::string path = std::string(target) + "/store";
    if (!fs::exists(path)) Write(path);
    fs::remove_all(path + "/cache");
    const auto store = Open(path, true);
    WriteList(std::string(target) + "/values.tsv", Read(*store));
    GTEST_SKIP() << "written to " << path;
  }
  int stores = 0;
  for (const auto& entry : fs::directory_iterator(std::string(ZN_SOURCE_DIR) + "/tests/golden")) {
    if (!fs::exists(entry.path() / "store")) continue;
    SCOPED_TRACE(entry.path().filename().string());
    ++stores;
    TempDir dir;
    const std::string path = dir.path() + "/s";
    fs::copy(entry.path() / "store", path, fs::copy_options::recursive);
    fs::permissions(path, fs::perms::owner_write, fs::perm_options::add);
    const Values expected = ReadList((entry.path() / "values.tsv").string());
    ASSERT_GT(expected.size(), 10u);
    {
      const auto store = Open(path, true);
      ASSERT_TRUE(store);
      EXPECT_EQ(Read(*store), expected);
    }
    const auto check = [&] {
      CheckOptions options;
      options.level = CheckLevel::kDeep;
      const auto summary = CheckStore(path, options, [&](const Finding& finding) {
        if (!finding.note)
          ADD_FAILURE() << FindingName(finding.kind) << " " << finding.object << ": "
                        << finding.message;
      });
      ASSERT_TRUE(summary) << summary.error().message;
      EXPECT_GT(summary->rooms, 0);
    };
    check();
    {
      // What this build adds stands beside what was there.
      auto store = Open(path, false);
      ASSERT_TRUE(store);
      for (const RoomInfo& info : store->ListRooms()) {
        auto room = store->OpenRoom(info.name);
        ASSERT_TRUE(room);
        const auto added = (*room)->Append(Batch(2, 4, 99), {"new", "append"});
        ASSERT_TRUE(added) << added.error().message;
        const auto edited = (*room)->Edit(*(*room)->Head().IdAt((*room)->Head().frames() - 1),
                                          Batch(1, 4, 98), {}, {"new", "edit"});
        ASSERT_TRUE(edited) << edited.error().message;
      }
      const Values now = Read(*store);
      for (const auto& [what, value] : expected)
        if (!what.ends_with(" frames") && !what.ends_with(" commit"))
          EXPECT_EQ(now.at(what), value) << what;
    }
    check();
  }
  EXPECT_GE(stores, 2);
}

}  // namespace
}  // namespace zn
