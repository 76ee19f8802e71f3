#include "api/default_room.h"

#include "api/body_json.h"

namespace zn::server {
namespace {

constexpr std::string_view kKey = "default-room";  // a control record: docs/format.md
constexpr std::string_view kInitial = "default";

}  // namespace

std::string DefaultRoom(const Service& service) {
  auto name = service.store->records().Get(kKey);
  return name && *name ? std::move(**name) : std::string(kInitial);
}

Answer<bool> SetDefaultRoom(Service& service, const AuditSource& source,
                            const std::function<Result<>(RecordTransaction&)>& also) {
  std::string before;
  ZN_RETURN_IF_ERROR(service.store->Update([&](RecordTransaction& records) -> Result<> {
    ZN_RETURN_IF_ERROR(also(records));
    ZN_ASSIGN_OR_RETURN(const auto now, records.Get(kKey));
    before = now ? *now : std::string(kInitial);
    if (before == source.room) return {};
    ZN_RETURN_IF_ERROR(records.Put(kKey, source.room));
    return AuditRoom(records, source, "isDefault", Dump(before), Dump(source.room));
  }));
  if (before == source.room) return true;
  const auto tell = [&](const std::string& room, bool is) {
    service.events->PublishToBoth(room, "room:update", Dump({{"roomId", room}, {"isDefault", is}}));
  };
  if (service.store->OpenRoom(before)) tell(before, false);
  tell(source.room, true);
  return true;
}

}  // namespace zn::server
