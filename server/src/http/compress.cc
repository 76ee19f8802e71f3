#include "http/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <cstdlib>

#include "http/request.h"

namespace zn::server {
namespace {

constexpr int kZstdLevel = 3;
constexpr int kGzipLevel = 5;
constexpr size_t kSample = 4096;

std::optional<std::string> Zstd(std::string_view raw, int level) {
  std::string out(ZSTD_compressBound(raw.size()), '\0');
  size_t size = ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), level);
  if (ZSTD_isError(size)) return std::nullopt;
  out.resize(size);
  return out;
}

std::optional<std::string> Gzip(std::string_view raw) {
  z_stream stream{};
  if (deflateInit2(&stream, kGzipLevel, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  std::string out(deflateBound(&stream, raw.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) return std::nullopt;
  return out;
}

}  // namespace

Coding ChooseCoding(std::string_view list) {
  double zstd = -1, gzip = -1, any = -1;
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    size_t semicolon = item.find(';');
    std::string_view name = Trim(item.substr(0, semicolon));
    double q = 1;
    if (semicolon != std::string_view::npos) {
      std::string_view weight = Trim(item.substr(semicolon + 1));
      if (weight.substr(0, 2) == "q=")
        q = std::strtod(std::string(weight.substr(2)).c_str(), nullptr);
    }
    if (EqualsIgnoreCase(name, "zstd"))
      zstd = q;
    else if (EqualsIgnoreCase(name, "gzip") || EqualsIgnoreCase(name, "x-gzip"))
      gzip = q;
    else if (name == "*")
      any = q;
  }
  if (zstd < 0 && any > 0) zstd = any;
  if (gzip < 0 && any > 0) gzip = any;
  if (zstd > 0 && zstd >= gzip) return Coding::kZstd;
  if (gzip > 0) return Coding::kGzip;
  return Coding::kIdentity;
}

std::optional<std::string> CompressIfWorth(Coding coding, std::string_view raw) {
  if (raw.size() > 2 * kSample) {
    std::string_view sample = raw.substr((raw.size() - kSample) / 2, kSample);
    auto packed = Zstd(sample, 1);
    if (!packed || packed->size() > kSample / 10 * 9) return std::nullopt;
  }
  auto packed = coding == Coding::kZstd ? Zstd(raw, kZstdLevel) : Gzip(raw);
  if (!packed || packed->size() > raw.size() / 10 * 9) return std::nullopt;
  return packed;
}

}  // namespace zn::server
