// Creates a room, appends two frames, reopens the store and reads the second one back.
#include <cstdio>
#include <cstring>
#include <vector>

#include "zn/engine/store.h"

namespace {

// What a user would lose if this did not work: the engine in their own program.
zn::Result<> Run(const char* directory) {
  zn::StoreOptions options;
  options.create = true;
  const zn::CommitContext context{"embed", "two frames"};
  const std::vector<double> positions = {0, 0, 0, 0, 0, 0.74, 1, 2, 3};
  {
    ZN_ASSIGN_OR_RETURN(auto store, zn::Store::Open(directory, options));
    ZN_ASSIGN_OR_RETURN(auto room, store->CreateRoom("demo", {}, context));
    zn::FrameBatch batch;
    batch.n_atoms = {2, 1};
    zn::Column column;
    column.name = "arrays.positions";
    column.kind = zn::FieldKind::kAtom;
    column.inner = {3};
    column.data = zn::Buffer::Own(positions);
    batch.columns.push_back(column);
    ZN_ASSIGN_OR_RETURN(auto info, room->Append(batch, context));
    if (info.frames != 2) return zn::Error{zn::ErrorCode::kInternal, "two frames were appended"};
  }
  ZN_ASSIGN_OR_RETURN(auto store, zn::Store::Open(directory, options));
  ZN_ASSIGN_OR_RETURN(auto room, store->OpenRoom("demo"));
  const zn::Snapshot head = room->Head();
  const auto field = head.FindField("arrays.positions");
  if (!field) return zn::Error{zn::ErrorCode::kInternal, "arrays.positions is not there"};
  ZN_ASSIGN_OR_RETURN(const auto id, head.IdAt(1));
  ZN_ASSIGN_OR_RETURN(const auto row, head.ReadRow(*field, id));
  if (!row || row->shape != zn::Shape{1, 3} ||
      std::memcmp(row->bytes.data(), positions.data() + 6, row->bytes.size()) != 0)
    return zn::Error{zn::ErrorCode::kInternal, "frame 1 did not read back as it was written"};
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 16;
  if (auto done = Run(argv[1]); !done) {
    std::fprintf(stderr, "%s: %s\n", std::string(zn::ErrorCodeName(done.error().code)).c_str(),
                 done.error().message.c_str());
    return 1;
  }
  std::puts("read back");
  return 0;
}
