#include "chunk/layout.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "zn/engine/codec.h"

namespace zn {
namespace {

// Decoding one block more costs about as much as decoding this many bytes more.
constexpr double kBlockOverhead = 16 << 10;
// A longer chunk of small rows saves nothing and makes windows slow to compact.
constexpr int64_t kMaxFrames = 16384;
constexpr int64_t kMaxTexts = 1024;
// A frame up to this size stays in one block, so that it is served from where it lies in the cache.
constexpr int64_t kMaxBlockBytes = 8 << 20;
// Whether values were rounded is seen from the first of them: at most and at least so many bytes.
constexpr size_t kMostSampleBytes = 256 << 10, kLeastSampleBytes = 1 << 10;
// Zarr readers are sent plain chunks as they lie, rounded ones encoded anew. That is worth a
// quarter of the bytes.
constexpr double kWorthwhileRatio = 0.75;

int64_t FramesFor(int64_t target, int64_t row_bytes) {
  const int64_t frames =
      std::clamp<int64_t>(target / std::max<int64_t>(row_bytes, 1), 1, kMaxFrames);
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(frames)));
}

/// Bytes to decode, a frame, when these counts are laid out in blocks of `atoms`.
double CostOf(std::span<const int64_t> counts, int64_t atoms, int64_t frames, int64_t atom_bytes) {
  double cost = 0;
  for (size_t i = 0; i < counts.size(); i += static_cast<size_t>(frames)) {
    const size_t end = std::min(counts.size(), i + static_cast<size_t>(frames));
    const int64_t most = *std::max_element(counts.begin() + static_cast<ptrdiff_t>(i),
                                           counts.begin() + static_cast<ptrdiff_t>(end));
    const int64_t blocks = (most + atoms - 1) / atoms;
    cost +=
        static_cast<double>(blocks) *
        (static_cast<double>(end - i) * static_cast<double>(atoms * atom_bytes) + kBlockOverhead);
  }
  return cost / static_cast<double>(counts.size());
}

int64_t ChooseAtoms(std::span<const int64_t> counts, int64_t atom_bytes,
                    const LayoutOptions& options) {
  // More atoms than this and one frame is a chunk of its own, in several blocks.
  const int64_t most_bytes = std::max(kMaxBlockBytes, options.target_chunk_bytes);
  const int64_t most_atoms = std::max<int64_t>(1, most_bytes / std::max<int64_t>(1, atom_bytes));
  if (counts.empty()) return std::min<int64_t>(64, most_atoms);
  std::vector<int64_t> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());
  if (sorted.back() == 0) return std::min<int64_t>(64, most_atoms);
  if (sorted.front() == sorted.back()) return std::min(sorted.back(), most_atoms);
  int64_t best = 0;
  double best_cost = 0;
  for (double quantile : {0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0}) {
    const auto at = static_cast<size_t>(quantile * static_cast<double>(sorted.size() - 1));
    int64_t atoms =
        std::clamp<int64_t>((sorted[at] + 7) / 8 * 8, 8, std::max<int64_t>(8, most_atoms));
    if (quantile == 1.0) atoms = std::min(sorted.back(), most_atoms);
    const int64_t frames = FramesFor(options.target_chunk_bytes, atoms * atom_bytes);
    const double cost = CostOf(counts, atoms, frames, atom_bytes);
    if (best == 0 || cost < best_cost) {
      best = atoms;
      best_cost = cost;
    }
  }
  return best;
}

/// The bytes that `codecs` make of `raw`; 0 when they cannot.
size_t EncodedSize(std::string_view codecs, DType dtype, std::span<const std::byte> raw,
                   const Shape& shape) {
  const auto pipeline = CodecPipeline::Create(codecs, dtype);
  if (!pipeline) return 0;
  const auto encoded = (*pipeline)->Encode(raw, shape);
  return encoded ? encoded->size() : 0;
}

