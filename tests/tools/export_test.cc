#include "export.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "export_report.h"
#include "import.h"
#include "output.h"
#include "tests/formats/support.h"
#include "zn/engine/store.h"

namespace zn::tools {
namespace {

namespace fs = std::filesystem;
using formats::testing::ReadText;
using Contents = std::vector<std::map<std::string, std::string>>;

// Frames of 1, 2, ... 4, 1, ... atoms; every third lacks its energy.
std::string Frames(int count) {
  std::string text;
  for (int f = 0; f < count; ++f) {
    const int atoms = f % 4 + 1;
    text += std::to_string(atoms) + "\nProperties=species:S:1:pos:R:3:forces:R:3 " +
            (f % 3 == 0 ? "" : "energy=-1.5 ") + "name=\"frame " + std::to_string(f) +
            "\" id=" + std::to_string(f) + "\n";
    for (int a = 0; a < atoms; ++a)
      text += "O " + std::to_string(f) + " " + std::to_string(a) + " 0.5 0.1 0.2 0.3\n";
  }
  return text;
}

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() {
    options_.store = folder_.path() + "/store";
    options_.room = "r";
  }
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }

  void Import(const std::string& file, const std::string& room = "r") {
    ImportOptions import;
    import.files = {file};
    import.store = options_.store;
    import.room = room;
    std::atomic<bool> stop{false};
    auto result = zn::tools::Import(import, stop, [](const Progress&) {});
    ASSERT_TRUE(result) << result.error().error.message;
  }
  void MakeRoom(int frames = 10) { Import(folder_.Write("in.xyz", Frames(frames))); }

  tl::expected<ExportSummary, Failure> Run(const std::string& out) {
    options_.out = out;
    calls_ = 0;
    return Export(options_, stop_, [&](const Progress&) {
      if (++calls_ == stop_after_) stop_ = true;
    });
  }
  ExportSummary Good(const std::string& out) {
    auto result = Run(out);
    EXPECT_TRUE(result) << result.error().error.message;
    return result ? std::move(*result) : ExportSummary{};
  }
  Failure Bad(const std::string& out) {
    auto result = Run(out);
    EXPECT_FALSE(result);
    return result ? Failure{} : result.error();
  }
  Contents RoomContents(const std::string& room = "r") {
    StoreOptions read;
    read.read_only = true;
    auto store = Store::Open(options_.store, read);
    EXPECT_TRUE(store) << store.error().message;
    const Snapshot head = (*(*store)->OpenRoom(room))->Head();
    std::vector<FieldIndex> fields;
    for (size_t f = 0; f < head.fields().size(); ++f) fields.push_back(static_cast<FieldIndex>(f));
    auto batch = head.Read(*head.IdsAt(0, head.frames()), fields);
    EXPECT_TRUE(batch) << batch.error().message;
    Contents contents;
    formats::testing::AddContents(*batch, &contents);
    return contents;
  }
  std::vector<std::string> Names(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory))
      names.push_back(entry.path().filename().string());
    return names;
  }

  formats::testing::TempFolder folder_;
  ExportOptions options_;
  std::atomic<bool> stop_{false};
  int stop_after_ = -1, calls_ = 0;
};

// Who leaves the store by H5MD and comes back has lost nothing, absences and texts included.
TEST_F(ExportTest, H5mdAndBackIsTheSameRoom) {
  MakeRoom();
  Good(Path("out.h5md"));
  Import(Path("out.h5md"), "again");
  EXPECT_EQ(RoomContents("r"), RoomContents("again"));
}

TEST_F(ExportTest, ExtxyzAndBackHasTheSameFrames) {
  MakeRoom();
  for (const char* name : {"out.xyz", "out.xyz.gz"}) {
    Good(Path(name));
    std::string error;
    EXPECT_EQ(formats::testing::FileContents(Path(name), &error).size(), 10u) << error;
    const std::string room = std::string("again-") + name;
    Import(Path(name), room);
    EXPECT_EQ(RoomContents("r"), RoomContents(room));
  }
}

