#include "zarr/zarr_hierarchy.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "zarr/zarr_dataset.h"

namespace zn::formats::zarr {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDocument = 64 << 20;
constexpr size_t kMaxNodes = 100'000;
constexpr int kMaxDepth = 32;
constexpr size_t kMaxNumbers = 4096;

std::string Join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

bool FlattenNumbers(const Json& value, std::vector<double>& numbers) {
  if (value.is_number()) numbers.push_back(value.get<double>());
  if (value.is_boolean()) numbers.push_back(value.get<bool>() ? 1 : 0);
  if (value.is_array())
    for (const Json& element : value)
      if (!FlattenNumbers(element, numbers)) return false;
  return (value.is_number() || value.is_boolean() || value.is_array()) &&
         numbers.size() <= kMaxNumbers;
}

}  // namespace

Result<std::shared_ptr<const ZarrHierarchy>> ZarrHierarchy::Open(
    std::shared_ptr<const Store> store) {
  std::shared_ptr<ZarrHierarchy> hierarchy(new ZarrHierarchy(std::move(store)));
  if (auto walked = hierarchy->Walk(); !walked) {
    Error error = std::move(walked).error();
    if (!error.message.starts_with(hierarchy->path()))
      error = std::move(error).Context(hierarchy->path());
    return error;
  }
  return std::shared_ptr<const ZarrHierarchy>(std::move(hierarchy));
}

