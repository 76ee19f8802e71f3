// Text from anywhere as an extended XYZ file: it ends in an error that names its place, or in
// batches that are valid, are written as extended XYZ, and read again with as many frames and
// atoms.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "extxyz/batch_builder.h"
#include "extxyz/frame_scanner.h"
#include "zn/formats/text_writer.h"

namespace {

using zn::formats::XyzBatchBuilder;
using zn::formats::ColumnMapper;
using zn::formats::FrameScanner;
using zn::formats::FrameSpan;

constexpr size_t kFramesAtOnce = 3;

// False when the text is refused.
bool Parse(std::string text, std::vector<zn::FrameBatch>& batches) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  auto mapper = ColumnMapper::Create({});
  XyzBatchBuilder builder(*mapper);
  FrameScanner scanner;
  bool good = true;
  while (good) {
    std::vector<FrameSpan> frames;
    auto scanned = scanner.Scan(text, true, 0, kFramesAtOnce, frames);
    if (!scanned && scanned.error().message.empty()) std::abort();
    good = scanned.has_value();
    for (const FrameSpan& frame : frames) {
      auto added = builder.Add(text, frame);
      if (added && !*added) {
        batches.push_back(builder.Take());
        added = builder.Add(text, frame);
        if (added && !*added) std::abort();
      }
      if (!added) {
        if (!added.error().message.starts_with("frame ")) std::abort();
        good = false;
        break;
      }
    }
    if (frames.size() < kFramesAtOnce) break;
    text.erase(0, scanner.consumed());
    scanner.Drop(scanner.consumed());
  }
  if (builder.frames() > 0) batches.push_back(builder.Take());
  for (const zn::FrameBatch& batch : batches)
    if (!ValidateBatch(batch)) std::abort();
  return good;
}

int64_t Atoms(const std::vector<zn::FrameBatch>& batches, int64_t& frames) {
  int64_t atoms = 0;
  for (const zn::FrameBatch& batch : batches) {
    frames += batch.frames();
    for (int32_t n : batch.n_atoms) atoms += n;
  }
  return atoms;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<zn::FrameBatch> batches;
  Parse(std::string(reinterpret_cast<const char*>(data), size), batches);
  std::string written;
  int64_t frames = 0, skipped_atoms = 0, skipped = 0;
  for (const zn::FrameBatch& batch : batches) {
    zn::formats::FrameRows rows(batch);
    for (size_t f = 0; f < batch.n_atoms.size(); ++f) {
      if (AppendExtxyz(rows, f, written)) continue;  // has no positions
      ++skipped;
      skipped_atoms += batch.n_atoms[f];
    }
  }
  int64_t atoms = Atoms(batches, frames);
  std::vector<zn::FrameBatch> again;
  int64_t frames_again = 0;
  if (!Parse(written, again)) std::abort();
  if (Atoms(again, frames_again) != atoms - skipped_atoms || frames_again != frames - skipped)
    std::abort();
  return 0;
}
