#include "api/hot_path.h"

#include <charconv>

#include "api/router.h"
#include "http/compress.h"
#include "http/query.h"
#include "zn/engine/npy.h"

namespace zn::server {
namespace {

constexpr size_t kCompressFrom = 1024;
constexpr size_t kCopyBelow = 16 << 10;  // larger rows are gathered from where they lie

// "/api/rooms/{room}/frames/{digits}" or "/data/...": false for everything else.
bool ParsePath(std::string_view path, std::string_view* room, int64_t* position) {
  constexpr std::string_view kRooms = "/api/rooms/", kData = "/data/", kFrames = "/frames/";
  if (path.substr(0, kRooms.size()) == kRooms) {
    path.remove_prefix(kRooms.size());
  } else if (path.substr(0, kData.size()) == kData) {
    path.remove_prefix(kData.size());
  } else {
    return false;
  }
  size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  *room = path.substr(0, slash);
  path.remove_prefix(slash);
  if (path.substr(0, kFrames.size()) != kFrames) return false;
  path.remove_prefix(kFrames.size());
  if (path.empty() || path.size() > 15) return false;
  int64_t value = 0;
  for (char c : path) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  *position = value;
  return true;
}

void AppendNumber(std::string& out, uint64_t value) {
  char digits[20];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, static_cast<size_t>(end - digits));
}

std::unique_ptr<HotPlan> MakePlan(const Service& service, const HotState::RoomEntry& room,
                                  const Request& request) {
  auto plan = std::make_unique<HotPlan>();
  plan->query = request.query;
  plan->accept = request.accept;
  auto parameters = ParseQuery(request.query);
  if (!parameters || room.snapshot.frames() == 0) return plan;
  for (const Parameter& parameter : *parameters) {
    const std::string& name = parameter.name;
    if (name != "data" && name != "keys" && name != "format" && name != "array_keys") return plan;
  }
  auto query =
      ParseFramesQuery(service, room.room, {std::move(*parameters), {}, {}}, "0", request.accept);
  if (!query || query->fields.empty() || query->every_field) return plan;
  if (query->format != Format::kMsgpack && query->format != Format::kNpy) return plan;
  if (query->fields.size() > 15) return plan;
  for (const FieldRequest& field : query->fields) {
    if (field.index < 0 || field.symbols) return plan;
    DType dtype = room.snapshot.fields()[static_cast<size_t>(field.index)].dtype;
    if (dtype == DType::kJson) return plan;
    HotPlan::Field hot{field.index, !IsFloating(dtype), {}, {}, {}};
    msgpack::PutString(hot.name_bytes, field.name);
    hot.shape = Shape{-1};  // equals no row's
    plan->fields.push_back(std::move(hot));
  }
  plan->format = query->format;
  plan->keys = query->keys;
  plan->tag = "-" + RepresentationTag(query->description) + "i\"";
  plan->head_start = "\r\nContent-Type: " + std::string(MediaType(query->format)) + "\r\n";
  if (query->format == Format::kNpy) plan->head_start += "Accept-Ranges: bytes\r\n";
  plan->head_start += "Vary: Accept, Accept-Encoding\r\nContent-Length: ";
  plan->usable = true;
  return plan;
}

// What stands in front of a row's bytes; remembered, since rows of a trajectory mostly have one
// shape.
void MakeHead(HotPlan::Field* field, const HotPlan& plan, const Row& row) {
  field->shape = row.shape;
  if (plan.format == Format::kNpy) {
    field->head = EncodeNpyHeader(NumpyName(row.dtype), row.shape);
  } else {
    field->head = field->name_bytes;
    msgpack::PutNumpyHead(field->head, row.dtype, row.shape, row.bytes.size(), plan.keys);
  }
}

}  // namespace

bool AcceptsHost(Service& service, HotState* state, const Request& request) {
  if (request.host == state->good_host && request.origin == state->good_origin) return true;
  // Replies to pages of other origins carry CORS headers, which the router adds.
  if (!request.origin.empty() || CheckOrigin(service.options, request)) return false;
  state->good_host = request.host;
  return true;
}

bool MayRead(Service& service, HotState* state, const Request& request, std::string_view room) {
  if (!service.access) return false;
  const std::string_view* authorization = request.Find("authorization");
  if (!authorization) return service.access->anonymous_on_loopback() && IsLocal(request);
  constexpr int64_t kBelievedMs = 1000;  // so long may a token work beyond its expiry
  HotState::GoodToken& good = state->good_token;
  const uint64_t generation = service.access->generation();
  const int64_t now = service.clock.steady_ms();
  if (good.authorization == *authorization && good.room == room && good.generation == generation && now < good.until_ms)
    return true;
  const auto caller = service.access->Identify(request);
  if (!caller || !caller->May(Scope::kRead, room)) return false;
  good = {std::string(*authorization), std::string(room), generation, now + kBelievedMs};
  return true;
}

