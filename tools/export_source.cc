#include "export_source.h"

#include <algorithm>

#include "zn/formats/fields.h"
#include "zn/formats/selection.h"

namespace zn::tools {
namespace {

tl::unexpected<Failure> Fail(Fault fault, Error error) {
  return tl::unexpected<Failure>(Failure{fault, std::move(error)});
}

// An argument of the user's that the store does not have is no fault of the store's.
tl::unexpected<Failure> FailArgument(Error error, std::string_view option) {
  const bool usage = error.code == ErrorCode::kInvalidArgument ||
                     error.code == ErrorCode::kNotFound || error.code == ErrorCode::kOutOfRange;
  return Fail(usage ? Fault::kUsage : Fault::kStore, std::move(error).Context(option));
}

Result<std::vector<FieldIndex>> WantedFields(const Snapshot& snapshot, const std::string& names) {
  std::vector<FieldIndex> wanted;
  if (names.empty()) {
    for (size_t f = 0; f < snapshot.fields().size(); ++f)
      wanted.push_back(static_cast<FieldIndex>(f));
    return wanted;
  }
  for (size_t at = 0; at <= names.size();) {
    const size_t comma = std::min(names.find(',', at), names.size());
    const std::string name = names.substr(at, comma - at);
    at = comma + 1;
    ZN_ASSIGN_OR_RETURN(formats::ResolvedName resolved,
                        formats::ResolveName(name, snapshot.fields()));
    if (resolved.as_symbols)
      return Error{ErrorCode::kInvalidArgument,
                   "'" + name + "': files hold atomic numbers: write species"};
    const FieldIndex field = *snapshot.FindField(resolved.field);
    if (std::find(wanted.begin(), wanted.end(), field) == wanted.end()) wanted.push_back(field);
  }
  return wanted;
}

}  // namespace

tl::expected<std::unique_ptr<ExportSource>, Failure> ExportSource::Open(
    const ExportOptions& options) {
  StoreOptions store_options;
  store_options.read_only = true;
  store_options.threads = options.threads;
  store_options.background_maintenance = false;
  auto store = Store::Open(options.store, store_options);
  if (!store) return Fail(Fault::kStore, std::move(store).error());
  return Over(std::move(*store), options);
}

tl::expected<std::unique_ptr<ExportSource>, Failure> ExportSource::Over(
    std::unique_ptr<Store> store, const ExportOptions& options) {
  std::unique_ptr<ExportSource> source(new ExportSource);
  source->store_ = std::move(store);
  source->directory_ = source->store_->directory();

  const size_t at = options.room.find('@');
  source->room_ = options.room.substr(0, at);
  if (auto valid = ValidateRoomName(source->room_); !valid)
    return FailArgument(std::move(valid).error(), "--room");
  auto room = source->store_->OpenRoom(source->room_);
  if (!room) return FailArgument(std::move(room).error(), "--room");
  source->opened_ = std::move(*room);
  Snapshot full;
  if (at == std::string::npos) {
    auto head = source->opened_->HeadOrError();
    if (!head) return Fail(Fault::kStore, std::move(head).error());
    full = std::move(*head);
  } else {
    auto commit = CommitId::Parse(options.room.substr(at + 1));
    if (!commit) return FailArgument(std::move(commit).error(), "--room");
    auto then = source->opened_->At(*commit);
    if (!then) return FailArgument(std::move(then).error(), "--room");
    full = std::move(*then);
  }

  auto selection = formats::ParseSelection(options.indices, full.frames());
  if (!selection) return FailArgument(std::move(selection).error(), "frames");
  auto fields = WantedFields(full, options.fields);
  if (!fields) return FailArgument(std::move(fields).error(), "--fields");
  const formats::Selection all = formats::Selection::All(full.frames());
  source->whole_ = selection->runs() == all.runs() && fields->size() == full.fields().size();
  auto selected = full.Select(selection->runs(), *fields);
  if (!selected) return Fail(Fault::kStore, std::move(selected).error());
  source->snapshot_ = std::move(*selected);

  JsonObject identity;
  identity.Add("store", source->store_->uuid());
  identity.Add("room", source->room_);
  identity.Add("commit", full.commit().ToString());
  std::vector<std::string> runs, names;
  for (const PositionRun& run : selection->runs())
    runs.push_back("[" + std::to_string(run.begin) + "," + std::to_string(run.count) + "," +
                   std::to_string(run.step) + "]");
  identity.AddRaw("frames", JsonList(runs));
  for (const FieldDescriptor& field : source->fields()) {
    JsonObject name;
    name.Add("name", field.name);
    names.push_back(std::move(name).Take());
  }
  identity.AddRaw("fields", JsonList(names));
  source->identity_ = std::move(identity).Take();
  return source;
}

Result<FrameBatch> ExportSource::Read(int64_t first, int64_t count,
                                      std::span<const FieldIndex> wanted) const {
  ZN_ASSIGN_OR_RETURN(auto ids, snapshot_.IdsAt(first, count));
  ZN_ASSIGN_OR_RETURN(FrameBatch batch, snapshot_.Read(ids, wanted));
  std::vector<Column> columns;
  for (const FieldIndex field : wanted) {
    const FieldDescriptor& descriptor = fields()[static_cast<size_t>(field)];
    auto found = std::find_if(batch.columns.begin(), batch.columns.end(),
                              [&](const Column& c) { return c.name == descriptor.name; });
    if (found != batch.columns.end()) {
      columns.push_back(std::move(*found));
      found->name.clear();
      continue;
    }
    Column none;
    none.name = descriptor.name;
    none.kind = descriptor.kind;
    none.dtype = descriptor.dtype;
    none.inner = descriptor.inner;
    none.attributes = descriptor.attributes;
    none.present.assign(static_cast<size_t>(count), 0);
    columns.push_back(std::move(none));
  }
  batch.columns = std::move(columns);
  return batch;
}

Result<int64_t> ExportSource::FramesFor(std::span<const FieldIndex> wanted, int64_t bytes) const {
  // The largest of a few frames stands for the rest: windows bound memory, they need not be exact.
  constexpr int64_t kSamples = 16, kTextBytes = 256, kMaxFrames = 1 << 16;
  int64_t atoms = 0;
  for (int64_t k = 0; k < std::min(kSamples, frames()); ++k) {
    ZN_ASSIGN_OR_RETURN(const FrameId id, snapshot_.IdAt(k * (frames() - 1) / (kSamples - 1)));
    ZN_ASSIGN_OR_RETURN(const int32_t n, snapshot_.AtomCount(id));
    atoms = std::max<int64_t>(atoms, n);
  }
  int64_t frame_bytes = 8;
  for (const FieldIndex field : wanted) {
    const FieldDescriptor& d = fields()[static_cast<size_t>(field)];
    const int64_t element =
        d.dtype == DType::kJson ? kTextBytes : static_cast<int64_t>(ItemSize(d.dtype));
    const int64_t rows = d.kind == FieldKind::kFrame ? 1 : std::max<int64_t>(atoms, 1);
    frame_bytes += std::max<int64_t>(d.inner.Elements(), 1) * element * rows;
  }
  return std::clamp<int64_t>(bytes / frame_bytes, 1, kMaxFrames);
}

std::vector<FieldIndex> ExportSource::AllFields() const {
  std::vector<FieldIndex> all;
  for (size_t f = 0; f < fields().size(); ++f) all.push_back(static_cast<FieldIndex>(f));
  return all;
}

Result<> ExportJob::Step(std::string_view what, double fraction, int64_t frames,
                         int64_t bytes) const {
  if (stop) {
    return Error{ErrorCode::kCancelled,
                 "interrupted; what is there under its final name is whole, and the same command "
                 "goes on from there"};
  }
  Progress now;
  now.file = what;
  now.fraction = fraction;
  now.frames = frames;
  now.raw_bytes = bytes;
  now.state = "writing";
  progress(now);
  return {};
}

Result<> ExportJob::Syncing(std::string_view what) const {
  Progress now;
  now.file = what;
  now.fraction = 1;
  now.frames = source.frames();
  now.raw_bytes = summary.bytes;
  now.committing = true;
  progress(now);
  if (!stop) return {};
  return Error{ErrorCode::kCancelled, "interrupted; what is there under its final name is whole"};
}

}  // namespace zn::tools
