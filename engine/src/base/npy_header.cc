#include <cstdint>

#include "zn/engine/npy.h"

namespace zn {
namespace {

constexpr size_t kAlignment = 64;
// NumPy refuses longer version 1.0 headers, whose length has 16 bits.
constexpr size_t kLongestShort = 65000;

void PutLittle(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

std::string EncodeNpyHeader(std::string_view descr, const Shape& shape) {
  // Spelled as NumPy spells it.
  std::string dictionary = "{'descr': '" + std::string(descr) +
                           "', 'fortran_order': False, 'shape': " + shape.ToString() + ", }";
  const bool long_header = dictionary.size() > kLongestShort;
  const size_t preamble = long_header ? 12 : 10;
  const size_t unpadded = preamble + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dictionary += '\n';
  std::string header = "\x93NUMPY";
  header += long_header ? '\2' : '\1';
  header += '\0';
  PutLittle(header, dictionary.size(), long_header ? 4 : 2);
  return header + dictionary;
}

}  // namespace zn
