// zn-import --stream: the reading half of an import, its frames written to standard output for the process that commits
// them (zn/formats/batch_stream.h).
#pragma once

#include "import.h"
#include "sandbox.h"

namespace zn::tools {

/// Reads the one file of `options`, inside a sandbox when `limits` are given, and writes the stream. Returns an exit code;
/// errors of the file are in the stream.
int StreamFile(const ImportOptions& options, const SandboxLimits* limits);

}  // namespace zn::tools
