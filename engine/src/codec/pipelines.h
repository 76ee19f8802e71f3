// The kinds of pipelines behind CodecPipeline::Create, each over a codec list that is parsed already.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "codec/array_filter.h"
#include "codec/codec_config.h"
#include "zn/engine/codec.h"

namespace zn {

using MadePipeline = Result<std::shared_ptr<const CodecPipeline>>;

/// Any of them, by what the list holds.
MadePipeline MakePipeline(std::span<const CodecConfig> list, DType dtype, std::span<const std::byte> fill);

/// transpose*, bytes or vlen-utf8, bytes -> bytes codecs: the hot path.
MadePipeline MakePlainPipeline(std::span<const CodecConfig> list, DType dtype);
/// Array -> array codecs that change values, or transposes before a sharding codec; then any pipeline.
MadePipeline MakeFilteredPipeline(std::span<const CodecConfig> list, DType dtype, std::span<const std::byte> fill);
/// sharding_indexed alone.
MadePipeline MakeShardingPipeline(std::span<const CodecConfig> list, DType dtype, std::span<const std::byte> fill);

/// zn.rounded alone, which is this project's own: docs/format.md.
MadePipeline MakeRoundedPipeline(std::span<const CodecConfig> list, DType dtype);

/// Reads a transpose's "order" and puts it behind the transposes before it.
Result<> AddTranspose(const CodecConfig& config, std::optional<std::vector<int64_t>>& order);

/// Bytes of `shape`; kTooLarge when they overflow, kInvalidArgument unless they are `bytes`.
Result<> CheckArraySize(const Shape& shape, DType dtype, size_t bytes);

}  // namespace zn
