// The fast way for the request that a player or a training loop makes all day: one frame, some
// fields, of data that is decoded already. Answered on the I/O thread without an allocation;
// everything else goes through the router.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/frames_query.h"
#include "api/service.h"
#include "http/handler.h"

namespace zn::server {

/// A query string that was understood before: what to read and how to write it.
struct HotPlan {
  std::string query, accept;  // what it was made from
  bool usable = false;        // false: the router has to answer
  Format format = Format::kMsgpack;
  msgpack::KeyKind keys = msgpack::KeyKind::kBin;
  struct Field {
    FieldIndex index;
    bool packs;              // integers: worth compressing when the client takes it
    std::string name_bytes;  // as msgpack
    Shape shape;             // of the last row, and
    std::string head;        // what stands in front of its bytes
  };
  std::vector<Field> fields;
  std::string head_start;  // "\r\nContent-Type: ...", up to the length
  std::string tag;         // the representation's part of the ETag, with its coding letter
};

/// What one I/O thread remembers.
class HotState final : public WorkerState {
 public:
  struct RoomEntry {
    std::shared_ptr<Room> room;
    Snapshot snapshot;
    uint64_t generation = 0;    // the room's when the snapshot was the newest
    Position checked;           // the store's when the room was found
    bool used = true;           // since the last Tidy
    std::string incarnation;    // as text
    const TopicSequence* events = nullptr;  // the newest event's
    uint64_t place_sequence = 0;            // that place_headers names
    std::string place_headers;              // Zn-Commit, Zn-Position
    std::vector<std::unique_ptr<HotPlan>> plans;

    void SetPlace(const EventPosition& position);
  };

  /// The room's newest snapshot; nullptr when there is no such room.
  RoomEntry* FindRoom(Service& service, std::string_view name);
  HotPlan* FindPlan(const Service& service, RoomEntry* room, const Request& request);

  /// Lets go of rooms that nobody asked for since the last call, and of the commits and chunks they
  /// pin.
  void Tidy();

  std::string good_host, good_origin;  // that passed CheckOrigin last

  /// The token that was found good last, for which room, and how long that is believed.
  struct GoodToken {
    std::string authorization, room;
    uint64_t generation = 0;  // of the tokens
    int64_t until_ms = 0;
  } good_token;
  std::vector<Row> rows;               // scratch

 private:
  static constexpr size_t kMaxRooms = 256, kMaxPlans = 64;
  std::unordered_map<std::string, std::unique_ptr<RoomEntry>> rooms_;
  std::string last_name_;
  RoomEntry* last_ = nullptr;
};

/// Whether the router would not refuse the request for its host; pages of other origins are left to it.
bool AcceptsHost(Service& service, HotState* state, const Request& request);
/// May whoever sends this read the room? What is not certain is the router's to say: false.
bool MayRead(Service& service, HotState* state, const Request& request, std::string_view room);

/// The status it answered with, or 0 when it did nothing.
int TryHotPath(Service& service, const Request& request, const InlineContext& context);

}  // namespace zn::server
