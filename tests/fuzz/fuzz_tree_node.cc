// A tree whose nodes are the input: every operation gives an error or ends.

#include <cstddef>
#include <cstdint>
#include <span>

#include "tree/key_tree.h"
#include "tree/run_tree.h"

namespace {

/// Node k is the k-th piece of the input; references beyond are errors.
class InputNodes : public zn::NodeSource {
 public:
  explicit InputNodes(std::span<const std::byte> input) : input_(input) {}
  zn::Result<zn::Buffer> ReadNode(const zn::RecordRef& ref) const override {
    if (ref.offset == 0 || ref.offset > input_.size())
      return zn::Error{zn::ErrorCode::kNotFound, "beyond the input"};
    const auto rest = input_.subspan(ref.offset - 1);
    return zn::Buffer::Copy(rest.first(std::min<size_t>(rest.size(), ref.length)));
  }

 private:
  std::span<const std::byte> input_;
};

template <class Tree>
void Exercise(const InputNodes& nodes, const zn::RecordRef& root, uint64_t span, uint8_t level) {
  const Tree tree(root, span, level);
  (void)tree.Find(nodes, span / 2);
  int visits = 0;
  (void)tree.ForEach(nodes, 0, span, [&](uint64_t, uint64_t, const auto&) { return ++visits < 1000; });
}

void ExerciseKeys(const InputNodes& nodes, const zn::RecordRef& root, uint8_t level) {
  const zn::KeyTree tree(root, level);
  (void)tree.Find(nodes, "key");
  (void)tree.LastBefore(nodes, "key");
  (void)tree.Put(nodes, {"key", "value", {}});
  (void)tree.Erase(nodes, "key");
  int visits = 0;
  (void)tree.ForEach(nodes, "", "", [&](const zn::KeyTree::Entry&) { return ++visits < 1000; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 16) return 0;
  const InputNodes nodes(std::as_bytes(std::span(data + 10, size - 10)));
  zn::RecordRef root;
  root.offset = 1;
  root.length = static_cast<uint32_t>(data[0]) | static_cast<uint32_t>(data[1]) << 8;
  const uint64_t span = 1 + (static_cast<uint64_t>(data[2]) | static_cast<uint64_t>(data[3]) << 8);
  const auto level = static_cast<uint8_t>(data[4] % 4);
  switch (data[5] % 4) {
    case 3: ExerciseKeys(nodes, root, level); break;
    case 0: Exercise<zn::OrderTree>(nodes, root, span, level); break;
    case 1: Exercise<zn::FieldTree>(nodes, root, span, level); break;
    default: Exercise<zn::VersionTree>(nodes, root, span, level); break;
  }
  return 0;
}
