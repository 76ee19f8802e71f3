#include "api/frame_list.h"

#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

class ListStream final : public BodyStream {
 public:
  explicit ListStream(std::shared_ptr<FrameSource> source) : source_(std::move(source)) {}
  std::optional<uint64_t> length() const override { return std::nullopt; }

  Result<bool> Next(Pieces* pieces) override {
    const FramesQuery& query = source_->query();
    PieceWriter out;
    if (window_ == 0) Open(query, &out);
    if (window_ < source_->windows()) {
      ZN_ASSIGN_OR_RETURN(const FrameBatch* batch, source_->Batch(window_));
      ZN_RETURN_IF_ERROR(Encode(query, *batch, &out));
      ++window_;
    }
    bool more = window_ < source_->windows();
    if (!more && query.format == Format::kJson && !query.single) out.text() += ']';
    sent_ += out.size();
    ZN_RETURN_IF_ERROR(source_->CheckReply(sent_));
    for (Buffer& piece : out.Take()) pieces->push_back(std::move(piece));
    return more;
  }

 private:
  void Open(const FramesQuery& query, PieceWriter* out) {
    if (query.single) return;
    if (query.format == Format::kMsgpack)
      msgpack::PutArrayHead(out->text(), static_cast<uint64_t>(source_->frames()));
    if (query.format == Format::kJson) out->text() += '[';
  }

  Result<> Encode(const FramesQuery& query, const FrameBatch& batch, PieceWriter* out) {
    if (query.format != Format::kMsgpack) return EncodeText(query, batch, out);
    std::vector<RowCursor> cursors;
    cursors.reserve(batch.columns.size());
    for (const Column& column : batch.columns) cursors.emplace_back(batch, column);
    std::vector<RowView> rows(batch.columns.size());
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      for (size_t c = 0; c < rows.size(); ++c) {
        rows[c] = cursors[c].Next();
        if (rows[c].size > UINT32_MAX)
          return {ErrorCode::kTooLarge, "a frame's field has more than 4 GiB: ask for npy"};
      }
      AppendMsgpackFrame(batch, rows, query.keys, out);
    }
    return {};
  }

  Result<> EncodeText(const FramesQuery& query, const FrameBatch& batch, PieceWriter* out) {
    // The text writers find a frame's rows from the front of a batch, so each is given a batch of
    // its own.
    std::vector<RowCursor> cursors;
    cursors.reserve(batch.columns.size());
    for (const Column& column : batch.columns) cursors.emplace_back(batch, column);
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      FrameBatch one;
      one.n_atoms = {batch.n_atoms[frame]};
      for (size_t c = 0; c < batch.columns.size(); ++c) {
        const Column& column = batch.columns[c];
        RowView row = cursors[c].Next();
        if (!row.present) continue;
        Column value;
        value.name = column.name;
        value.kind = column.kind;
        value.dtype = column.dtype;
        value.inner = column.inner;
        if (column.dtype == DType::kJson) {
          value.text.emplace_back(row.text);
        } else {
          value.data = column.data.Slice(row.offset, row.size);
          if (column.kind == FieldKind::kRagged) value.lengths = {row.rows};
        }
        one.columns.push_back(std::move(value));
      }
      if (query.format == Format::kJson) {
        if (started_) out->text() += ',';
        formats::AppendJsonFrame(one, 0, out->text());
      } else {
        ZN_RETURN_IF_ERROR(formats::AppendExtxyz(one, 0, out->text()));
      }
      started_ = true;
    }
    return {};
  }

  std::shared_ptr<FrameSource> source_;
  int64_t window_ = 0;
  uint64_t sent_ = 0;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<BodyStream> FrameListStream(std::shared_ptr<FrameSource> source) {
  return std::make_unique<ListStream>(std::move(source));
}

void AppendMsgpackFrame(const FrameBatch& batch, std::span<const RowView> rows,
                        msgpack::KeyKind keys, PieceWriter* out) {
  uint64_t present = 0;
  for (const RowView& row : rows) present += row.present ? 1 : 0;
  msgpack::PutMapHead(out->text(), present);
  for (size_t c = 0; c < rows.size(); ++c) {
    const RowView& row = rows[c];
    if (!row.present) continue;
    const Column& column = batch.columns[c];
    msgpack::PutString(out->text(), column.name);
    if (column.dtype == DType::kJson) {
      if (!msgpack::PutJson(out->text(), row.text)) msgpack::PutString(out->text(), row.text);
      continue;
    }
    msgpack::PutNumpyHead(out->text(), column.dtype, row.shape, row.size, keys);
    if (row.size >= PieceWriter::kCopyBelow) {
      out->Pin(column.data.Slice(row.offset, row.size));
    } else {
      out->Append(RowBytes(column, row));
    }
  }
}

}  // namespace zn::server
