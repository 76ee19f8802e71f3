// The codecs there are. Each is made from its configuration; errors name the codec and the key at
// fault.
#pragma once

#include <cstddef>
#include <memory>

#include "codec/bytes_codec.h"
#include "codec/codec_config.h"
#include "zn/engine/error.h"

namespace zn {

using MadeCodec = Result<std::unique_ptr<const BytesCodec>>;

/// cname lz4, lz4hc, zstd or zlib; clevel; shuffle; typesize (`item_size` when not given);
/// blocksize, as c-blosc takes it (0, or not given: it chooses). blosclz and snappy are read but not
/// written: blosclz overflows above 8 MB.
MadeCodec MakeBloscCodec(const CodecConfig& config, size_t item_size);
/// level, checksum.
MadeCodec MakeZstdCodec(const CodecConfig& config);
/// acceleration. Framed as numcodecs does: u32 size, then one block.
MadeCodec MakeLz4Codec(const CodecConfig& config);
/// level. One member without time or name.
MadeCodec MakeGzipCodec(const CodecConfig& config);
/// numcodecs' zlib: level. One stream with zlib's own header.
MadeCodec MakeZlibCodec(const CodecConfig& config);
/// numcodecs' shuffle: elementsize. The first bytes of all elements, then the second ones, ...
MadeCodec MakeShuffleCodec(const CodecConfig& config);
/// The CRC-32C of the bytes behind them.
MadeCodec MakeCrc32cCodec(const CodecConfig& config);

}  // namespace zn
