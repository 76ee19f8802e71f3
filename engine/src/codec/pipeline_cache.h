// Parsed codec pipelines, so that reading a chunk does not parse JSON.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>

#include "zn/engine/codec.h"

namespace zn {

/// Thread-safe; owned by whoever reads chunks.
class PipelineCache {
 public:
  /// As CodecPipeline::Create. Errors are not kept.
  Result<std::shared_ptr<const CodecPipeline>> Get(std::string_view codecs, DType dtype);

 private:
  // Geometries share a handful of lists; a store made to hold more of them only loses the memo.
  static constexpr size_t kMaxEntries = 1024;

  std::shared_mutex mutex_;
  // guarded by mutex_
  std::map<DType, std::map<std::string, std::shared_ptr<const CodecPipeline>, std::less<>>>
      entries_;
  size_t size_ = 0;  // guarded by mutex_
};

}  // namespace zn
