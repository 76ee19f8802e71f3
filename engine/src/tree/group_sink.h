// Tree nodes that go into the group of the log that is being built.
#pragma once

#include <utility>
#include <vector>

#include "log/log.h"
#include "tree/node.h"

namespace zn {

/// Lives inside Log::Append's build.
class GroupSink : public NodeSink {
 public:
  explicit GroupSink(const Log::AppendRecord& append) : append_(append) {}
  Result<RecordRef> WriteNode(std::vector<std::byte> payload) override {
    return append_(RecordType::kNode, std::move(payload));
  }

 private:
  const Log::AppendRecord& append_;
};

}  // namespace zn
