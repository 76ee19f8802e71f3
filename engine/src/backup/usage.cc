#include "backup/usage.h"

#include "backup/file_list.h"

namespace zn::backup {

bool Usage::MarkObject(const Sha256& content, uint64_t length,
                       const std::function<void(const Error&)>& problem) {
  const ObjectIndex::Place* place = index_->Find(repository_.NameOf(content));
  if (place == nullptr) {
    problem({ErrorCode::kNotFound, "object " + content.Hex().substr(0, 16) + " is missing"});
    return false;
  }
  if (length != UINT64_MAX && place->length != length) {
    problem({ErrorCode::kCorrupt,
             "object " + content.Hex().substr(0, 16) + " has another length than a list says"});
    return false;
  }
  used_[static_cast<size_t>(place - index_->places().data())] = 1;
  return true;
}

void Usage::Mark(const SnapshotDocument& snapshot,
                 const std::function<void(const Error&)>& problem) {
  const auto tell = [&](Error error) {
    problem(std::move(error).Context("snapshot " + snapshot.id.Hex().substr(0, 8)));
  };
  for (const FileRecord& file : snapshot.files) {
    for (const ListRef& list : file.lists) {
      if (!lists_.insert(repository_.NameOf(list.content)).second) continue;
      if (!MarkObject(list.content, UINT64_MAX, tell)) continue;
      const auto mark = [&]() -> Result<> {
        ZN_ASSIGN_OR_RETURN(const auto bytes, repository_.Read(list.content));
        if (snapshot.kind == SourceKind::kDirectory) {
          ZN_ASSIGN_OR_RETURN(const auto entries, DecodeTree(bytes));
          for (const TreeEntry& entry : entries)
            for (const TreeEntry::Part& part : entry.parts)
              MarkObject(part.content, part.length, tell);
          return {};
        }
        ZN_ASSIGN_OR_RETURN(const auto pieces, DecodePieces(bytes));
        for (const Piece& piece : pieces)
          if (piece.kind != Piece::kInline) MarkObject(piece.content, piece.length, tell);
        return {};
      };
      if (auto marked = mark(); !marked) tell(std::move(marked).error().Context(file.name));
    }
  }
}

}  // namespace zn::backup
