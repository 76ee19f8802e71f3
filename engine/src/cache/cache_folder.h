// The files of the cache: making, adopting and removing them. Knows nothing of what is resident.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"
#include "zn/engine/version.h"

namespace zn {

/// cache/<boot id>/. Thread-safe.
class CacheFolder {
 public:
  struct Options {
    std::string root;  // STORE/cache
    std::string boot_id;
    bool unnamed_files = false;
    bool background = true;
  };
  /// A mapped file.
  struct Made {
    Buffer data;  // the elements; their owner is the map
    Shape shape;
    int64_t file_bytes = 0;
  };

  explicit CacheFolder(Options options);
  ~CacheFolder();  // leaves the files
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;

  /// Writes an NPY file named after `name` and maps it, making the folder again when somebody
  /// removed it.
  Result<Made> Make(const Sha256& name, DType dtype, const Shape& shape,
                    std::span<const std::byte> data);

  /// The file of this name that an earlier process left, if it holds `dtype` in a shape of at least
  /// `least` and at most `most`; one that does not is removed.
  std::optional<Made> Adopt(const Sha256& name, DType dtype, const Shape& least, const Shape& most);

  /// Unlinks a file made or adopted. Maps of it stay valid.
  void Remove(const Sha256& name);

  /// Files of earlier processes that nobody has asked for yet.
  int64_t dormant_bytes() const { return dormant_bytes_.load(std::memory_order_relaxed); }
  int64_t dormant_files() const { return dormant_files_.load(std::memory_order_relaxed); }
  /// Removes one of them; false when there is none.
  bool RemoveDormant();

 private:
  struct HashName {
    size_t operator()(const Sha256& name) const;
  };

  std::string PathOf(const Sha256& name) const;
  Result<Made> TryMake(const Sha256& name, DType dtype, const Shape& shape,
                       std::span<const std::byte> data);
  void ForgetDormant(const Sha256& name);  // REQUIRES: mutex_ is held
  void TakeStock();
  void TakeStockOfFile(const std::string& file);
  void RemoveOtherFolder(const std::string& path);

  const Options options_;
  const std::string folder_;
  const std::string temporary_prefix_;  // of this process's unfinished files
  std::atomic<uint64_t> next_temporary_ = 0;

  std::mutex mutex_;
  std::unordered_set<Sha256, HashName> ours_;              // guarded by mutex_
  std::unordered_map<Sha256, int64_t, HashName> dormant_;  // guarded by mutex_
  std::atomic<int64_t> dormant_bytes_ = 0, dormant_files_ = 0;
  std::atomic<bool> stock_taken_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread stock_taker_;
};

}  // namespace zn
