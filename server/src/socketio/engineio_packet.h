// Packets of Engine.IO protocol revision 4, as text, in polling payloads and in WebSocket frames.
// Source: https://github.com/socketio/engine.io-protocol (v4), "Packet encoding".
//
// A packet is one digit for its type and its data. In a payload packets are separated by 0x1e, and
// a binary message is 'b' and its base64. In a WebSocket a binary message is a binary frame of its
// own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/body.h"

namespace zn::server::engineio {

enum class PacketType : uint8_t { kOpen, kClose, kPing, kPong, kMessage, kUpgrade, kNoop };

struct Packet {
  PacketType type = PacketType::kMessage;
  bool binary = false;  // kMessage only
  std::string data;
  friend bool operator==(const Packet&, const Packet&) = default;
};

/// The most packets in a payload, both ways.
inline constexpr size_t kMaxPackets = 16;

/// The text form ("4hello"); nullopt when it is none.
std::optional<Packet> DecodePacket(std::string_view text);
/// The body of a POST; nullopt when it is empty, malformed or has more than kMaxPackets packets.
std::optional<std::vector<Packet>> DecodePayload(std::string_view body);

/// A packet to be sent. Bytes are shared by all who are sent the same.
struct OutPacket {
  PacketType type = PacketType::kMessage;
  bool binary = false;
  Buffer data;
  Buffer frame;  // the whole as a WebSocket frame, where somebody made it beforehand

  /// What it costs to keep, about.
  size_t size() const { return data.size() + 64; }
};

OutPacket TextPacket(PacketType type, std::string data = "");
/// A message with its WebSocket frame, of which `data` is a part.
OutPacket MakeMessage(bool binary, std::string_view data);
/// The message in a frame that MakeMessage made.
OutPacket MessageOf(const Buffer& frame);
/// The text form.
std::string EncodePacket(const OutPacket& packet);
/// The pieces of the WebSocket frame.
Pieces FrameOf(const OutPacket& packet);

/// Encodes packets from the front of `queue`, as many as a payload may have and `max_bytes` allow,
/// at least one; removes them.
template <class Queue>
std::string TakePayload(Queue* queue, size_t max_bytes) {
  std::string payload;
  for (size_t n = 0; n < kMaxPackets && !queue->empty(); ++n) {
    std::string text = EncodePacket(queue->front());
    if (n > 0 && payload.size() + 1 + text.size() > max_bytes) break;
    if (n > 0) payload += '\x1e';
    payload += text;
    queue->pop_front();
  }
  return payload;
}

}  // namespace zn::server::engineio
