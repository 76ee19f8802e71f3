// A snapshot of some frames and fields of another: a new order tree over the same rows.
#include "room/state.h"
#include "room/store_core.h"
#include "zn/engine/snapshot.h"

namespace zn {

Result<Snapshot> Snapshot::Select(std::span<const PositionRun> frames,
                                  std::span<const FieldIndex> fields) const {
  std::vector<OrderTree::Run> order;
  for (const PositionRun& run : frames) {
    if (run.count <= 0) continue;
    for (const int64_t end : {run.begin, run.at(run.count - 1)}) {
      if (end < 0 || end >= this->frames())
        return Error{ErrorCode::kOutOfRange, "frame " + std::to_string(end) + " of a room with " +
                                                 std::to_string(this->frames()) + " frames"};
    }
    if (run.step == 1) {
      const auto begin = static_cast<uint64_t>(run.begin);
      ZN_RETURN_IF_ERROR(
          state_->order.ForEach(*store_, begin, begin + static_cast<uint64_t>(run.count),
                                [&](uint64_t, uint64_t span, const OrderEntry& entry) {
                                  order.push_back({span, entry});
                                  return true;
                                }));
      continue;
    }
    for (int64_t k = 0; k < run.count; ++k) {
      ZN_ASSIGN_OR_RETURN(const FrameId id, IdAt(run.at(k)));
      order.push_back({1, OrderEntry{id}});
    }
  }
  auto state = std::make_shared<internal::RoomState>(*state_);
  ZN_ASSIGN_OR_RETURN(state->order, OrderTree().Splice(*store_, 0, 0, std::move(order)));
  auto table = std::make_shared<internal::FieldTable>(*state_->table);
  table->listed.clear();
  table->listed_to_all.clear();
  for (const FieldIndex field : fields) {
    const auto index = static_cast<size_t>(field);
    table->listed.push_back(state_->table->listed[index]);
    table->listed_to_all.push_back(state_->table->listed_to_all[index]);
  }
  state->table = std::move(table);
  return Snapshot(store_, store_->live.Add(std::move(state)));
}

}  // namespace zn
