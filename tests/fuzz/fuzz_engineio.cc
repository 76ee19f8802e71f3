// What carries Engine.IO: payloads of long polling and WebSocket frames. What is taken is written
// and read again, and frames mean the same however they are cut.
#include <cstdlib>
#include <deque>

#include "http/websocket.h"
#include "socketio/engineio_packet.h"

namespace {
void Check(bool good) {
  if (!good) std::abort();
}
bool Same(const zn::server::websocket::Message& a, const zn::server::websocket::Message& b) {
  return a.opcode == b.opcode && a.payload == b.payload && a.code == b.code;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace engineio = zn::server::engineio;
  namespace websocket = zn::server::websocket;
  std::string_view text(reinterpret_cast<const char*>(data), size);

  if (auto packets = engineio::DecodePayload(text)) {
    Check(!packets->empty() && packets->size() <= engineio::kMaxPackets);
    std::deque<engineio::OutPacket> queue;
    for (const engineio::Packet& packet : *packets)
      queue.push_back({packet.type, packet.binary, zn::server::BufferOf(packet.data), {}});
    const std::string payload = engineio::TakePayload(&queue, SIZE_MAX);
    Check(queue.empty() && payload == text);
    Check(engineio::DecodePayload(payload) == packets);
  }

  constexpr size_t kLimit = 4096;
  websocket::FrameDecoder whole(kLimit), bytewise(kLimit);
  std::vector<websocket::Message> messages, messages_bytewise;
  const int code = whole.Feed(text, &messages);
  int code_bytewise = 0;
  for (size_t i = 0; i < size && code_bytewise == 0; ++i)
    code_bytewise = bytewise.Feed(text.substr(i, 1), &messages_bytewise);
  Check(code == code_bytewise && messages.size() == messages_bytewise.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    Check(Same(messages[i], messages_bytewise[i]));
    Check(messages[i].payload.size() <= kLimit);
    if (messages[i].opcode == websocket::Opcode::kText)
      Check(websocket::IsUtf8(messages[i].payload));
  }
  return 0;
}
