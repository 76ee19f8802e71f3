// The payloads of a room's records: what is written is what is read, and damaged bytes are errors.

#include "room/records.h"

#include <gtest/gtest.h>

#include <random>

#include "room/superblock.h"

namespace zn {
namespace {

RecordRef Ref(uint64_t n) {
  RecordRef ref;
  ref.name.bytes[0] = static_cast<std::byte>(n);
  ref.offset = n * 64;
  ref.file = RecordRef::kLogBit | 1;
  ref.length = 100;
  return ref;
}

FieldDescriptor Descriptor() {
  FieldDescriptor d;
  d.name = "arrays.positions";
  d.kind = FieldKind::kAtom;
  d.dtype = DType::kFloat32;
  d.inner = Shape{3};
  d.attributes = R"({"unit":"Å"})";
  d.geometries.push_back({DType::kFloat32, FieldKind::kAtom, Shape{3}, 64, 27, "[]"});
  return d;
}

CommitRecord Commit() {
  CommitRecord commit;
  commit.operation = Operation::kEdit;
  commit.generation = 12;
  commit.time_ns = 99;
  commit.frames = 3;
  commit.parent = Ref(1);
  commit.skip = Ref(2);
  commit.root = Ref(3);
  commit.ops_since_root = 5;
  commit.actor = "ann";
  commit.message = "why";
  commit.ops.push_back(OrderSpliceOp{1, 2, {{3, {10}}, {1, {20}}}});
  commit.ops.push_back(FieldSpliceOp{1, 7, 2, FieldEntry::Make(0, 4, 1, 9, 9, {Ref(5), Ref(6)})});
  commit.ops.push_back(FieldSpliceOp{1, 9, 1, FieldEntry::Absent()});
  commit.ops.push_back(VersionSetOp{7, 3, Ref(9)});
  commit.ops.push_back(FieldDefineOp{2, Descriptor(), -1, false});
  commit.ops.push_back(NextIdOp{11});
  return commit;
}

VersionRecord Version() {
  VersionRecord version;
  version.id = 7;
  version.version = 3;
  version.content = 1;
  version.undo = 0;
  version.redo = 2;
  version.actor = "bob";
  version.previous = Ref(4);
  version.old_rows.push_back({1, FieldEntry::Make(0, 4, 1, 9, 9, {Ref(5)})});
  version.old_rows.push_back({2, FieldEntry::Absent()});
  return version;
}

RootRecord Root() {
  RootRecord root;
  root.next_id = 100;
  root.first_shifted = 4;
  root.order = {Ref(1), 90, 1};
  root.versions = {Ref(2), 100, 0};
  root.fields.push_back({Descriptor(), -1, false, {Ref(3), 100, 2}});
  return root;
}

CheckpointRecord Checkpoint() {
  return {4, 9, {RefRecord{3, false, "room", "base@1-0000000000000000", Ref(1), Ref(2)}, RefRecord{5, false, "b", "", Ref(3), {}}}};
}

// Encoding what was decoded gives the same bytes.
TEST(RoomRecords, RoundTrip) {
  EXPECT_EQ(EncodeCommit(*DecodeCommit(EncodeCommit(Commit()))), EncodeCommit(Commit()));
  EXPECT_EQ(EncodeVersion(*DecodeVersion(EncodeVersion(Version()))), EncodeVersion(Version()));
  EXPECT_EQ(EncodeRoot(*DecodeRoot(EncodeRoot(Root()))), EncodeRoot(Root()));
  EXPECT_EQ(EncodeCheckpoint(*DecodeCheckpoint(EncodeCheckpoint(Checkpoint()))), EncodeCheckpoint(Checkpoint()));
  const RoomModel model{"text", true, true, "{\"a\":1}"};
  EXPECT_EQ(*DecodeModel(EncodeModel(model)), model);
  const auto commit = DecodeCommit(EncodeCommit(Commit()));
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->actor, "ann");
  EXPECT_EQ(commit->ops.size(), 6u);
  EXPECT_EQ(commit->parent, Ref(1));
}

template <class Decode>
void Damage(const std::vector<std::byte>& whole, Decode decode, const char* what) {
  for (size_t cut = 0; cut < whole.size(); ++cut)
    EXPECT_FALSE(decode(std::span(whole).first(cut))) << what << " cut to " << cut;
  std::vector<std::byte> longer = whole;
  longer.push_back({});
  EXPECT_FALSE(decode(longer)) << what << " with a byte more";
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::byte> flipped = whole;
    for (int k = 0; k < 1 + i % 3; ++k) flipped[random() % flipped.size()] ^= static_cast<std::byte>(1 << random() % 8);
    (void)decode(flipped);  // an error or another value, but no crash and no huge allocation
  }
}

TEST(RoomRecords, DamagedBytesAreErrors) {
  Damage(EncodeCommit(Commit()), DecodeCommit, "commit");
  Damage(EncodeVersion(Version()), DecodeVersion, "version");
  Damage(EncodeRoot(Root()), DecodeRoot, "root");
  Damage(EncodeModel({"d", false, true, "{}"}), DecodeModel, "model");
  Damage(EncodeRef({3, false, "room", "base", Ref(1), Ref(2)}), DecodeRef, "ref");
  // An empty checkpoint is one.
  const std::vector<std::byte> checkpoint = EncodeCheckpoint(Checkpoint());
  for (size_t cut = 1; cut < checkpoint.size(); ++cut)
    EXPECT_FALSE(DecodeCheckpoint(std::span(checkpoint).first(cut)));
}

TEST(RoomRecords, SkipsReachAnyAncestorInFewSteps) {
  for (uint64_t from : {1000000ull, 999999ull, 65537ull}) {
    for (uint64_t goal : {1ull, 2ull, 77777ull, 65536ull}) {
      if (goal > from) continue;
      uint64_t at = from;
      int steps = 0;
      while (at > goal) {
        const uint64_t skip = SkipGeneration(at);
        at = skip > 0 && skip >= goal ? skip : at - 1;
        ASSERT_LT(++steps, 200) << from << " to " << goal;
      }
    }
  }
}

TEST(Superblock, RoundTripAndRefusals) {
  const Superblock made = NewSuperblock(5);
  std::vector<std::byte> bytes = EncodeSuperblock(made);
  const auto read = DecodeSuperblock(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->uuid, made.uuid);
  EXPECT_EQ(read->record_salt, made.record_salt);
  EXPECT_FALSE(DecodeSuperblock(std::span(bytes).first(100)));
  for (size_t i = 0; i < bytes.size(); i += 7) {
    bytes[i] ^= std::byte{1};
    EXPECT_FALSE(DecodeSuperblock(bytes)) << "byte " << i;
    bytes[i] ^= std::byte{1};
  }
  Superblock later = made;
  later.format_version = kFormatVersion + 1;
  EXPECT_EQ(DecodeSuperblock(EncodeSuperblock(later)).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace zn
