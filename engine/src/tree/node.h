// Tree nodes on disk. docs/format.md, "Tree nodes".
//
// All three trees of a room are counted sequences of *runs*: the order tree maps positions to runs of frame ids, a
// field tree maps frame ids to rows of chunks, the version tree maps frame ids to version records. A run covers `span`
// consecutive positions; a node keeps the running ends of its runs (or children), so a lookup is a binary search in
// place, straight in the mapped record.
//
//   offset  size
//   0       1     tree: 1 order, 2 field, 3 version
//   1       1     level: 0 leaf
//   2       2     count n of runs or children, 1..kMax
//   4       4     number of references behind the entries (field leaves; else 0)
//   8       8     zero
//   16      8n    running ends: positions covered by entries 0..i together
//   ...     En    entries: EntryTraits::kSize bytes each (leaf) or a child's reference and aggregate (interior)
//   ...     48r   references (field leaves)
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "log/record.h"
#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn {

static_assert(sizeof(RecordRef) == kEncodedRefSize, "references are read in place");
static_assert(offsetof(RecordRef, offset) == 32 && offsetof(RecordRef, file) == 40 &&
              offsetof(RecordRef, length) == 44);

/// Values are stored on disk: never renumber.
enum class TreeKind : uint8_t { kOrder = 1, kField = 2, kVersion = 3, kKey = 4 };

inline constexpr size_t kNodeHeaderSize = 16;
inline constexpr size_t kMaxTreeLevel = 16;

/// Reads nodes by reference. The Buffer of a durable node has no owner and stays valid as long as the store is open.
class NodeSource {
 public:
  virtual ~NodeSource() = default;
  virtual Result<Buffer> ReadNode(const RecordRef& ref) const = 0;
};

/// Takes new nodes and gives their references.
class NodeSink {
 public:
  virtual ~NodeSink() = default;
  virtual Result<RecordRef> WriteNode(std::vector<std::byte> payload) = 0;
};

/// The parts of a node's bytes, checked for size but not copied. `bytes` start at a multiple of 8.
struct NodeView {
  uint8_t level = 0;
  size_t count = 0;
  size_t ref_count = 0;
  const uint64_t* ends = nullptr;
  const std::byte* entries = nullptr;
  const RecordRef* refs = nullptr;
  std::shared_ptr<const void> owner;  // of all of these; null when they lie in a mapped log

  uint64_t span() const { return ends[count - 1]; }
  uint64_t start(size_t i) const { return i == 0 ? 0 : ends[i - 1]; }

  /// Index of the entry that covers `position`. REQUIRES: position < span().
  size_t IndexOf(uint64_t position) const {
    size_t low = 0, high = count - 1;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (ends[middle] > position) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  /// The references from now on live as long as `owner`, wherever the node lies. In a mapped log they last only as long as
  /// something leads to the node: a collection may give its place back to the disk.
  void OwnRefs() {
    if (owner || ref_count == 0) return;
    auto copy = std::make_shared<const std::vector<RecordRef>>(refs, refs + ref_count);
    refs = copy->data();
    owner = std::move(copy);
  }

  /// `leaf_entry` and `child_entry` are the sizes of the tree's entries.
  static Result<NodeView> Open(const Buffer& buffer, TreeKind kind, size_t leaf_entry,
                               size_t child_entry) {
    const std::span<const std::byte> bytes = buffer.bytes();
    NodeView view;
    view.owner = buffer.owner();
    if (bytes.size() < kNodeHeaderSize || static_cast<TreeKind>(bytes[0]) != kind)
      return Error{ErrorCode::kCorrupt, "not a node of this tree"};
    view.level = static_cast<uint8_t>(bytes[1]);
    uint16_t count;
    uint32_t refs;
    std::memcpy(&count, bytes.data() + 2, 2);
    std::memcpy(&refs, bytes.data() + 4, 4);
    view.count = count;
    view.ref_count = refs;
    const size_t entry = view.level == 0 ? leaf_entry : child_entry;
    const size_t need =
        kNodeHeaderSize + view.count * (8 + entry) + size_t{refs} * kEncodedRefSize;
    if (view.count == 0 || view.level > kMaxTreeLevel || bytes.size() != need)
      return Error{ErrorCode::kCorrupt, "tree node of " + std::to_string(bytes.size()) +
                                            " bytes where its header says " + std::to_string(need)};
    view.ends = reinterpret_cast<const uint64_t*>(bytes.data() + kNodeHeaderSize);
    view.entries = bytes.data() + kNodeHeaderSize + view.count * 8;
    view.refs = reinterpret_cast<const RecordRef*>(view.entries + view.count * entry);
    return view;
  }
};

}  // namespace zn
