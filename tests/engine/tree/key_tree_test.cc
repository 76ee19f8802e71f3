// The tree of control records against a map: if it fails, fences, records or tokens are lost or come back changed.

#include "tree/key_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <random>

#include "engine/tree/memory_nodes.h"

namespace zn {
namespace {

using Map = std::map<std::string, std::string>;

Map ContentsOf(const NodeSource& nodes, const KeyTree& tree, std::string_view begin = {}, std::string_view end = {}) {
  Map map;
  EXPECT_TRUE(tree.ForEach(nodes, begin, end, [&](const KeyTree::Entry& entry) {
    EXPECT_TRUE(map.empty() || map.rbegin()->first < entry.key);
    map[entry.key] = entry.value;
    return true;
  }));
  return map;
}

/// Keys of all shapes: short and long, alike at the front, with zero and 0xff bytes.
std::string RandomKey(std::mt19937_64& random) {
  static const std::string kStarts[] = {"a", std::string("fence\0", 6), "state/room/", std::string("\xff\xff", 2), ""};
  std::string key = kStarts[random() % 5];
  const size_t more = random() % 10 == 0 ? random() % 900 : random() % 5;
  for (size_t i = 0; i < more; ++i) key += static_cast<char>("\0a\xff" "bc"[random() % 5]);
  return key.empty() ? "k" : key;
}

TEST(KeyTree, ChangesAgreeWithAMap) {
  rc::check([](uint64_t seed) {
    std::mt19937_64 random(seed);
    MemoryNodes nodes;
    KeyTree tree;
    Map model;
    struct Kept {
      KeyTree tree;
      Map model;
    };
    std::vector<Kept> kept;
    const size_t steps = random() % 600;
    const bool mostly_erases = random() % 3 == 0;
    for (size_t i = 0; i < steps; ++i) {
      const bool erase = random() % 4 == 0 || (mostly_erases && i > steps / 2);
      std::string key = RandomKey(random);
      if (!model.empty() && random() % 2 == 0) {
        auto at = model.lower_bound(key);
        key = at == model.end() ? model.begin()->first : at->first;
      }
      if (erase) {
        tree = *tree.Erase(nodes, key);
        model.erase(key);
      } else {
        const std::string value(random() % 8 == 0 ? random() % (KeyTree::kMaxInlineValue + 1) : random() % 40,
                                static_cast<char>(random()));
        tree = *tree.Put(nodes, {key, value, {}});
        model[key] = value;
      }
      if (random() % 50 == 0) tree = *tree.Save(nodes);
      if (random() % 50 == 0) {
        // What is opened again from its reference is the same.
        tree = *tree.Save(nodes);
        tree = KeyTree(tree.root_ref(), tree.level());
      }
      if (random() % 100 == 0) kept.push_back({tree, model});
      const std::string probe = RandomKey(random);
      const auto found = *tree.Find(nodes, probe);
      RC_ASSERT(found.has_value() == (model.count(probe) != 0));
      if (found) RC_ASSERT(found->value == model[probe]);
      const auto last = *tree.LastBefore(nodes, probe);
      const auto below = model.lower_bound(probe);
      RC_ASSERT(last.has_value() == (below != model.begin()));
      if (last) RC_ASSERT(last->key == std::prev(below)->first);
    }
    const auto valid = tree.Validate(nodes);
    if (!valid) RC_FAIL(valid.error().message);
    RC_ASSERT(ContentsOf(nodes, tree) == model);
    std::string begin = RandomKey(random), end = RandomKey(random);
    if (end < begin) std::swap(begin, end);
    RC_ASSERT(ContentsOf(nodes, tree, begin, end) == Map(model.lower_bound(begin), model.lower_bound(end)));
    // What was kept did not change.
    for (const Kept& k : kept) RC_ASSERT(ContentsOf(nodes, k.tree) == k.model);
  });
}

TEST(KeyTree, GrowingKeysFillTheirNodes) {
  MemoryNodes nodes;
  KeyTree tree;
  size_t bytes = 0;
  for (int i = 0; i < 20000; ++i) {
    char key[16];
    std::snprintf(key, sizeof key, "line%08d", i);
    tree = *tree.Put(nodes, {key, std::string(100, 'x'), {}});
    bytes += 119;
  }
  ASSERT_TRUE(tree.Validate(nodes));
  tree = *tree.Save(nodes);
  EXPECT_LE(nodes.written() * KeyTree::kMaxNodeBytes, bytes * 11 / 10);
}

TEST(KeyTree, AChangeWritesOnlyItsPath) {
  MemoryNodes nodes;
  KeyTree tree;
  for (int i = 0; i < 20000; ++i) tree = *tree.Put(nodes, {std::to_string(i * 7919 % 20000), "value", {}});
  tree = *tree.Save(nodes);
  const size_t before = nodes.written();
  nodes.reads = 0;
  tree = *tree.Put(nodes, {"12345", "other", {}});
  tree = *tree.Save(nodes);
  EXPECT_LE(nodes.written() - before, 4u);
  EXPECT_LE(nodes.reads, 8);
  EXPECT_EQ((*tree.Find(nodes, "12345"))->value, "other");
}

TEST(KeyTree, DamagedNodesAreErrors) {
  MemoryNodes nodes;
  KeyTree tree;
  for (int i = 0; i < 200; ++i) tree = *tree.Put(nodes, {"key" + std::to_string(i), std::string(30, 'v'), {}});
  tree = *tree.Save(nodes);
  ASSERT_GE(tree.level(), 1);
  for (size_t n = 0; n < nodes.written(); ++n) {
    const Buffer good = nodes.node(n);
    for (size_t at = 0; at < good.size(); at += 3) {
      std::vector<std::byte> bad(good.bytes().begin(), good.bytes().end());
      bad[at] ^= std::byte{0x41};
      nodes.node(n) = Buffer::Own(bad);
      // An answer or an error; a node's checksum is the log's concern.
      (void)tree.Find(nodes, "key100");
      (void)tree.Put(nodes, {"key100", "v", {}});
      (void)tree.Erase(nodes, "key5");
      (void)tree.Validate(nodes);
      bad.resize(at);
      nodes.node(n) = Buffer::Own(bad);
      EXPECT_FALSE(tree.Validate(nodes)) << "cut at " << at;
    }
    nodes.node(n) = good;
  }
  EXPECT_TRUE(tree.Validate(nodes));
}

}  // namespace
}  // namespace zn
