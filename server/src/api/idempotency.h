// Idempotency-Key: a request that is sent again with its key gets the reply of the first time, and is not done again.
//
// The reply is kept as a control record in the write's own commit (CommitContext::also), so after a crash either both are
// there or neither. Kept for 24 hours, and the newest 10,000 of a token.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "http/problem.h"
#include "zn/engine/store.h"

namespace zn::server {

/// A reply as it is kept.
struct KeptReply {
  int status = 200;
  std::string json, headers, etag;
};

/// Keys whose requests are being worked on. Thread-safe.
class RunningKeys {
 public:
  bool Add(const std::string& key);
  void Remove(const std::string& key);

 private:
  std::mutex mutex_;
  std::set<std::string> keys_;  // guarded by mutex_
};

/// One request's key. While it lives, another request with the same key is 409.
class IdempotencyKey {
 public:
  struct Request {
    std::string_view token, method, path, query, key;
    std::span<const std::byte> body;
  };
  /// 400 for a key of no or more than 255 bytes, 409 while a request with it is worked on.
  static Answer<std::shared_ptr<IdempotencyKey>> Take(const Store& store, RunningKeys& running, const Request& request);
  ~IdempotencyKey();

  /// The reply of the first time; nullopt when there was none. 422 when that was for another body.
  Answer<std::optional<KeptReply>> Find() const;
  /// In the commit's transaction. kAlreadyExists when a request with this key got there first.
  Result<> Keep(RecordTransaction& records, const KeptReply& reply, int64_t now_ns) const;

 private:
  IdempotencyKey(const Store& store, RunningKeys& running) : store_(store), running_(running) {}
  const Store& store_;
  RunningKeys& running_;
  std::string name_;         // of the record
  std::string token_;        // hex of a hash of it: part of other records' names
  std::string fingerprint_;  // of query and body
  bool taken_ = false;
};

}  // namespace zn::server
