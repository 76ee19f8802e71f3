#include "import.h"

#include <algorithm>
#include <filesystem>

#include "gtest/gtest.h"
#include "import_report.h"
#include "tests/formats/support.h"
#include "zn/engine/store.h"

namespace zn::tools {
namespace {

namespace fs = std::filesystem;

std::string Frames(int count, int atoms, const std::string& keys = "") {
  std::string text;
  for (int f = 0; f < count; ++f) {
    text += std::to_string(atoms) +
            "\nProperties=species:S:1:pos:R:3 energy=-1.5 id=" + std::to_string(f) + " " + keys +
            "\n";
    for (int a = 0; a < atoms; ++a)
      text += "H " + std::to_string(f) + " " + std::to_string(a) + " 0.5\n";
  }
  return text;
}

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() { options_.store = folder_.path() + "/store", options_.room = "r"; }

  tl::expected<ImportSummary, Failure> Run() {
    return Import(options_, stop_, [&](const ImportProgress& progress) {
      progress_.push_back(progress);
      if (stop_after_ > 0 && static_cast<int>(progress_.size()) >= stop_after_) stop_ = true;
    });
  }
  ImportSummary Good() {
    auto result = Run();
    EXPECT_TRUE(result) << result.error().error.message;
    return result ? std::move(*result) : ImportSummary{};
  }
  Failure Bad() {
    auto result = Run();
    EXPECT_FALSE(result);
    return result ? Failure{} : result.error();
  }
  std::string File(const std::string& name, const std::string& content) {
    return folder_.Write(name, content);
  }
  int64_t FramesOf(const std::string& room) {
    auto store = Store::Open(options_.store, {});
    EXPECT_TRUE(store) << store.error().message;
    auto opened = (*store)->OpenRoom(room);
    return opened ? (*opened)->Head().frames() : -1;
  }

  formats::testing::TempFolder folder_;
  ImportOptions options_;
  std::atomic<bool> stop_{false};
  int stop_after_ = 0;
  std::vector<ImportProgress> progress_;
};

TEST_F(ImportTest, MakesStoreAndRoomThenAppends) {
  options_.files = {File("a.xyz", Frames(3, 2)), File("b.xyz", Frames(2, 5))};
  options_.context.actor = "me";
  ImportSummary first = Good();
  EXPECT_EQ(first.frames, 5);
  EXPECT_EQ(first.atoms, 16);
  EXPECT_EQ(first.atoms_min, 2);
  EXPECT_EQ(first.atoms_max, 5);
  EXPECT_TRUE(first.created_room);
  EXPECT_EQ(first.room_frames, 5);
  ImportSummary second = Good();
  EXPECT_FALSE(second.created_room);
  EXPECT_EQ(second.room_frames, 10);
  auto store = Store::Open(options_.store, {});
  ASSERT_TRUE(store);
  auto room = (*store)->OpenRoom("r");
  ASSERT_TRUE(room);
  auto history = (*room)->History({}, 100);
  ASSERT_TRUE(history);
  auto imports = std::count_if(history->begin(), history->end(), [](const CommitSummary& c) {
    return c.operation == Operation::kImport;
  });
  EXPECT_EQ(imports, 2);  // one commit an import, whatever the number of files
  EXPECT_EQ(history->front().actor, "me");
}

TEST_F(ImportTest, KeepsWhatTheFileSays) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  Good();
  auto store = Store::Open(options_.store, {});
  ASSERT_TRUE(store);
  Snapshot head = (*(*store)->OpenRoom("r"))->Head();
  auto field = head.FindField("arrays.positions");
  ASSERT_TRUE(field);
  EXPECT_EQ(head.fields()[static_cast<size_t>(*field)].attributes, "{\"unit\":\"Å\"}");
  auto ids = head.IdsAt(0, 3);
  ASSERT_TRUE(ids);
  std::vector<FieldIndex> fields;
  for (size_t i = 0; i < head.fields().size(); ++i) fields.push_back(static_cast<FieldIndex>(i));
  auto batch = head.Read(*ids, fields);
  ASSERT_TRUE(batch);
  std::string json;
  formats::AppendJsonFrame(*batch, 2, json);
  auto frame = nlohmann::json::parse(json);
  EXPECT_EQ(frame["arrays.positions"], nlohmann::json::parse("[[2,0,0.5],[2,1,0.5]]"));
  EXPECT_EQ(frame["info.id"], 2);
  EXPECT_EQ(frame["calc.energy"], -1.5);
}

