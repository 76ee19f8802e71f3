#include "log/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "engine/log/log_conformance.h"
#include "log/memory_log.h"

namespace zn::test {
namespace {

class LocalFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "zn_log_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    store_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(store_)); }

  std::unique_ptr<Log> OpenAs(bool read_only) {
    LocalLogOptions options;
    options.directory = store_ + "/log";
    options.head_path = store_ + "/head";
    options.quarantine = store_ + "/quarantine";
    options.salt = kSalt;
    options.read_only = read_only;
    options.max_file_bytes = kMaxFileBytes;
    auto log = OpenLocalLog(options);
    EXPECT_TRUE(log) << (log ? "" : log.error().message);
    return log ? std::move(*log) : nullptr;
  }
  std::unique_ptr<Log> Open() { return OpenAs(false); }
  std::unique_ptr<Log> OpenReader() { return OpenAs(true); }
  std::unique_ptr<Log> Reopen(std::unique_ptr<Log> log = nullptr) {
    log.reset();
    return OpenAs(false);
  }

  std::string store_;
};

class MemoryFixture : public ::testing::Test {
 protected:
  std::unique_ptr<Log> OpenAs(bool read_only) {
    LogOptions options;
    options.salt = kSalt;
    options.read_only = read_only;
    options.max_file_bytes = kMaxFileBytes;
    auto log = OpenMemoryLog(disk_, options);
    EXPECT_TRUE(log) << (log ? "" : log.error().message);
    return log ? std::move(*log) : nullptr;
  }
  std::unique_ptr<Log> Open() { return OpenAs(false); }
  std::unique_ptr<Log> OpenReader() { return OpenAs(true); }
  // After a power failure: only what was synced counts.
  std::unique_ptr<Log> Reopen(std::unique_ptr<Log> log = nullptr) {
    log.reset();
    disk_ = disk_->AfterCrash(MemoryFileSystem::Crash::kLost, 1);
    return OpenAs(false);
  }

  std::shared_ptr<MemoryFileSystem> disk_ = std::make_shared<MemoryFileSystem>();
};

// A notebook in another process sees a commit as soon as the server has acknowledged it, and never
// an earlier one twice.
TEST_F(LocalFixture, ReaderProcessSeesWhatIsAcknowledged) {
  constexpr uint64_t kCommits = 100;
  int to_reader[2], from_reader[2];
  ASSERT_EQ(::pipe(to_reader), 0);
  ASSERT_EQ(::pipe(from_reader), 0);
  { auto made = Open(); }  // so that there is a log to open
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Nothing of the test framework here: the exit code tells.
    LocalLogOptions options;
    options.directory = store_ + "/log";
    options.head_path = store_ + "/head";
    options.salt = kSalt;
    options.read_only = true;
    options.max_file_bytes = kMaxFileBytes;
    auto log = OpenLocalLog(options);
    if (!log) ::_exit(2);
    uint64_t seen = 0;
    uint64_t told;
    while (::read(to_reader[0], &told, sizeof told) == sizeof told && told != 0) {
      auto replayed = (*log)->Replay([&](uint64_t, const LoggedRecord& record) -> Result<> {
        if (record.type == RecordType::kCheckpoint) return {};
        auto read = (*log)->ReadDurable(record.ref);
        auto expected = Payload(2000, ++seen);
        if (!read || !std::equal(read->begin(), read->end(), expected.begin(), expected.end())) {
          ::_exit(3);
        }
        return {};
      });
      if (!replayed || seen != told) ::_exit(4);
      if (::write(from_reader[1], &seen, sizeof seen) != sizeof seen) ::_exit(5);
    }
    ::_exit(0);
  }
  {
    auto log = Open();
    uint64_t answer = 0;
    for (uint64_t i = 1; i <= kCommits; ++i) {
      CommitOne(*log, Payload(2000, i));
      ASSERT_EQ(::write(to_reader[1], &i, sizeof i), static_cast<ssize_t>(sizeof i));
      ::close(std::exchange(from_reader[1], -1));
      if (::read(from_reader[0], &answer, sizeof answer) != sizeof answer) break;
      EXPECT_EQ(answer, i);
    }
    uint64_t end = 0;
    (void)!::write(to_reader[1], &end, sizeof end);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_GE(log->stats().files, 2);
  }
  for (int fd : {to_reader[0], to_reader[1], from_reader[0]}) ::close(fd);
}

INSTANTIATE_TYPED_TEST_SUITE_P(LocalLog, LogConformance, LocalFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(MemoryLog, LogConformance, MemoryFixture);

}  // namespace
}  // namespace zn::test
