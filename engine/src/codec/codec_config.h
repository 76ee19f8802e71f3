// A Zarr v3 codec list as JSON, taken apart: the only place of the engine's codecs that sees a JSON
// library.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "zn/engine/error.h"

namespace zn {

/// One codec of a list: its name and the keys of its configuration. Getters name the codec in their
/// errors.
class CodecConfig {
 public:
  /// A list of other than integers, as the JSON it is: a codec list within a codec.
  struct List {
    std::string json;
  };
  using Value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, List>;

  CodecConfig(std::string name, std::map<std::string, Value, std::less<>> values)
      : name_(std::move(name)), values_(std::move(values)) {}

  const std::string& name() const { return name_; }
  bool Has(std::string_view key) const { return values_.find(key) != values_.end(); }
  /// kInvalidArgument naming the first key that is not in `known`.
  Result<> CheckKeys(std::initializer_list<std::string_view> known) const;
  Result<int64_t> Integer(std::string_view key, int64_t low, int64_t high, int64_t otherwise) const;
  Result<bool> Boolean(std::string_view key, bool otherwise) const;
  /// Index within `choices`.
  Result<size_t> Choice(std::string_view key, std::initializer_list<std::string_view> choices,
                        size_t otherwise) const;
  /// An integer or a fraction.
  Result<double> Number(std::string_view key, double otherwise) const;
  /// `otherwise` when the key is not there.
  Result<std::string> Text(std::string_view key, std::string_view otherwise) const;
  Result<std::vector<int64_t>> Integers(std::string_view key) const;
  /// A codec list, as JSON.
  Result<std::string> Codecs(std::string_view key) const;
  Error Invalid(const std::string& what) const;

 private:
  std::string name_;
  std::map<std::string, Value, std::less<>> values_;
};

/// Elements are {"name": ..., "configuration": {...}} or, as the specification allows, the bare
/// name.
Result<std::vector<CodecConfig>> ParseCodecList(std::string_view json);

/// The same JSON without white space, keys in the order given. REQUIRES: ParseCodecList takes it.
std::string CompactJson(std::string_view json);

}  // namespace zn
