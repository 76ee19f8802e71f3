// What writers have stored, or found stored, and no commit names yet: a collection leaves the files
// it lies in alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace zn::internal {

/// Thread-safe. Files are numbered as in references.
class WriteScopes {
 public:
  /// `first_writable` gives the first pack that a Put from now on may go to.
  explicit WriteScopes(std::function<uint32_t()> first_writable)
      : first_writable_(std::move(first_writable)) {}

  /// Held by whoever prepares chunks, from before the first is stored or looked for until the
  /// commit that names them is sequenced.
  class Scope {
   public:
    explicit Scope(WriteScopes& scopes) : scopes_(scopes) {
      const std::lock_guard lock(scopes_.mutex_);
      number_ = scopes_.next_++;
      scopes_.live_.emplace(number_, scopes_.first_writable_());
    }
    ~Scope() {
      const std::lock_guard lock(scopes_.mutex_);
      scopes_.live_.erase(number_);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    WriteScopes& scopes_;
    uint64_t number_;
  };

  /// Whether a record of this file may be referred to anew: not when the file is being collected.
  /// If so, the file is left alone as long as any scope of now lives. REQUIRES: within a scope.
  bool Use(uint32_t file) {
    const std::lock_guard lock(mutex_);
    if (claimed_.contains(file)) return false;
    used_[file] = next_;
    return true;
  }

  /// For the collection: of the files that `list` gives, those that no writer needs. Until Release
  /// they are not used anew.
  std::vector<uint32_t> Claim(const std::function<std::vector<uint32_t>()>& list) {
    const std::lock_guard lock(mutex_);
    const uint64_t oldest = live_.empty() ? next_ : live_.begin()->first;
    std::erase_if(used_, [&](const auto& use) { return use.second <= oldest; });
    uint32_t first_needed = first_writable_();
    for (const auto& [number, first] : live_) first_needed = std::min(first_needed, first);
    std::vector<uint32_t> files = list();
    std::erase_if(files, [&](uint32_t file) {
      const bool pack = file < kLogBit;
      return (pack && file >= first_needed) || used_.contains(file);
    });
    claimed_.insert(files.begin(), files.end());
    return files;
  }
  void Release(uint32_t file) {
    const std::lock_guard lock(mutex_);
    claimed_.erase(file);
  }

 private:
  static constexpr uint32_t kLogBit = 0x80000000u;
  const std::function<uint32_t()> first_writable_;
  std::mutex mutex_;  // before the packs' own
  // All guarded by mutex_.
  uint64_t next_ = 1;
  std::map<uint64_t, uint32_t> live_;  // scope -> the first pack it may have put something into
  std::map<uint32_t, uint64_t> used_;  // file -> scopes below this number may rely on it
  std::set<uint32_t> claimed_;
};

}  // namespace zn::internal
