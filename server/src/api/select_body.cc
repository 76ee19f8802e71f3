#include "api/select_body.h"

#include <nlohmann/json.hpp>

#include "http/request.h"

namespace zn::server {
namespace {

using nlohmann::json;

// Takes the events of the parser; false stops it, with the reason in `problem`.
class SelectHandler final : public json::json_sax_t {
 public:
  FramesOptions options;
  std::optional<Problem> problem;
  bool complete = false;

  bool null() override { return InList() ? Bad("null") : TopLevel("null"); }
  bool boolean(bool value) override {
    if (InList() || name_ == "indices" || IsData()) return Bad(value ? "true" : "false");
    return Value(value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override { return Integer(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Bad("a number that large");
    return Integer(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t, const string_t& text) override { return Bad(text); }
  bool string(string_t& text) override {
    if (!InList()) return Value(Encode(text));
    if (!IsData()) return Bad('"' + text + '"');
    options.data_list->push_back(text);
    return true;
  }
  bool binary(binary_t&) override { return Bad("binary data"); }
  bool start_object(size_t) override {
    if (depth_++ > 0) return Bad("an object");
    return true;
  }
  bool key(string_t& name) override {
    name_ = name;
    return true;
  }
  bool end_object() override {
    complete = true;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 1) return Bad("a list");
    if (name_ == "indices" && !options.index_list) {
      options.index_list.emplace();
    } else if (IsData() && !options.data_list) {
      options.data_list.emplace();
    } else {
      return Bad("a list");
    }
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem = BadRequest("the body is malformed at byte " + std::to_string(position));
    return false;
  }

 private:
  bool InList() const { return depth_ == 2; }
  bool IsData() const { return name_ == "data" || name_ == "keys"; }
  bool Bad(const std::string& what) {
    if (depth_ == 0 || name_.empty()) {
      problem = BadRequest("the body is not an object {indices, data, format, ...}");
    } else {
      problem = BadRequest(name_ + ": " + what + " is not possible in the body of select");
    }
    return false;
  }
  bool TopLevel(const char* what) { return depth_ == 1 ? true : Bad(what); }
  bool Integer(int64_t value) {
    if (!InList()) {
      if (name_ == "indices" || IsData()) return Bad(std::to_string(value));
      return Value(std::to_string(value));
    }
    if (IsData()) return Bad(std::to_string(value));
    if (options.index_list->size() >= kMaxSelectIndices) {
      problem = BadRequest("indices: more than " + std::to_string(kMaxSelectIndices) +
                           " of them: use slices (\"0:1000000\") or several requests");
      return false;
    }
    options.index_list->push_back(value);
    return true;
  }
  bool Value(std::string raw) {
    if (depth_ != 1) return Bad("a single value");
    options.parameters.push_back({name_, std::move(raw)});
    return true;
  }
  // As in a query: names in `data` are split at commas before their encoding is undone.
  std::string Encode(std::string_view text) const {
    if (!IsData()) return PercentEncode(text);
    std::string encoded;
    for (size_t from = 0; from <= text.size();) {
      size_t comma = std::min(text.find(',', from), text.size());
      encoded += (from ? "," : "") + PercentEncode(text.substr(from, comma - from));
      from = comma + 1;
    }
    return encoded;
  }

  int depth_ = 0;  // 1: in the object, 2: in a list
  std::string name_;
};

}  // namespace

Answer<FramesOptions> ParseSelectBody(std::string_view content_type, std::string_view body) {
  std::string_view type = Trim(content_type.substr(0, content_type.find(';')));
  json::input_format_t format = json::input_format_t::json;
  if (EqualsIgnoreCase(type, "application/msgpack") ||
      EqualsIgnoreCase(type, "application/x-msgpack")) {
    format = json::input_format_t::msgpack;
  } else if (!type.empty() && !EqualsIgnoreCase(type, "application/json")) {
    return Problem(
        415, "unsupported-media-type",
        "select takes application/json or application/msgpack, not " + std::string(type));
  }
  SelectHandler handler;
  const bool parsed = json::sax_parse(body, &handler, format);
  if (handler.problem) return std::move(*handler.problem);
  if (!parsed || !handler.complete)
    return BadRequest("the body is not an object {indices, data, format, ...}");
  return std::move(handler.options);
}

}  // namespace zn::server
