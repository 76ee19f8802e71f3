#include "tree/key_tree.h"

#include <algorithm>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr size_t kEntryHead = 3;  // u16 length of the key, u8 form
enum Form : uint8_t { kInline = 0, kRecord = 1 };

Error Damaged(const char* what) {
  return {ErrorCode::kCorrupt, std::string("a node of the control records is damaged (") + what + "); run zn-fsck"};
}

std::string_view Text(const std::byte* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

/// The shortest key above `before` that is not above `first`.
std::string Separator(std::string_view before, std::string_view first) {
  const size_t common = static_cast<size_t>(
      std::mismatch(before.begin(), before.begin() + static_cast<ptrdiff_t>(std::min(before.size(), first.size())),
                    first.begin()).first - before.begin());
  return std::string(first.substr(0, common + 1));
}

}  // namespace

/// A node wherever it lies. Keys and entries are by index; in interior nodes the key is the child's low.
class KeyTree::Reader {
 public:
  static Result<Reader> Open(const NodeSource& source, const Child& child) {
    Reader reader;
    if (child.node) {
      reader.node_ = child.node;
      reader.level_ = child.node->level;
      reader.count_ = reader.level_ == 0 ? child.node->entries.size() : child.node->children.size();
      return reader;
    }
    ZN_ASSIGN_OR_RETURN(reader.buffer_, source.ReadNode(child.ref));
    const auto bytes = reader.buffer_.bytes();
    ByteReader in(bytes);
    const auto kind = in.Get<uint8_t>();
    reader.level_ = in.Get<uint8_t>();
    reader.count_ = in.Get<uint16_t>();
    if (kind != static_cast<uint8_t>(TreeKind::kKey) || bytes.size() < kNodeHeaderSize) return Damaged("kind");
    if (reader.level_ != child.level || reader.level_ > kMaxTreeLevel) return Damaged("level");
    const size_t table = kNodeHeaderSize + 4 * reader.count_;
    if (reader.count_ == 0 || bytes.size() < table) return Damaged("count");
    reader.entries_ = bytes.data() + table;
    size_t begin = 0;
    for (size_t i = 0; i < reader.count_; ++i) {
      const size_t end = reader.End(i);
      if (end < begin + kEntryHead || end > bytes.size() - table) return Damaged("size of an entry");
      const std::byte* head = reader.entries_ + begin;
      const size_t rest = end - begin - kEntryHead;
      const auto form = static_cast<uint8_t>(head[2]);
      const size_t key = KeySize(head);
      if (key > rest || form > kRecord || (form == kInline && reader.level_ > 0) ||
          (form == kRecord && rest - key != kEncodedRefSize))
        return Damaged("entry");
      begin = end;
    }
    if (begin != bytes.size() - table) return Damaged("size");
    return reader;
  }

