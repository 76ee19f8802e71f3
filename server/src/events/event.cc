#include "events/event.h"

#include <charconv>

#include "http/body.h"

namespace zn::server {

std::string EventPosition::ToString() const {
  return std::to_string(epoch) + ":" + std::to_string(sequence);
}

std::optional<EventPosition> EventPosition::Parse(std::string_view text) {
  EventPosition position;
  const char* end = text.data() + text.size();
  auto [colon, error] = std::from_chars(text.data(), end, position.epoch);
  if (error != std::errc() || colon == end || *colon != ':') return std::nullopt;
  auto [rest, bad] = std::from_chars(colon + 1, end, position.sequence);
  if (bad != std::errc() || rest != end) return std::nullopt;
  return position;
}

const Buffer& Event::Encoded(Encoding encoding, std::string (*make)(const Event&)) const {
  std::call_once(made_[encoding], [&] { encoded_[encoding] = BufferOf(make(*this)); });
  return encoded_[encoding];
}

}  // namespace zn::server
