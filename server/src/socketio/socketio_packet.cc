#include "socketio/socketio_packet.h"

#include <algorithm>
#include <charconv>

namespace zn::server::socketio {
namespace {

// Clients' libraries raise these themselves.
bool IsReserved(const json& name) {
  static constexpr std::string_view kReserved[] = {"connect",       "connect_error", "disconnect",
                                                   "disconnecting", "newListener",   "removeListener"};
  return name.is_string() && std::find(std::begin(kReserved), std::end(kReserved), name.get_ref<const std::string&>()) !=
                                 std::end(kReserved);
}

// Does the packet have the data that its type has? Both parsers' clients check the same.
bool IsValid(const Packet& packet) {
  if (packet.nsp.empty() || packet.nsp.front() != '/' || packet.nsp.size() > kMaxNamespace)
    return false;
  switch (packet.type) {
    case PacketType::kConnect:
      return packet.data.is_null() || packet.data.is_object();
    case PacketType::kDisconnect:
      return packet.data.is_null();
    case PacketType::kEvent:
      return packet.data.is_array() && !packet.data.empty() &&
             (packet.data[0].is_string() || packet.data[0].is_number()) && !IsReserved(packet.data[0]);
    case PacketType::kAck:
      return packet.data.is_array() && packet.id.has_value();
    case PacketType::kConnectError:
      return packet.data.is_object() || packet.data.is_string();
    default:
      return false;
  }
}

// Moves binary values out of `value`, leaving placeholders.
void TakeBinary(json* value, std::vector<std::string>* attachments) {
  if (value->is_binary()) {
    const auto& bytes = value->get_binary();
    attachments->emplace_back(bytes.begin(), bytes.end());
    *value = {{"_placeholder", true}, {"num", attachments->size() - 1}};
  } else if (value->is_structured()) {
    for (json& child : *value) TakeBinary(&child, attachments);
  }
}

std::vector<engineio::OutPacket> EncodeMsgpack(const Packet& packet) {
  json map = {{"type", static_cast<int>(packet.type)}, {"nsp", packet.nsp}};
  if (!packet.data.is_null()) map["data"] = packet.data;
  if (packet.id) map["id"] = *packet.id;
  std::string bytes;
  json::to_msgpack(map, bytes);
  return {engineio::MakeMessage(true, bytes)};
}

}  // namespace

std::vector<engineio::OutPacket> Encode(const Packet& packet, Parser parser) {
  if (parser == Parser::kMsgpack) return EncodeMsgpack(packet);
  json data = packet.data;
  std::vector<std::string> attachments;
  TakeBinary(&data, &attachments);
  const int binary = attachments.empty() ? 0 : 3;  // EVENT 2 -> 5, ACK 3 -> 6
  std::string text = std::to_string(static_cast<int>(packet.type) + binary);
  if (binary) text += std::to_string(attachments.size()) + "-";
  if (packet.nsp != "/") text += packet.nsp + ",";
  if (packet.id) text += std::to_string(*packet.id);
  if (!data.is_null()) text += DumpJson(data);
  std::vector<engineio::OutPacket> messages{engineio::MakeMessage(false, text)};
  for (const std::string& bytes : attachments)
    messages.push_back(engineio::MakeMessage(true, bytes));
  return messages;
}

Decoder::Status Decoder::Feed(const engineio::Packet& message, Packet* packet) {
  if (parser_ == Parser::kMsgpack) {
    if (!message.binary) return Status::kBad;
    auto map = ParseMsgpack(message.data);
    if (!map || !map->is_object() || !map->contains("type") || !(*map)["type"].is_number_integer())
      return Status::kBad;
    const int64_t type = (*map)["type"];
    if (type < 0 || type > 4) return Status::kBad;
    *packet = {};
    packet->type = static_cast<PacketType>(type);
    const json nsp = map->value("nsp", json());
    if (!nsp.is_string()) return Status::kBad;
    packet->nsp = nsp.get<std::string>();
    const json id = map->value("id", json());
    if (id.is_number_unsigned()) {
      packet->id = id.get<uint64_t>();
    } else if (!id.is_null()) {
      return Status::kBad;
    }
    packet->data = map->value("data", json());
    return IsValid(*packet) ? Status::kPacket : Status::kBad;
  }
  if (!message.binary) {
    if (expected_ > 0) return Status::kBad;  // its attachments have to come first
    return FeedText(message.data, packet);
  }
  if (expected_ == 0) return Status::kBad;
  bytes_ += message.data.size();
  if (bytes_ > max_bytes_) return Status::kBad;
  attachments_.push_back(message.data);
  if (attachments_.size() < expected_) return Status::kMore;
  expected_ = bytes_ = 0;
  const bool filled = FillPlaceholders(&pending_.data);
  attachments_.clear();
  *packet = std::move(pending_);
  pending_ = {};
  return filled && IsValid(*packet) ? Status::kPacket : Status::kBad;
}

// <type>[<attachments>-][<namespace>,][<id>][<JSON>]
Decoder::Status Decoder::FeedText(std::string_view text, Packet* packet) {
  if (text.empty() || text.front() < '0' || text.front() > '6') return Status::kBad;
  *packet = {};
  packet->type = static_cast<PacketType>(text.front() - '0');
  text.remove_prefix(1);
  const bool binary =
      packet->type == PacketType::kBinaryEvent || packet->type == PacketType::kBinaryAck;
  size_t attachments = 0;
  if (binary) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), attachments);
    if (error != std::errc() || end == text.data() + text.size() || *end != '-' ||
        attachments > kMaxAttachments)
      return Status::kBad;
    text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
    packet->type = packet->type == PacketType::kBinaryEvent ? PacketType::kEvent : PacketType::kAck;
  }
  if (!text.empty() && text.front() == '/') {
    const size_t comma = text.find(',');
    packet->nsp = std::string(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  if (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    uint64_t id = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc()) return Status::kBad;
    packet->id = id;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  if (!text.empty()) {
    auto data = ParseJson(text);
    if (!data || data->is_null()) return Status::kBad;
    packet->data = std::move(*data);
  }
  if (attachments == 0) return IsValid(*packet) ? Status::kPacket : Status::kBad;
  if (!packet->data.is_array()) return Status::kBad;
  pending_ = std::move(*packet);
  expected_ = attachments;
  bytes_ = text.size();
  return Status::kMore;
}

bool Decoder::FillPlaceholders(json* value) {
  if (value->is_object() && value->contains("_placeholder")) {
    const json num = value->value("num", json());
    if (!num.is_number_unsigned() || num.get<uint64_t>() >= attachments_.size()) return false;
    const std::string& bytes = attachments_[num.get<size_t>()];
    *value = json::binary({bytes.begin(), bytes.end()});
    return true;
  }
  if (value->is_structured())
    for (json& child : *value)
      if (!FillPlaceholders(&child)) return false;
  return true;
}

std::optional<json> ParseJson(std::string_view text) {
  // The parser does not recurse, but who walks the value does.
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return std::nullopt;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

std::string DumpJson(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace zn::server::socketio