HotState::RoomEntry* HotState::FindRoom(Service& service, std::string_view name) {
  const Store& store = *service.store;
  // The store's position covers rooms that come and go, the room's generation its commits.
  const Position position = store.position();
  if (last_ && last_name_ == name) {
    // Before the snapshot is known to be the newest: no event behind it is missing from the snapshot.
    const uint64_t sequence = last_->events->load(std::memory_order_acquire);
    if (last_->checked == position && last_->generation == last_->room->head_generation()) {
      if (sequence != last_->place_sequence) last_->SetPlace({service.events->epoch(), sequence});
      return last_;
    }
  }
  last_ = nullptr;
  last_name_ = name;
  auto room = store.OpenRoom(last_name_);
  if (!room) {
    rooms_.erase(last_name_);
    return nullptr;
  }
  const TopicSequence* events = service.events->sequence(name);
  const uint64_t sequence = events->load(std::memory_order_acquire);
  const uint64_t generation = (*room)->head_generation();  // before the head: it is never newer
  auto head = (*room)->HeadOrError();
  if (!head) return nullptr;
  if (rooms_.size() >= kMaxRooms && rooms_.count(last_name_) == 0) rooms_.clear();
  std::unique_ptr<RoomEntry>& entry = rooms_[last_name_];
  if (!entry) entry = std::make_unique<RoomEntry>();
  if (head->identity() != entry->snapshot.identity()) {
    bool same_fields = entry->snapshot && entry->snapshot.incarnation() == head->incarnation() &&
                       entry->snapshot.fields() == head->fields();
    if (!same_fields) entry->plans.clear();
    entry->incarnation = IncarnationText(head->incarnation());
    entry->snapshot = std::move(*head);
  }
  entry->events = events;
  entry->SetPlace({service.events->epoch(), sequence});
  entry->room = std::move(*room);
  entry->checked = position;
  entry->generation = generation;
  entry->used = true;
  last_ = entry.get();
  return last_;
}

void HotState::RoomEntry::SetPlace(const EventPosition& position) {
  place_sequence = position.sequence;
  place_headers = "\r\n" + PlaceHeaders(position, snapshot) + "Frame-Id: ";
}

void HotState::Tidy() {
  last_ = nullptr;
  std::erase_if(rooms_, [](auto& item) { return !std::exchange(item.second->used, false); });
}

HotPlan* HotState::FindPlan(const Service& service, RoomEntry* room, const Request& request) {
  for (const auto& plan : room->plans)
    if (plan->query == request.query && plan->accept == request.accept) return plan.get();
  if (room->plans.size() >= kMaxPlans) room->plans.clear();
  room->plans.push_back(MakePlan(service, *room, request));
  return room->plans.back().get();
}

int TryHotPath(Service& service, const Request& request, const InlineContext& context) {
  if (request.method != Method::kGet || !request.range.empty() || !request.if_none_match.empty())
    return 0;
  std::string_view name;
  int64_t position = 0;
  if (!ParsePath(request.path, &name, &position)) return 0;
  auto* state = static_cast<HotState*>(context.state);
  if (!AcceptsHost(service, state, request)) return 0;
  if (!MayRead(service, state, request, name)) return 0;
  HotState::RoomEntry* room = state->FindRoom(service, name);
  if (!room || position >= room->snapshot.frames()) return 0;
  HotPlan* plan = state->FindPlan(service, room, request);
  if (!plan->usable) return 0;

  const Snapshot& snapshot = room->snapshot;
  auto id = snapshot.IdAt(position);
  if (!id) return 0;
  auto version = snapshot.VersionOf(*id);
  if (!version) return 0;

  std::vector<Row>& rows = state->rows;
  rows.clear();
  const bool coded = !request.accept_encoding.empty() &&
                     ChooseCoding(request.accept_encoding) != Coding::kIdentity;
  uint64_t length = plan->format == Format::kMsgpack ? 1 : 0;
  for (HotPlan::Field& field : plan->fields) {
    auto row = snapshot.ReadResidentRow(field.index, *id);
    if (!row || row->bytes.size() > UINT32_MAX) return 0;
    if (coded && field.packs && row->bytes.size() >= kCompressFrom) return 0;
    if (!(field.shape == row->shape)) MakeHead(&field, *plan, *row);
    length += field.head.size() + row->bytes.size();
    rows.push_back(std::move(*row));
  }
  if (length > static_cast<uint64_t>(service.options.max_reply)) return 0;

  std::string& head = context.out->text();
  head += "HTTP/1.1 200 OK\r\nDate: ";
  head += context.date;
  head += plan->head_start;
  AppendNumber(head, length);
  head += room->place_headers;
  AppendNumber(head, static_cast<uint64_t>(*id));
  head += "\r\nFrame-Version: ";
  AppendNumber(head, *version);
  head += "\r\nETag: \"";
  head += room->incarnation;
  head += '.';
  AppendNumber(head, static_cast<uint64_t>(*id));
  head += '.';
  AppendNumber(head, *version);
  head += plan->tag;
  if (auto hash = service.hashes.Find(snapshot.incarnation(), *id, *version)) {
    head += "\r\nFrame-Hash: ";
    head += HashText(*hash);
  }
  if (!context.keep_alive) {
    head += "\r\nConnection: close";
  } else if (request.http10) {
    head += "\r\nConnection: keep-alive";
  }
  head += "\r\n\r\n";
  if (plan->format == Format::kMsgpack) head += static_cast<char>(0x80 | rows.size());
  for (size_t f = 0; f < rows.size(); ++f) {
    std::string& text = context.out->text();
    text += plan->fields[f].head;
    Buffer& bytes = rows[f].bytes;
    if (bytes.size() < kCopyBelow) {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    } else {
      context.out->Pin(std::move(bytes));
    }
  }
  rows.clear();
  return 200;
}

}  // namespace zn::server
