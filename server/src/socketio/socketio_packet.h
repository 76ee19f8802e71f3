// Packets of the Socket.IO protocol, revision 5, in its two encodings.
// Sources: https://github.com/socketio/socket.io-protocol ("Packet encoding") for text with binary
// attachments; socket.io-msgpack-parser for one MessagePack map a packet: {type, nsp, data, id}.
//
// Decoding is bounded: nesting, attachments, and the bytes of a packet with its attachments.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "socketio/engineio_packet.h"

namespace zn::server::socketio {

using nlohmann::json;

enum class PacketType : uint8_t {
  kConnect,
  kDisconnect,
  kEvent,
  kAck,
  kConnectError,
  kBinaryEvent,  // on the wire only: decoded packets are kEvent and kAck, whatever they carry
  kBinaryAck,
};

struct Packet {
  PacketType type = PacketType::kEvent;
  std::string nsp = "/";
  std::optional<uint64_t> id;  // that an ack is asked for, or answers
  /// kEvent: [name, arguments...]; kAck: [arguments...]; kConnect: an object, or null when there
  /// was none; kConnectError: {"message": ...}. Binary data are binary values.
  json data;
};

enum class Parser : uint8_t { kDefault, kMsgpack };

inline constexpr size_t kMaxDepth = 32;
inline constexpr size_t kMaxAttachments = 64;
inline constexpr size_t kMaxNamespace = 128;

/// The messages that carry the packet: one, and with the default parser one for each binary value.
std::vector<engineio::OutPacket> Encode(const Packet& packet, Parser parser);

/// Puts packets together from messages.
class Decoder {
 public:
  enum class Status { kMore, kPacket, kBad };

  Decoder(Parser parser, size_t max_bytes) : parser_(parser), max_bytes_(max_bytes) {}
  /// kPacket: `packet` is complete. kBad: the connection is to be closed; feed nothing more.
  Status Feed(const engineio::Packet& message, Packet* packet);

 private:
  Status FeedText(std::string_view text, Packet* packet);
  bool FillPlaceholders(json* value);

  const Parser parser_;
  const size_t max_bytes_;
  // A packet that waits for its attachments:
  Packet pending_;
  size_t expected_ = 0;
  size_t bytes_ = 0;
  std::vector<std::string> attachments_;
};

/// A JSON text of at most kMaxDepth levels; nullopt when it is none.
std::optional<json> ParseJson(std::string_view text);
/// A MessagePack value of the same limits; nil and JavaScript's undefined become null. nullopt when
/// it is malformed, has keys that are no strings, or something follows it.
std::optional<json> ParseMsgpack(std::string_view bytes);
/// With replacement characters for what is not UTF-8.
std::string DumpJson(const json& value);

}  // namespace zn::server::socketio
