// Socket.IO packets in both encodings. The first byte chooses; the rest is messages: a byte of
// kind, two of length, and the bytes. What is taken can be written and read again, the same.
#include <cstdlib>

#include "socketio/socketio_packet.h"

namespace {
void Check(bool good) {
  if (!good) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace socketio = zn::server::socketio;
  namespace engineio = zn::server::engineio;
  using Status = socketio::Decoder::Status;
  if (size == 0) return 0;
  const socketio::Parser parser =
      data[0] & 1 ? socketio::Parser::kMsgpack : socketio::Parser::kDefault;
  constexpr size_t kLimit = 1 << 16;
  socketio::Decoder decoder(parser, kLimit);
  for (size_t at = 1; at + 3 <= size;) {
    const size_t length = std::min<size_t>(data[at + 1] | data[at + 2] << 8, size - at - 3);
    engineio::Packet message{engineio::PacketType::kMessage, (data[at] & 1) != 0,
                             std::string(reinterpret_cast<const char*>(data + at + 3), length)};
    at += 3 + length;
    socketio::Packet packet;
    const Status status = decoder.Feed(message, &packet);
    if (status == Status::kBad) return 0;
    if (status == Status::kMore) continue;
    socketio::Decoder again(parser, 2 * kLimit);
    socketio::Packet read;
    Status last = Status::kMore;
    for (const engineio::OutPacket& out : socketio::Encode(packet, parser)) {
      Check(last == Status::kMore);
      const std::string bytes(reinterpret_cast<const char*>(out.data.data()), out.data.size());
      last = again.Feed({engineio::PacketType::kMessage, out.binary, bytes}, &read);
    }
    Check(last == Status::kPacket);
    Check(read.type == packet.type && read.nsp == packet.nsp && read.id == packet.id);
    // Text that is not UTF-8 can only come by msgpack, and leaves as it came; NaN equals nothing.
    Check(socketio::DumpJson(read.data) == socketio::DumpJson(packet.data) ||
          parser == socketio::Parser::kDefault);
  }
  return 0;
}
