// A store that rots must not do so in silence: every damaged byte that a read could meet is found,
// named and placed, and a sound store is called sound.

#include "zn/engine/check.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "check/store_image.h"
#include "log/group.h"
#include "pack/pack_format.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kAtoms = 700;

FrameBatch MakeBatch(int frames, uint64_t seed) {
  std::mt19937_64 random(seed);
  FrameBatch batch;
  std::vector<double> positions, energies;
  std::vector<std::string> texts;
  for (int i = 0; i < frames; ++i) {
    batch.n_atoms.push_back(kAtoms);
    for (int k = 0; k < 3 * kAtoms; ++k) positions.push_back(static_cast<double>(random()) * 1e-18);
    energies.push_back(static_cast<double>(i));
    texts.push_back("\"frame " + std::to_string(i) + "\"");
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

/// Two rooms, one forked from the other; edits, undo, deleted frames; packs of chunks and small
/// chunks in the log.
void MakeStore(const std::string& path) {
  StoreOptions options;
  options.create = true;
  options.background_maintenance = false;
  auto store = Store::Open(path, options);
  ASSERT_TRUE(store) << store.error().message;
  auto room = (*store)->CreateRoom("md", {}, {});
  ASSERT_TRUE(room);
  {
    auto appender = (*room)->StartBulkAppend({});
    ASSERT_TRUE(appender);
    ASSERT_TRUE((*appender)->Append(MakeBatch(120, 1)));
    ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
  }
  for (FrameId id : {3, 50, 51, 119}) {
    FrameBatch edit = MakeBatch(1, 100 + static_cast<uint64_t>(id));
    ASSERT_TRUE((*room)->Edit(id, edit, {}, {"bob", "edit"}));
  }
  ASSERT_TRUE((*room)->Undo(50, {"bob", "undo"}));
  ASSERT_TRUE((*room)->Delete(std::vector<FrameId>{7, 8}, {"bob", "delete"}));
  auto fork = (*store)->ForkRoom("md", {}, "branch", {});
  ASSERT_TRUE(fork);
  ASSERT_TRUE((*fork)->Append(MakeBatch(2, 7), {"ann", "more"}));
}

struct Checked {
  CheckSummary summary;
  std::vector<Finding> findings;
};

Checked Check(const std::string& path, CheckLevel level) {
  CheckOptions options;
  options.level = level;
  options.threads = 2;
  Checked checked;
  auto summary = CheckStore(path, options,
                            [&](const Finding& finding) { checked.findings.push_back(finding); });
  EXPECT_TRUE(summary) << (summary ? "" : summary.error().message);
  if (summary) checked.summary = *summary;
  return checked;
}

std::string Describe(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings)
    text += std::string(FindingName(finding.kind)) + (finding.note ? " (note) " : " ") +
            finding.object + ": " + finding.message + "\n";
  return text;
}

bool Has(const std::vector<Finding>& findings, FindingClass kind) {
  for (const Finding& finding : findings)
    if (finding.kind == kind) return true;
  return false;
}

void FlipByte(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char old = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(old ^ 0x10));
  ASSERT_TRUE(file.good());
}

class CheckTest : public ::testing::Test {
 protected:
  void SetUp() override { MakeStore(path_); }
  std::string Pack() const { return path_ + "/packs/000001.pack"; }
  std::string NewestLog() const {
    std::string newest;
    for (const auto& entry : fs::directory_iterator(path_ + "/log"))
      newest = std::max(newest, entry.path().string());
    return newest;
  }
  /// Payloads of a pack's records.
  std::vector<PackEntry> Records() const {
    auto bytes = ReadWholeFile(Pack(), int64_t{1} << 30);
    auto superblock = DecodeSuperblock(*ReadWholeFile(path_ + "/superblock", 4096));
    return ScanPack(*bytes, superblock->record_salt, true).entries;
  }
  TempDir dir_;
  const std::string path_ = dir_.path() + "/s";
};

TEST_F(CheckTest, ASoundStoreIsClean) {
  for (CheckLevel level : {CheckLevel::kQuick, CheckLevel::kFull, CheckLevel::kDeep}) {
    const Checked checked = Check(path_, level);
    EXPECT_TRUE(checked.summary.clean()) << Describe(checked.findings);
    EXPECT_EQ(checked.summary.rooms, 2);
    EXPECT_GE(checked.summary.commits, 7);
    EXPECT_GE(checked.summary.packs, 1);
    EXPECT_EQ(checked.summary.orphan_records, 0) << Describe(checked.findings);
  }
  EXPECT_GT(Check(path_, CheckLevel::kDeep).summary.chunks_decoded, 3);
}