  uint8_t level() const { return level_; }
  size_t count() const { return count_; }
  std::string_view Key(size_t i) const {
    if (node_) return level_ == 0 ? node_->entries[i]->key : node_->children[i].low;
    const std::byte* head = Head(i);
    return Text(head + kEntryHead, KeySize(head));
  }
  Entry EntryAt(size_t i) const {
    if (node_) return *node_->entries[i];
    Entry entry;
    entry.key = Key(i);
    const std::byte* value = Head(i) + kEntryHead + entry.key.size();
    if (static_cast<uint8_t>(Head(i)[2]) == kRecord) {
      std::memcpy(&entry.ref, value, kEncodedRefSize);
    } else {
      entry.value = Text(value, static_cast<size_t>(entries_ + End(i) - value));
    }
    return entry;
  }
  Child ChildAt(size_t i) const {
    if (node_) return node_->children[i];
    Child child;
    child.low = Key(i);
    child.level = static_cast<uint8_t>(level_ - 1);
    std::memcpy(&child.ref, Head(i) + kEntryHead + child.low.size(), kEncodedRefSize);
    return child;
  }
  /// The first index whose key is not below `key`.
  size_t LowerBound(std::string_view key) const {
    size_t low = 0, high = count_;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (Key(middle) < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  /// The child under which `key` belongs.
  size_t ChildFor(std::string_view key) const {
    const size_t at = LowerBound(key);
    if (at < count_ && Key(at) == key) return at;
    return at == 0 ? 0 : at - 1;
  }

 private:
  size_t End(size_t i) const {
    uint32_t end;
    std::memcpy(&end, buffer_.data() + kNodeHeaderSize + 4 * i, 4);
    return end;
  }
  const std::byte* Head(size_t i) const { return entries_ + (i == 0 ? 0 : End(i - 1)); }
  static size_t KeySize(const std::byte* head) {
    uint16_t size;
    std::memcpy(&size, head, 2);
    return size;
  }

  uint8_t level_ = 0;
  size_t count_ = 0;
  std::shared_ptr<const Node> node_;
  Buffer buffer_;
  const std::byte* entries_ = nullptr;
};

size_t KeyTree::SizeOf(const Entry& entry) {
  return 4 + kEntryHead + entry.key.size() + (entry.ref ? kEncodedRefSize : entry.value.size());
}
size_t KeyTree::SizeOf(const Child& child) { return 4 + kEntryHead + child.low.size() + kEncodedRefSize; }
size_t KeyTree::SizeOf(const Node& node) {
  size_t size = kNodeHeaderSize;
  for (const auto& entry : node.entries) size += SizeOf(*entry);
  for (const Child& child : node.children) size += SizeOf(child);
  return size;
}

std::vector<std::byte> KeyTree::Encode(const Node& node) {
  ByteWriter entries;
  std::vector<uint32_t> ends;
  const auto put = [&](std::string_view key, const RecordRef& ref, std::string_view value) {
    entries.Put(static_cast<uint16_t>(key.size()));
    entries.Put<uint8_t>(ref ? kRecord : kInline);
    entries.PutBytes(std::as_bytes(std::span(key)));
    if (ref) {
      entries.PutBytes(std::as_bytes(std::span(&ref, 1)));
    } else {
      entries.PutBytes(std::as_bytes(std::span(value)));
    }
    ends.push_back(static_cast<uint32_t>(entries.size()));
  };
  for (const auto& entry : node.entries) put(entry->key, entry->ref, entry->value);
  for (const Child& child : node.children) put(child.low, child.ref, {});
  ByteWriter out;
  out.Put(TreeKind::kKey);
  out.Put(node.level);
  out.Put(static_cast<uint16_t>(ends.size()));
  out.Put<uint32_t>(0);
  out.Put<uint64_t>(0);
  for (const uint32_t end : ends) out.Put(end);
  out.PutBytes(entries.bytes());
  return out.Take();
}

Result<std::shared_ptr<const KeyTree::Node>> KeyTree::Load(const NodeSource& source, const Child& child) {
  if (child.node) return child.node;
  ZN_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(source, child));
  auto node = std::make_shared<Node>();
  node->level = reader.level();
  for (size_t i = 0; i < reader.count(); ++i) {
    if (i > 0 && reader.Key(i) <= reader.Key(i - 1)) return Damaged("order of keys");
    if (reader.level() == 0) {
      node->entries.push_back(std::make_shared<const Entry>(reader.EntryAt(i)));
    } else {
      node->children.push_back(reader.ChildAt(i));
    }
  }
  return std::shared_ptr<const Node>(std::move(node));
}

Result<std::optional<KeyTree::Entry>> KeyTree::Find(const NodeSource& source, std::string_view key) const {
  if (empty()) return std::optional<Entry>();
  Child child = root_;
  for (;;) {
    ZN_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(source, child));
    if (reader.level() == 0) {
      const size_t at = reader.LowerBound(key);
      if (at == reader.count() || reader.Key(at) != key) return std::optional<Entry>();
      return std::optional<Entry>(reader.EntryAt(at));
    }
    child = reader.ChildAt(reader.ChildFor(key));
  }
}

