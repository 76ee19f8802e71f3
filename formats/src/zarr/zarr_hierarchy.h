// A Zarr store (v2, v3, or both side by side) as a Hierarchy.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "hierarchy/hierarchy.h"
#include "zarr/store.h"
#include "zn/engine/zarr_metadata.h"

namespace zn::formats::zarr {

/// A group or array, by its metadata documents.
struct Node {
  bool is_array = false;
  int format = 0;          // 2 or 3; 0: a folder without documents
  std::string document;    // .zarray, .zgroup or zarr.json
  std::string attributes;  // v2's .zattrs; v3 has them in `document`
};

class ZarrHierarchy final : public Hierarchy {
 public:
  /// Walks the store's groups; arrays' folders are not entered. Where a node has documents of both
  /// versions, v3's count. Nodes that consolidated metadata have and the store does not show are
  /// taken from there. kUnsupported when there is nothing of Zarr in it.
  static Result<std::shared_ptr<const ZarrHierarchy>> Open(std::shared_ptr<const Store> store);

  const Store& store() const { return *store_; }
  /// The folder within the store that stands for the root; "" where that is the top.
  const std::string& root_folder() const { return root_; }

  std::string_view tool() const override { return "zarr.open(...).info"; }
  Object root() const override;
  Result<std::vector<std::string>> Names(const Object& group) const override;
  Result<std::optional<Object>> Find(const Object& group, const std::string& name) const override;
  Result<std::optional<Object>> FindPath(const Object& from, std::string_view path) const override;
  Result<std::shared_ptr<Dataset>> OpenDataset(const Object& object) const override;
  std::optional<std::vector<std::string>> Strings(const Object& object,
                                                  const char* name) const override;
  std::optional<std::vector<double>> Numbers(const Object& object, const char* name) const override;
  std::optional<int64_t> Integer(const Object& object, const char* name) const override;
  std::optional<unsigned long long> Reference(const Object&, const char*) const override {
    return {};
  }

  /// A JSON object; "{}" where there are none.
  std::string Attributes(const Object& object) const;
  /// The metadata of an array; errors name it.
  Result<ZarrArrayMetadata> Metadata(const Object& array) const;

 private:
  explicit ZarrHierarchy(std::shared_ptr<const Store> store) : store_(std::move(store)) {
    path_ = store_->path();
  }
  Result<> Walk();
  Result<> Visit(const std::string& path, int depth);
  Result<> AddConsolidated();
  Result<std::string> Document(const std::string& path, const char* name) const;
  Object ObjectAt(const std::string& path) const;

  // Constant once opened.
  const std::shared_ptr<const Store> store_;
  std::map<std::string, Node> nodes_;  // by path
  std::string root_;                   // the only child of a folder without documents stands for it
};

/// Does the store hold documents of Zarr, at its top or in a folder of it?
bool LooksLikeZarr(const Store& store);

}  // namespace zn::formats::zarr