// Rooms that began empty and were changed little have no root yet: their fields stand in operations of several commits.
TEST_F(CheckTest, RoomsWithoutARootAreClean) {
  {
    auto store = Store::Open(path_, {});
    ASSERT_TRUE(store) << store.error().message;
    for (const char* name : {"few", "fewer"}) {
      auto room = (*store)->CreateRoom(name, {}, {});
      ASSERT_TRUE(room);
      ASSERT_TRUE((*room)->Append(MakeBatch(2, 7), {}));
      ASSERT_TRUE((*room)->Append(MakeBatch(1, 8), {}));
      ASSERT_TRUE((*room)->Edit(1, MakeBatch(1, 9), {}, {}));
    }
  }
  for (CheckLevel level : {CheckLevel::kQuick, CheckLevel::kFull, CheckLevel::kDeep}) {
    const Checked checked = Check(path_, level);
    EXPECT_TRUE(checked.summary.clean()) << Describe(checked.findings);
    EXPECT_EQ(checked.summary.rooms, 4);
  }
}

TEST_F(CheckTest, EveryFlippedPayloadOfAPackIsFoundAndPlaced) {
  const auto records = Records();
  ASSERT_GE(records.size(), 2u);
  std::mt19937_64 random(5);
  for (const PackEntry& record : records) {
    const uint64_t at = record.offset + random() % record.length;
    FlipByte(Pack(), at);
    const Checked checked = Check(path_, CheckLevel::kFull);
    EXPECT_EQ(checked.summary.findings, 1) << Describe(checked.findings);
    ASSERT_FALSE(checked.findings.empty());
    const Finding& finding = checked.findings.front();
    EXPECT_EQ(finding.kind, FindingClass::kObjectHash);
    EXPECT_NE(finding.object.find("packs/000001.pack at " + std::to_string(record.offset)),
              std::string::npos);
    ASSERT_FALSE(finding.affected.empty());
    FlipByte(Pack(), at);
  }
  EXPECT_TRUE(Check(path_, CheckLevel::kDeep).summary.clean());
}

TEST_F(CheckTest, AffectedRoomsFieldsAndFramesAreNamed) {
  const auto records = Records();
  FlipByte(Pack(), records.front().offset + 1000);
  const Checked checked = Check(path_, CheckLevel::kFull);
  ASSERT_EQ(checked.summary.findings, 1) << Describe(checked.findings);
  std::set<std::string> rooms;
  for (const Affected& affected : checked.findings.front().affected) {
    EXPECT_EQ(affected.field, "arrays.positions");
    EXPECT_GE(affected.first, 0);
    EXPECT_LT(affected.last, 120);
    rooms.insert(affected.room);
  }
  EXPECT_EQ(rooms, (std::set<std::string>{"branch", "md"}));
}

TEST_F(CheckTest, DamagedHeadersOfRecordsAreFoundWithoutHashing) {
  const auto records = Records();
  for (size_t i : {size_t{0}, records.size() / 2, records.size() - 1}) {
    const uint64_t header = records[i].offset - PackRecordHeadSize(records[i].length);
    FlipByte(Pack(), header + 20);
    const Checked checked = Check(path_, CheckLevel::kQuick);
    EXPECT_TRUE(Has(checked.findings, FindingClass::kObjectMissing)) << Describe(checked.findings);
    FlipByte(Pack(), header + 20);
  }
}

TEST_F(CheckTest, AMissingPackIsFound) {
  fs::rename(Pack(), dir_.path() + "/elsewhere");
  const Checked checked = Check(path_, CheckLevel::kQuick);
  EXPECT_TRUE(Has(checked.findings, FindingClass::kObjectMissing)) << Describe(checked.findings);
  EXPECT_NE(checked.findings.front().message.find("000001.pack is missing"), std::string::npos);
}

TEST_F(CheckTest, ATruncatedPackIsFound) {
  fs::resize_file(Pack(), fs::file_size(Pack()) / 2);
  const Checked checked = Check(path_, CheckLevel::kQuick);
  EXPECT_TRUE(Has(checked.findings, FindingClass::kObjectTruncated) ||
              Has(checked.findings, FindingClass::kObjectMissing))
      << Describe(checked.findings);
  EXPECT_TRUE(Has(checked.findings, FindingClass::kIndexMismatch)) << Describe(checked.findings);
}

TEST_F(CheckTest, EveryFlippedByteOfAnIndexIsFound) {
  const std::string index = path_ + "/packs/000001.idx";
  const uint64_t size = fs::file_size(index);
  std::mt19937_64 random(9);
  for (int i = 0; i < 40; ++i) {
    const uint64_t at = random() % size;
    FlipByte(index, at);
    EXPECT_TRUE(Has(Check(path_, CheckLevel::kQuick).findings, FindingClass::kIndexMismatch))
        << "byte " << at;
    FlipByte(index, at);
  }
}

