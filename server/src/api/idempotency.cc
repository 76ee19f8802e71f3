#include "api/idempotency.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace zn::server {
namespace {

using nlohmann::json;

// Control records (docs/format.md): the reply by its key, and the keys of a token by age with their number.
constexpr std::string_view kReply = "idempotent\x1freply\x1f";
constexpr std::string_view kAge = "idempotent\x1f" "age\x1f";
constexpr std::string_view kCount = "idempotent\x1f" "count\x1f";
constexpr int64_t kKeptNs = int64_t{24} * 3600 * 1'000'000'000;
constexpr int64_t kKeptOfToken = 10'000;
constexpr size_t kMaxKey = 255;

std::string HashOf(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (std::string_view part : parts) text += std::to_string(part.size()) + ":" + std::string(part);
  return HashSha256(std::as_bytes(std::span(text))).Hex();
}

int64_t ParseNumber(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

bool RunningKeys::Add(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return keys_.insert(key).second;
}

void RunningKeys::Remove(const std::string& key) {
  const std::lock_guard lock(mutex_);
  keys_.erase(key);
}

Answer<std::shared_ptr<IdempotencyKey>> IdempotencyKey::Take(const Store& store, RunningKeys& running,
                                                             const Request& request) {
  if (request.key.empty() || request.key.size() > kMaxKey)
    return BadRequest("Idempotency-Key: 1 to 255 bytes, another for each write");
  std::shared_ptr<IdempotencyKey> key(new IdempotencyKey(store, running));
  key->token_ = HashOf({request.token}).substr(0, 32);
  key->name_ = std::string(kReply) + HashOf({request.token, request.method, request.path, request.key});
  key->fingerprint_ = HashOf({request.query, HashSha256(request.body).Hex()});
  key->taken_ = running.Add(key->name_);
  if (!key->taken_) {
    Problem problem(409, "still-running", "a request with this Idempotency-Key is being worked on");
    problem.headers = "Retry-After: 1\r\n";
    return problem;
  }
  return key;
}

IdempotencyKey::~IdempotencyKey() {
  if (taken_) running_.Remove(name_);
}

Answer<std::optional<KeptReply>> IdempotencyKey::Find() const {
  ZN_ASSIGN_OR_RETURN(const auto kept, store_.records().Get(name_));
  if (!kept) return std::optional<KeptReply>();
  const json record = json::parse(*kept, nullptr, false);
  if (!record.is_object()) return Problem(500, "internal", "a kept reply cannot be read");
  if (record.value("fingerprint", "") != fingerprint_)
    return Problem(422, "idempotency-mismatch", "this Idempotency-Key was used with another body or query: take a new one");
  return std::optional<KeptReply>(
      KeptReply{record.value("status", 200), record.value("json", ""), record.value("headers", ""), record.value("etag", "")});
}

Result<> IdempotencyKey::Keep(RecordTransaction& records, const KeptReply& reply, int64_t now_ns) const {
  ZN_ASSIGN_OR_RETURN(const auto there, records.Get(name_));
  if (there)
    return Error{ErrorCode::kAlreadyExists, "a request with this Idempotency-Key was sequenced just before; ask again for its reply"};
  const json record = {{"fingerprint", fingerprint_}, {"status", reply.status}, {"json", reply.json},
                       {"headers", reply.headers},    {"etag", reply.etag}};
  ZN_RETURN_IF_ERROR(records.Put(name_, record.dump(-1, ' ', false, json::error_handler_t::replace)));
  // The oldest ones go: those that are over, and one for each beyond the bound.
  const std::string ages = std::string(kAge) + token_ + "\x1f", count_name = std::string(kCount) + token_;
  ZN_ASSIGN_OR_RETURN(const auto counted, records.Get(count_name));
  int64_t count = counted ? ParseNumber(*counted) : 0;
  ZN_ASSIGN_OR_RETURN(const auto oldest, records.ScanPrefix(ages, 2));
  for (const Record& old : oldest) {
    const int64_t time_ns = ParseNumber(std::string_view(old.key).substr(ages.size(), 20));
    if (now_ns - time_ns < kKeptNs && count < kKeptOfToken) break;
    ZN_RETURN_IF_ERROR(records.Erase(old.value));
    ZN_RETURN_IF_ERROR(records.Erase(old.key));
    --count;
  }
  char age[24];
  std::snprintf(age, sizeof age, "%020lld", static_cast<long long>(now_ns));
  ZN_RETURN_IF_ERROR(records.Put(ages + age + name_.substr(name_.size() - 16), name_));
  return records.Put(count_name, std::to_string(count + 1));
}

}  // namespace zn::server
