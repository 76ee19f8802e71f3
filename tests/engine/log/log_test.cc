#include "log/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>

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

INSTANTIATE_TYPED_TEST_SUITE_P(LocalLog, LogConformance, LocalFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(MemoryLog, LogConformance, MemoryFixture);

}  // namespace
}  // namespace zn::test
