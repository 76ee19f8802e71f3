#include "api/default_room.h"

namespace zn::server {
namespace {

constexpr std::string_view kKey = "default-room";  // a control record: docs/format.md
constexpr std::string_view kInitial = "default";

}  // namespace

std::string DefaultRoom(const Service& service) {
  auto name = service.store->records().Get(kKey);
  return name && *name ? std::move(**name) : std::string(kInitial);
}

Answer<bool> SetDefaultRoom(Service& service, const std::string& room) {
  ZN_RETURN_IF_ERROR(
      service.store->Update([&](RecordTransaction& records) { return records.Put(kKey, room); }));
  return true;
}

}  // namespace zn::server
