// WebSocket (RFC 6455), the server's side: the opening handshake and frames, as pure functions over
// bytes. No extension is ever agreed to, permessage-deflate included: events are small, and its
// windows would cost more than all the rest of an idle connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/problem.h"
#include "http/request.h"

namespace zn::server::websocket {

enum class Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// RFC 6455, 7.4.1
enum CloseCode : int {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kNoCode = 1005,  // never on the wire
  kBadData = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
};

/// Does the request ask for a WebSocket?
bool IsUpgrade(const Request& request);
/// The headers of the 101 ("Upgrade: ...\r\n..."), or the 4xx for a request that is not as RFC
/// 6455, 4.2.1 wants it.
Answer<std::string> AcceptHeaders(const Request& request);
/// Sec-WebSocket-Accept for a key of 24 base64 characters.
std::string AcceptKey(std::string_view key);

/// The header of an unmasked, final frame.
void AppendFrameHeader(Opcode opcode, uint64_t payload, std::string& out);
std::string CloseFrame(int code, std::string_view reason);

/// A complete message or control frame of the client.
struct Message {
  Opcode opcode = Opcode::kText;  // kText, kBinary, kPing, kPong, kClose
  std::string payload;            // of kClose: the reason
  int code = 0;                   // of kClose; kNoCode when it gave none
};

/// Takes the client's bytes as they come, joins fragments, and is strict: unmasked frames, reserved
/// bits, non-minimal lengths, interleaved or oversized messages and text that is not UTF-8 end the
/// connection. It holds at most `max_message` bytes and one frame header.
class FrameDecoder {
 public:
  explicit FrameDecoder(size_t max_message) : max_message_(max_message) {}

  /// Appends what became complete. 0, or the close code to fail the connection with; nothing more
  /// may be fed then. What follows a close frame is ignored.
  int Feed(std::string_view bytes, std::vector<Message>* messages);

 private:
  int TakeHeader();
  int FinishFrame(std::vector<Message>* messages);

  const size_t max_message_;
  std::string header_;  // bytes of an incomplete header
  bool in_payload_ = false, closed_ = false;
  bool fin_ = false;
  Opcode opcode_ = Opcode::kText;
  uint64_t left_ = 0;  // of the frame's payload
  uint8_t mask_[4] = {};
  uint32_t mask_at_ = 0;
  std::string control_;  // payload of a control frame
  std::string message_;  // payload of the message so far
  bool in_message_ = false;
  Opcode message_opcode_ = Opcode::kText;
};

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace zn::server::websocket
