// A room as plain vectors and maps: what the engine must agree with, whatever it does to its trees.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/version.h"

namespace zn::model {

/// A frame's content in canonical form: its atoms, and name -> bytes (or text) of each field it has.
struct Content {
  int32_t n_atoms = 0;
  std::map<std::string, std::string> fields;
  friend auto operator<=>(const Content&, const Content&) = default;
};

inline void PrintTo(const Content& content, std::ostream* out) {
  *out << content.n_atoms << " atoms";
  for (const auto& [name, bytes] : content.fields) {
    *out << "; " << name << ' ';
    for (const char c : bytes) *out << "0123456789abcdef"[static_cast<uint8_t>(c) >> 4] << "0123456789abcdef"[c & 15];
  }
}

struct Frame {
  uint32_t version = 1;
  std::vector<Content> stack;  // the linear history that undo and redo walk
  size_t cursor = 0;
  std::map<uint32_t, Content> versions;

  const Content& now() const { return stack[cursor]; }
  void Push(const Content& content, uint32_t new_version) {
    stack.resize(cursor + 1);
    stack.push_back(content);
    ++cursor;
    Set(new_version);
  }
  void Set(uint32_t new_version) {
    version = new_version;
    versions[new_version] = now();
  }
};

struct Room {
  std::vector<FrameId> order;
  std::map<FrameId, Frame> frames;  // deleted ones too
  FrameId next_id = 0;
  struct Commit {
    CommitId id;
    std::vector<FrameId> order;
    std::map<FrameId, Content> contents;
  };
  std::vector<Commit> commits;

  void Remember(const CommitId& id) {
    Commit commit{id, order, {}};
    for (const FrameId frame : order) commit.contents[frame] = frames.at(frame).now();
    commits.push_back(std::move(commit));
  }
};

/// Which fields random frames draw from: one of each kind and of several dtypes.
struct FieldSpec {
  const char* name;
  FieldKind kind;
  DType dtype;
  int64_t inner;  // 0: scalar rows
};
inline constexpr FieldSpec kFields[] = {
    {"arrays.positions", FieldKind::kAtom, DType::kFloat64, 3}, {"arrays.numbers", FieldKind::kAtom, DType::kInt64, 0},
    {"calc.energy", FieldKind::kFrame, DType::kFloat64, 0},     {"cell", FieldKind::kFrame, DType::kFloat32, 9},
    {"info.label", FieldKind::kFrame, DType::kJson, 0},         {"connectivity", FieldKind::kRagged, DType::kInt32, 2},
    {"info.flag", FieldKind::kFrame, DType::kBool, 0},
};

using Random = std::mt19937_64;
inline int64_t Pick(Random& random, int64_t below) {
  return static_cast<int64_t>(random() % static_cast<uint64_t>(below));
}

inline std::string RandomValue(Random& random, const FieldSpec& field, int32_t n_atoms) {
  if (field.dtype == DType::kJson) return "\"" + std::string(static_cast<size_t>(Pick(random, 12)), 'x') + "\"";
  int64_t rows = 1;
  if (field.kind == FieldKind::kAtom) rows = n_atoms;
  if (field.kind == FieldKind::kRagged) rows = Pick(random, 4);
  const size_t elements = static_cast<size_t>(rows * (field.inner == 0 ? 1 : field.inner));
  std::string bytes(elements * ItemSize(field.dtype), '\0');
  // Few distinct values, so that equal rows and unchanged edits happen.
  const bool fill = Pick(random, 5) == 0;
  for (size_t i = 0; i < elements; ++i) {
    std::byte element[16] = {};
    if (fill) {
      WriteFillValue(field.dtype, element);
    } else if (field.dtype == DType::kBool) {
      element[0] = static_cast<std::byte>(Pick(random, 2));
    } else {
      element[ItemSize(field.dtype) - 2] = static_cast<std::byte>(Pick(random, 4));
    }
    std::memcpy(bytes.data() + i * ItemSize(field.dtype), element, ItemSize(field.dtype));
  }
  return bytes;
}

inline Content RandomContent(Random& random) {
  Content content;
  content.n_atoms = static_cast<int32_t>(Pick(random, 6));
  for (const FieldSpec& field : kFields)
    if (Pick(random, 4) != 0) content.fields[field.name] = RandomValue(random, field, content.n_atoms);
  return content;
}

/// The batch whose frames have these contents; fields that none of them has are left out.
inline FrameBatch ToBatch(const std::vector<Content>& contents) {
  FrameBatch batch;
  for (const Content& content : contents) batch.n_atoms.push_back(content.n_atoms);
  for (const FieldSpec& field : kFields) {
    Column column;
    column.name = field.name;
    column.kind = field.kind;
    column.dtype = field.dtype;
    if (field.inner != 0) column.inner.Append(field.inner);
    std::string joined;
    bool any = false;
    for (const Content& content : contents) {
      const auto value = content.fields.find(field.name);
      column.present.push_back(value != content.fields.end());
      if (value == content.fields.end()) continue;
      any = true;
      if (field.dtype == DType::kJson) {
        column.text.push_back(value->second);
      } else {
        joined += value->second;
        if (field.kind == FieldKind::kRagged)
          column.lengths.push_back(static_cast<int64_t>(value->second.size() / (ItemSize(field.dtype) * static_cast<size_t>(field.inner))));
      }
    }
    if (!any) continue;
    column.data = Buffer::Copy(std::as_bytes(std::span(joined.data(), joined.size())));
    batch.columns.push_back(std::move(column));
  }
  return batch;
}

/// Frame `index` of a batch that was read.
inline Content FromBatch(const FrameBatch& batch, size_t index) {
  Content content;
  content.n_atoms = batch.n_atoms[index];
  for (const Column& column : batch.columns) {
    if (!column.HasFrame(index)) continue;
    size_t element = ItemSize(column.dtype), at = 0, nth = 0;
    for (int64_t extent : column.inner) element *= static_cast<size_t>(extent);
    const auto bytes_of = [&](size_t frame, size_t n) {
      if (column.kind == FieldKind::kAtom) return element * static_cast<size_t>(batch.n_atoms[frame]);
      if (column.kind == FieldKind::kRagged) return element * static_cast<size_t>(column.lengths[n]);
      return element;
    };
    for (size_t i = 0; i < index; ++i) {
      if (!column.HasFrame(i)) continue;
      if (column.dtype != DType::kJson) at += bytes_of(i, nth);
      ++nth;
    }
    content.fields[column.name] =
        column.dtype == DType::kJson
            ? column.text[nth]
            : std::string(reinterpret_cast<const char*>(column.data.data()) + at, bytes_of(index, nth));
  }
  return content;
}

}  // namespace zn::model