/// Appends `node` to `out`, in several nodes when it is too large. Where keys only grow, nodes are left full.
void KeyTree::Cut(Node node, bool grows_at_end, std::string low, std::vector<Child>& out) {
  const auto add = [&](std::shared_ptr<const Node> part, std::string part_low) {
    Child child;
    child.level = part->level;
    child.low = std::move(part_low);
    child.node = std::move(part);
    out.push_back(std::move(child));
  };
  const size_t size = SizeOf(node);
  if (size <= kMaxNodeBytes) {
    add(std::make_shared<const Node>(std::move(node)), std::move(low));
    return;
  }
  const size_t parts = (size + kMaxNodeBytes - 1) / kMaxNodeBytes;
  const size_t target = grows_at_end ? kMaxNodeBytes : kNodeHeaderSize + size / parts;
  const auto cut = [&](auto& items, auto Node::*of_part, auto size_of, auto low_between) {
    for (size_t begin = 0; begin < items.size();) {
      auto part = std::make_shared<Node>();
      part->level = node.level;
      std::string part_low = begin == 0 ? low : low_between((*out.back().node.*of_part).back(), items[begin]);
      size_t bytes = kNodeHeaderSize;
      while (begin < items.size() && (bytes == kNodeHeaderSize ||
                                      (bytes < target && bytes + size_of(items[begin]) <= kMaxNodeBytes))) {
        bytes += size_of(items[begin]);
        (*part.*of_part).push_back(std::move(items[begin++]));
      }
      add(std::move(part), std::move(part_low));
    }
  };
  if (node.level == 0) {
    cut(node.entries, &Node::entries, [](const auto& entry) { return SizeOf(*entry); },
        [](const auto& before, const auto& first) { return Separator(before->key, first->key); });
  } else {
    cut(node.children, &Node::children, [](const Child& child) { return SizeOf(child); },
        [](const Child&, const Child& first) { return first.low; });
  }
}

/// Puts `entry`, or erases `key` where there is none. Gives what takes the child's place: one node, several, or none.
Result<std::vector<KeyTree::Child>> KeyTree::Change(const NodeSource& source, const Child& child, std::string_view key,
                                                    std::shared_ptr<const Entry> entry) {
  ZN_ASSIGN_OR_RETURN(const auto old, Load(source, child));
  std::vector<Child> out;
  Node node = *old;
  bool at_end = false;
  if (node.level == 0) {
    const auto at = std::lower_bound(node.entries.begin(), node.entries.end(), key,
                                     [](const auto& e, std::string_view k) { return e->key < k; });
    const bool found = at != node.entries.end() && (*at)->key == key;
    at_end = at == node.entries.end();
    if (!entry) {
      if (found) node.entries.erase(at);
    } else if (found) {
      *at = std::move(entry);
    } else {
      node.entries.insert(at, std::move(entry));
    }
    if (!node.entries.empty()) Cut(std::move(node), at_end, child.low, out);
    return out;
  }
  const bool erases = entry == nullptr;
  auto at = std::upper_bound(node.children.begin(), node.children.end(), key,
                             [](std::string_view k, const Child& c) { return k < c.low; });
  if (at != node.children.begin()) --at;
  const auto index = static_cast<size_t>(at - node.children.begin());
  at_end = index + 1 == node.children.size();
  if (index == 0) at->low = child.low;  // a smaller key may come now than its first child ever had
  ZN_ASSIGN_OR_RETURN(auto changed, Change(source, *at, key, std::move(entry)));
  if (changed.empty()) {
    std::string low = std::move(at->low);
    at = node.children.erase(at);
    if (index == 0 && at != node.children.end()) at->low = std::move(low);
  } else {
    at = node.children.erase(at);
    node.children.insert(at, std::make_move_iterator(changed.begin()), std::make_move_iterator(changed.end()));
  }
  if (erases && index < node.children.size()) ZN_RETURN_IF_ERROR(Join(source, node.children, index));
  if (!node.children.empty()) Cut(std::move(node), at_end, child.low, out);
  return out;
}

