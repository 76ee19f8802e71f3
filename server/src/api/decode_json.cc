#include "api/decode_json.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "api/msgpack_writer.h"

namespace zn::server {
namespace {

using nlohmann::json;

// Containers get a head of fixed size, in which their count is put when they end.
class Transcoder final : public json::json_sax_t {
 public:
  std::string out;
  std::string problem;

  bool null() override {
    msgpack::PutNil(out);
    return Counted();
  }
  bool boolean(bool value) override {
    msgpack::PutBool(out, value);
    return Counted();
  }
  bool number_integer(number_integer_t value) override {
    msgpack::PutInteger(out, value);
    return Counted();
  }
  bool number_unsigned(number_unsigned_t value) override {
    msgpack::PutUnsigned(out, value);
    return Counted();
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (!std::isfinite(value)) {
      problem = "the number " + text.substr(0, 40) + " is beyond float64";
      return false;
    }
    msgpack::PutDouble(out, value);
    return Counted();
  }
  bool string(string_t& text) override {
    msgpack::PutString(out, text);
    return Counted();
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(0xdf); }
  bool start_array(size_t) override { return Open(0xdd); }
  bool key(string_t& name) override {
    msgpack::PutString(out, name);
    return true;
  }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    problem = "the body is not JSON: see byte " + std::to_string(position);
    return false;
  }

 private:
  struct Container {
    size_t head;  // where its count goes
    uint32_t count = 0;
  };
  bool Counted() {
    if (!open_.empty()) ++open_.back().count;
    return true;
  }
  bool Open(int code) {
    if (open_.size() == 64) {
      problem = "the body is nested deeper than 64 levels";
      return false;
    }
    Counted();
    out.push_back(static_cast<char>(code));
    open_.push_back({out.size()});
    msgpack::PutBig(out, 0, 4);
    return true;
  }
  bool Close() {
    for (int i = 0; i < 4; ++i)
      out[open_.back().head + static_cast<size_t>(i)] =
          static_cast<char>(open_.back().count >> (8 * (3 - i)));
    open_.pop_back();
    return true;
  }

  std::vector<Container> open_;
};

}  // namespace

Result<std::string> JsonToMsgpack(std::string_view text) {
  Transcoder transcoder;
  transcoder.out.reserve(text.size());
  if (!json::sax_parse(text, &transcoder))
    return Error{ErrorCode::kInvalidArgument,
                 transcoder.problem.empty() ? "the body is not JSON" : transcoder.problem};
  return std::move(transcoder.out);
}

}  // namespace zn::server
