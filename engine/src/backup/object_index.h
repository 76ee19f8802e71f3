// Where the repository's objects are: its index files, joined in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backup/bundle.h"

namespace zn::backup {

/// The payload of an index file: what some bundles hold.
std::vector<std::byte> EncodeIndex(std::span<const BundleTable> bundles);
Result<std::vector<BundleTable>> DecodeIndex(std::span<const std::byte> payload, bool sealed);

/// 48 bytes an object. Built once, then read from any thread.
class ObjectIndex {
 public:
  struct Place {
    ObjectId id;
    uint64_t offset = 0;
    uint32_t length = 0;
    uint32_t bundle = 0;  // of bundles()
  };
  struct Bundle {
    RandomId id;
    uint64_t size = 0;
    uint64_t objects = 0;
  };

  /// A bundle that is there already is passed over.
  void Add(const BundleTable& bundle);
  /// Before any lookup.
  void Sort();

  /// One place, where there are several.
  const Place* Find(const ObjectId& id) const;
  bool Has(const RandomId& bundle) const;
  std::span<const Bundle> bundles() const { return bundles_; }
  /// By id; the same object may stand in several bundles.
  std::span<const Place> places() const { return places_; }

 private:
  std::vector<Bundle> bundles_;
  std::vector<RandomId> ids_;  // of the bundles, sorted
  std::vector<Place> places_;
};

}  // namespace zn::backup
