// An event and where it stands in its history.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "zn/engine/buffer.h"

namespace zn::server {

/// A place in the history of one topic: behind event `sequence`, of a server's start `epoch`.
struct EventPosition {
  uint64_t epoch = 0, sequence = 0;

  /// "epoch:sequence"
  std::string ToString() const;
  static std::optional<EventPosition> Parse(std::string_view text);
  friend bool operator==(const EventPosition&, const EventPosition&) = default;
};

/// The topic of the overview. Rooms' topics are their names, which cannot hold a colon.
inline constexpr std::string_view kOverview = "overview:public";

/// The member of a sequenced event's data that holds its position: `queue:update` has a place in a queue of that name.
constexpr std::string_view PositionMember(std::string_view event) {
  return event == "queue:update" ? "eventPosition" : "position";
}

/// Immutable but for its encodings, which are made when first wanted and then shared by everyone
/// who receives it.
class Event {
 public:
  enum Encoding { kSse, kSocketText, kSocketMsgpack, kEncodings };

  Event(std::string topic, std::string room, std::string name, std::string data, uint64_t sequence)
      : topic_(std::move(topic)),
        room_(std::move(room)),
        name_(std::move(name)),
        data_(std::move(data)),
        sequence_(sequence) {}

  const std::string& topic() const { return topic_; }
  /// The room that it is about; in the overview's history another than the topic.
  const std::string& room() const { return room_; }
  const std::string& name() const { return name_; }
  /// A JSON object. Sequenced events carry their position as the last member: see PositionMember.
  const std::string& data() const { return data_; }
  /// 0: volatile, not part of the history.
  uint64_t sequence() const { return sequence_; }
  /// What it costs to keep, encodings left out.
  size_t size() const {
    return sizeof(Event) + topic_.size() + room_.size() + name_.size() + data_.size();
  }
  /// The bytes that `make` returns for it, made once.
  const Buffer& Encoded(Encoding encoding, std::string (*make)(const Event&)) const;

 private:
  const std::string topic_, room_, name_, data_;
  const uint64_t sequence_;
  mutable std::array<std::once_flag, kEncodings> made_;
  mutable std::array<Buffer, kEncodings> encoded_;
};

using EventRef = std::shared_ptr<const Event>;

}  // namespace zn::server
