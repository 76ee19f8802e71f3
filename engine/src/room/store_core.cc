#include "room/store_core.h"

namespace zn::internal {

Result<Ticket> StoreCore::AppendRecords(const RecordChanges& changes, RecordStatePtr& next) {
  if (read_only) return Error{ErrorCode::kReadOnly, "the store is open for reading only"};
  ZN_RETURN_IF_ERROR(space.AdmitToReserve(1));
  return log->Append([&](const Log::AppendRecord& append) -> Result<> {
    RecordDraft draft(*records, append);
    ZN_RETURN_IF_ERROR(changes(draft));
    ZN_RETURN_IF_ERROR(draft.Finish());
    next = draft.Sequence();
    return {};
  });
}

}  // namespace zn::internal
