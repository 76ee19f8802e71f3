// The tree of runs against a plain vector: if it fails, frames come back in another order or with another's rows.

#include "tree/run_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <random>

#include "engine/tree/memory_nodes.h"
#include "tree/field_diff.h"

namespace zn {
namespace {

std::vector<OrderTree::Run> RunsOf(const std::vector<FrameId>& ids) {
  std::vector<OrderTree::Run> runs;
  for (const FrameId id : ids) runs.push_back({1, {id}});
  return runs;
}

std::vector<FrameId> IdsOf(const NodeSource& source, const OrderTree& tree) {
  std::vector<FrameId> ids;
  EXPECT_TRUE(tree.ForEach(source, 0, tree.span(), [&](uint64_t, uint64_t span, const OrderEntry& entry) {
    for (uint64_t i = 0; i < span; ++i) ids.push_back(entry.first + static_cast<int64_t>(i));
    return true;
  }));
  return ids;
}

// A fold goes along with commits: what it writes has to be the tree it began with, however far the room has moved on, and
// what it has written nobody writes again.
TEST(RunTree, IsSavedInStepsWhileItIsChanged) {
  rc::check([](uint64_t seed) {
    std::mt19937_64 random(seed);
    MemoryNodes nodes;
    std::vector<FrameId> model(500 + random() % 2000);
    for (size_t i = 0; i < model.size(); ++i) model[i] = static_cast<FrameId>(2 * i);
    auto tree = OrderTree().Splice(nodes, 0, 0, RunsOf(model));
    RC_ASSERT(tree.has_value());
    for (int round = 0; round < 3; ++round) {
      const std::vector<FrameId> then = model;
      auto saver = tree->StartSaving();
      const uint64_t span = tree->span();
      const uint8_t level = tree->level();
      while (!saver.done()) {
        size_t budget = 1 + random() % 9;
        const size_t most = budget, before = nodes.written();
        RC_ASSERT(saver.Step(nodes, budget).has_value());
        RC_ASSERT(nodes.written() - before == most - budget);
        if (random() % 2 == 0) saver.Confirm();
        const size_t at = random() % model.size();
        const FrameId id = 1'000'001 + 2 * static_cast<FrameId>(random() % 1000);
        tree = tree->Splice(nodes, at, at + 1, {{1, {id}}});
        RC_ASSERT(tree.has_value());
        model[at] = id;
      }
      saver.Confirm();
      const OrderTree saved(saver.root_ref(), span, level);
      RC_ASSERT(IdsOf(nodes, saved) == then);
      RC_ASSERT(saved.Validate(nodes).has_value());
      RC_ASSERT(IdsOf(nodes, *tree) == model);
      tree = tree->Settled();
      RC_ASSERT(IdsOf(nodes, *tree) == model);
      RC_ASSERT(tree->Validate(nodes).has_value());
    }
    // All that is left to write are the paths that were changed since.
    const size_t before = nodes.written();
    auto rest = tree->Save(nodes);
    RC_ASSERT(rest.has_value());
    const size_t first = nodes.written();
    auto again = rest->Save(nodes);
    RC_ASSERT(again.has_value());
    RC_ASSERT(nodes.written() == first);
    RC_ASSERT(first - before <= 3 * model.size());
    RC_ASSERT(again->SharesRootWith(*rest));
    RC_ASSERT(IdsOf(nodes, OrderTree(again->root_ref(), again->span(), again->level())) == model);
  });
}

TEST(RunTree, SplicesAgreeWithAVector) {
  rc::check([](uint64_t seed) {
    std::mt19937_64 random(seed);
    MemoryNodes nodes;
    OrderTree tree;
    std::vector<FrameId> model;
    FrameId next = 0;
    for (int step = 0; step < 60; ++step) {
      const size_t begin = random() % (model.size() + 1);
      const size_t removed = std::min<size_t>(model.size() - begin, random() % (step % 7 == 6 ? 500 : 20));
      std::vector<FrameId> added;
      for (size_t n = random() % (step % 5 == 0 ? 600 : 10); n > 0; --n) {
        added.push_back(next);
        next += random() % 3 == 0 ? 2 : 1;  // some continue the one before, some do not
      }
      auto spliced = tree.Splice(nodes, begin, begin + removed, RunsOf(added));
      RC_ASSERT(spliced.has_value());
      tree = *spliced;
      const auto at = model.begin() + static_cast<ptrdiff_t>(begin);
      model.erase(at, at + static_cast<ptrdiff_t>(removed));
      model.insert(model.begin() + static_cast<ptrdiff_t>(begin), added.begin(), added.end());
      if (random() % 3 == 0) {
        auto saved = tree.Save(nodes);
        RC_ASSERT(saved.has_value());
        tree = *saved;
        // From its reference alone it is the same tree.
        if (random() % 2 == 0) tree = OrderTree(tree.root_ref(), tree.span(), tree.level());
      }
      const auto sound = tree.Validate(nodes);
      RC_ASSERT(sound.has_value());
    }
    RC_ASSERT(tree.span() == model.size());
    RC_ASSERT(IdsOf(nodes, tree) == model);
    for (size_t i = 0; i < model.size(); i += 1 + model.size() / 50) {
      const auto found = tree.Find(nodes, i);
      RC_ASSERT(found.has_value());
      RC_ASSERT(found->entry.first + static_cast<int64_t>(i - found->start) == model[i]);
      const auto position = tree.FindId(nodes, model[i]);
      RC_ASSERT(position && *position == std::optional<uint64_t>(i));
    }
    const auto missing = tree.FindId(nodes, next + 5);
    RC_ASSERT(missing && !missing->has_value());
  });
}

FieldEntry RowOfChunk(uint64_t chunk, uint32_t row) {
  RecordRef ref;
  ref.offset = chunk + 1;
  return FieldEntry::Make(0, 64, row, 4, 4, {ref});
}

TEST(RunTree, OneEditWritesOnePath) {
  // A user who changes one row of ten million must not pay for the others.
  MemoryNodes nodes;
  std::vector<FieldTree::Run> runs;
  for (uint64_t i = 0; i < 20000; ++i) runs.push_back({64, RowOfChunk(i, 0)});
  FieldTree tree = *FieldTree().Splice(nodes, 0, 0, std::move(runs))->Save(nodes);
  const size_t before = nodes.written();
  auto edited = tree.Splice(nodes, 640000, 640001, {{1, RowOfChunk(999999, 0)}});
  ASSERT_TRUE(edited);
  ASSERT_TRUE(edited->Save(nodes));
  EXPECT_LE(nodes.written() - before, static_cast<size_t>(tree.level()) + 1);
}

TEST(RunTree, DifferenceFindsExactlyTheEditedRows) {
  MemoryNodes nodes;
  std::vector<FieldTree::Run> runs;
  for (uint64_t i = 0; i < 5000; ++i) runs.push_back({64, RowOfChunk(i, 0)});
  const FieldTree before = *FieldTree().Splice(nodes, 0, 0, std::move(runs))->Save(nodes);
  FieldTree after = before;
  for (const uint64_t id : {5ull, 100000ull, 319999ull})
    after = *after.Splice(nodes, id, id + 1, {{1, RowOfChunk(900000 + id, 0)}});
  after = *after.Save(nodes);
  std::vector<std::pair<uint64_t, uint64_t>> found;
  nodes.reads = 0;
  ASSERT_TRUE(DiffRows(nodes, before, after, [&](uint64_t first, uint64_t span, const FieldEntry&, const FieldEntry&) {
    found.emplace_back(first, span);
  }));
  EXPECT_EQ(found, (std::vector<std::pair<uint64_t, uint64_t>>{{5, 1}, {100000, 1}, {319999, 1}}));
  EXPECT_LT(nodes.reads, 60) << "shared nodes are skipped unread";
}

TEST(RunTree, DamagedNodesAreErrors) {
  MemoryNodes nodes;
  std::vector<FieldTree::Run> runs;
  for (uint64_t i = 0; i < 300; ++i) runs.push_back({64, RowOfChunk(i, 0)});
  const FieldTree saved = *FieldTree().Splice(nodes, 0, 0, std::move(runs))->Save(nodes);
  const FieldTree tree(saved.root_ref(), saved.span(), saved.level());  // reads what was written
  ASSERT_TRUE(tree.Validate(nodes));
  std::mt19937_64 random(5);
  for (size_t n = 0; n < nodes.written(); ++n) {
    const Buffer whole = nodes.node(n);
    for (size_t cut = 0; cut < whole.size(); cut += 37) {
      nodes.node(n) = Buffer::Copy(whole.bytes().first(cut));
      EXPECT_FALSE(tree.Validate(nodes)) << "cut to " << cut;
    }
    for (int flip = 0; flip < 200; ++flip) {
      std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
      bytes[random() % bytes.size()] ^= static_cast<std::byte>(1 << random() % 8);
      nodes.node(n) = Buffer::Own(std::move(bytes));
      // Checksums find these before the tree does; here it must only not crash or run away.
      (void)tree.Validate(nodes);
      (void)tree.ForEach(nodes, 0, tree.span(), [](uint64_t, uint64_t, const FieldEntry&) { return true; });
      for (int i = 0; i < 20; ++i) (void)tree.Find(nodes, random() % tree.span());
    }
    nodes.node(n) = whole;
  }
}

}  // namespace
}  // namespace zn
