#include "socketio/engineio_packet.h"

#include "http/base64.h"
#include "http/websocket.h"

namespace zn::server::engineio {
namespace {

std::string_view TextOf(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

}  // namespace

std::optional<Packet> DecodePacket(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '6') return std::nullopt;
  return Packet{static_cast<PacketType>(text.front() - '0'), false, std::string(text.substr(1))};
}

std::optional<std::vector<Packet>> DecodePayload(std::string_view body) {
  if (!websocket::IsUtf8(body)) return std::nullopt;
  std::vector<Packet> packets;
  for (;;) {
    if (packets.size() == kMaxPackets) return std::nullopt;
    const size_t end = body.find('\x1e');
    const std::string_view text = body.substr(0, end);
    if (!text.empty() && text.front() == 'b') {
      auto bytes = DecodeBase64(text.substr(1));
      if (!bytes) return std::nullopt;
      packets.push_back({PacketType::kMessage, true, std::move(*bytes)});
    } else {
      auto packet = DecodePacket(text);
      if (!packet) return std::nullopt;
      packets.push_back(std::move(*packet));
    }
    if (end == std::string_view::npos) return packets;
    body.remove_prefix(end + 1);
  }
}

OutPacket TextPacket(PacketType type, std::string data) {
  return {type, false, BufferOf(std::move(data)), {}};
}

OutPacket MakeMessage(bool binary, std::string_view data) {
  std::string frame;
  frame.reserve(data.size() + 11);
  websocket::AppendFrameHeader(binary ? websocket::Opcode::kBinary : websocket::Opcode::kText,
                               data.size() + (binary ? 0 : 1), frame);
  if (!binary) frame += '4';
  const size_t head = frame.size();
  frame += data;
  OutPacket packet{PacketType::kMessage, binary, {}, BufferOf(std::move(frame))};
  packet.data = packet.frame.Slice(head, data.size());
  return packet;
}

OutPacket MessageOf(const Buffer& frame) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(frame.data()[i]); };
  const bool binary = (byte(0) & 0x0f) == static_cast<uint8_t>(websocket::Opcode::kBinary);
  const size_t head = (byte(1) == 126 ? 4u : byte(1) == 127 ? 10u : 2u) + (binary ? 0u : 1u);
  return {PacketType::kMessage, binary, frame.Slice(head, frame.size() - head), frame};
}

std::string EncodePacket(const OutPacket& packet) {
  if (packet.binary) return "b" + EncodeBase64(TextOf(packet.data));
  std::string text(1, static_cast<char>('0' + static_cast<int>(packet.type)));
  text += TextOf(packet.data);
  return text;
}

Pieces FrameOf(const OutPacket& packet) {
  if (!packet.frame.empty()) return {packet.frame};
  std::string head;
  websocket::AppendFrameHeader(
      packet.binary ? websocket::Opcode::kBinary : websocket::Opcode::kText,
      packet.data.size() + (packet.binary ? 0 : 1), head);
  if (!packet.binary) head += static_cast<char>('0' + static_cast<int>(packet.type));
  Pieces pieces{BufferOf(std::move(head))};
  if (!packet.data.empty()) pieces.push_back(packet.data);
  return pieces;
}

}  // namespace zn::server::engineio