/// Joins a child that became small with a neighbour, where both then fill a node well but not too well.
Result<> KeyTree::Join(const NodeSource& source, std::vector<Child>& children, size_t at) {
  if (children.size() < 2) return {};
  ZN_ASSIGN_OR_RETURN(const auto small, Load(source, children[at]));
  if (SizeOf(*small) >= kMaxNodeBytes / 4) return {};
  const size_t left = at + 1 < children.size() ? at : at - 1;
  ZN_ASSIGN_OR_RETURN(const auto a, Load(source, children[left]));
  ZN_ASSIGN_OR_RETURN(const auto b, Load(source, children[left + 1]));
  if (SizeOf(*a) + SizeOf(*b) > kMaxNodeBytes * 3 / 4) return {};
  auto joined = std::make_shared<Node>(*a);
  joined->entries.insert(joined->entries.end(), b->entries.begin(), b->entries.end());
  joined->children.insert(joined->children.end(), b->children.begin(), b->children.end());
  children[left].ref = {};
  children[left].node = std::move(joined);
  children.erase(children.begin() + static_cast<ptrdiff_t>(left + 1));
  return {};
}

Result<KeyTree> KeyTree::WithRoot(const NodeSource& source, std::vector<Child> children) {
  while (children.size() > 1) {
    Node parent;
    parent.level = static_cast<uint8_t>(children.front().level + 1);
    parent.children = std::move(children);
    children.clear();
    Cut(std::move(parent), false, {}, children);
  }
  KeyTree tree;
  if (children.empty()) return tree;
  tree.root_ = std::move(children.front());
  // A root with one child is that child.
  while (tree.root_.level > 0) {
    ZN_ASSIGN_OR_RETURN(const auto node, Load(source, tree.root_));
    if (node->children.size() > 1) break;
    Child only = node->children.front();
    tree.root_ = std::move(only);
  }
  tree.root_.low.clear();
  return tree;
}

Result<KeyTree> KeyTree::Put(const NodeSource& source, Entry entry) const {
  auto shared = std::make_shared<const Entry>(std::move(entry));
  if (empty()) {
    auto leaf = std::make_shared<Node>();
    leaf->entries.push_back(std::move(shared));
    KeyTree tree;
    tree.root_.node = std::move(leaf);
    return tree;
  }
  const std::string_view key = shared->key;
  ZN_ASSIGN_OR_RETURN(auto children, Change(source, root_, key, shared));
  return WithRoot(source, std::move(children));
}

Result<KeyTree> KeyTree::Erase(const NodeSource& source, std::string_view key) const {
  ZN_ASSIGN_OR_RETURN(const auto found, Find(source, key));
  if (!found) return *this;
  ZN_ASSIGN_OR_RETURN(auto children, Change(source, root_, key, nullptr));
  return WithRoot(source, std::move(children));
}

Result<bool> KeyTree::Walk(const NodeSource& source, const Child& child, std::string_view begin, std::string_view end,
                           const Visit& visit) {
  ZN_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(source, child));
  if (reader.level() == 0) {
    for (size_t i = reader.LowerBound(begin); i < reader.count(); ++i)
      if ((!end.empty() && reader.Key(i) >= end) || !visit(reader.EntryAt(i))) return false;
    return true;
  }
  for (size_t i = reader.ChildFor(begin); i < reader.count(); ++i) {
    if (!end.empty() && reader.Key(i) >= end) return false;
    ZN_ASSIGN_OR_RETURN(const bool go_on, Walk(source, reader.ChildAt(i), begin, end, visit));
    if (!go_on) return false;
  }
  return true;
}

