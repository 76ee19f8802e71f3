#include "api/paging.h"

#include <charconv>

#include "api/frames_query.h"

namespace zn::server {

Answer<std::vector<Parameter>> Parameters(const Request& request) {
  auto parameters = ParseQuery(request.query);
  if (!parameters) return BadRequest("malformed percent-encoding in the query");
  return std::move(*parameters);
}

Answer<Page> ParsePage(const std::vector<Parameter>& parameters) {
  Page page;
  ZN_ASSIGN_OR_RETURN(auto limit, TakeParameter(parameters, "limit"));
  if (limit) {
    auto [end, error] = std::from_chars(limit->data(), limit->data() + limit->size(), page.limit);
    if (error != std::errc() || end != limit->data() + limit->size() || page.limit == 0 ||
        page.limit > kMaxPage)
      return BadRequest("limit: '" + *limit + "' is not between 1 and " + std::to_string(kMaxPage));
  }
  ZN_ASSIGN_OR_RETURN(auto after, TakeParameter(parameters, "after"));
  page.after = after.value_or("");
  return page;
}

std::string NextLink(const Request& request, const std::vector<Parameter>& parameters,
                     const std::string& after) {
  std::string target(request.path);
  char separator = '?';
  for (const Parameter& parameter : parameters) {
    if (parameter.name == "after") continue;
    target += separator + PercentEncode(parameter.name) + "=" + parameter.raw;
    separator = '&';
  }
  target += separator + std::string("after=") + PercentEncode(after);
  return "Link: <" + target + ">; rel=\"next\"\r\n";
}

}  // namespace zn::server