Result<std::string> ZarrHierarchy::Document(const std::string& path, const char* name) const {
  ZN_ASSIGN_OR_RETURN(const auto bytes, store_->Get(Join(path, name), kMaxDocument));
  if (!bytes) return std::string();
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

Result<> ZarrHierarchy::Walk() {
  ZN_RETURN_IF_ERROR(Visit("", 0));
  ZN_RETURN_IF_ERROR(AddConsolidated());
  if (nodes_.size() == 1 && nodes_.begin()->second.format == 0)
    return Fail(ErrorCode::kUnsupported, "", "holds no Zarr metadata (zarr.json, .zgroup, .zarray)",
                "name the folder or archive that a Zarr writer made");
  // asebytes writes its groups into a plain folder; an archive often has the store's folder at its
  // top.
  while (nodes_.at(root_).format == 0) {
    std::vector<std::string> below;
    for (const auto& [path, node] : nodes_) {
      const bool child = path != root_ && (root_.empty() || path.starts_with(root_ + "/")) &&
                         path.find('/', root_.empty() ? 0 : root_.size() + 1) == std::string::npos;
      if (child) below.push_back(path);
    }
    if (below.size() != 1 || nodes_.at(below[0]).is_array) break;
    root_ = below[0];
  }
  return {};
}

Result<> ZarrHierarchy::Visit(const std::string& path, int depth) {
  if (depth > kMaxDepth) return Fail(ErrorCode::kTooLarge, path, "is nested more than 32 deep");
  if (nodes_.size() >= kMaxNodes)
    return Fail(ErrorCode::kTooLarge, path, "is one of more than 100,000 groups and arrays");
  ZN_ASSIGN_OR_RETURN(const auto children, store_->List(path));
  const auto has = [&](const char* name) {
    const auto at = std::lower_bound(
        children.begin(), children.end(), name,
        [](const Store::Child& child, const char* wanted) { return child.name < wanted; });
    return at != children.end() && at->name == name && !at->is_folder;
  };
  Node node;
  if (has("zarr.json")) {
    node.format = 3;
    ZN_ASSIGN_OR_RETURN(node.document, Document(path, "zarr.json"));
    auto is_array = IsZarrV3Array(node.document);
    if (!is_array)
      return Fail(is_array.error().code, Join(path, "zarr.json"), is_array.error().message);
    node.is_array = *is_array;
  } else if (has(".zarray") || has(".zgroup")) {
    node.format = 2;
    node.is_array = has(".zarray");
    ZN_ASSIGN_OR_RETURN(node.document, Document(path, node.is_array ? ".zarray" : ".zgroup"));
    if (has(".zattrs")) {
      ZN_ASSIGN_OR_RETURN(node.attributes, Document(path, ".zattrs"));
    }
  } else if (depth > 1) {
    return {};  // a folder of something else
  }
  if (node.format == 3 && !node.is_array) {
    auto attributes = ParseZarrGroupV3(node.document);
    if (!attributes)
      return Fail(attributes.error().code, Join(path, "zarr.json"), attributes.error().message);
  } else if (node.format == 2 && !node.is_array) {
    auto attributes = ParseZarrGroupV2(node.document, node.attributes);
    if (!attributes)
      return Fail(attributes.error().code, Join(path, ".zgroup"), attributes.error().message);
  }
  const bool enter = !node.is_array, known = node.format != 0;
  if (known || path.empty()) nodes_.emplace(path, std::move(node));
  if (!enter) return {};
  const size_t before = nodes_.size();
  for (const Store::Child& child : children)
    if (child.is_folder) ZN_RETURN_IF_ERROR(Visit(Join(path, child.name), depth + 1));
  // A plain folder counts for what is in it.
  if (!known && nodes_.size() > before) nodes_.emplace(path, Node());
  return {};
}

Result<> ZarrHierarchy::AddConsolidated() {
  const Node& root = nodes_.at("");
  std::vector<ZarrDocument> documents;
  const auto take = [&](Result<std::vector<ZarrDocument>> parsed, const char* name) -> Result<> {
    if (!parsed) return Fail(parsed.error().code, name, parsed.error().message);
    documents = std::move(*parsed);
    return {};
  };
  if (root.format == 3) {
    ZN_RETURN_IF_ERROR(take(ParseZarrV3Consolidated(root.document), "zarr.json"));
  } else {
    ZN_ASSIGN_OR_RETURN(const std::string text, Document("", ".zmetadata"));
    if (!text.empty()) ZN_RETURN_IF_ERROR(take(ParseZarrV2Consolidated(text), ".zmetadata"));
  }
  if (documents.size() > kMaxNodes)
    return Fail(ErrorCode::kTooLarge, "",
                "has consolidated metadata of more than 100,000 documents");
  std::map<std::string, Node> found;
  for (const auto& [key, text] : documents) {
    if (root.format == 3) {
      auto is_array = IsZarrV3Array(text);
      if (!is_array)
        return Fail(is_array.error().code, "consolidated_metadata " + key,
                    is_array.error().message);
      found[key] = Node{*is_array, 3, text, ""};
      continue;
    }
    const size_t slash = key.rfind('/');
    const std::string path = slash == std::string::npos ? "" : key.substr(0, slash);
    const std::string name = slash == std::string::npos ? key : key.substr(slash + 1);
    Node& node = found[path];
    if (name == ".zattrs") {
      node.attributes = text;
    } else if (name == ".zarray" || name == ".zgroup") {
      node.format = 2;
      node.is_array = name == ".zarray";
      node.document = text;
    }
  }
  for (auto& [path, node] : found) {
    if (node.format == 0 || (!path.empty() && !IsValidKey(path))) continue;
    Node& known = nodes_[path];
    if (known.format == 0) known = std::move(node);
  }
  return {};
}

Object ZarrHierarchy::ObjectAt(const std::string& path) const {
  Object object;
  object.path = path == root_ ? "" : root_.empty() ? path : path.substr(root_.size() + 1);
  object.is_group = !nodes_.at(path).is_array;
  // Paths are all that tells objects apart.
  object.address = std::hash<std::string>()(path);
  return object;
}

Object ZarrHierarchy::root() const { return ObjectAt(root_); }

Result<std::vector<std::string>> ZarrHierarchy::Names(const Object& group) const {
  std::vector<std::string> names;
  const std::string path = Join(root_, group.path),
                    prefix = group.path.empty() && root_.empty()
                                 ? ""
                                 : (group.path.empty() ? root_ : path) + "/";
  for (auto at = nodes_.lower_bound(prefix); at != nodes_.end() && at->first.starts_with(prefix);
       ++at) {
    const std::string name = at->first.substr(prefix.size());
    if (!name.empty() && name.find('/') == std::string::npos) names.push_back(name);
  }
  return names;
}

Result<std::optional<Object>> ZarrHierarchy::Find(const Object& group,
                                                  const std::string& name) const {
  const std::string path = Join(group.path.empty() ? root_ : Join(root_, group.path), name);
  if (name.empty() || !nodes_.contains(path)) return std::optional<Object>();
  return std::optional<Object>(ObjectAt(path));
}

Result<std::optional<Object>> ZarrHierarchy::FindPath(const Object& from,
                                                      std::string_view path) const {
  return Find(from, std::string(path));
}

std::string ZarrHierarchy::Attributes(const Object& object) const {
  const auto found = nodes_.find(object.path.empty() ? root_ : Join(root_, object.path));
  if (found == nodes_.end() || found->second.format == 0) return "{}";
  if (found->second.format == 2)
    return found->second.attributes.empty() ? "{}" : found->second.attributes;
  const Json document = Json::parse(found->second.document, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("attributes")) return "{}";
  return document["attributes"].dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::vector<std::string>> ZarrHierarchy::Strings(const Object& object,
                                                               const char* name) const {
  const Json attributes = Json::parse(Attributes(object), nullptr, /*allow_exceptions=*/false);
  if (!attributes.is_object() || !attributes.contains(name)) return std::nullopt;
  const Json& value = attributes[name];
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  if (!value.is_array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const Json& element : value) {
    if (!element.is_string()) return std::nullopt;
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

std::optional<std::vector<double>> ZarrHierarchy::Numbers(const Object& object,
                                                          const char* name) const {
  const Json attributes = Json::parse(Attributes(object), nullptr, /*allow_exceptions=*/false);
  std::vector<double> numbers;
  if (!attributes.is_object() || !attributes.contains(name) ||
      !FlattenNumbers(attributes[name], numbers))
    return std::nullopt;
  return numbers;
}

std::optional<int64_t> ZarrHierarchy::Integer(const Object& object, const char* name) const {
  const auto numbers = Numbers(object, name);
  if (!numbers || numbers->size() != 1 || !((*numbers)[0] > -9e15 && (*numbers)[0] < 9e15))
    return std::nullopt;
  return static_cast<int64_t>((*numbers)[0]);
}

Result<ZarrArrayMetadata> ZarrHierarchy::Metadata(const Object& array) const {
  const Node& node = nodes_.at(array.path.empty() ? root_ : Join(root_, array.path));
  auto metadata = node.format == 3 ? ParseZarrArrayV3(node.document)
                                   : ParseZarrArrayV2(node.document, node.attributes);
  if (!metadata)
    return Fail(
        metadata.error().code, array.path.empty() ? "the array" : array.path,
        metadata.error().message,
        "leave it out with --map " + array.path + "=, or write it as zarr-python's default");
  return metadata;
}

Result<std::shared_ptr<Dataset>> ZarrHierarchy::OpenDataset(const Object& object) const {
  ZN_ASSIGN_OR_RETURN(ZarrArrayMetadata metadata, Metadata(object));
  std::string key = object.path.empty() ? root_ : Join(root_, object.path);
  return ZarrDataset::Open(std::static_pointer_cast<const ZarrHierarchy>(shared_from_this()),
                           object, std::move(key), std::move(metadata));
}

bool LooksLikeZarr(const Store& store) {
  const auto documents = [&](const std::string& folder) {
    const auto children = store.List(folder);
    return children &&
           std::any_of(children->begin(), children->end(), [](const Store::Child& child) {
             return !child.is_folder && (child.name == "zarr.json" || child.name == ".zgroup" ||
                                         child.name == ".zarray" || child.name == ".zmetadata");
           });
  };
  if (documents("")) return true;
  const auto top = store.List("");
  if (!top) return false;
  size_t looked = 0;
  for (const Store::Child& child : *top)
    if (child.is_folder && ++looked <= 64 && documents(child.name)) return true;
  return false;
}

}  // namespace zn::formats::zarr
