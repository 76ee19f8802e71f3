#include "backup/object_index.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace zn::backup {

std::vector<std::byte> EncodeIndex(std::span<const BundleTable> bundles) {
  ByteWriter header;
  header.Put(static_cast<uint32_t>(bundles.size()));
  std::vector<std::byte> out = header.Take();
  for (const BundleTable& bundle : bundles) {
    ByteWriter one;
    one.PutBytes(bundle.id.bytes);
    one.Put(bundle.size);
    out.insert(out.end(), one.bytes().begin(), one.bytes().end());
    PutEntries(out, bundle.entries);
  }
  return out;
}

Result<std::vector<BundleTable>> DecodeIndex(std::span<const std::byte> payload, bool sealed) {
  constexpr size_t kLeast = 28;  // of a bundle without objects
  ByteReader in(payload);
  const auto count = in.Get<uint32_t>();
  if (!in.ok() || count > in.remaining() / kLeast)
    return Error{ErrorCode::kCorrupt, "is cut short"};
  std::vector<BundleTable> bundles;
  bundles.reserve(count);
  std::span<const std::byte> rest = payload.last(in.remaining());
  for (uint32_t i = 0; i < count; ++i) {
    ByteReader one(rest);
    BundleTable bundle;
    const auto id = one.GetBytes(bundle.id.bytes.size());
    bundle.size = one.Get<uint64_t>();
    if (!one.ok()) return Error{ErrorCode::kCorrupt, "is cut short"};
    std::copy(id.begin(), id.end(), bundle.id.bytes.begin());
    rest = rest.last(one.remaining());
    ZN_ASSIGN_OR_RETURN(bundle.entries, TakeEntries(rest, bundle.size, sealed));
    bundles.push_back(std::move(bundle));
  }
  if (!rest.empty()) return Error{ErrorCode::kCorrupt, "is longer than it says"};
  return bundles;
}

void ObjectIndex::Add(const BundleTable& bundle) {
  const auto at = std::lower_bound(ids_.begin(), ids_.end(), bundle.id);
  if (at != ids_.end() && *at == bundle.id) return;
  ids_.insert(at, bundle.id);
  const auto number = static_cast<uint32_t>(bundles_.size());
  bundles_.push_back({bundle.id, bundle.size, bundle.entries.size()});
  for (const BundleEntry& entry : bundle.entries)
    places_.push_back({entry.id, entry.offset, entry.length, number});
}

void ObjectIndex::Sort() {
  std::sort(places_.begin(), places_.end(),
            [](const Place& a, const Place& b) { return a.id < b.id; });
}

const ObjectIndex::Place* ObjectIndex::Find(const ObjectId& id) const {
  const auto at = std::lower_bound(
      places_.begin(), places_.end(), id,
      [](const Place& place, const ObjectId& wanted) { return place.id < wanted; });
  return at != places_.end() && at->id == id ? &*at : nullptr;
}

bool ObjectIndex::Has(const RandomId& bundle) const {
  return std::binary_search(ids_.begin(), ids_.end(), bundle);
}

}  // namespace zn::backup
