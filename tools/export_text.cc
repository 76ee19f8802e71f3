// Extended XYZ: frames are made into text on several threads, pieces are written in order. With
// .gz every piece is a gzip member of its own, as gzip's format allows (RFC 1952, 2.2).
#include <algorithm>
#include <future>
#include <thread>

#include "export_source.h"
#include "output.h"
#include "zn/engine/codec.h"
#include "zn/formats/text_writer.h"

namespace zn::tools {
namespace {

constexpr int64_t kWindowBytes = 16 << 20;  // raw

// Frames [begin, end) of a window.
Result<std::string> MakePiece(const formats::FrameRows& rows, size_t begin, size_t end,
                              int64_t first, const CodecPipeline* gzip) {
  std::string text;
  for (size_t frame = begin; frame < end; ++frame) {
    if (auto added = formats::AppendExtxyz(rows, frame, text); !added) {
      return std::move(added).error().Context("frame " +
                                              std::to_string(first + static_cast<int64_t>(frame)));
    }
  }
  if (gzip == nullptr || text.empty()) return text;
  ZN_ASSIGN_OR_RETURN(auto packed, gzip->Encode(std::as_bytes(std::span(text)),
                                                Shape{static_cast<int64_t>(text.size())}));
  return std::string(reinterpret_cast<const char*>(packed.data()), packed.size());
}

}  // namespace

Result<> ExportExtxyz(const ExportJob& job) {
  const auto fields = job.source.AllFields();
  const bool needed =
      std::any_of(job.source.fields().begin(), job.source.fields().end(),
                  [](const FieldDescriptor& field) { return field.name == "arrays.positions"; });
  if (!needed) {
    return Error{ErrorCode::kUnsupported,
                 "extended XYZ needs arrays.positions, which are not among the fields"};
  }
  std::shared_ptr<const CodecPipeline> gzip;
  if (job.options.out.ends_with(".gz")) {
    const int level = std::clamp(job.options.level, 1, 9);
    ZN_ASSIGN_OR_RETURN(
        gzip, CodecPipeline::Create("[{\"name\":\"bytes\"},{\"name\":\"gzip\",\"configuration\":{"
                                    "\"level\":" +
                                        std::to_string(level) + "}}]",
                                    DType::kUInt8));
  }
  ZN_ASSIGN_OR_RETURN(auto file, OutputFile::Create(job.options.out, job.options.force));
  ZN_ASSIGN_OR_RETURN(const int64_t window, job.source.FramesFor(fields, kWindowBytes));
  const size_t threads = job.options.threads > 0
                             ? static_cast<size_t>(job.options.threads)
                             : std::max(1u, std::thread::hardware_concurrency());
  const int64_t frames = job.source.frames();
  // The next window is read while this one is made into text.
  auto read = [&](int64_t first) {
    return std::async(std::launch::async, [&, first] {
      return job.source.Read(first, std::min(window, frames - first), fields);
    });
  };
  std::future<Result<FrameBatch>> next;
  if (frames > 0) next = read(0);
  for (int64_t first = 0; first < frames; first += window) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch, next.get());
    if (first + window < frames) next = read(first + window);
    const formats::FrameRows rows(batch);
    const size_t count = batch.n_atoms.size(), share = (count + threads - 1) / threads;
    std::vector<std::future<Result<std::string>>> pieces;
    for (size_t begin = 0; begin < count; begin += share) {
      pieces.push_back(std::async(std::launch::async, MakePiece, std::cref(rows), begin,
                                  std::min(count, begin + share), first, gzip.get()));
    }
    Result<> written;
    for (auto& piece : pieces) {
      auto text = piece.get();  // every one is waited for: they look at `rows`
      if (!written) continue;
      if (!text) {
        written = std::move(text).error();
      } else {
        written = file->Append(*text);
      }
    }
    ZN_RETURN_IF_ERROR(std::move(written));
    const int64_t done = std::min(frames, first + window);
    ZN_RETURN_IF_ERROR(job.Step(job.options.out,
                                static_cast<double>(done) / static_cast<double>(frames), done,
                                file->size()));
  }
  job.summary.bytes = file->size();
  job.summary.files = 1;
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return file->Finish();
}

}  // namespace zn::tools
