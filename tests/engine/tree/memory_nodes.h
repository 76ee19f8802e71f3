// Tree nodes in memory, for tests.
#pragma once

#include <vector>

#include "base/hash.h"
#include "tree/node.h"

namespace zn {

/// Nodes by offset: the first has offset 1.
class MemoryNodes : public NodeSource, public NodeSink {
 public:
  Result<Buffer> ReadNode(const RecordRef& ref) const override {
    ++reads;
    if (ref.offset == 0 || ref.offset > nodes_.size()) return Error{ErrorCode::kNotFound, "no such node"};
    return nodes_[ref.offset - 1];
  }
  Result<RecordRef> WriteNode(std::vector<std::byte> payload) override {
    RecordRef ref;
    ref.name = HashSha256(payload);
    ref.length = static_cast<uint32_t>(payload.size());
    nodes_.push_back(Buffer::Own(std::move(payload)));
    ref.offset = nodes_.size();
    return ref;
  }
  size_t written() const { return nodes_.size(); }
  Buffer& node(size_t i) { return nodes_[i]; }
  mutable int64_t reads = 0;

 private:
  std::vector<Buffer> nodes_;
};

}  // namespace zn