TEST_F(ExportTest, TakesFramesAsTheApiDoes) {
  MakeRoom();
  const Contents all = RoomContents();
  for (auto [indices, want] : std::vector<std::pair<std::string, std::vector<size_t>>>{
           {"2:8:3", {2, 5}}, {"-1", {9}}, {"5,0,5", {5, 0, 5}}, {"::-4", {9, 5, 1}}}) {
    options_.indices = indices;
    options_.force = true;
    Good(Path("part.h5md"));
    std::string error;
    const Contents got = formats::testing::FileContents(Path("part.h5md"), &error);
    ASSERT_EQ(got.size(), want.size()) << indices << error;
    for (size_t f = 0; f < want.size(); ++f)
      EXPECT_EQ(got[f].at("info.id"), all[want[f]].at("info.id")) << indices;
  }
  options_.indices = "10";
  EXPECT_EQ(ExitCodeOf(Bad(Path("part.h5md"))), kExitUsage);
  options_.indices = "a";
  EXPECT_EQ(ExitCodeOf(Bad(Path("part.h5md"))), kExitUsage);
}

TEST_F(ExportTest, TakesFieldsByNameOrAlias) {
  MakeRoom();
  options_.fields = "positions,energy";
  Good(Path("part.h5md"));
  std::string error;
  const Contents got = formats::testing::FileContents(Path("part.h5md"), &error);
  ASSERT_EQ(got.size(), 10u) << error;
  EXPECT_EQ(got[1].size(), 3u);
  EXPECT_TRUE(got[1].contains("arrays.positions") && got[1].contains("calc.energy"));
  EXPECT_FALSE(got[0].contains("calc.energy"));
  options_.fields = "positions,enrgy";
  const Failure failure = Bad(Path("other.h5md"));
  EXPECT_EQ(ExitCodeOf(failure), kExitUsage);
  EXPECT_NE(failure.error.message.find("energy"), std::string::npos) << failure.error.message;
}

TEST_F(ExportTest, ReadsOldCommits) {
  MakeRoom(3);
  const std::string commit = Good(Path("a.xyz")).commit;
  Import(folder_.Write("more.xyz", Frames(5)));
  options_.room = "r@" + commit;
  options_.force = true;
  EXPECT_EQ(Good(Path("a.xyz")).frames, 3);
  options_.room = "r";
  EXPECT_EQ(Good(Path("a.xyz")).frames, 8);
  options_.room = "r@99-0123456789abcdef";
  EXPECT_EQ(ExitCodeOf(Bad(Path("b.xyz"))), kExitUsage);
}

// A server that holds the store must not stand in the way, nor notice.
TEST_F(ExportTest, ReadsAStoreThatAnotherProcessWrites) {
  MakeRoom();
  auto writer = Store::Open(options_.store, {});
  ASSERT_TRUE(writer);
  EXPECT_EQ(Good(Path("a.xyz")).frames, 10);
}