Result<> KeyTree::ForEach(const NodeSource& source, std::string_view begin, std::string_view end,
                          const Visit& visit) const {
  if (empty()) return {};
  ZN_RETURN_IF_ERROR(Walk(source, root_, begin, end, visit));
  return {};
}

Result<std::optional<KeyTree::Entry>> KeyTree::LastIn(const NodeSource& source, const Child& child,
                                                      std::string_view end) {
  ZN_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(source, child));
  const size_t below = reader.LowerBound(end);
  if (reader.level() == 0) {
    if (below == 0) return std::optional<Entry>();
    return std::optional<Entry>(reader.EntryAt(below - 1));
  }
  for (size_t i = below; i-- > 0;) {
    ZN_ASSIGN_OR_RETURN(auto found, LastIn(source, reader.ChildAt(i), end));
    if (found) return found;
  }
  return std::optional<Entry>();
}

Result<std::optional<KeyTree::Entry>> KeyTree::LastBefore(const NodeSource& source, std::string_view end) const {
  if (empty()) return std::optional<Entry>();
  return LastIn(source, root_, end);
}

Result<> KeyTree::SaveChild(NodeSink& sink, Child& child) {
  if (!child.node) return {};
  if (!child.ref) {
    Node node = *child.node;
    for (Child& c : node.children) ZN_RETURN_IF_ERROR(SaveChild(sink, c));
    ZN_ASSIGN_OR_RETURN(child.ref, sink.WriteNode(Encode(node)));
  }
  child.node = nullptr;
  return {};
}

Result<KeyTree> KeyTree::Save(NodeSink& sink) const {
  KeyTree saved = *this;
  ZN_RETURN_IF_ERROR(SaveChild(sink, saved.root_));
  return saved;
}

Result<> KeyTree::VisitNodes(const NodeSource& source, const Child& child,
                             const std::function<bool(const RecordRef&, uint8_t)>& visit) {
  if (child.ref && !visit(child.ref, child.level)) return {};
  if (child.level == 0) return {};
  ZN_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(source, child));
  for (size_t i = 0; i < reader.count(); ++i) ZN_RETURN_IF_ERROR(VisitNodes(source, reader.ChildAt(i), visit));
  return {};
}

Result<> KeyTree::ForEachNode(const NodeSource& source,
                              const std::function<bool(const RecordRef&, uint8_t)>& visit) const {
  return empty() ? Result<>() : VisitNodes(source, root_, visit);
}

Result<> KeyTree::ValidateChild(const NodeSource& source, const Child& child, std::optional<std::string_view> high) {
  ZN_ASSIGN_OR_RETURN(const auto node, Load(source, child));
  if (node->level != child.level) return Damaged("level");
  const size_t count = node->level == 0 ? node->entries.size() : node->children.size();
  if (count == 0) return Damaged("an empty node");
  if (count > 1 && SizeOf(*node) > kMaxNodeBytes) return Damaged("a node too large");
  const auto key = [&](size_t i) -> std::string_view {
    return node->level == 0 ? node->entries[i]->key : node->children[i].low;
  };
  if (key(0) < child.low) return Damaged("a key before its node");
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 && key(i) <= key(i - 1)) return Damaged("order of keys");
    if (high && key(i) >= *high) return Damaged("a key behind its node");
    if (node->level == 0) continue;
    const Child& c = node->children[i];
    if (c.level + 1 != node->level) return Damaged("level");
    ZN_RETURN_IF_ERROR(
        ValidateChild(source, c, i + 1 < count ? std::optional<std::string_view>(node->children[i + 1].low) : high));
  }
  return {};
}

Result<> KeyTree::Validate(const NodeSource& source) const {
  return empty() ? Result<>() : ValidateChild(source, root_, std::nullopt);
}

}  // namespace zn
