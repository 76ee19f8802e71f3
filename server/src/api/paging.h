// Lists in pages: limit, after, and the Link to what follows.
#pragma once

#include <string>
#include <vector>

#include "http/problem.h"
#include "http/query.h"
#include "http/request.h"

namespace zn::server {

struct Page {
  size_t limit = 100;
  std::string after;
};
constexpr size_t kMaxPage = 1000;

/// The query's parameters; 400 when they are malformed.
Answer<std::vector<Parameter>> Parameters(const Request& request);
Answer<Page> ParsePage(const std::vector<Parameter>& parameters);
/// "Link: <...>; rel=\"next\"\r\n"
std::string NextLink(const Request& request, const std::vector<Parameter>& parameters,
                     const std::string& after);

}  // namespace zn::server