// A failed import that left half a trajectory behind would be taken for the whole one.
TEST_F(ImportTest, AFailureLeavesNoStoreBehind) {
  options_.files = {File("a.xyz", Frames(3, 2)), File("bad.xyz", Frames(2, 2) + "2\nc\nH 0 0 0\n")};
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitFile);
  EXPECT_NE(failure.error.message.find("bad.xyz"), std::string::npos);
  EXPECT_FALSE(fs::exists(options_.store));
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().filename().string().find("store"), std::string::npos) << entry.path();
}

TEST_F(ImportTest, AFailureLeavesAStoreAndItsRoomsAsTheyWere) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  Good();
  options_.files = {options_.files[0], File("bad.xyz", Frames(2000, 2) + "2\nc\nH 0 0 0\n")};
  Bad();
  EXPECT_EQ(FramesOf("r"), 3);
  options_.room = "new";
  Bad();
  EXPECT_EQ(FramesOf("new"), -1);
  EXPECT_EQ(FramesOf("r"), 3);
  options_.files.pop_back();
  EXPECT_EQ(Good().room_frames, 3);
}

TEST_F(ImportTest, AFailureKeepsADirectoryThatWasThere) {
  fs::create_directory(options_.store);
  options_.files = {File("a.xyz", Frames(3, 2)), File("bad.xyz", "x")};
  options_.format = "extxyz";
  Bad();
  EXPECT_TRUE(fs::exists(options_.store));
  EXPECT_TRUE(fs::is_empty(options_.store));
}

TEST_F(ImportTest, AnInterruptLeavesTheRoomAsItWas) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  Good();
  progress_.clear();
  options_.files = {File("b.xyz", Frames(5000, 5))};
  options_.read.batch_bytes = 1;
  stop_after_ = 2;
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitInterrupted);
  stop_ = false;
  EXPECT_EQ(FramesOf("r"), 3);
}

TEST_F(ImportTest, SaysThatTheStoreIsInUse) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  Good();
  auto held = Store::Open(options_.store, {});
  ASSERT_TRUE(held);
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitStoreInUse);
  EXPECT_NE(failure.error.message.find(options_.store), std::string::npos) << failure.error.message;
}

// Losing the race for a new directory must not take the winner's store away.
TEST_F(ImportTest, DoesNotRemoveAStoreThatAnotherHolds) {
  StoreOptions create;
  create.create = true;
  auto held = Store::Open(options_.store, create);
  ASSERT_TRUE(held);
  options_.files = {File("a.xyz", Frames(3, 2))};
  EXPECT_EQ(ExitCodeOf(Bad()), kExitStoreInUse);
  EXPECT_TRUE(fs::exists(options_.store + "/superblock"));
}

TEST_F(ImportTest, ForksABaseFirst) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  std::string commit = Good().commit;
  Good();  // six frames now
  options_.room = "fork";
  options_.base = "r@" + commit;
  EXPECT_EQ(Good().room_frames, 6);
  EXPECT_EQ(FramesOf("r"), 6);
  EXPECT_EQ(ExitCodeOf(Bad()), kExitUsage);  // the fork exists now
  options_.room = "fork2";
  options_.base = "nothing";
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitUsage);
  EXPECT_NE(failure.error.message.find("nothing"), std::string::npos);
  EXPECT_EQ(FramesOf("fork2"), -1);
}

TEST_F(ImportTest, DryRunOpensNoStore) {
  options_.files = {File("a.xyz", Frames(3, 2, "v=\"1 2\"")),
                    File("b.xyz", Frames(1, 2, "v=\"1 2 3\" n=x"))};
  options_.dry_run = true;
  ImportSummary summary = Good();
  EXPECT_EQ(summary.frames, 4);
  EXPECT_EQ(summary.fields.at("info.v").kind, FieldKind::kRagged);
  EXPECT_EQ(summary.fields.at("info.n").dtype, DType::kJson);
  EXPECT_EQ(summary.fields.at("info.n").frames, 1);
  EXPECT_EQ(summary.fields.at("calc.energy").unit, "eV");
  EXPECT_FALSE(fs::exists(options_.store));
  std::string text = SummaryText(options_, summary, 1);
  EXPECT_NE(text.find("arrays.positions  atom    float64  (frames, atoms, 3)"), std::string::npos)
      << text;
  EXPECT_NE(text.find("Nothing was written"), std::string::npos);
}

TEST_F(ImportTest, ChecksOptionsBeforeFilesAndStore) {
  options_.files = {folder_.path() + "/missing.xyz"};
  options_.room = ".hidden";
  EXPECT_EQ(ExitCodeOf(Bad()), kExitUsage);
  options_.room = "r";
  options_.layout.codecs = "blosc:none:9";
  EXPECT_EQ(ExitCodeOf(Bad()), kExitUsage);
  options_.layout.codecs = "";
  EXPECT_EQ(ExitCodeOf(Bad()), kExitFile);
  options_.format = "extxzy";
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitUsage);
  EXPECT_NE(failure.error.message.find("extxyz"), std::string::npos) << failure.error.message;
  options_.files.clear();
  EXPECT_EQ(ExitCodeOf(Bad()), kExitUsage);
  EXPECT_FALSE(fs::exists(options_.store));
}

