// What zn-import says at its end.
#pragma once

#include <string>

#include "import.h"
#include "report.h"

namespace zn::tools {

/// The closing words, several lines; what would have been made with `dry_run`.
std::string SummaryText(const ImportOptions& options, const ImportSummary& summary, double seconds);
std::string SummaryJson(const ImportOptions& options, const ImportSummary& summary, double seconds);

}  // namespace zn::tools