/// Whether these are values that zn.rounded stores in clearly fewer bytes than the default codecs.
/// `atom_bytes` is the size of one atom's.
bool WorthRounding(const Column& sample, std::span<const int64_t> counts, int64_t atom_bytes) {
  if (sample.kind == FieldKind::kFrame || atom_bytes <= 0) return false;
  if (sample.dtype != DType::kFloat32 && sample.dtype != DType::kFloat64) return false;
  std::span<const std::byte> raw = sample.data.bytes();
  raw = raw.first(std::min(raw.size(), kMostSampleBytes));
  // Frames of one size are laid out beside each other, which zn.rounded makes use of. Others are
  // padded; without that, one does not say what comes of the next.
  const bool alike =
      !counts.empty() && std::all_of(counts.begin(), counts.end(),
                                     [&](int64_t count) { return count == counts.front(); });
  const size_t row = alike ? static_cast<size_t>(counts.front() * atom_bytes) : 0;
  const bool rows = row > 0 && row <= raw.size();
  const size_t unit = rows ? row : static_cast<size_t>(atom_bytes);
  raw = raw.first(raw.size() / unit * unit);
  if (raw.size() < kLeastSampleBytes) return false;
  const auto elements = static_cast<int64_t>(raw.size() / ItemSize(sample.dtype));
  const auto n_rows = rows ? static_cast<int64_t>(raw.size() / row) : 1;
  const Shape shape{n_rows, elements / n_rows};
  const size_t rounded = EncodedSize(RoundedCodecs(), sample.dtype, raw, shape);
  return rounded > 0 &&
         static_cast<double>(rounded) <
             kWorthwhileRatio * static_cast<double>(EncodedSize(DefaultCodecs(sample.dtype),
                                                                sample.dtype, raw, shape));
}

}  // namespace

Result<Geometry> ChooseGeometry(const Column& sample, std::span<const int64_t> counts,
                                const LayoutOptions& options) {
  const bool free_choice =
      options.codecs.empty() && options.frames_per_chunk == 0 && options.atoms_per_chunk == 0;
  if (sample.grid && free_choice && sample.grid->dtype == sample.dtype &&
      sample.grid->kind == sample.kind && sample.grid->inner == sample.inner)
    return *sample.grid;
  Geometry geometry;
  geometry.dtype = sample.dtype;
  geometry.kind = sample.kind;
  geometry.inner = sample.inner;
  int64_t atom_bytes = static_cast<int64_t>(ItemSize(sample.dtype));
  for (int64_t extent : sample.inner) atom_bytes *= extent;
  if (sample.dtype == DType::kJson) {
    int64_t bytes = 0;
    for (const std::string& text : sample.text) bytes += static_cast<int64_t>(text.size()) + 4;
    const int64_t rows = std::max<int64_t>(1, static_cast<int64_t>(sample.text.size()));
    // Reading one text walks the lengths of those before it.
    geometry.frames_per_chunk =
        std::min(kMaxTexts, FramesFor(options.target_chunk_bytes, bytes / rows));
  } else if (sample.kind == FieldKind::kFrame) {
    geometry.frames_per_chunk = FramesFor(options.target_chunk_bytes, atom_bytes);
  } else {
    geometry.atoms_per_chunk = options.atoms_per_chunk > 0
                                   ? options.atoms_per_chunk
                                   : ChooseAtoms(counts, atom_bytes, options);
    geometry.frames_per_chunk =
        FramesFor(options.target_chunk_bytes, geometry.atoms_per_chunk * atom_bytes);
  }
  if (options.frames_per_chunk > 0) geometry.frames_per_chunk = options.frames_per_chunk;
  if (!options.codecs.empty()) {
    ZN_ASSIGN_OR_RETURN(geometry.codecs, ParseCodecs(options.codecs, sample.dtype));
  } else {
    geometry.codecs =
        WorthRounding(sample, counts, atom_bytes) ? RoundedCodecs() : DefaultCodecs(sample.dtype);
  }
  return geometry;
}

}  // namespace zn
