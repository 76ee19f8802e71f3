// Small helpers of the log's tests.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "log/log.h"

namespace zn::test {

inline constexpr int64_t kMaxFileBytes = 64 << 10;
inline constexpr uint32_t kSalt = 0x5a17;

inline std::vector<std::byte> Payload(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

struct Seen {
  uint64_t sequence;
  RecordType type;
  RecordRef ref;
  std::vector<std::byte> payload;
};

inline std::vector<Seen> ReplayAll(Log& log) {
  std::vector<Seen> seen;
  auto replayed = log.Replay([&](uint64_t sequence, const LoggedRecord& record) -> Result<> {
    seen.push_back({sequence, record.type, record.ref,
                    std::vector<std::byte>(record.payload.begin(), record.payload.end())});
    return {};
  });
  EXPECT_TRUE(replayed) << (replayed ? "" : replayed.error().message);
  return seen;
}

inline Result<Ticket> AppendOne(Log& log, std::vector<std::byte> payload, RecordRef* ref = nullptr,
                                RecordType type = RecordType::kNode) {
  return log.Append([&](const Log::AppendRecord& append) -> Result<> {
    RecordRef made = append(type, std::move(payload));
    if (ref != nullptr) *ref = made;
    return {};
  });
}

inline RecordRef CommitOne(Log& log, std::vector<std::byte> payload) {
  RecordRef ref;
  auto ticket = AppendOne(log, std::move(payload), &ref);
  EXPECT_TRUE(ticket);
  if (ticket) {
    auto waited = log.Wait(*ticket);
    EXPECT_TRUE(waited) << (waited ? "" : waited.error().message);
  }
  return ref;
}

inline std::vector<std::byte> ToVector(const Buffer& buffer) {
  return {buffer.bytes().begin(), buffer.bytes().end()};
}

}  // namespace zn::test