TEST_F(ExportTest, RefusesWhatIsNotItsOwn) {
  MakeRoom();
  // A file that is there: only with --force.
  const std::string file = folder_.Write("mine.xyz", "precious");
  EXPECT_EQ(Bad(file).error.code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(ReadText(file), "precious");
  options_.force = true;
  Good(file);
  // A link: never, and what it points to stays as it is.
  folder_.Write("target", "precious");
  fs::create_symlink(Path("target"), Path("link.xyz"));
  EXPECT_EQ(Bad(Path("link.xyz")).error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ReadText(Path("target")), "precious");
  EXPECT_TRUE(fs::is_symlink(Path("link.xyz")));
  // A directory, for a format that is a file.
  fs::create_directory(Path("folder.xyz"));
  EXPECT_EQ(Bad(Path("folder.xyz")).error.code, ErrorCode::kInvalidArgument);
  // A directory of somebody else's, and a link to an empty one.
  options_.format = "npy";
  fs::create_directory(Path("foreign"));
  folder_.Write("foreign/precious", "precious");
  EXPECT_EQ(Bad(Path("foreign")).error.code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(Names(Path("foreign")), std::vector<std::string>{"precious"});
  fs::create_directory(Path("empty"));
  fs::create_directory_symlink(Path("empty"), Path("link"));
  EXPECT_EQ(Bad(Path("link")).error.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::is_empty(Path("empty")));
  // Into the store.
  EXPECT_EQ(ExitCodeOf(Bad(options_.store + "/packs/x")), kExitUsage);
  EXPECT_EQ(ExitCodeOf(Bad(options_.store)), kExitUsage);
}

// Links within a directory of an earlier export must not lead writes out of it.
TEST_F(ExportTest, FollowsNoLinksWithinADirectory) {
  MakeRoom();
  options_.format = "zarr";
  Good(Path("out"));
  fs::create_directory(Path("elsewhere"));
  fs::remove_all(Path("out/arrays.positions"));
  fs::create_directory_symlink(Path("elsewhere"), Path("out/arrays.positions"));
  EXPECT_EQ(Bad(Path("out")).error.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::is_empty(Path("elsewhere")));
  fs::remove(Path("out/arrays.positions"));
  Good(Path("out"));
  fs::remove(Path("out/zarr.json"));
  folder_.Write("target", "precious");
  fs::create_symlink(Path("target"), Path("out/zarr.json"));
  EXPECT_EQ(Bad(Path("out")).error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ReadText(Path("target")), "precious");
}

TEST_F(ExportTest, AnotherExportsDirectoryIsReplacedOnlyByForce) {
  MakeRoom();
  options_.format = "npy";
  Good(Path("out"));
  options_.indices = "0:5";
  EXPECT_EQ(Bad(Path("out")).error.code, ErrorCode::kAlreadyExists);
  options_.force = true;
  options_.fields = "positions";
  Good(Path("out"));
  auto names = Names(Path("out"));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{".zn-export", "arrays.positions.npy", "n_atoms.npy"}));
}

// Interrupted anywhere, no partial file stands under its name, and the same call completes it.
TEST_F(ExportTest, GoesOnWhereItWasInterrupted) {
  MakeRoom(200);
  for (const char* format : {"npy", "zarr", "zarr-sharded"}) {
    options_.format = format;
    stop_after_ = -1;
    const std::string whole = Path(std::string("whole-") + format);
    const int64_t files = Good(whole).files;
    const int steps = calls_;
    for (const int after : {1, 2, steps / 2, steps - 1}) {
      const std::string out = Path(std::string(format) + std::to_string(after));
      stop_after_ = after;
      const Failure failure = Bad(out);
      EXPECT_EQ(ExitCodeOf(failure), kExitInterrupted);
      stop_after_ = -1;
      stop_ = false;
      // It may have been interrupted before there was anything.
      fs::create_directory(out);
      for (const auto& entry : fs::recursive_directory_iterator(out)) {
        if (!entry.is_regular_file() || entry.path().filename().string().starts_with(".zn-"))
          continue;
        EXPECT_EQ(ReadText(entry.path()),
                  ReadText(fs::path(whole) / fs::relative(entry.path(), out)));
      }
      const ExportSummary summary = Good(out);
      EXPECT_EQ(summary.files + summary.files_kept, files);
      for (const auto& entry : fs::recursive_directory_iterator(whole)) {
        if (!entry.is_regular_file() || entry.path().filename() == ".zn-export") continue;
        EXPECT_EQ(ReadText(entry.path()),
                  ReadText(fs::path(out) / fs::relative(entry.path(), whole)));
      }
    }
    // Once more: everything is there. What somebody damaged is made again.
    EXPECT_EQ(Good(whole).files, 0);
  }
}

TEST_F(ExportTest, AFailureLeavesNothingBehind) {
  MakeRoom();
  const auto before = Names(folder_.path());
  stop_after_ = 1;
  for (const char* name : {"a.xyz", "a.npz", "a.h5md", "a.zip", "a.json"}) {
    stop_ = false;
    EXPECT_EQ(ExitCodeOf(Bad(Path(name))), kExitInterrupted) << name;
    EXPECT_EQ(Names(folder_.path()).size(), before.size()) << name;
  }
}

// Two runs at once would write over each other.
TEST_F(ExportTest, TwoRunsDoNotShareATarget) {
  MakeRoom();
  auto file = OutputFile::Create(Path("a.xyz"), false);
  ASSERT_TRUE(file);
  EXPECT_EQ(Bad(Path("a.xyz")).error.code, ErrorCode::kBusy);
  file->reset();
  Good(Path("a.xyz"));
}

