#include "http/websocket.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "http/base64.h"

namespace zn::server::websocket {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kMaxControl = 125;

bool IsControl(Opcode opcode) { return static_cast<uint8_t>(opcode) >= 8; }

bool MayBeSent(int code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

std::string_view ValueOf(const Request& request, std::string_view name) {
  const std::string_view* value = request.Find(name);
  return value ? *value : std::string_view();
}

}  // namespace

bool IsUpgrade(const Request& request) {
  return HasToken(ValueOf(request, "upgrade"), "websocket") &&
         HasToken(ValueOf(request, "connection"), "upgrade");
}

Answer<std::string> AcceptHeaders(const Request& request) {
  if (request.method != Method::kGet || request.http10 || !IsUpgrade(request))
    return BadRequest("this is the place of a WebSocket: GET with Upgrade: websocket");
  if (ValueOf(request, "sec-websocket-version") != "13") {
    Problem problem(426, "websocket-version", "the WebSocket version spoken here is 13");
    problem.headers = "Sec-WebSocket-Version: 13\r\n";
    return problem;
  }
  std::string_view key = ValueOf(request, "sec-websocket-key");
  auto raw = DecodeBase64(key);
  if (!raw || raw->size() != 16)
    return BadRequest("Sec-WebSocket-Key is not the base64 of 16 bytes");
  return "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + AcceptKey(key) +
         "\r\n";
}

std::string AcceptKey(std::string_view key) {
  std::string text(key);
  text += kGuid;
  std::array<unsigned char, 20> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return EncodeBase64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

void AppendFrameHeader(Opcode opcode, uint64_t payload, std::string& out) {
  out += static_cast<char>(0x80 | static_cast<uint8_t>(opcode));
  int bytes = payload < 126 ? 0 : payload < 65536 ? 2 : 8;
  out += static_cast<char>(bytes == 0 ? payload : bytes == 2 ? 126 : 127);
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(payload >> (8 * i));
}

std::string CloseFrame(int code, std::string_view reason) {
  reason = reason.substr(0, kMaxControl - 2);
  while (!IsUtf8(reason)) reason.remove_suffix(1);
  std::string out;
  AppendFrameHeader(Opcode::kClose, reason.size() + 2, out);
  out += static_cast<char>(code >> 8);
  out += static_cast<char>(code);
  out += reason;
  return out;
}

int FrameDecoder::Feed(std::string_view bytes, std::vector<Message>* messages) {
  while (!closed_) {
    if (!in_payload_) {
      // A header is 2 bytes, 0, 2 or 8 of length, and 4 of mask: take what it still needs.
      size_t need = 2;
      if (header_.size() >= 2) {
        const int length = header_[1] & 0x7f;
        need = length == 126 ? 8u : length == 127 ? 14u : 6u;
      }
      if (header_.size() < need) {
        if (bytes.empty()) return 0;
        size_t n = std::min(need - header_.size(), bytes.size());
        header_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        if (header_.size() == 2 && !(header_[1] & 0x80)) return kProtocolError;
        continue;
      }
      if (int code = TakeHeader()) return code;
      header_.clear();
      in_payload_ = true;
    }
    size_t n = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
    std::string& into = IsControl(opcode_) ? control_ : message_;
    const size_t start = into.size();
    into.append(bytes.substr(0, n));
    for (size_t i = 0; i < n; ++i)
      into[start + i] = static_cast<char>(into[start + i] ^ mask_[(mask_at_ + i) & 3]);
    mask_at_ = static_cast<uint32_t>((mask_at_ + n) & 3);
    bytes.remove_prefix(n);
    left_ -= n;
    if (left_ > 0) return 0;
    in_payload_ = false;
    if (int code = FinishFrame(messages)) return code;
  }
  return 0;
}

int FrameDecoder::TakeHeader() {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(header_[i]); };
  if (byte(0) & 0x70) return kProtocolError;  // no extension was agreed to
  const uint8_t opcode = byte(0) & 0x0f;
  if (opcode > 10 || (opcode > 2 && opcode < 8)) return kProtocolError;
  fin_ = byte(0) & 0x80;
  opcode_ = static_cast<Opcode>(opcode);
  left_ = byte(1) & 0x7f;
  size_t at = 2;
  if (left_ >= 126) {
    const size_t bytes = left_ == 126 ? 2 : 8;
    uint64_t length = 0;
    for (size_t i = 0; i < bytes; ++i) length = length << 8 | byte(at + i);
    if (length < (bytes == 2 ? 126u : 65536u) || length >> 63) return kProtocolError;
    left_ = length;
    at += bytes;
  }
  std::copy_n(header_.begin() + static_cast<std::ptrdiff_t>(at), 4, mask_);
  mask_at_ = 0;
  if (IsControl(opcode_)) {
    control_.clear();
    return fin_ && left_ <= kMaxControl ? 0 : kProtocolError;
  }
  if (in_message_ != (opcode_ == Opcode::kContinuation)) return kProtocolError;
  if (left_ > max_message_ - std::min(max_message_, message_.size())) return kTooBig;
  if (!in_message_) message_opcode_ = opcode_;
  in_message_ = true;
  return 0;
}

int FrameDecoder::FinishFrame(std::vector<Message>* messages) {
  if (!IsControl(opcode_)) {
    if (!fin_) return 0;
    in_message_ = false;
    if (message_opcode_ == Opcode::kText && !IsUtf8(message_)) return kBadData;
    messages->push_back({message_opcode_, std::move(message_), 0});
    message_ = {};
    return 0;
  }
  Message message{opcode_, std::move(control_), 0};
  control_ = {};
  if (opcode_ == Opcode::kClose) {
    closed_ = true;
    message.code = kNoCode;
    if (!message.payload.empty()) {
      if (message.payload.size() == 1) return kProtocolError;
      message.code =
          static_cast<uint8_t>(message.payload[0]) << 8 | static_cast<uint8_t>(message.payload[1]);
      message.payload.erase(0, 2);
      if (!MayBeSent(message.code)) return kProtocolError;
      if (!IsUtf8(message.payload)) return kBadData;
    }
  }
  messages->push_back(std::move(message));
  return 0;
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
    const uint8_t lead = byte(i);
    const size_t more = lead < 0x80                    ? 0
                        : lead >= 0xc2 && lead <= 0xdf ? 1
                        : (lead & 0xf0) == 0xe0        ? 2
                        : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                       : 4;
    if (more > 3 || more > text.size() - i - 1) return false;
    for (size_t k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    if ((lead == 0xe0 && byte(i + 1) < 0xa0) || (lead == 0xed && byte(i + 1) > 0x9f) ||
        (lead == 0xf0 && byte(i + 1) < 0x90) || (lead == 0xf4 && byte(i + 1) > 0x8f))
      return false;
    i += more + 1;
  }
  return true;
}

}  // namespace zn::server::websocket
