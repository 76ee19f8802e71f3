// Changes a room in every way that moves or replaces rows, one commit each, and prints what each
// commit is called: the conformance tests read the room at all of them.
//
//   zn-test-edit-room STORE ROOM
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "zn/engine/store.h"

namespace {

using zn::FrameBatch;
using zn::FrameId;
using zn::Result;

/// Frames as they are, to be given back as new ones.
Result<FrameBatch> ReadFrames(const zn::Snapshot& snapshot, const std::vector<int64_t>& positions) {
  std::vector<FrameId> ids;
  for (const int64_t position : positions) {
    ZN_ASSIGN_OR_RETURN(const FrameId id, snapshot.IdAt(position));
    ids.push_back(id);
  }
  std::vector<zn::FieldIndex> fields;
  for (size_t i = 0; i < snapshot.fields().size(); ++i)
    fields.push_back(static_cast<zn::FieldIndex>(i));
  return snapshot.Read(ids, fields);
}

/// Another number in every float of the batch.
void Negate(FrameBatch& batch) {
  for (zn::Column& column : batch.columns) {
    const auto negate = [&]<class T>(T) {
      std::vector<T> values(column.data.size() / sizeof(T));
      if (values.empty()) return;
      std::memcpy(values.data(), column.data.data(), column.data.size());
      for (T& value : values) value = -value - 1;
      column.data = zn::Buffer::Own(std::move(values));
    };
    if (column.dtype == zn::DType::kFloat32) negate(float{});
    if (column.dtype == zn::DType::kFloat64) negate(double{});
  }
}

Result<> EditRoom(zn::Store& store, const std::string& name) {
  ZN_ASSIGN_OR_RETURN(const auto room, store.OpenRoom(name));
  const zn::CommitContext context{"tester", "edited by a test"};
  const auto print = [&](const char* what) {
    std::printf("%s %s\n", what, room->Head().commit().ToString().c_str());
  };
  print("imported");
  const int64_t n = room->Head().frames();

  ZN_ASSIGN_OR_RETURN(FrameBatch changed, ReadFrames(room->Head(), {n / 2}));
  Negate(changed);
  ZN_ASSIGN_OR_RETURN(const FrameId middle, room->Head().IdAt(n / 2));
  ZN_RETURN_IF_ERROR(room->Edit(middle, changed, {}, context));
  print("edited");

  ZN_ASSIGN_OR_RETURN(FrameBatch inserted, ReadFrames(room->Head(), {n - 1, 0}));
  Negate(inserted);
  ZN_RETURN_IF_ERROR(room->Insert(0, inserted, context));
  ZN_RETURN_IF_ERROR(room->Insert(n / 3 + 1, inserted, context));
  print("inserted");

  ZN_RETURN_IF_ERROR(room->Move(0, 1, room->Head().frames() - 1, context));
  ZN_ASSIGN_OR_RETURN(const FrameId gone, room->Head().IdAt(room->Head().frames() / 4));
  ZN_RETURN_IF_ERROR(room->Delete(std::vector<FrameId>{gone}, context));
  print("moved");

  // A frame loses every field but its first, and gets it back.
  ZN_ASSIGN_OR_RETURN(const FrameId poor, room->Head().IdAt(room->Head().frames() / 2));
  ZN_ASSIGN_OR_RETURN(const int32_t atoms, room->Head().AtomCount(poor));
  FrameBatch nothing;
  nothing.n_atoms = {atoms};
  std::vector<std::string> removed;
  for (size_t i = 1; i < room->Head().fields().size(); ++i)
    removed.push_back(room->Head().fields()[i].name);
  ZN_RETURN_IF_ERROR(room->Edit(poor, nothing, removed, context));
  print("removed");

  ZN_ASSIGN_OR_RETURN(const FrameBatch appended,
                      ReadFrames(room->Head(), {0, 1 % room->Head().frames()}));
  ZN_RETURN_IF_ERROR(room->Append(appended, context));
  print("appended");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: zn-test-edit-room STORE ROOM\n");
    return 2;
  }
  auto store = zn::Store::Open(argv[1], {});
  if (!store) {
    std::fprintf(stderr, "%s\n", store.error().message.c_str());
    return 1;
  }
  if (auto done = EditRoom(**store, argv[2]); !done) {
    std::fprintf(stderr, "%s: %s\n", argv[2], done.error().message.c_str());
    return 1;
  }
  return 0;
}
