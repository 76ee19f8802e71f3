#include "http/problem.h"

#include "zn/formats/text_writer.h"

namespace zn::server {

int HttpStatus(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kPruned:
      return 410;
    case ErrorCode::kAlreadyExists:
      return 409;
    case ErrorCode::kConflict:
      return 409;
    case ErrorCode::kOutOfRange:
      return 404;
    case ErrorCode::kUnsupported:
      return 400;
    case ErrorCode::kCorrupt:
      return 500;
    case ErrorCode::kIo:
      return 500;
    case ErrorCode::kNoSpace:
      return 507;
    case ErrorCode::kReadOnly:
      return 403;
    case ErrorCode::kBusy:
      return 503;
    case ErrorCode::kTooLarge:
      return 400;
    case ErrorCode::kTypeMismatch:
      return 422;
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 423:
      return "Locked";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

Problem::Problem(const Error& error)
    : status(HttpStatus(error.code)), type(ErrorCodeName(error.code)), detail(error.message) {}

Problem Problem::With(std::string_view name, int64_t value) && {
  extra.emplace_back(name, std::to_string(value));
  return std::move(*this);
}

Problem Problem::With(std::string_view name, const std::vector<std::string>& values) && {
  std::string list = "[";
  for (const std::string& value : values) {
    if (list.size() > 1) list += ',';
    formats::AppendJsonString(value, list);
  }
  extra.emplace_back(name, list + "]");
  return std::move(*this);
}

std::string Problem::ToJson(std::string_view instance) const {
  std::string out = "{\"type\":";
  formats::AppendJsonString("urn:znstore:problem:" + type, out);
  out += ",\"title\":";
  formats::AppendJsonString(ReasonPhrase(status), out);
  out += ",\"status\":" + std::to_string(status) + ",\"detail\":";
  formats::AppendJsonString(detail, out);
  out += ",\"instance\":";
  formats::AppendJsonString(instance, out);
  for (const auto& [name, value] : extra) {
    out += ',';
    formats::AppendJsonString(name, out);
    out += ':' + value;
  }
  return out + "}";
}

}  // namespace zn::server