TEST_F(ImportTest, NoFramesWantedIsAnError) {
  options_.files = {File("a.xyz", Frames(3, 2))};
  options_.read.start = 10;
  Failure failure = Bad();
  EXPECT_EQ(ExitCodeOf(failure), kExitFile);
  EXPECT_NE(failure.error.message.find("--start"), std::string::npos);
  EXPECT_FALSE(fs::exists(options_.store));
}

TEST_F(ImportTest, ProgressGrowsToTheEnd) {
  options_.files = {File("a.xyz", Frames(3000, 3)), File("b.xyz", Frames(1000, 3))};
  options_.read.batch_bytes = 1;
  Good();
  ASSERT_GT(progress_.size(), 2U);
  for (size_t i = 1; i < progress_.size(); ++i) {
    EXPECT_GE(progress_[i].fraction, progress_[i - 1].fraction);
    EXPECT_GE(progress_[i].frames, progress_[i - 1].frames);
  }
  EXPECT_TRUE(progress_.back().committing);
  EXPECT_EQ(progress_.back().frames, 4000);
}

TEST(ImportReport, LinesAreJson) {
  ImportProgress progress;
  progress.file = "a \"b\".xyz";
  progress.fraction = 0.25;
  progress.frames = 10;
  auto line = nlohmann::json::parse(ProgressJson(progress, 2));
  EXPECT_EQ(line["event"], "progress");
  EXPECT_EQ(line["file"], "a \"b\".xyz");
  EXPECT_EQ(line["frames_per_second"], 5);
  EXPECT_EQ(line["eta_seconds"], 6);
  auto error = nlohmann::json::parse(FailureJson({Fault::kFile, {ErrorCode::kCorrupt, "x"}}));
  EXPECT_EQ(error["exit_code"], 1);
  EXPECT_EQ(error["code"], "corrupt");
  ImportSummary summary;
  summary.frames = 2;
  summary.fields["calc.energy"].unit = "eV";
  summary.warnings.emplace_back("f", formats::Warning{"frame 1", "m", 2});
  auto json = nlohmann::json::parse(SummaryJson({}, summary, 1));
  EXPECT_EQ(json["fields"][0]["unit"], "eV");
  EXPECT_EQ(json["warnings"][0]["count"], 2);
}

TEST(ImportReport, HumanNumbers) {
  EXPECT_EQ(HumanCount(0), "0");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(1000), "1,000");
  EXPECT_EQ(HumanCount(-1234567), "-1,234,567");
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1500), "1.5 kB");
  EXPECT_EQ(HumanBytes(123456789), "123 MB");
  EXPECT_EQ(HumanTime(0.421), "0.42 s");
  EXPECT_EQ(HumanTime(200), "3 min 20 s");
  EXPECT_EQ(HumanTime(3900), "1 h 05 min");
}

// A line that wraps would scroll the terminal with each update.
TEST(ImportReport, ProgressFitsTheTerminal) {
  ImportProgress progress;
  progress.file = "/a/very/long/path/to/a-trajectory-with-a-long-name-indeed.xyz";
  progress.fraction = 0.5;
  progress.frames = 1234567;
  progress.raw_bytes = int64_t{1} << 40;
  for (int columns : {80, 100, 200})
    EXPECT_LT(ProgressLine(progress, 100, columns).size(), static_cast<size_t>(columns)) << columns;
}

TEST(ExitCodes, AreWhatTheHelpSays) {
  auto code = [](Fault fault, ErrorCode error) { return ExitCodeOf({fault, {error, ""}}); };
  EXPECT_EQ(code(Fault::kUsage, ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(code(Fault::kFile, ErrorCode::kCorrupt), 1);
  EXPECT_EQ(code(Fault::kStore, ErrorCode::kCorrupt), 3);
  EXPECT_EQ(code(Fault::kStore, ErrorCode::kBusy), 4);
  EXPECT_EQ(code(Fault::kStore, ErrorCode::kNoSpace), 5);
  EXPECT_EQ(code(Fault::kStore, ErrorCode::kInternal), 6);
  EXPECT_EQ(code(Fault::kUsage, ErrorCode::kCancelled), 130);
  for (const char* line : {"  0  ", "  1  ", "  2  ", "  3  ", "  4  ", "  5  ", "  6  ", "  130"})
    EXPECT_NE(ExitCodeHelp().find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace zn::tools
