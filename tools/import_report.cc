#include "import_report.h"

#include <algorithm>

namespace zn::tools {
namespace {

std::string ShapeText(const FieldTally& field) {
  if (field.dtype == DType::kJson) return "(frames)";
  std::string text = field.kind == FieldKind::kAtom     ? "(frames, atoms"
                     : field.kind == FieldKind::kRagged ? "(frames, rows"
                                                        : "(frames";
  for (int64_t extent : field.inner) text += ", " + std::to_string(extent);
  return text + ")";
}

std::string UnitText(const FieldTally& field) {
  std::string unit = field.unit.empty() ? "-" : field.unit;
  if (!field.source_unit.empty()) unit += " (file: " + field.source_unit + ")";
  return unit;
}

}  // namespace

std::string SummaryText(const ImportOptions& options, const ImportSummary& summary,
                        double seconds) {
  std::string text;
  std::string atoms = HumanCount(summary.atoms) + " atoms";
  if (summary.frames > 0) {
    atoms +=
        " (" + HumanCount(summary.atoms_min) +
        (summary.atoms_min == summary.atoms_max ? "" : " to " + HumanCount(summary.atoms_max)) +
        " a frame)";
  }
  if (options.dry_run) {
    text += "Would import " + HumanCount(summary.frames) + " frames, " + atoms + ", " +
            std::to_string(summary.fields.size()) + " fields, " +
            HumanBytes(static_cast<double>(summary.raw_bytes)) + " raw:\n\n";
    std::vector<std::vector<std::string>> rows = {
        {"field", "kind", "dtype", "shape", "unit", "frames"}};
    for (const auto& [name, field] : summary.fields) {
      std::string dtype(field.dtype == DType::kJson ? "json" : ZarrName(field.dtype));
      rows.push_back({name, std::string(FieldKindName(field.kind)), dtype, ShapeText(field),
                      UnitText(field), HumanCount(field.frames)});
    }
    text += Table(rows);
    text += "\nNothing was written. Read in " + HumanTime(seconds) + ".\n";
    return text;
  }
  text += "Imported " + HumanCount(summary.frames) + " frames, " + atoms + ", " +
          std::to_string(summary.fields.size()) + " fields into " +
          (summary.created_room ? "the new room " : "room ") + options.room + " in " +
          HumanTime(seconds) + ".\n";
  double raw = static_cast<double>(summary.raw_bytes);
  text += "  raw " + HumanBytes(raw) + " (" + HumanBytes(raw / std::max(seconds, 1e-9)) +
          "/s), stored " + HumanBytes(static_cast<double>(summary.stored_bytes)) + " in " +
          HumanCount(summary.chunks) + " chunks";
  if (summary.deduplicated_bytes > 0)
    text +=
        ", " + HumanBytes(static_cast<double>(summary.deduplicated_bytes)) + " were there already";
  text += "\n  commit " + summary.commit + "; the room has " + HumanCount(summary.room_frames) +
          " frames now\n";
  return text;
}

std::string SummaryJson(const ImportOptions& options, const ImportSummary& summary,
                        double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("summary"));
  json.AddFlag("dry_run", options.dry_run);
  if (!options.dry_run) {
    json.Add("room", options.room);
    json.AddFlag("created", summary.created_room);
    json.Add("commit", summary.commit);
    json.Add("room_frames", summary.room_frames);
    json.Add("stored_bytes", summary.stored_bytes);
    json.Add("deduplicated_bytes", summary.deduplicated_bytes);
    json.Add("chunks", summary.chunks);
  }
  json.Add("frames", summary.frames);
  json.Add("atoms", summary.atoms);
  json.Add("atoms_min", static_cast<int64_t>(summary.atoms_min));
  json.Add("atoms_max", static_cast<int64_t>(summary.atoms_max));
  json.Add("raw_bytes", summary.raw_bytes);
  json.Add("seconds", seconds);
  std::vector<std::string> fields;
  for (const auto& [name, field] : summary.fields) {
    JsonObject one;
    one.Add("name", name);
    one.Add("kind", FieldKindName(field.kind));
    one.Add("dtype",
            field.dtype == DType::kJson ? std::string_view("json") : ZarrName(field.dtype));
    std::string shape = "[";
    for (int64_t extent : field.inner)
      shape += (shape.size() > 1 ? "," : "") + std::to_string(extent);
    one.AddRaw("shape", shape + "]");
    if (field.unit.empty())
      one.AddRaw("unit", "null");
    else
      one.Add("unit", field.unit);
    if (!field.source_unit.empty()) one.Add("source_unit", field.source_unit);
    one.Add("frames", field.frames);
    one.Add("raw_bytes", field.bytes);
    fields.push_back(std::move(one).Take());
  }
  json.AddRaw("fields", JsonList(fields));
  std::vector<std::string> warnings;
  for (const auto& [file, warning] : summary.warnings) {
    JsonObject one;
    if (!file.empty()) one.Add("file", file);
    if (!warning.place.empty()) one.Add("place", warning.place);
    one.Add("message", warning.message);
    one.Add("count", warning.count);
    warnings.push_back(std::move(one).Take());
  }
  json.AddRaw("warnings", JsonList(warnings));
  return std::move(json).Take();
}

}  // namespace zn::tools
