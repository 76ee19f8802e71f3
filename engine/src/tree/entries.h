// What the runs of the three trees hold, and how each is stored in a leaf.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "tree/node.h"
#include "zn/engine/field.h"

namespace zn {

/// Order tree: position -> consecutive frame ids from `first`.
struct OrderEntry {
  static constexpr TreeKind kKind = TreeKind::kOrder;
  static constexpr size_t kSize = 8;
  static constexpr size_t kMaxLeaf = 128;
  /// Smallest and largest id below, to find the position of an id.
  struct Aggregate {
    FrameId min = INT64_MAX, max = INT64_MIN;
    void Add(const Aggregate& other) {
      min = std::min(min, other.min);
      max = std::max(max, other.max);
    }
  };

  FrameId first = 0;

  OrderEntry SliceFrom(uint64_t offset) const { return {first + static_cast<int64_t>(offset)}; }
  bool Continues(const OrderEntry& before, uint64_t span_before) const {
    return before.first + static_cast<int64_t>(span_before) == first;
  }
  Aggregate AggregateOf(uint64_t span) const {
    return {first, first + static_cast<int64_t>(span) - 1};
  }
  size_t ref_count() const { return 0; }
  void Encode(std::byte* out, size_t, RecordRef*) const { std::memcpy(out, &first, 8); }
  static OrderEntry Decode(const std::byte* in, const NodeView&) {
    OrderEntry entry;
    std::memcpy(&entry.first, in, 8);
    return entry;
  }
};

/// Field tree: frame id -> consecutive rows of one chunk (one reference a block of atoms), or absence.
struct FieldEntry {
  static constexpr TreeKind kKind = TreeKind::kField;
  static constexpr size_t kSize = 24;
  static constexpr size_t kMaxLeaf = 12;
  static constexpr uint16_t kAbsent = 0xFFFF;
  struct Aggregate {
    void Add(const Aggregate&) {}
  };

  uint16_t geometry = kAbsent;  // index into the descriptor's geometries
  uint16_t blocks = 0;          // references: along the atom axis; 0 for rows without atoms
  uint32_t chunk_rows = 0;      // rows of the chunk as encoded
  uint32_t row = 0;             // of the first frame of the run, within the chunk
  uint32_t chunk_atoms = 0;     // atoms of each block as encoded; 0 for per-frame fields
  uint32_t used_atoms = 0;      // the most atoms any row of the chunk really has
  const RecordRef* refs = nullptr;  // `blocks` of them; a null reference is a block of fill values
  std::shared_ptr<const void> owner;  // of refs, when they are not in a mapped node

  static FieldEntry Absent() { return {}; }
  /// Takes the references over.
  static FieldEntry Make(uint16_t geometry, uint32_t chunk_rows, uint32_t row, uint32_t chunk_atoms,
                         uint32_t used_atoms, std::vector<RecordRef> blocks) {
    FieldEntry entry{geometry, static_cast<uint16_t>(blocks.size()), chunk_rows, row, chunk_atoms,
                     used_atoms};
    auto owned = std::make_shared<const std::vector<RecordRef>>(std::move(blocks));
    entry.refs = owned->data();
    entry.owner = std::move(owned);
    return entry;
  }

  bool present() const { return geometry != kAbsent; }
  /// The same, for those who keep it longer than the tree it was found in: its references are its own.
  FieldEntry Owned() const {
    if (owner || blocks == 0) return *this;
    FieldEntry entry = *this;
    auto owned = std::make_shared<const std::vector<RecordRef>>(refs, refs + blocks);
    entry.refs = owned->data();
    entry.owner = std::move(owned);
    return entry;
  }
  FieldEntry SliceFrom(uint64_t offset) const {
    FieldEntry entry = *this;
    if (present()) entry.row += static_cast<uint32_t>(offset);
    return entry;
  }
  /// Rows of the same chunk?
  bool SameChunk(const FieldEntry& other) const {
    return geometry == other.geometry && blocks == other.blocks && chunk_rows == other.chunk_rows &&
           chunk_atoms == other.chunk_atoms &&
           (refs == other.refs || std::equal(refs, refs + blocks, other.refs));
  }
  bool SameRow(const FieldEntry& other) const {
    return present() == other.present() && (!present() || (row == other.row && SameChunk(other)));
  }
  bool Continues(const FieldEntry& before, uint64_t span_before) const {
    if (!present()) return !before.present();
    return before.present() && before.row + span_before == row && SameChunk(before);
  }
  Aggregate AggregateOf(uint64_t) const { return {}; }
  size_t ref_count() const { return blocks; }
  void Encode(std::byte* out, size_t first_ref, RecordRef* refs_out) const {
    const auto index = static_cast<uint32_t>(first_ref);
    std::memcpy(out, &geometry, 2);
    std::memcpy(out + 2, &blocks, 2);
    std::memcpy(out + 4, &chunk_rows, 4);
    std::memcpy(out + 8, &row, 4);
    std::memcpy(out + 12, &chunk_atoms, 4);
    std::memcpy(out + 16, &used_atoms, 4);
    std::memcpy(out + 20, &index, 4);
    std::copy(refs, refs + blocks, refs_out);
  }
  static FieldEntry Decode(const std::byte* in, const NodeView& node) {
    FieldEntry entry;
    uint32_t index;
    std::memcpy(&entry.geometry, in, 2);
    std::memcpy(&entry.blocks, in + 2, 2);
    std::memcpy(&entry.chunk_rows, in + 4, 4);
    std::memcpy(&entry.row, in + 8, 4);
    std::memcpy(&entry.chunk_atoms, in + 12, 4);
    std::memcpy(&entry.used_atoms, in + 16, 4);
    std::memcpy(&index, in + 20, 4);
    if (uint64_t{index} + entry.blocks > node.ref_count) return Absent();  // only a forged node: the record's checksum was right
    entry.refs = node.refs + index;
    entry.owner = node.owner;
    return entry;
  }
};

/// Version tree: frame id -> its newest version record; version 0 is the default: version 1, no record.
struct VersionEntry {
  static constexpr TreeKind kKind = TreeKind::kVersion;
  static constexpr size_t kSize = 56;
  static constexpr size_t kMaxLeaf = 12;
  struct Aggregate {
    void Add(const Aggregate&) {}
  };

  uint32_t version = 0;
  RecordRef record;

  VersionEntry SliceFrom(uint64_t) const { return *this; }
  bool Continues(const VersionEntry& before, uint64_t) const {
    return version == 0 && before.version == 0;
  }
  Aggregate AggregateOf(uint64_t) const { return {}; }
  size_t ref_count() const { return 0; }
  void Encode(std::byte* out, size_t, RecordRef*) const {
    std::memset(out, 0, kSize);
    std::memcpy(out, &version, 4);
    std::memcpy(out + 8, &record, kEncodedRefSize);
  }
  static VersionEntry Decode(const std::byte* in, const NodeView&) {
    VersionEntry entry;
    std::memcpy(&entry.version, in, 4);
    std::memcpy(&entry.record, in + 8, kEncodedRefSize);
    return entry;
  }
};

}  // namespace zn
