// What zn-export says at its end.
#pragma once

#include <string>

#include "export.h"

namespace zn::tools {

/// The closing words, several lines; what would have been made with `dry_run`.
std::string SummaryText(const ExportOptions& options, const ExportSummary& summary, double seconds);
std::string SummaryJson(const ExportOptions& options, const ExportSummary& summary, double seconds);

}  // namespace zn::tools
