// Frames as text: extended XYZ and JSON. No file library: the server links this.
#pragma once

#include <string>

#include "zn/engine/batch.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// Appends frame `frame` of `batch` as one extended XYZ frame that ASE reads back: Properties, Lattice, pbc, energies,
/// info. Needs arrays.numbers (else species X) and arrays.positions (kInvalidArgument without).
Result<> AppendExtxyz(const FrameBatch& batch, size_t frame, std::string& out);

/// Appends one JSON object {field: value} for the frame: numbers with shortest round trip, "NaN", "Infinity",
/// "-Infinity", complex as [re, im], kJson values verbatim. Absent fields are left out.
void AppendJsonFrame(const FrameBatch& batch, size_t frame, std::string& out);

/// Appends the JSON of one element / of an array of `shape` at `bytes`.
void AppendJsonArray(DType dtype, const Shape& shape, std::span<const std::byte> bytes, std::string& out);

/// A JSON string literal with its quotes; invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace zn::formats
