#include "crash/plan.h"

#include <algorithm>
#include <cstring>

namespace zn::crash {
namespace {

using Kind = Step::Kind;
using model::Content;
using model::Pick;

constexpr const char* kNames[] = {"create", "append", "bulk append", "insert", "delete",  "move", "replace", "edit",  "undo",
                                  "redo",   "fork",   "drop",        "records", "model", "compact", "read", "reopen"};

const std::vector<std::pair<Kind, int>> kEdits = {{Kind::kAppend, 2}, {Kind::kInsert, 2}, {Kind::kDelete, 1}, {Kind::kMove, 1},
                                                  {Kind::kReplace, 2}, {Kind::kEdit, 5},  {Kind::kUndo, 2},   {Kind::kRedo, 1}};

/// Random bits that no codec makes smaller.
std::string Noise(model::Random& random, size_t doubles) {
  std::vector<double> values(doubles);
  for (double& value : values) value = static_cast<double>(random()) * 0x1p-64;
  std::string bytes(doubles * sizeof(double), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

Content LargeContent(model::Random& random, int64_t atoms = 150) {
  Content content;
  content.n_atoms = static_cast<int32_t>(atoms + Pick(random, 100));
  content.fields["arrays.positions"] = Noise(random, static_cast<size_t>(content.n_atoms) * 3);
  content.fields["calc.energy"] = Noise(random, 1);
  return content;
}

}  // namespace

std::string_view StepName(Kind kind) { return kNames[static_cast<size_t>(kind)]; }

std::vector<Workload> AllWorkloads() {
  std::vector<Workload> all;
  const auto add = [&](Workload workload) { all.push_back(std::move(workload)); };
  add({.name = "create", .steps = 4, .before = 0, .weights = kEdits});
  add({.name = "edits", .steps = 16, .before = 4, .weights = kEdits});
  add({.name = "group", .lanes = 4, .steps = 8, .before = 2, .weights = {{Kind::kAppend, 3}, {Kind::kEdit, 4}, {Kind::kRecords, 3}}});
  add({.name = "packs", .steps = 8, .before = 3,
       .weights = {{Kind::kBulk, 4}, {Kind::kAppend, 2}, {Kind::kEdit, 2}, {Kind::kReplace, 1}},
       .contents = Workload::Contents::kLarge});
  add({.name = "seal", .steps = 9, .before = 3,
       .weights = {{Kind::kBulk, 5}, {Kind::kReopen, 1}, {Kind::kDelete, 1}},
       .contents = Workload::Contents::kLarge, .seal_bytes = 32 << 10});
  add({.name = "dedup", .steps = 9, .before = 4,
       .weights = {{Kind::kBulk, 5}, {Kind::kReplace, 2}, {Kind::kReopen, 2}},
       .contents = Workload::Contents::kRepeated, .seal_bytes = 64 << 10});
  add({.name = "cache", .steps = 14, .before = 5,
       .weights = {{Kind::kBulk, 2}, {Kind::kRead, 6}, {Kind::kEdit, 2}, {Kind::kReopen, 1}},
       .contents = Workload::Contents::kHuge});
  add({.name = "compact", .steps = 14, .before = 6,
       .weights = {{Kind::kAppend, 5}, {Kind::kEdit, 4}, {Kind::kCompact, 4}, {Kind::kDelete, 1}},
       .contents = Workload::Contents::kLarge});
  add({.name = "fold", .steps = 20, .before = 6, .weights = kEdits, .folds = {.after = 4, .nodes_per_op = 1, .most_ops = 40}});
  add({.name = "rooms", .steps = 14, .before = 4,
       .weights = {{Kind::kCreate, 2}, {Kind::kFork, 3}, {Kind::kDrop, 2}, {Kind::kModel, 2}, {Kind::kRecords, 2}, {Kind::kAppend, 2}}});
  // A log file has a few groups only.
  add({.name = "log", .steps = 18, .before = 6, .weights = kEdits, .log_file_bytes = 12 << 10});
  // Its base ends with a torn group, which the first opening has to put aside.
  add({.name = "recover", .steps = 7, .before = 4, .weights = kEdits});
  add({.name = "reopen", .steps = 10, .before = 3, .weights = {{Kind::kReopen, 3}, {Kind::kEdit, 2}, {Kind::kAppend, 2}, {Kind::kRecords, 1}}});
  return all;
}

const Workload* FindWorkload(std::string_view name) {
  static const std::vector<Workload> all = AllWorkloads();
  for (const Workload& workload : all)
    if (workload.name == name) return &workload;
  return nullptr;
}

Lane::Lane(const Workload& workload, uint64_t seed, int index)
    : workload_(workload), prefix_(std::to_string(index).append(".")), random_(seed * 31 + static_cast<uint64_t>(index)) {}

model::Content Lane::OneContent() {
  switch (workload_.contents) {
    case Workload::Contents::kSmall:
      return model::RandomContent(random_);
    case Workload::Contents::kLarge:
      return LargeContent(random_);
    case Workload::Contents::kHuge:
      return LargeContent(random_, 1000);
    case Workload::Contents::kRepeated: {
      model::Random few(static_cast<uint64_t>(Pick(random_, 3)));
      return LargeContent(few);
    }
  }
  return {};
}

std::vector<Content> Lane::Frames(int64_t most) {
  std::vector<Content> frames;
  for (int64_t n = 1 + Pick(random_, most); n > 0; --n) frames.push_back(OneContent());
  return frames;
}

Kind Lane::Draw() {
  int64_t total = 0;
  for (const auto& [kind, weight] : workload_.weights) total += weight;
  int64_t at = Pick(random_, total);
  for (const auto& [kind, weight] : workload_.weights)
    if ((at -= weight) < 0) return kind;
  return Kind::kAppend;
}

Step Lane::Next() {
  Step step;
  ++step_;
  // Every change but some of a few kinds brings records: small ones, and large ones that are stored beside the tree.
  if (Pick(random_, 3) != 0) {
    step.records[prefix_ + "newest"] = std::to_string(step_);
    step.records[prefix_ + std::to_string(step_ % 3)] = step_ % 4 == 0 ? "" : std::string(step_ % 5 == 0 ? 2000 : 20, 'c');
  }
  if (state_.rooms.empty()) {
    step.kind = Kind::kCreate;
    step.room = prefix_ + std::to_string(made_);
    return step;
  }
  auto named = state_.rooms.begin();
  std::advance(named, Pick(random_, static_cast<int64_t>(state_.rooms.size())));
  step.room = named->first;
  const model::Room& room = named->second;
  const auto frames = static_cast<int64_t>(room.order.size());
  step.kind = Draw();
  const bool needs_frames = step.kind == Kind::kDelete || step.kind == Kind::kMove || step.kind == Kind::kReplace ||
                            step.kind == Kind::kEdit || step.kind == Kind::kUndo || step.kind == Kind::kRedo || step.kind == Kind::kRead;
  if (needs_frames && frames == 0) step.kind = workload_.contents == Workload::Contents::kSmall ? Kind::kAppend : Kind::kBulk;
  if (step.kind == Kind::kDrop && state_.rooms.size() < 2) step.kind = Kind::kCreate;
  const auto any_id = [&] { return room.order[static_cast<size_t>(Pick(random_, frames))]; };
  switch (step.kind) {
    case Kind::kCreate:
      step.room = prefix_ + std::to_string(made_);
      break;
    case Kind::kFork:
      step.other = prefix_ + std::to_string(made_);
      break;
    case Kind::kAppend:
      step.contents = Frames(4);
      break;
    case Kind::kBulk:
      step.contents = Frames(12);
      break;
    case Kind::kInsert:
      step.begin = Pick(random_, frames + 1);
      step.contents = Frames(3);
      break;
    case Kind::kDelete:
      step.ids = {any_id()};
      break;
    case Kind::kMove:
      step.begin = Pick(random_, frames);
      step.count = 1 + Pick(random_, frames - step.begin);
      step.to = Pick(random_, frames - step.count + 1);
      break;
    case Kind::kReplace:
      step.ids = {any_id()};
      step.contents = {OneContent()};
      break;
    case Kind::kEdit: {
      step.ids = {any_id()};
      Content delta{room.frames.at(step.ids[0]).now().n_atoms, {}};
      if (workload_.contents == Workload::Contents::kSmall) {
        for (const auto& field : model::kFields)
          if (Pick(random_, 3) == 0) delta.fields[field.name] = model::RandomValue(random_, field, delta.n_atoms);
      } else {
        delta.fields["arrays.positions"] = Noise(random_, static_cast<size_t>(delta.n_atoms) * 3);
      }
      if (delta.fields.empty()) delta.fields["calc.energy"] = Noise(random_, 1);
      step.contents = {delta};
      break;
    }
    case Kind::kUndo:
    case Kind::kRedo: {
      step.ids = {any_id()};
      const model::Frame& frame = room.frames.at(step.ids[0]);
      // Where there is nothing to undo or redo, the other may be possible; else the frame is edited.
      if (step.kind == Kind::kRedo && frame.cursor + 1 >= frame.stack.size()) step.kind = Kind::kUndo;
      if (step.kind == Kind::kUndo && frame.cursor == 0) {
        step.kind = Kind::kEdit;
        step.contents = {Content{frame.now().n_atoms, {{"calc.energy", Noise(random_, 1)}}}};
      }
      break;
    }
    case Kind::kModel:
      step.other = "described at step " + std::to_string(step_);
      break;
    case Kind::kRecords:
      step.records[prefix_ + "alone" + std::to_string(step_ % 2)] = std::to_string(step_);
      break;
    case Kind::kCompact:
    case Kind::kRead:
    case Kind::kReopen:
    case Kind::kDrop:
      break;
  }
  if (step.kind == Kind::kCompact || step.kind == Kind::kRead || step.kind == Kind::kReopen || step.kind == Kind::kModel ||
      step.kind == Kind::kBulk)
    step.records.clear();
  return step;
}

void Lane::Apply(const Step& step) {
  for (const auto& [key, value] : step.records) {
    if (value.empty()) {
      state_.records.erase(key);
    } else {
      state_.records[key] = value;
    }
  }
  const auto place = [](model::Room& room, size_t at, const std::vector<Content>& contents) {
    for (size_t i = 0; i < contents.size(); ++i) {
      const FrameId id = room.next_id++;
      model::Frame& frame = room.frames[id];
      frame.stack = {contents[i]};
      frame.Set(1);
      room.order.insert(room.order.begin() + static_cast<ptrdiff_t>(at + i), id);
    }
  };
  switch (step.kind) {
    case Kind::kCreate:
      ++made_;
      state_.rooms[step.room];
      state_.descriptions[step.room];
      return;
    case Kind::kFork:
      ++made_;
      state_.rooms[step.other] = state_.rooms[step.room];
      state_.descriptions[step.other] = state_.descriptions[step.room];
      return;
    case Kind::kDrop:
      state_.rooms.erase(step.room);
      state_.descriptions.erase(step.room);
      return;
    case Kind::kModel:
      state_.descriptions[step.room] = step.other;
      return;
    case Kind::kRecords:
    case Kind::kCompact:
    case Kind::kRead:
    case Kind::kReopen:
      return;
    default:
      break;
  }
  model::Room& room = state_.rooms.at(step.room);
  const auto at = [&](int64_t position) { return room.order.begin() + static_cast<ptrdiff_t>(position); };
  switch (step.kind) {
    case Kind::kAppend:
    case Kind::kBulk:
      place(room, room.order.size(), step.contents);
      break;
    case Kind::kInsert:
      place(room, static_cast<size_t>(step.begin), step.contents);
      break;
    case Kind::kDelete:
      room.order.erase(std::find(room.order.begin(), room.order.end(), step.ids[0]));
      break;
    case Kind::kMove: {
      const std::vector<FrameId> moved(at(step.begin), at(step.begin + step.count));
      room.order.erase(at(step.begin), at(step.begin + step.count));
      room.order.insert(at(step.to), moved.begin(), moved.end());
      break;
    }
    case Kind::kReplace:
    case Kind::kEdit: {
      model::Frame& frame = room.frames.at(step.ids[0]);
      Content content = step.contents[0];
      if (step.kind == Kind::kEdit) {
        content = frame.now();
        for (const auto& [field, value] : step.contents[0].fields) content.fields[field] = value;
      }
      if (!(content == frame.now())) frame.Push(content, frame.version + 1);
      break;
    }
    case Kind::kUndo:
    case Kind::kRedo: {
      model::Frame& frame = room.frames.at(step.ids[0]);
      frame.cursor += step.kind == Kind::kRedo ? 1 : -1;
      frame.Set(frame.version + 1);
      break;
    }
    default:
      break;
  }
}

}  // namespace zn::crash
