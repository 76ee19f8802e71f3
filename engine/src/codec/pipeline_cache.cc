#include "codec/pipeline_cache.h"

#include <mutex>

namespace zn {

Result<std::shared_ptr<const CodecPipeline>> PipelineCache::Get(std::string_view codecs,
                                                                DType dtype) {
  {
    std::shared_lock lock(mutex_);
    if (const auto of_dtype = entries_.find(dtype); of_dtype != entries_.end())
      if (const auto found = of_dtype->second.find(codecs); found != of_dtype->second.end())
        return found->second;
  }
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<const CodecPipeline> pipeline,
                      CodecPipeline::Create(codecs, dtype));
  std::unique_lock lock(mutex_);
  if (size_ >= kMaxEntries) {
    entries_.clear();
    size_ = 0;
  }
  if (entries_[dtype].emplace(codecs, pipeline).second) ++size_;
  return pipeline;
}

}  // namespace zn
