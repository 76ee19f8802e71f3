// What names things in requests and on disk: rooms, fields and their Zarr nodes, commits, positions, scopes, percent-encoding,
// base64. What is taken is written and read again, and a room's name never leaves its folder.
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/decode_frames.h"
#include "control/access.h"
#include "events/event.h"
#include "http/base64.h"
#include "http/query.h"
#include "zn/engine/store.h"
#include "zn/engine/zarr_metadata.h"
#include "zn/formats/fields.h"

namespace {

void Check(bool good) {
  if (!good) std::abort();
}

void CheckRoom(std::string_view name) {
  if (!zn::ValidateRoomName(name)) return;
  Check(!name.empty() && name.size() <= 128 && name.front() != '.');
  for (const char c : name)
    Check((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
}

void CheckNode(std::string_view text) {
  const std::string node = zn::ZarrNodeName(text);
  Check(node.size() <= 3 * text.size());
  Check(node.find('/') == node.npos && node != "." && node != "..");
  Check(zn::FieldOfZarrNode(node) == std::string(text));
  if (const auto field = zn::FieldOfZarrNode(text)) Check(zn::ZarrNodeName(*field) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace server = zn::server;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckRoom(text);
  if (!text.empty()) CheckNode(text);
  if (const auto commit = zn::CommitId::Parse(text)) Check(zn::CommitId::Parse(commit->ToString()) == *commit);
  if (const auto position = server::EventPosition::Parse(text))
    Check(server::EventPosition::Parse(position->ToString()).has_value());
  if (const auto scopes = server::ParseScopes(text)) {
    for (const auto& [room, bits] : scopes->rooms()) {
      if (room != "*") CheckRoom(room);
      Check(bits != 0 && bits <= server::Scopes::kAll);
    }
    const std::string written = server::FormatScopes(*scopes);
    const auto again = server::ParseScopes(written);
    Check(again && server::FormatScopes(*again) == written);
  }
  const std::string encoded = server::PercentEncode(text);
  Check(encoded.size() <= 3 * text.size() && server::PercentDecode(encoded, true) == std::string(text));
  if (const auto bytes = server::DecodeBase64(text)) Check(server::EncodeBase64(*bytes) == text);
  if (const auto name = server::CanonicalName(text, {})) Check(name->empty() == text.empty());
  const std::string known[] = {"arrays.positions", "calc.energy", std::string(text.substr(0, 300))};
  (void)zn::formats::NearMisses(text.substr(0, 300), known);
  return 0;
}
