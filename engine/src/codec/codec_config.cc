#include "codec/codec_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace zn {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxJsonBytes = 64 << 10;
constexpr size_t kMaxCodecs = 16;
constexpr int kMaxDepth = 32;  // of brackets: printing JSON recurses

bool TooDeep(std::string_view json) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    if (quoted) {
      if (json[i] == '\\')
        ++i;
      else
        quoted = json[i] != '"';
    } else if (json[i] == '"') {
      quoted = true;
    } else if (json[i] == '[' || json[i] == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (json[i] == ']' || json[i] == '}') {
      --depth;
    }
  }
  return false;
}

std::string Join(std::initializer_list<std::string_view> words) {
  std::string text;
  for (std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text.empty() ? "none" : text;
}

std::string Quote(std::string_view text) { return '"' + std::string(text.substr(0, 64)) + '"'; }

bool IsInt64(const Json& value) {
  return value.is_number_integer() &&
         !(value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX});
}

Result<CodecConfig::Value> TakeValue(const Json& value) {
  if (value.is_boolean()) return CodecConfig::Value(value.get<bool>());
  if (IsInt64(value)) return CodecConfig::Value(value.get<int64_t>());
  if (value.is_string()) return CodecConfig::Value(value.get<std::string>());
  if (value.is_array() && value.size() <= 64) {
    std::vector<int64_t> list;
    for (const Json& element : value) {
      if (!IsInt64(element))
        return CodecConfig::Value(
            CodecConfig::List{value.dump(-1, ' ', false, Json::error_handler_t::replace)});
      list.push_back(element.get<int64_t>());
    }
    return CodecConfig::Value(std::move(list));
  }
  if (value.is_number()) return CodecConfig::Value(value.get<double>());
  return {ErrorCode::kInvalidArgument, "not a number, a boolean, a text or a list"};
}

Result<CodecConfig> TakeCodec(const Json& codec) {
  const auto invalid = [](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "codecs: " + what};
  };
  std::map<std::string, CodecConfig::Value, std::less<>> values;
  if (codec.is_string()) return CodecConfig(codec.get<std::string>(), std::move(values));
  if (!codec.is_object()) return invalid("an element is neither an object nor a name");
  const auto name = codec.find("name");
  if (name == codec.end() || !name->is_string()) return invalid("an element has no \"name\"");
  for (auto item = codec.begin(); item != codec.end(); ++item) {
    if (item.key() == "name") continue;
    if (item.key() != "configuration")
      return invalid("codec " + Quote(name->get<std::string>()) + " has the unknown key " +
                     Quote(item.key()) + "; known: name, configuration");
    if (!item->is_object())
      return invalid("the configuration of codec " + Quote(name->get<std::string>()) +
                     " is not an object");
    for (auto entry = item->begin(); entry != item->end(); ++entry) {
      auto value = TakeValue(*entry);
      if (!value)
        return invalid("codec " + Quote(name->get<std::string>()) + ", " + Quote(entry.key()) +
                       ": " + value.error().message);
      values.insert_or_assign(entry.key(), *std::move(value));
    }
  }
  return CodecConfig(name->get<std::string>(), std::move(values));
}

}  // namespace

Error CodecConfig::Invalid(const std::string& what) const {
  return {ErrorCode::kInvalidArgument, "codec " + Quote(name_) + ": " + what};
}

Result<> CodecConfig::CheckKeys(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : values_)
    if (std::find(known.begin(), known.end(), key) == known.end())
      return Invalid("unknown key " + Quote(key) + "; known: " + Join(known));
  return {};
}

Result<int64_t> CodecConfig::Integer(std::string_view key, int64_t low, int64_t high,
                                     int64_t otherwise) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return otherwise;
  const auto* value = std::get_if<int64_t>(&found->second);
  if (value == nullptr || *value < low || *value > high)
    return Invalid(Quote(key) + " must be an integer from " + std::to_string(low) + " to " +
                   std::to_string(high));
  return *value;
}

Result<bool> CodecConfig::Boolean(std::string_view key, bool otherwise) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return otherwise;
  const auto* value = std::get_if<bool>(&found->second);
  if (value == nullptr) return Invalid(Quote(key) + " must be true or false");
  return *value;
}

Result<size_t> CodecConfig::Choice(std::string_view key,
                                   std::initializer_list<std::string_view> choices,
                                   size_t otherwise) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return otherwise;
  const auto* value = std::get_if<std::string>(&found->second);
  if (value != nullptr) {
    const auto choice = std::find(choices.begin(), choices.end(), *value);
    if (choice != choices.end()) return static_cast<size_t>(choice - choices.begin());
  }
  return Invalid(Quote(key) + " must be one of " + Join(choices) +
                 (value != nullptr ? ", not " + Quote(*value) : std::string()));
}

Result<double> CodecConfig::Number(std::string_view key, double otherwise) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return otherwise;
  if (const auto* whole = std::get_if<int64_t>(&found->second)) return static_cast<double>(*whole);
  if (const auto* value = std::get_if<double>(&found->second)) return *value;
  return Invalid(Quote(key) + " must be a number");
}

Result<std::string> CodecConfig::Text(std::string_view key, std::string_view otherwise) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::string(otherwise);
  if (const auto* value = std::get_if<std::string>(&found->second)) return *value;
  return Invalid(Quote(key) + " must be a text");
}

Result<std::string> CodecConfig::Codecs(std::string_view key) const {
  const auto found = values_.find(key);
  const auto* list = found == values_.end() ? nullptr : std::get_if<List>(&found->second);
  if (list == nullptr) return Invalid(Quote(key) + " must be a codec list");
  return list->json;
}

Result<std::vector<int64_t>> CodecConfig::Integers(std::string_view key) const {
  const auto found = values_.find(key);
  const auto* value =
      found == values_.end() ? nullptr : std::get_if<std::vector<int64_t>>(&found->second);
  if (value == nullptr) return Invalid(Quote(key) + " must be a list of integers");
  return *value;
}

Result<std::vector<CodecConfig>> ParseCodecList(std::string_view json) {
  if (json.size() > kMaxJsonBytes)
    return {ErrorCode::kInvalidArgument, "codecs: the JSON is longer than 64 KiB"};
  if (TooDeep(json)) return {ErrorCode::kInvalidArgument, "codecs: the JSON is nested too deep"};
  const Json list = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (list.is_discarded() || !list.is_array())
    return {ErrorCode::kInvalidArgument,
            "codecs: " + Quote(json) + " is not a JSON list of Zarr v3 codecs"};
  if (list.size() > kMaxCodecs)
    return {ErrorCode::kInvalidArgument, "codecs: more than 16 in a list"};
  std::vector<CodecConfig> codecs;
  for (const Json& codec : list) {
    ZN_ASSIGN_OR_RETURN(CodecConfig config, TakeCodec(codec));
    codecs.push_back(std::move(config));
  }
  return codecs;
}

std::string CompactJson(std::string_view json) {
  const Json list = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  // Texts that are not UTF-8 are replaced: the default throws.
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace zn