// Encoding again would cost time and, with another library's version, give other names.
TEST_F(ExportTest, ChunksAreCopiedAsTheyAreStored) {
  std::string text;
  for (int f = 0; f < 16; ++f)
    text +=
        "2\nProperties=species:S:1:pos:R:3\nH " + std::to_string(f) + " 0.25 0.5\nO 1 2 3.125\n";
  ImportOptions import;
  import.files = {folder_.Write("uniform.xyz", text)};
  import.store = options_.store;
  import.room = "r";
  import.layout.frames_per_chunk = 4;
  std::atomic<bool> stop{false};
  ASSERT_TRUE(zn::tools::Import(import, stop, [](const Progress&) {}));
  const ExportSummary summary = Good(Path("out.zarr"));
  EXPECT_GE(summary.chunks_copied, 8);  // of positions and numbers
  EXPECT_TRUE(fs::exists(Path("out.zarr/zarr.json")));
  EXPECT_FALSE(fs::exists(Path("out.zarr/.zgroup")));
  std::string stored;
  for (const auto& entry : fs::recursive_directory_iterator(options_.store))
    if (entry.is_regular_file()) stored += ReadText(entry.path());
  int chunks = 0;
  for (const auto& entry : fs::directory_iterator(Path("out.zarr/arrays.positions"))) {
    if (entry.path().extension() == ".json") continue;
    ++chunks;
    EXPECT_NE(stored.find(ReadText(entry.path())), std::string::npos) << entry.path();
  }
  EXPECT_EQ(chunks, 4);
}

TEST_F(ExportTest, BothVersionsOfZarrHaveOneSetOfChunks) {
  MakeRoom();
  options_.zarr = "3,2";
  Good(Path("both.zarr"));
  EXPECT_TRUE(fs::exists(Path("both.zarr/zarr.json")));
  EXPECT_TRUE(fs::exists(Path("both.zarr/.zmetadata")));
  options_.format = "zarr-sharded";
  EXPECT_EQ(ExitCodeOf(Bad(Path("sharded"))), kExitUsage);
  options_.format = "h5md";
  EXPECT_EQ(ExitCodeOf(Bad(Path("a.h5md"))), kExitUsage);
}

TEST_F(ExportTest, DryRunWritesNothing) {
  MakeRoom();
  options_.dry_run = true;
  const ExportSummary summary = Good(Path("out.zarr"));
  EXPECT_EQ(summary.frames, 10);
  EXPECT_FALSE(fs::exists(Path("out.zarr")));
  EXPECT_NE(SummaryText(options_, summary, 0).find("arrays.positions"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::accept(SummaryJson(options_, summary, 0)));
}

TEST_F(ExportTest, FormatsAreToldByName) {
  auto format = [](const std::string& out, const std::string& name = "") {
    ExportOptions options;
    options.out = out;
    options.format = name;
    auto chosen = ChooseExportFormat(options);
    return chosen ? std::string((*chosen)->name) : chosen.error().message;
  };
  EXPECT_EQ(format("a.zarr"), "zarr");
  EXPECT_EQ(format("a.zarr/"), "zarr");
  EXPECT_EQ(format("a.zarr.zip"), "zarr-zip");
  EXPECT_EQ(format("a.h5"), "h5md");
  EXPECT_EQ(format("a.xyz.gz"), "extxyz");
  EXPECT_EQ(format("a.kerchunk.json"), "kerchunk");
  EXPECT_EQ(format("a.dat", "npz"), "npz");
  EXPECT_NE(format("a.dat").find("--format"), std::string::npos);
  EXPECT_NE(format("a.dat", "h5mf").find("did you mean h5md"), std::string::npos);
}

TEST_F(ExportTest, UnknownStoresAndRooms) {
  EXPECT_EQ(ExitCodeOf(Bad(Path("a.xyz"))), kExitStore);
  EXPECT_FALSE(fs::exists(options_.store));
  MakeRoom();
  options_.room = "nope";
  EXPECT_EQ(ExitCodeOf(Bad(Path("a.xyz"))), kExitUsage);
}

}  // namespace
}  // namespace zn::tools
