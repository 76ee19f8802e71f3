#include "api/frames.h"

#include <cstring>

#include "api/encode_arrays.h"
#include "api/frame_list.h"
#include "api/frames_query.h"
#include "api/paging.h"
#include "api/select_body.h"

namespace zn::server {
namespace {

bool SameValue(const Column& a, const RowView& row_a, const Column& b, const RowView& row_b) {
  if (row_a.present != row_b.present) return false;
  if (!row_a.present) return true;
  if (a.dtype == DType::kJson) return row_a.text == row_b.text;
  return row_a.shape == row_b.shape && row_a.size == row_b.size &&
         std::memcmp(a.data.data() + row_a.offset, b.data.data() + row_b.offset, row_a.size) == 0;
}

// Drops the fields that equal frame `unless` in every selected frame; their names, comma-separated.
Result<std::string> DropUnchanged(FrameSource* source) {
  FramesQuery base = source->query();
  base.selection = {};
  base.single = true;
  base.id = *base.unless;
  base.old_version = false;
  ZN_ASSIGN_OR_RETURN(int64_t position, base.snapshot.PositionOf(base.id));
  base.selection.Add({position, 1, 1});
  ZN_ASSIGN_OR_RETURN(auto base_source, FrameSource::Open(base, FrameSource::Cut::kAllFields));
  ZN_ASSIGN_OR_RETURN(const FrameBatch* base_batch, base_source->Batch(0));
  std::vector<bool> dropped;
  std::string names;
  for (size_t f = 0; f < base.fields.size(); ++f) {
    const Column& base_column = base_batch->columns[f];
    RowView base_row = RowCursor(*base_batch, base_column).Next();
    bool same =
        base_row.present;  // what frame j does not have either is not "unchanged", it is absent
    for (int64_t w = 0; same && w < source->windows(); ++w) {
      ZN_ASSIGN_OR_RETURN(auto batch, source->FieldBatch(w, f));
      const Column& column = batch->columns[0];
      RowCursor cursor(*batch, column);
      for (size_t i = 0; same && i < batch->n_atoms.size(); ++i)
        same = SameValue(base_column, base_row, column, cursor.Next());
    }
    dropped.push_back(same);
    if (same) names += (names.empty() ? "" : ",") + PercentEncode(base.fields[f].name);
  }
  source->DropFields(dropped);
  return names;
}

Answer<std::unique_ptr<BodyStream>> MakeStream(std::shared_ptr<FrameSource> source) {
  switch (source->query().format) {
    case Format::kColumns:
      return ColumnsStream(std::move(source));
    case Format::kNpy:
      return NpyStream(std::move(source));
    case Format::kNpz:
      return NpzStream(std::move(source));
    default: {
      ZN_RETURN_IF_ERROR(source->CheckSize());
      return FrameListStream(std::move(source));
    }
  }
}

Answer<Reply> FramesReply(const Call& call, FramesQuery query) {
  const Snapshot snapshot = query.snapshot;
  const uint64_t incarnation = snapshot.incarnation();
  std::string etag = IncarnationText(incarnation) + ".";
  std::string headers = PlaceHeaders(call.position, snapshot);
  if (query.single) {
    etag += std::to_string(query.id) + "." + std::to_string(query.version);
    headers += "Frame-Id: " + std::to_string(query.id) +
               "\r\nFrame-Version: " + std::to_string(query.version) + "\r\n";
    // The hash covers every field, so that computing it for a reply of one would cost many times
    // the reply.
    if (!query.old_version) {
      std::optional<Sha256> hash = call.service.hashes.Find(incarnation, query.id, query.version);
      if (!hash && (query.hash || query.every_field)) {
        ZN_ASSIGN_OR_RETURN(hash, call.service.FrameHash(snapshot, query.id, query.version));
      }
      if (hash) headers += "Frame-Hash: " + HashText(*hash) + "\r\n";
    }
  } else {
    etag += snapshot.commit().ToString();
  }
  etag += "-" + RepresentationTag(query.description);
  if (NotModified(call.request(), etag))
    return NotModifiedReply(call.request(), std::move(etag), std::move(headers));

  const Format format = query.format;
  const bool by_field =
      format == Format::kColumns || format == Format::kNpy || format == Format::kNpz;
  const bool unless = query.unless.has_value();
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<FrameSource> source,
                      FrameSource::Open(std::move(query), by_field ? FrameSource::Cut::kLargestField
                                                                   : FrameSource::Cut::kAllFields));
  if (unless) {
    ZN_ASSIGN_OR_RETURN(std::string unchanged, DropUnchanged(source.get()));
    headers += "Zn-Unchanged: " + unchanged + "\r\n";
  }
  Reply reply;
  reply.headers = std::move(headers);
  reply.etag = std::move(etag);
  if (format == Format::kNpy && source->query().fields.empty()) {  // the only field is unchanged
    reply.status = 204;
    return reply;
  }
  ZN_ASSIGN_OR_RETURN(reply.stream, MakeStream(std::move(source)));
  reply.content_type = MediaType(format);
  reply.accept_ranges = format == Format::kColumns || format == Format::kNpy;
  return reply;
}

}  // namespace

Answer<Reply> GetFrames(const Call& call) {
  FramesOptions options;
  ZN_ASSIGN_OR_RETURN(options.parameters, Parameters(call.request()));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(FramesQuery query, ParseFramesQuery(call.service, std::move(room), options,
                                                          std::nullopt, call.request().accept));
  return FramesReply(call, std::move(query));
}

Answer<Reply> GetFrame(const Call& call) {
  FramesOptions options;
  ZN_ASSIGN_OR_RETURN(options.parameters, Parameters(call.request()));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(FramesQuery query, ParseFramesQuery(call.service, std::move(room), options,
                                                          call.frame, call.request().accept));
  return FramesReply(call, std::move(query));
}

Answer<Reply> SelectFrames(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(FramesOptions options,
                      ParseSelectBody(call.request().content_type, call.owned.body));
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  options.parameters.insert(options.parameters.end(), parameters.begin(), parameters.end());
  ZN_ASSIGN_OR_RETURN(FramesQuery query, ParseFramesQuery(call.service, std::move(room), options,
                                                          std::nullopt, call.request().accept));
  return FramesReply(call, std::move(query));
}

}  // namespace zn::server
