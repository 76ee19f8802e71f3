#include "collect/place_set.h"

#include <algorithm>

#include "log/record.h"

namespace zn {

bool OffsetSet::Add(uint64_t offset) {
  const uint64_t place = offset / kRecordAlignment;
  Page& page = pages_[place / kPlaces];
  const auto in_page = static_cast<uint16_t>(place % kPlaces);
  if (page.bits.empty()) {
    const auto at = std::lower_bound(page.list.begin(), page.list.end(), in_page);
    if (at != page.list.end() && *at == in_page) return false;
    if (page.list.size() < kMostListed) {
      page.list.insert(at, in_page);
      return true;
    }
    page.bits.resize(kPlaces / 64);
    for (const uint16_t listed : page.list) page.bits[listed / 64] |= uint64_t{1} << listed % 64;
    page.list = {};
  }
  uint64_t& word = page.bits[in_page / 64];
  const uint64_t bit = uint64_t{1} << in_page % 64;
  const bool fresh = (word & bit) == 0;
  word |= bit;
  return fresh;
}

bool OffsetSet::Has(uint64_t offset) const {
  const uint64_t place = offset / kRecordAlignment;
  const auto found = pages_.find(place / kPlaces);
  if (found == pages_.end()) return false;
  const Page& page = found->second;
  const auto in_page = static_cast<uint16_t>(place % kPlaces);
  if (!page.bits.empty()) return (page.bits[in_page / 64] >> in_page % 64 & 1) != 0;
  return std::binary_search(page.list.begin(), page.list.end(), in_page);
}

std::vector<uint64_t> OffsetSet::All() const {
  std::vector<uint64_t> all;
  for (const auto& [number, page] : pages_) {
    const uint64_t first = number * kPlaces;
    for (const uint16_t listed : page.list) all.push_back((first + listed) * kRecordAlignment);
    for (size_t word = 0; word < page.bits.size(); ++word)
      for (uint64_t bits = page.bits[word]; bits != 0; bits &= bits - 1)
        all.push_back((first + word * 64 + static_cast<uint64_t>(__builtin_ctzll(bits))) *
                      kRecordAlignment);
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace zn