TEST_F(CheckTest, EveryFlippedRecordOfTheLogIsFound) {
  const std::string log = NewestLog();
  const auto bytes = *ReadWholeFile(log, int64_t{1} << 30);
  const auto superblock = DecodeSuperblock(*ReadWholeFile(path_ + "/superblock", 4096));
  const uint32_t number = ParseLogFileName(fs::path(log).filename().string());
  std::vector<std::pair<uint64_t, size_t>> payloads;
  for (uint64_t at = 0; at < bytes.size();) {
    const auto group =
        DecodeGroupHeader(std::span(bytes).subspan(at), {number, at}, superblock->record_salt);
    if (!group) break;
    ASSERT_TRUE(VisitGroup(
        *group, std::span(bytes).subspan(at), superblock->record_salt, true,
        [&](const RecordHeader&, uint64_t offset, std::span<const std::byte> payload) -> Result<> {
          if (!payload.empty()) payloads.emplace_back(offset, payload.size());
          return {};
        }));
    at = group->end().offset;
  }
  ASSERT_GT(payloads.size(), 20u);
  std::mt19937_64 random(11);
  for (const auto& [offset, size] : payloads) {
    const uint64_t at = offset + random() % size;
    FlipByte(log, at);
    const Checked checked = Check(path_, CheckLevel::kFull);
    EXPECT_GT(checked.summary.findings + checked.summary.notes, 0) << "payload at " << offset;
    FlipByte(log, at);
  }
}

TEST_F(CheckTest, ALogThatLostWhatWasAcknowledgedHasAGap) {
  const std::string log = NewestLog();
  fs::resize_file(log, fs::file_size(log) - 4096);
  EXPECT_TRUE(Has(Check(path_, CheckLevel::kQuick).findings, FindingClass::kLogGap));
}

TEST_F(CheckTest, AnUnfinishedWriteIsANote) {
  std::ofstream(NewestLog(), std::ios::app | std::ios::binary) << std::string(300, 'x');
  const Checked checked = Check(path_, CheckLevel::kFull);
  EXPECT_TRUE(checked.summary.clean()) << Describe(checked.findings);
  EXPECT_TRUE(Has(checked.findings, FindingClass::kLogTorn)) << Describe(checked.findings);
}

TEST_F(CheckTest, LeftoversAreNotes) {
  std::ofstream(path_ + "/packs/000001.idx.tmp") << "x";
  fs::create_directory(path_ + "/incoming/job-1");
  const Checked checked = Check(path_, CheckLevel::kQuick);
  EXPECT_TRUE(checked.summary.clean());
  EXPECT_EQ(checked.summary.notes, 2) << Describe(checked.findings);
}

TEST_F(CheckTest, ResumedItHashesOnlyWhatChangedSince) {
  CheckOptions options;
  options.threads = 1;
  options.resume_file = dir_.path() + "/state";
  const auto check = [&] {
    auto summary = CheckStore(path_, options, [](const Finding&) {});
    EXPECT_TRUE(summary);
    return summary ? *summary : CheckSummary();
  };
  const uint64_t payload = Records().front().offset;
  const CheckSummary first = check();
  const CheckSummary second = check();
  EXPECT_TRUE(second.clean());
  EXPECT_LT(second.bytes, first.bytes - static_cast<int64_t>(fs::file_size(Pack())) / 2);
  FlipByte(Pack(), payload + 5);
  EXPECT_EQ(check().findings, 1);
  EXPECT_EQ(check().findings, 1);  // what is damaged is never taken for done
  FlipByte(Pack(), payload + 5);
  EXPECT_EQ(check().bytes, first.bytes);
  // The file of another sample, or of another store, says nothing.
  options.sample_of = 2;
  EXPECT_LT(check().bytes, first.bytes + 1);
  options.sample_of = 1;
  EXPECT_EQ(check().bytes, first.bytes);
}

TEST_F(CheckTest, AStoreInUseIsLeftAlone) {
  auto store = Store::Open(path_, {});
  ASSERT_TRUE(store);
  const auto checked = CheckStore(path_, {}, [](const Finding&) {});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kBusy);
}

TEST_F(CheckTest, RandomDamageNeverCrashesACheck) {
  std::mt19937_64 random(21);
  std::vector<std::string> files;
  for (const char* folder : {"/log", "/packs"})
    for (const auto& entry : fs::directory_iterator(path_ + folder))
      files.push_back(entry.path().string());
  files.push_back(path_ + "/head");
  for (int i = 0; i < 60; ++i) {
    const std::string& file = files[random() % files.size()];
    const auto kept = *ReadWholeFile(file, int64_t{1} << 30);
    auto bytes = kept;
    switch (random() % 4) {
      case 0:
        bytes.resize(random() % bytes.size());
        break;
      case 1:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size() / 2),
                    bytes.size() / 3, std::byte{0});
        break;
      case 2:
        for (int k = 0; k < 50; ++k)
          bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        break;
      default:
        std::swap_ranges(bytes.begin(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2),
                         bytes.end() - static_cast<std::ptrdiff_t>(bytes.size() / 2));
    }
    ASSERT_TRUE(WriteFileAtomically(file, bytes));
    (void)CheckStore(path_, {CheckLevel::kDeep, 2}, [](const Finding&) {});
    ASSERT_TRUE(WriteFileAtomically(file, kept));
  }
  const Checked checked = Check(path_, CheckLevel::kDeep);
  EXPECT_TRUE(checked.summary.clean()) << Describe(checked.findings);
}

}  // namespace
}  // namespace zn
