#include "api/frame_batches.h"

namespace zn::server {
namespace {

constexpr size_t kBatchBytes = 8 << 20;  // of the body

class ListBatches final : public FrameBatches {
 public:
  ListBatches(std::vector<FieldDescriptor> fields, bool cast, const NativeBody& body)
      : FrameBatches(std::move(fields), cast), reader_(body.bytes, body.options) {}

 private:
  Result<std::optional<FrameBatch>> Read(const FitOptions& options) override {
    ZN_ASSIGN_OR_RETURN(std::vector<BodyFrame> frames, reader_.Next(kBatchBytes));
    if (frames.empty()) return std::optional<FrameBatch>();
    ZN_ASSIGN_OR_RETURN(FrameBatch batch, FitFrames(std::move(frames), options));
    return std::optional<FrameBatch>(std::move(batch));
  }
  FrameListReader reader_;
};

class ColumnsBatches final : public FrameBatches {
 public:
  ColumnsBatches(std::vector<FieldDescriptor> fields, bool cast, Buffer body)
      : FrameBatches(std::move(fields), cast),
        body_(std::move(body)),
        reader_({reinterpret_cast<const char*>(body_.data()), body_.size()}) {}

 private:
  Result<std::optional<FrameBatch>> Read(const FitOptions& options) override {
    if (reader_.done()) return std::optional<FrameBatch>();
    ZN_ASSIGN_OR_RETURN(ColumnsBody columns, ReadColumns(reader_, body_, options));
    if (columns.ids || columns.versions || columns.has_indices)
      return Error{ErrorCode::kInvalidArgument,
                   "new frames have no indices, ids or versions yet: leave them out (PATCH edits those that exist)"};
    return std::optional<FrameBatch>(std::move(columns.batch));
  }
  Buffer body_;
  msgpack::Reader reader_;
};

class NpyBatches final : public FrameBatches {
 public:
  NpyBatches(std::vector<FieldDescriptor> fields, bool cast, std::string name, BodyValue value)
      : FrameBatches(std::move(fields), cast), name_(std::move(name)), value_(std::move(value)) {}

 private:
  Result<std::optional<FrameBatch>> Read(const FitOptions& options) override {
    if (done_) return std::optional<FrameBatch>();
    done_ = true;
    ZN_ASSIGN_OR_RETURN(std::vector<BodyFrame> frames, SplitFrames(name_, value_));
    ZN_ASSIGN_OR_RETURN(FrameBatch batch, FitFrames(std::move(frames), options));
    return std::optional<FrameBatch>(std::move(batch));
  }
  const std::string name_;
  const BodyValue value_;
  bool done_ = false;
};

Answer<std::string> NpyField(const Write& write) {
  ZN_ASSIGN_OR_RETURN(auto data, TakeParameter(write.parameters, "data"));
  if (!data) {
    ZN_ASSIGN_OR_RETURN(data, TakeParameter(write.parameters, "keys"));
  }
  if (!data || data->empty()) return BadRequest("an NPY body is one field: name it with data=");
  return std::move(*data);
}

}  // namespace

Result<std::optional<FrameBatch>> FrameBatches::Next() {
  FitOptions options;
  options.fields = fields_;
  options.cast = cast_;
  ZN_ASSIGN_OR_RETURN(auto batch, Read(options));
  if (!batch) return batch;
  for (const Column& column : batch->columns) {
    bool known = false;
    for (const FieldDescriptor& field : fields_) known |= field.name == column.name;
    if (known) continue;
    FieldDescriptor field;
    field.name = column.name;
    field.kind = column.kind;
    field.dtype = column.dtype;
    field.inner = column.inner;
    fields_.push_back(std::move(field));
  }
  return batch;
}

Answer<std::unique_ptr<FrameBatches>> OpenFrameBatches(const Write& write, BodyFormat format, const NativeBody& body) {
  const std::vector<FieldDescriptor>& fields = write.head.fields();
  if (body.bytes.empty()) return BadRequest("the body is empty: send frames");
  switch (format) {
    case BodyFormat::kColumns:
      return std::unique_ptr<FrameBatches>(std::make_unique<ColumnsBatches>(fields, write.cast, body.bytes));
    case BodyFormat::kNpy: {
      ZN_ASSIGN_OR_RETURN(std::string name, NpyField(write));
      ZN_ASSIGN_OR_RETURN(BodyValue value, ReadNpy(body.bytes));
      return std::unique_ptr<FrameBatches>(
          std::make_unique<NpyBatches>(fields, write.cast, std::move(name), std::move(value)));
    }
    default:
      return std::unique_ptr<FrameBatches>(std::make_unique<ListBatches>(fields, write.cast, body));
  }
}

Answer<BodyFrame> ReadOneFrame(const Write& write, BodyFormat format, const NativeBody& body) {
  if (format == BodyFormat::kNpy) {
    ZN_ASSIGN_OR_RETURN(std::string name, NpyField(write));
    ZN_ASSIGN_OR_RETURN(BodyValue value, ReadNpy(body.bytes));
    BodyFrame frame;
    frame.emplace_back(std::move(name), std::move(value));
    return frame;
  }
  FrameListReader reader(body.bytes, body.options);
  ZN_ASSIGN_OR_RETURN(std::vector<BodyFrame> frames, reader.Next(SIZE_MAX));
  if (frames.size() != 1)
    return BadRequest("the body holds " + std::to_string(frames.size()) + " frames, and one is written");
  return std::move(frames[0]);
}

}  // namespace zn::server
